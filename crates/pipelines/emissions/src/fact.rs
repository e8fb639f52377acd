//! What is kept of a record: one fact per country and year.

use stream::Fact;

use crate::measure::Measure;

/// A country's figures of one year, as last known.
///
/// 40 bytes: with its stamp a fact takes 48 in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YearFact {
    /// Persons.
    pub population: Measure,
    /// International-$ of 2011.
    pub gdp: Measure,
    /// Million tonnes.
    pub co2: Measure,
    /// Tonnes per person.
    pub co2_per_capita: Measure,
    /// The country's name, as a number that [`Names`] knows.
    pub name: Name,
    /// Calendar year, 1 to 9999.
    pub year: u16,
}

impl Fact for YearFact {
    type Key = u16;

    fn key(&self) -> u16 {
        self.year
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

/// A country's name, as its number in [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(u32);

/// Every country name seen, each kept once.
#[derive(Debug, Default)]
pub struct Names {
    texts: Vec<Box<str>>,
    numbers: std::collections::HashMap<Box<str>, u32>,
    /// The last name asked for: a country's rows tend to follow one another.
    last: usize,
}

impl Names {
    /// The name's number; the same text always has the same one.
    pub fn intern(&mut self, text: &str) -> Name {
        if self.texts.get(self.last).is_none_or(|last| &**last != text) {
            self.last = match self.numbers.get(text) {
                Some(&number) => number as usize,
                None => self.add(text),
            };
        }
        Name(u32::try_from(self.last).expect("add() refuses more names than that"))
    }

    /// The text behind a number.
    pub fn text(&self, name: Name) -> &str {
        &self.texts[name.0 as usize]
    }

    fn add(&mut self, text: &str) -> usize {
        let number = self.texts.len();
        let short = u32::try_from(number).expect("four billion names do not fit in memory");
        self.texts.push(text.into());
        self.numbers.insert(text.into(), short);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_stays_small() {
        assert_eq!(size_of::<YearFact>(), 40);
    }

    #[test]
    fn a_name_keeps_its_number() {
        let mut names = Names::default();
        let (a, b) = (names.intern("Eswatini"), names.intern("Swaziland"));
        assert_ne!(a, b);
        assert_eq!((names.intern("Eswatini"), names.text(b)), (a, "Swaziland"));
    }
}

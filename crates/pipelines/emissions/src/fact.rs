//! What is stored of a record: one fact per country and year.

use indexmap::IndexSet;
use stream::Fact;

use crate::{measure::Measure, record::MEASURES};

/// A country's figures of one year, as last known.
///
/// 40 bytes with four measures: with its version a fact takes 48 in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YearFact {
    /// The values of [`MEASURES`].
    pub measures: [Measure; MEASURES.len()],
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

/// Every name a country was seen with, each kept once.
///
/// Most countries have one name. It is stored with the country's other data, so that reading it needs no lookup.
#[derive(Debug, Default)]
pub struct Names {
    first: Option<Box<str>>,
    /// Behind a pointer: few countries have any, and every country would take more memory without it.
    later: Option<Box<IndexSet<Box<str>>>>,
}

impl Names {
    /// The name's number; the same text always has the same one.
    pub fn intern(&mut self, text: &str) -> Name {
        let first = self.first.get_or_insert_with(|| text.into());
        if **first == *text {
            return Name(0);
        }
        let later = self.later.get_or_insert_default();
        let number = later.get_index_of(text).unwrap_or_else(|| later.insert_full(text.into()).0);
        Name(u32::try_from(number + 1).expect("four billion names do not fit in memory"))
    }

    /// The text behind a number that [`Names::intern`] gave.
    pub fn text(&self, name: Name) -> &str {
        let text = match name.0 {
            0 => self.first.as_ref(),
            number => self.later.as_ref().and_then(|later| later.get_index(number as usize - 1)),
        };
        text.expect("a name's number comes from the names of its country")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_stays_small() {
        assert_eq!(size_of::<YearFact>(), 8 + 8 * MEASURES.len());
    }

    #[test]
    fn a_name_keeps_its_number() {
        let mut names = Names::default();
        let (a, b) = (names.intern("Eswatini"), names.intern("Swaziland"));
        let c = names.intern("Ngwane");
        assert_eq!((names.intern("Eswatini"), names.intern("Swaziland"), names.intern("Ngwane")), (a, b, c));
        assert_eq!([names.text(a), names.text(b), names.text(c)], ["Eswatini", "Swaziland", "Ngwane"]);
    }
}

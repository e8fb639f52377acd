//! The bench's input: made countries, each with the years 1900 to 2022, in the shape of the reduced real file.
//!
//! A row is a function of its index, so a file of any size is written without keeping it in memory, and the same
//! rows can be written in any order. The same index always gives the same row.

use std::io::Write;

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore as _, SeedableRng as _},
};
use testkit::sample::HEADER;

/// Years that a made country has.
const YEARS: u32 = 123;
const FIRST_YEAR: u32 = 1900;
/// Any number would do; it is named so that two runs measure the same rows.
const SEED: u64 = 42;

/// How many countries so many rows have.
pub(crate) fn countries(rows: u32) -> u32 {
    rows.div_ceil(YEARS)
}

/// Writes a header, and the rows of those indexes.
pub(crate) fn write(file: &mut impl Write, indexes: impl IntoIterator<Item = u32>) -> std::io::Result<()> {
    writeln!(file, "{HEADER}")?;
    indexes.into_iter().try_for_each(|index| write_row(file, index, 0))
}

/// Writes a header, and the first year of so many countries with other emissions: a million tonnes more a revision.
pub(crate) fn write_corrections(file: &mut impl Write, countries: u32, revision: u32) -> std::io::Result<()> {
    writeln!(file, "{HEADER}")?;
    (0..countries).try_for_each(|country| write_row(file, country * YEARS, revision))
}

/// All indexes in a random order that is always the same (Fisher and Yates).
pub(crate) fn shuffled(rows: u32) -> Vec<u32> {
    let mut indexes: Vec<u32> = (0..rows).collect();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    for last in (1..indexes.len()).rev() {
        let choices = u64::try_from(last + 1).expect("an index fits 32 bits");
        let chosen = random.next_u64() % choices;
        indexes.swap(last, usize::try_from(chosen).expect("an index fits 32 bits"));
    }
    indexes
}

/// One row: sizes spread over some orders of magnitude, as those of countries do, and what old years lack is missing.
fn write_row(file: &mut impl Write, index: u32, revision: u32) -> std::io::Result<()> {
    let (country, year) = (index / YEARS, FIRST_YEAR + index % YEARS);
    let mut of_country = Random::seeded(u64::from(country) << 32);
    let size = of_country.between(10.5, 19.0).exp();
    let (income, intensity) = (of_country.between(6.0, 10.5).exp(), of_country.between(0.1, 0.6));
    let mut of_year = Random::seeded((u64::from(country) << 32) + u64::from(year));
    let growth = 1.0 + f64::from(year - FIRST_YEAR) / 60.0;
    let population = size * growth * of_year.between(0.99, 1.01);
    let gdp = population * income * growth * of_year.between(0.95, 1.05);
    let co2 = gdp * intensity * of_year.between(0.9, 1.1) / 1e9 + f64::from(revision);
    write!(file, "Made country {country:06},{year},M{country:06},{population:.0}.0,")?;
    if year >= 1950 {
        write!(file, "{gdp:.0}.0")?;
    }
    writeln!(file, ",{co2:.3},{:.3}", co2 * 1e6 / population)
}

struct Random(Xoshiro256PlusPlus);

impl Random {
    fn seeded(index: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(SEED ^ index))
    }

    /// A number of the half-open interval `[low, high)`.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        // 32 bits are exact as f64, and finer than any figure written here.
        low + (high - low) * f64::from(self.0.next_u32()) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn row(index: u32) -> String {
        revised(index, 0)
    }

    fn revised(index: u32, revision: u32) -> String {
        let mut row = Vec::new();
        write_row(&mut row, index, revision).unwrap();
        String::from_utf8(row).unwrap()
    }

    #[test]
    fn a_row_is_a_function_of_its_index() {
        assert_eq!(row(0), row(0));
        assert!(row(0).starts_with("Made country 000000,1900,M000000,"));
        assert!(row(122).starts_with("Made country 000000,2022,M000000,"));
        assert!(row(123).starts_with("Made country 000001,1900,M000001,"));
        assert_eq!([row(49), row(50)].map(|row| row.split(',').filter(|field| field.is_empty()).count()), [1, 0]);
    }

    #[test]
    fn a_correction_is_of_the_same_year_and_differs() {
        let (was, is) = (row(123), revised(123, 2));
        assert_eq!(was.split(',').take(4).collect::<Vec<_>>(), is.split(',').take(4).collect::<Vec<_>>());
        assert!(was != is && is != revised(123, 1));
    }

    #[test]
    fn shuffled_rows_are_the_same_rows() {
        let indexes = shuffled(1000);
        assert_ne!(indexes, (0..1000).collect::<Vec<_>>());
        assert_eq!(indexes.iter().copied().collect::<BTreeSet<_>>(), (0..1000).collect());
        assert_eq!(indexes, shuffled(1000));
    }

    #[test]
    fn the_last_country_may_be_a_part() {
        assert_eq!([1, 123, 124, 1_000_000].map(countries), [1, 1, 2, 8_131]);
    }
}

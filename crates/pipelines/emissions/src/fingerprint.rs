//! A short text for everything a model run is made of.

use std::fmt;

use crate::{aggregates::CountryAggregate, model_settings::ModelSettings};

/// The version of the arithmetic. It grows when the same facts and settings would give other figures or reasons,
/// so that the next run is not taken for a repetition.
const MODEL_VERSION: u64 = 2;

/// 128 bits that are equal for the same countries and settings, and on every machine.
///
/// It prints as 32 hexadecimal digits. FNV-1a: made to notice change, not to resist forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// Takes the fingerprint of a run: its settings and every column of all countries, in the order of their codes.
    pub fn of(countries: &[CountryAggregate], settings: &ModelSettings) -> Self {
        let mut countries: Vec<&CountryAggregate> = countries.iter().collect();
        countries.sort_by_key(|country| country.iso_code);
        let mut digest = Self::EMPTY;
        digest.bytes(&MODEL_VERSION.to_le_bytes());
        digest.text(&settings.to_string());
        countries.into_iter().for_each(|country| digest.country(country));
        digest
    }

    /// The offset basis.
    const EMPTY: Self = Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    fn country(&mut self, country: &CountryAggregate) {
        // Named one by one, so that a column added later is not forgotten here.
        let CountryAggregate {
            iso_code,
            country,
            means,
            avg_co2_recent,
            data_points,
            first_year,
            last_year,
            co2_years,
            co2_first_year,
            co2_last_year,
        } = country;
        self.text(iso_code.as_str());
        self.text(country);
        for mean in means.iter().chain([avg_co2_recent]) {
            // No mean is a NaN, so that one can stand for a missing mean.
            self.bytes(&mean.unwrap_or(f64::NAN).to_bits().to_le_bytes());
        }
        for number in [data_points, first_year, last_year, co2_years] {
            self.bytes(&number.to_le_bytes());
        }
        for year in [co2_first_year, co2_last_year] {
            self.bytes(&year.unwrap_or(i32::MIN).to_le_bytes());
        }
    }

    /// A text and an end that no text holds.
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(&[0xff]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(Self::PRIME);
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clusters::tests::country;

    #[test]
    fn digests_are_those_of_the_fnv_draft() {
        let check = |text: &str, expected: &str| {
            let mut digest = Fingerprint::EMPTY;
            digest.bytes(text.as_bytes());
            assert_eq!(digest.to_string(), expected);
        };
        check("", "6c62272e07bb014262b821756295c58d");
        check("a", "d228cb696f1a8caf78912b704e4a8964");
        check("foobar", "343e1662793c64bf6f0d3597ba446f18");
    }

    #[test]
    fn only_another_run_has_another_fingerprint() {
        let settings = ModelSettings::default();
        let (a, b) = (country("AAA", [1.0, 2.0, 3.0, 4.0]), country("BBB", [5.0, 6.0, 7.0, 8.0]));
        let first = Fingerprint::of(&[a.clone(), b.clone()], &settings);
        assert_eq!(Fingerprint::of(&[b.clone(), a.clone()], &settings), first);
        let others = [
            Fingerprint::of(&[a.clone(), b.clone()], &ModelSettings { seed: 43, ..settings.clone() }),
            Fingerprint::of(std::slice::from_ref(&a), &settings),
            Fingerprint::of(&[a.clone(), CountryAggregate { means: [None; 4], ..b.clone() }], &settings),
            Fingerprint::of(&[a.clone(), CountryAggregate { means: [Some(0.0); 4], ..b.clone() }], &settings),
            Fingerprint::of(&[a.clone(), CountryAggregate { co2_years: 7, ..b.clone() }], &settings),
            Fingerprint::of(&[a, CountryAggregate { country: "B".to_owned(), ..b }], &settings),
        ];
        for (row, other) in others.iter().enumerate() {
            assert!(*other != first && !others[..row].contains(other), "{row}");
        }
    }
}

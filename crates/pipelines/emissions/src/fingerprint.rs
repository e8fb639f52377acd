//! A short text for everything a model run is made of.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{aggregates::CountryAggregate, model_settings::ModelSettings};

/// The version of the arithmetic. It grows when the same facts and settings would give other figures or reasons,
/// so that the next run is not taken for a repetition.
const MODEL_VERSION: u64 = 2;

/// A SHA-256 that is equal for the same countries and settings, and on every machine. It prints as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Takes the fingerprint of a run: its settings and every column of all countries, in the order of their codes.
    pub fn of(countries: &[CountryAggregate], settings: &ModelSettings) -> Self {
        let mut countries: Vec<&CountryAggregate> = countries.iter().collect();
        countries.sort_by_key(|country| country.iso_code);
        let mut run = Run(Sha256::new());
        run.0.update(MODEL_VERSION.to_le_bytes());
        run.text(&settings.to_string());
        countries.into_iter().for_each(|country| run.country(country));
        Self(run.0.finalize().into())
    }
}

/// What was hashed of a run so far.
struct Run(Sha256);

impl Run {
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
            self.0.update(mean.unwrap_or(f64::NAN).to_bits().to_le_bytes());
        }
        for number in [data_points, first_year, last_year, co2_years] {
            self.0.update(number.to_le_bytes());
        }
        for year in [co2_first_year, co2_last_year] {
            self.0.update(year.unwrap_or(i32::MIN).to_le_bytes());
        }
    }

    /// A text and an end that no text holds.
    fn text(&mut self, text: &str) {
        self.0.update(text.as_bytes());
        self.0.update([0xff]);
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clusters::tests::country, record::MEASURES};

    #[test]
    fn only_another_run_has_another_fingerprint() {
        let settings = ModelSettings::default();
        let (a, b) = (country("AAA", [1.0, 2.0, 3.0, 4.0]), country("BBB", [5.0, 6.0, 7.0, 8.0]));
        let first = Fingerprint::of(&[a.clone(), b.clone()], &settings);
        assert_eq!(Fingerprint::of(&[b.clone(), a.clone()], &settings), first);
        let others = [
            Fingerprint::of(&[a.clone(), b.clone()], &ModelSettings { seed: 43, ..settings.clone() }),
            Fingerprint::of(std::slice::from_ref(&a), &settings),
            Fingerprint::of(&[a.clone(), CountryAggregate { means: [None; MEASURES.len()], ..b.clone() }], &settings),
            Fingerprint::of(
                &[a.clone(), CountryAggregate { means: [Some(0.0); MEASURES.len()], ..b.clone() }],
                &settings,
            ),
            Fingerprint::of(&[a.clone(), CountryAggregate { co2_years: 7, ..b.clone() }], &settings),
            Fingerprint::of(&[a, CountryAggregate { country: "B".to_owned(), ..b }], &settings),
        ];
        for (row, other) in others.iter().enumerate() {
            assert!(*other != first && !others[..row].contains(other), "{row}");
        }
    }
}

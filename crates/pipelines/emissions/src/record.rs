//! A record, parsed once and valid: no later code checks it again.

use std::{borrow::Cow, ops::RangeInclusive};

use stream::Decoded;

use crate::{iso_code::IsoCode, measure::Measure};

/// The measured fields, in the order in which they are written.
///
/// Persons, international-$ of 2011, million tonnes, tonnes per person.
pub const MEASURES: [&str; 4] = ["population", "gdp", "co2", "co2_per_capita"];
/// The index of each of [`MEASURES`].
pub const POPULATION: usize = 0;
/// Of `gdp`.
pub const GDP: usize = 1;
/// Of `co2`.
pub const CO2: usize = 2;
/// Of `co2_per_capita`.
pub const CO2_PER_CAPITA: usize = 3;

/// All fields, in the order in which they are written.
pub const FIELDS: [&str; 3 + MEASURES.len()] = {
    let [a, b, c, d] = MEASURES;
    ["country", "year", "iso_code", a, b, c, d]
};

/// The years a record may be of.
const YEARS: RangeInclusive<u16> = 1..=9999;
/// The longest name of a country, in characters.
const MAX_COUNTRY: usize = 200;
/// The values that each of [`MEASURES`] may have: far beyond any true one, and all whole numbers up to 1e15 are exact in a
/// double. A removal of CO₂ is negative.
const RANGES: [RangeInclusive<f64>; MEASURES.len()] = [0.0..=1e15, 0.0..=1e15, -1e10..=1e10, 0.0..=1e15];
/// What the codes of aggregates begin with: `OWID_WRL`.
const AGGREGATE: &str = "OWID_";

pub use formats::json::Reason;

/// A country's figures of one year.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a, Code = IsoCode> {
    /// Its name: 1 to 200 characters without control characters.
    pub country: Cow<'a, str>,
    /// Calendar year, 1 to 9999.
    pub year: u16,
    /// Its code.
    pub iso_code: Code,
    /// The values of [`MEASURES`].
    pub measures: [Measure; MEASURES.len()],
}

/// A valid row of the input: of a country or of an aggregate (the world, a continent), which has no code, or one that begins
/// with `OWID_`.
pub type Observation<'a> = Record<'a, Option<IsoCode>>;

/// The content of a number field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Number {
    /// Nothing, null, the empty text or `NaN`.
    #[default]
    Missing,
    /// A number; of a CSV field perhaps an infinite one.
    Is(f64),
    /// Something else.
    Wrong,
}

/// The content of a text field.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Text<'a> {
    /// Nothing, null, the empty text or `NaN`.
    #[default]
    Missing,
    /// A text.
    Is(Cow<'a, str>),
    /// Something else, and what.
    Wrong(&'static str),
}

/// The fields as a message or a CSV row has them, not yet checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields<'a> {
    /// The name of the country or aggregate.
    pub country: Text<'a>,
    /// Calendar year.
    pub year: Number,
    /// The code.
    pub iso_code: Text<'a>,
    /// Those of [`MEASURES`].
    pub measures: [Number; MEASURES.len()],
}

/// Whether a text says that a value is missing: empty, or `NaN`, perhaps in quotes.
pub fn says_missing(text: &str) -> bool {
    matches!(text, "" | "NaN" | "\"NaN\"")
}

impl<'a> Fields<'a> {
    /// Checks the fields: optional ones may be missing, and all others must be valid.
    ///
    /// # Errors
    /// The reason, when a field does not hold what it should.
    pub fn check(self) -> Result<Observation<'a>, Reason> {
        let (country, year, iso_code) = (country(self.country)?, year(self.year)?, iso_code(self.iso_code)?);
        let mut measures = [Measure::MISSING; MEASURES.len()];
        for (index, number) in self.measures.into_iter().enumerate() {
            measures[index] = measure(index, number)?;
        }
        Ok(Observation { country, year, iso_code, measures })
    }
}

impl<'a> Observation<'a> {
    /// Keeps a country, and filters an aggregate.
    pub fn into_record(self) -> Decoded<Record<'a>> {
        match self.iso_code {
            Some(iso_code) if !iso_code.as_str().starts_with(AGGREGATE) => {
                let Self { country, year, measures, .. } = self;
                Decoded::Record(Record { country, year, iso_code, measures })
            }
            _ => Decoded::Filtered,
        }
    }
}

fn country(text: Text<'_>) -> Result<Cow<'_, str>, Reason> {
    match text {
        Text::Missing => Err("country is missing".into()),
        Text::Wrong(what) => Err(format!("country is {what}").into()),
        Text::Is(name) if name.chars().any(char::is_control) => Err("country holds a control character".into()),
        Text::Is(name) if name.len() > MAX_COUNTRY && name.chars().count() > MAX_COUNTRY => {
            Err(format!("country is longer than {MAX_COUNTRY} characters").into())
        }
        Text::Is(name) => Ok(name),
    }
}

fn year(number: Number) -> Result<u16, Reason> {
    let wrong = || Reason::from(format!("year is not an integer from {} to {}", YEARS.start(), YEARS.end()));
    match number {
        Number::Missing => Err("year is missing".into()),
        Number::Wrong => Err(wrong()),
        Number::Is(value) => whole(value).filter(|year| YEARS.contains(year)).ok_or_else(wrong),
    }
}

/// The whole number a double is, where it is one and fits.
fn whole(value: f64) -> Option<u16> {
    let in_range = (0.0..=f64::from(u16::MAX)).contains(&value) && value.fract() == 0.0;
    // Just checked to be whole and in range, so the cast changes nothing.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range")]
    in_range.then_some(value as u16)
}

fn iso_code(text: Text<'_>) -> Result<Option<IsoCode>, Reason> {
    match text {
        Text::Missing => Ok(None),
        Text::Wrong(what) => Err(format!("iso_code is {what}").into()),
        Text::Is(code) => IsoCode::try_from(&*code).map(Some).map_err(|error| error.to_string().into()),
    }
}

fn measure(index: usize, number: Number) -> Result<Measure, Reason> {
    let (field, range) = (MEASURES[index], &RANGES[index]);
    match number {
        Number::Missing => Ok(Measure::MISSING),
        Number::Wrong => Err(format!("{field} is not a number").into()),
        Number::Is(value) => match Measure::new(value) {
            Some(measure) if range.contains(&value) => Ok(measure),
            Some(_) => Err(format!("{field} is not within {:e} to {:e}", range.start(), range.end()).into()),
            None => Err(format!("{field} is infinite").into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Fields<'static> {
        Fields {
            country: Text::Is("Brazil".into()),
            year: Number::Is(1987.0),
            iso_code: Text::Is("BRA".into()),
            ..Fields::default()
        }
    }

    fn check(fields: Fields<'_>, expected: &str) {
        let found = match fields.clone().check().map(Observation::into_record) {
            Ok(Decoded::Record(_)) => "record".to_owned(),
            Ok(Decoded::Filtered) => "filtered".to_owned(),
            Ok(Decoded::Rejected(reason)) | Err(reason) => reason.into_owned(),
        };
        assert_eq!(found, expected, "{fields:?}");
    }

    fn with(measure: usize, number: Number) -> Fields<'static> {
        let mut fields = valid();
        fields.measures[measure] = number;
        fields
    }

    fn country(name: &str) -> Fields<'_> {
        Fields { country: Text::Is(name.into()), ..valid() }
    }

    fn code(text: &str) -> Fields<'_> {
        Fields { iso_code: Text::Is(text.into()), ..valid() }
    }

    fn year(value: f64) -> Fields<'static> {
        Fields { year: Number::Is(value), ..valid() }
    }

    #[test]
    fn a_country_has_1_to_200_characters() {
        check(valid(), "record");
        check(country("Côte d'Ivoire"), "record");
        check(country(&"ô".repeat(200)), "record");
        check(country(&"ô".repeat(201)), "country is longer than 200 characters");
        check(country("Bra\u{0}zil"), "country holds a control character");
        check(country("Bra\u{85}zil"), "country holds a control character");
        check(Fields { country: Text::Missing, ..valid() }, "country is missing");
        check(Fields { country: Text::Wrong("a number"), ..valid() }, "country is a number");
    }

    #[test]
    fn a_year_is_an_integer_from_1_to_9999() {
        for valid in [1.0, 1990.0, 9999.0] {
            check(year(valid), "record");
        }
        for invalid in [0.0, -1.0, 1990.5, 10_000.0, 1e300, f64::INFINITY, f64::NEG_INFINITY] {
            check(year(invalid), "year is not an integer from 1 to 9999");
        }
        check(Fields { year: Number::Missing, ..valid() }, "year is missing");
        check(Fields { year: Number::Wrong, ..valid() }, "year is not an integer from 1 to 9999");
    }

    #[test]
    fn aggregates_are_filtered_once_they_are_valid() {
        check(Fields { iso_code: Text::Missing, ..valid() }, "filtered");
        check(code("OWID_WRL"), "filtered");
        check(code("OWI"), "record");
        check(code("B A"), "iso_code is not 1 to 32 bytes without blanks or control characters");
        check(Fields { iso_code: Text::Missing, ..with(GDP, Number::Wrong) }, "gdp is not a number");
    }

    #[test]
    fn a_measure_is_finite_and_in_range() {
        let gdp = |value| with(GDP, Number::Is(value));
        let co2 = |value| with(CO2, Number::Is(value));
        for value in [0.0, -0.0, 0.5, 1e15] {
            check(gdp(value), "record");
        }
        check(gdp(-0.001), "gdp is not within 0e0 to 1e15");
        check(gdp(1.000_000_1e15), "gdp is not within 0e0 to 1e15");
        check(gdp(f64::INFINITY), "gdp is infinite");
        check(co2(-1e10), "record");
        check(co2(-1.1e10), "co2 is not within -1e10 to 1e10");
        check(co2(1.1e10), "co2 is not within -1e10 to 1e10");
        check(with(POPULATION, Number::Is(-1.0)), "population is not within 0e0 to 1e15");
        check(with(CO2_PER_CAPITA, Number::Is(2e15)), "co2_per_capita is not within 0e0 to 1e15");
    }
}

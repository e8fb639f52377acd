//! A small made world: the same seed gives the same rows, and the same corrections of them.

use std::fmt::Write as _;

use crate::random::Random;

/// Codes of ISO 3166's user-assigned range, each with its size: the first are small, the last two are giants.
const CODES: [&str; 12] = ["XAA", "XAB", "XAC", "XAD", "XAE", "XAF", "XAG", "XAH", "XAI", "XAJ", "XAK", "XAL"];
const YEARS: std::ops::RangeInclusive<i32> = 1993..=2022;

/// A row of the input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) country: String,
    pub(crate) iso_code: Option<String>,
    pub(crate) year: i32,
    /// Population, gdp, co2, co2 per capita.
    pub(crate) figures: [Option<f64>; 4],
}

impl Line {
    /// The message key the producer would give it.
    pub(crate) fn key(&self) -> &str {
        self.iso_code.as_deref().unwrap_or(&self.country)
    }

    /// The message value, its fields in another order than our producer's.
    pub(crate) fn json(&self) -> String {
        let number = |value: Option<f64>| value.map_or_else(|| "null".to_owned(), |value| value.to_string());
        let [population, gdp, co2, per_capita] = self.figures.map(number);
        let code = self.iso_code.as_ref().map_or_else(|| "null".to_owned(), |code| format!("\"{code}\""));
        format!(
            r#"{{"year":{},"country":"{}","iso_code":{code},"gdp":{gdp},"population":{population},"co2":{co2},"co2_per_capita":{per_capita}}}"#,
            self.year, self.country
        )
    }
}

/// The rows as the CSV that the producer reads.
pub(crate) fn csv(lines: &[Line]) -> String {
    let mut file = "country,year,iso_code,population,gdp,co2,co2_per_capita\n".to_owned();
    for line in lines {
        let [population, gdp, co2, per_capita] =
            line.figures.map(|value| value.map(|value| value.to_string()).unwrap_or_default());
        let code = line.iso_code.as_deref().unwrap_or_default();
        writeln!(file, "{},{},{code},{population},{gdp},{co2},{per_capita}", line.country, line.year)
            .expect("a String takes all text");
    }
    file
}

/// The world as first sent: 12 countries and 2 aggregates, 30 years each.
pub(crate) fn world(seed: u64) -> Vec<Line> {
    let mut random = Random::new(seed);
    let mut lines = Vec::new();
    for (n, code) in CODES.into_iter().enumerate() {
        let scale = if n < 10 { 1 + n as u64 } else { 200 + 50 * n as u64 };
        lines.extend(YEARS.map(|year| Line {
            country: format!("Land {code}"),
            iso_code: Some(code.to_owned()),
            year,
            figures: figures(&mut random, scale, year),
        }));
    }
    // One country has no gdp and cannot be clustered; the others lack single values.
    lines.iter_mut().filter(|line| line.key() == "XAC").for_each(|line| line.figures[1] = None);
    for (name, code) in [("Made World", None), ("Made Union", Some("OWID_MDU".to_owned()))] {
        let line = |year| Line {
            country: name.to_owned(),
            iso_code: code.clone(),
            year,
            figures: figures(&mut random, 9_000, year),
        };
        lines.extend(YEARS.map(line));
    }
    lines
}

/// What a later file corrects: every seventh figure, a country's name from 2015 on, and one year more.
pub(crate) fn corrections(lines: &[Line], seed: u64) -> Vec<Line> {
    let mut random = Random::new(seed);
    let mut corrected: Vec<Line> = lines.iter().skip(3).step_by(7).cloned().collect();
    for line in &mut corrected {
        line.figures[random.below(4)] = Some(f64::from(random.small(90_000)) / 8.0);
    }
    let renamed = lines.iter().filter(|line| line.key() == "XAE" && line.year >= 2015);
    let renamed: Vec<Line> = renamed.map(|line| Line { country: "New Land".to_owned(), ..line.clone() }).collect();
    corrected.retain(|line| line.key() != "XAE" || line.year < 2015);
    corrected.extend(renamed);
    let added = lines.iter().find(|line| line.key() == "XAB" && line.year == 2022).cloned();
    corrected.extend(added.map(|line| Line { year: 2023, ..line }));
    corrected
}

/// Short decimals, which every parser reads to the same bits; now and then one is missing.
fn figures(random: &mut Random, scale: u64, year: i32) -> [Option<f64>; 4] {
    let mut figure = |unit: u32| {
        let value = f64::from(random.small(unit) + unit) * f64::from(u32::try_from(scale).unwrap()) / 1000.0;
        (random.below(20) > 0 || year == 2000).then_some(value)
    };
    [figure(90_000_000), figure(800_000_000), figure(4_000), figure(9_000)]
}

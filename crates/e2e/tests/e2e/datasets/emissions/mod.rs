//! Emissions: countries and their years.

mod poison;
mod world;

use std::{collections::BTreeMap, sync::OnceLock};

use serde_json::Value;

pub(crate) use self::world::Line;
use super::{Change, Dataset, Facts, Poison, Said};
use crate::{env::Env, random::Random};

/// The emissions pipeline.
pub(crate) struct Emissions;

impl Dataset for Emissions {
    const PIPELINE: &'static str = "emissions";
    const SEGMENTS: &'static str = "emissions_segments";
    const FACTS: &'static str = "emissions_facts";
    const GROUPS: &'static str = "country_aggregates";
    const DERIVED: &'static [&'static str] = &["co2_clusters", "cluster_runs", "co2_cluster_history"];
    const HASHED: usize = 3;
    const CHANGED_AT: &'static str = "
        SELECT iso_code, (extract(epoch FROM processing_time) * 1000000)::bigint
        FROM country_aggregates ORDER BY iso_code";

    type Line = Line;
    /// Code and year.
    type Key = (String, i32);
    /// Country, and the bits of population, gdp, co2 and co2 per capita.
    type Known = (String, [Option<u64>; 4]);

    fn reference() -> &'static OnceLock<String> {
        static REFERENCE: OnceLock<String> = OnceLock::new();
        &REFERENCE
    }

    fn world(seed: u64) -> Vec<Line> {
        world::world(seed)
    }

    fn corrections(first: &[Line], seed: u64) -> Vec<Line> {
        world::corrections(first, seed)
    }

    fn same_key(one: &Line, other: &Line) -> bool {
        (one.key(), one.year) == (other.key(), other.year)
    }

    fn correction(first: &[Line]) -> (Line, &'static [&'static str]) {
        let mut line = first.iter().find(|line| line.key() == "XAG" && line.year == 2000).unwrap().clone();
        line.figures[2] = Some(3.125);
        (line, &["XAG"])
    }

    fn file(lines: &[Line]) -> String {
        world::csv(lines)
    }

    /// A name may have 200 characters, of up to four bytes each: any of CJK's second extension.
    fn large_row(bytes: usize) -> String {
        let mut random = Random::new(1);
        let name = (0..bytes / 4).map(|_| char::from_u32(0x20000 + random.small(0xA6DF)).unwrap());
        format!("{},2000,XAA,1,1,1,1\n", name.collect::<String>())
    }

    const DELIMITER: char = ',';

    fn message_key(line: &Line) -> String {
        line.key().to_owned()
    }

    fn message_value(line: &Line) -> String {
        line.json()
    }

    fn said(value: &[u8]) -> Said<Self> {
        parsed(value).unwrap_or(Said::Rejected)
    }

    fn changelog(env: &Env<Self>) -> Vec<Change<Self>> {
        type Row = (i32, i64, String, String, i32, Option<f64>, Option<f64>, Option<f64>, Option<f64>);
        let rows: Vec<Row> = env.query(
            r#"SELECT partition, "offset", iso_code, country, year::integer, population, gdp, co2, co2_per_capita
               FROM emissions_changelog ORDER BY partition, "offset", id"#,
        );
        let change = |(partition, offset, code, country, year, a, b, c, d): Row| {
            (partition, offset, (code, year), (country, [a, b, c, d].map(|value| value.map(f64::to_bits))))
        };
        rows.into_iter().map(change).collect()
    }

    fn facts(env: &Env<Self>) -> Facts<Self> {
        type Row = (String, i32, String, Option<f64>, Option<f64>, Option<f64>, Option<f64>);
        let rows: Vec<Row> = env.query(
            "SELECT iso_code, year::integer, country, population, gdp, co2, co2_per_capita FROM emissions_facts",
        );
        let fact = |(code, year, country, a, b, c, d): Row| {
            ((code, year), (country, [a, b, c, d].map(|value| value.map(f64::to_bits))))
        };
        rows.into_iter().map(fact).collect()
    }

    /// Names, years and the number of co2 figures; the crate's own tests check the means.
    fn check_rows(env: &Env<Self>, facts: &Facts<Self>) {
        type Row = (String, String, i32, i32, i32, i32);
        let rows: Vec<Row> = env.query(
            "SELECT iso_code, country, data_points, first_year, last_year, co2_years
             FROM country_aggregates ORDER BY iso_code",
        );
        let mut expected: BTreeMap<&str, Row> = BTreeMap::new();
        for ((code, year), (country, [_, _, co2, _])) in facts {
            let row = expected.entry(code).or_insert_with(|| (code.clone(), String::new(), 0, *year, *year, 0));
            // By rising years: the last name stays.
            *row = (code.clone(), country.clone(), row.2 + 1, row.3, *year, row.5 + i32::from(co2.is_some()));
        }
        assert_eq!(rows, expected.into_values().collect::<Vec<_>>(), "country_aggregates");
    }

    fn poison() -> Poison<Self> {
        poison::poison()
    }
}

/// What a record says; `None` where a field has the wrong type.
fn parsed(value: &[u8]) -> Option<Said<Emissions>> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let Some(code) = value["iso_code"].as_str().filter(|code| !code.starts_with("OWID_")) else {
        return Some(Said::Filtered);
    };
    let year = i32::try_from(value["year"].as_i64()?).ok()?;
    // −0 is 0.
    let bits = |field: &str| value[field].as_f64().map(|value| (value + 0.0).to_bits());
    let figures = ["population", "gdp", "co2", "co2_per_capita"].map(bits);
    Some(Said::Fact((code.to_owned(), year), (value["country"].as_str()?.to_owned(), figures)))
}

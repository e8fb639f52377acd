//! Energy: a household's minutes. Everything is counted again in whole numbers, by this file alone.

mod poison;
mod rows;
mod world;

use std::sync::OnceLock;

use serde_json::Value;

use self::world::{FIELDS, Line};
use super::{Change, Dataset, Facts, Poison, Said};
use crate::{env::Env, random::Random};

/// The energy pipeline.
pub(crate) struct Energy;

impl Dataset for Energy {
    const PIPELINE: &'static str = "energy";
    const SEGMENTS: &'static str = "energy_segments";
    const FACTS: &'static str = "energy_facts";
    const GROUPS: &'static str = "daily_energy";
    const DERIVED: &'static [&'static str] = &["quarterly_energy_data"];
    const HASHED: usize = 2;
    const CHANGED_AT: &'static str = r#"
        SELECT name, (extract(epoch FROM processing_time) * 1000000)::bigint
        FROM (SELECT day::text AS name, processing_time FROM daily_energy
              UNION ALL
              SELECT to_char(quarter, 'YYYY-"Q"Q'), processing_time FROM quarterly_energy_data) rows
        ORDER BY name"#;

    type Line = Line;
    /// Day and minute of the day.
    type Key = (String, i16);
    /// The seven fields in thousandths.
    type Known = [Option<i32>; 7];

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
        (one.date, one.minute) == (other.date, other.minute)
    }

    fn correction(first: &[Line]) -> (Line, &'static [&'static str]) {
        let known = |line: &&Line| line.date == (2008, 1, 2) && line.figures[0].is_some();
        let mut line = first.iter().find(known).unwrap().clone();
        line.figures[0] = line.figures[0].map(|watts| watts + 1);
        (line, &["2008-01-02", "2008-Q1"])
    }

    fn file(lines: &[Line]) -> String {
        world::file(lines)
    }

    /// A date that cannot be read is sent as it is.
    fn large_row(bytes: usize) -> String {
        let mut random = Random::new(1);
        let date: String = (0..bytes).map(|_| char::from_digit(random.small(10), 10).unwrap()).collect();
        format!("{date};00:00:00;1;1;1;1;1;1;1\r\n")
    }

    const DELIMITER: char = ';';

    fn message_key(line: &Line) -> String {
        line.day()
    }

    fn message_value(line: &Line) -> String {
        line.json()
    }

    fn said(value: &[u8]) -> Said<Self> {
        parsed(value).unwrap_or(Said::Rejected)
    }

    /// A minute without power is unknown.
    fn is_retraction(known: &[Option<i32>; 7]) -> bool {
        known[0].is_none()
    }

    fn changelog(env: &Env<Self>) -> Vec<Change<Self>> {
        type Row = (i32, i64, String, i16, Vec<Option<i32>>);
        let rows: Vec<Row> = env.query(
            r#"SELECT partition, "offset", day::text, minute,
                      ARRAY[power_w, reactive_var, voltage_mv, intensity_ma,
                            sub_metering_1_mwh, sub_metering_2_mwh, sub_metering_3_mwh]
               FROM energy_changelog ORDER BY partition, "offset", id"#,
        );
        let change = |(partition, offset, day, minute, figures): Row| {
            (partition, offset, (day, minute), figures.try_into().unwrap())
        };
        rows.into_iter().map(change).collect()
    }

    fn facts(env: &Env<Self>) -> Facts<Self> {
        type Row = (String, i16, Vec<Option<i32>>);
        // Thousandths are exact to the bit in a double of this size, so that rounding loses nothing.
        let rows: Vec<Row> = env.query(
            "SELECT day::text, minute,
                    (SELECT array_agg(round(value * 1000)::integer ORDER BY ordinal)
                     FROM unnest(ARRAY[power_kw, reactive_kvar, voltage, intensity, sub_metering_1_wh,
                                       sub_metering_2_wh, sub_metering_3_wh]) WITH ORDINALITY AS v (value, ordinal))
             FROM energy_facts",
        );
        let fact = |(day, minute, figures): Row| ((day, minute), figures.try_into().unwrap());
        rows.into_iter().map(fact).collect()
    }

    fn check_rows(env: &Env<Self>, facts: &Facts<Self>) {
        rows::check(env, facts);
    }

    fn poison() -> Poison<Self> {
        poison::poison()
    }
}

/// What a record says; `None` where it cannot be used.
fn parsed(value: &[u8]) -> Option<Said<Energy>> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let (day, clock) = value["Datetime"].as_str()?.split_once(' ')?;
    // The made household goes wrong only by counting a month's days too far, or by having no date at all.
    if day.len() != 10 || day.get(8..)?.parse::<u32>().ok()? > 31 {
        return None;
    }
    let number = |range: std::ops::Range<usize>| clock.get(range)?.parse::<i16>().ok();
    let minute = 60 * number(0..2)? + number(3..5)?;
    // A record without the field of the power says nothing of the minute; one with `null` does.
    value.get(FIELDS[0])?;
    let figures = FIELDS.map(|name| value[name].as_number().map(|number| thousandths(&number.to_string())));
    Some(Said::Fact((day.to_owned(), minute), figures))
}

/// The whole thousandths of a decimal with three decimals at most.
fn thousandths(decimal: &str) -> i32 {
    let (whole, part) = decimal.split_once('.').unwrap_or((decimal, ""));
    format!("{whole}{part:0<3}").parse().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_made_household_has_every_oddity() {
        let (first, file) = (world::world(7), world::file(&world::world(7)));
        let later = world::corrections(&first, 7);
        assert!(file.contains("\r\n1/1/2008;00:00:00;") && file.contains(";?;?;?;?;?;?;\r\n"), "{file}");
        let known = |lines: &[Line], key: &Line| {
            lines.iter().find(|line| Energy::same_key(line, key)).map(|line| line.figures[0].is_some())
        };
        let count = |before, after| {
            later.iter().filter(|line| (known(&first, line), line.figures[0].is_some()) == (before, after)).count()
        };
        let [corrected, retracted, found, added] =
            [(Some(true), true), (Some(true), false), (Some(false), true), (None, true)]
                .map(|(before, after)| count(before, after));
        assert_eq!([corrected, retracted, found, added], [42, 43, 10, 2]);
        let rejected = |lines: &[Line]| lines.iter().filter(|line| parsed(line.json().as_bytes()).is_none()).count();
        assert_eq!([rejected(&first), rejected(&later)], [1, 1]);
    }

    #[test]
    fn decimals_are_read_digit_by_digit() {
        assert_eq!(
            ["0", "17", "4.2", "4.216", "234.84", "0.07"].map(thousandths),
            [0, 17_000, 4_200, 4_216, 234_840, 70]
        );
    }
}

//! Sensors: readings of some windows. Everything is counted again in whole numbers, by this file alone.

mod poison;
mod world;

use std::{collections::BTreeMap, sync::OnceLock};

use serde_json::Value;

use self::world::{Line, WINDOW_MS};
use super::{Change, Dataset, Facts, Poison, Said};
use crate::{env::Env, random::Random};

/// The sensors pipeline, without its events.
pub(crate) struct Sensors;

impl Dataset for Sensors {
    const PIPELINE: &'static str = "sensors";
    const SETTINGS: &'static [(&'static str, &'static str)] = &[("NO_EVENTS", "1"), ("KEEP_HISTORY", "forever")];
    const IN_MEMORY: &'static [&'static str] = &["--lateness", "10000days"];
    const SEGMENTS: &'static str = "sensors_segments";
    const FACTS: &'static str = "sensor_readings";
    const GROUPS: &'static str = "sensor_temperatures";
    const DERIVED: &'static [&'static str] = &[];
    const HASHED: usize = 3;
    const CHANGED_AT: &'static str = "
        SELECT sensor_id || ' ' || to_char(window_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS name,
               (extract(epoch FROM processing_time) * 1000000)::bigint
        FROM sensor_temperatures ORDER BY name";

    type Line = Line;
    /// Sensor, and milliseconds since 1970.
    type Key = (i32, i64);
    /// Thousandths of a degree.
    type Known = i32;

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
        (one.sensor, one.at_ms) == (other.sensor, other.at_ms)
    }

    fn correction(first: &[Line]) -> (Line, &'static [&'static str]) {
        let mut line = first.iter().find(|line| line.sensor == 2 && line.milli.is_some()).unwrap().clone();
        line.milli = line.milli.map(|milli| milli + 1);
        (line, &["2 2023-01-02 00:00"])
    }

    fn file(lines: &[Line]) -> String {
        world::file(lines)
    }

    /// A temperature that cannot be read is sent as it is.
    fn large_row(bytes: usize) -> String {
        let mut random = Random::new(1);
        let text: String = (0..bytes).map(|_| char::from_digit(random.small(10), 10).unwrap()).collect();
        format!("1,1672617600,x{text}\n")
    }

    const DELIMITER: char = ',';

    fn message_key(line: &Line) -> String {
        line.sensor.to_string()
    }

    fn message_value(line: &Line) -> String {
        line.json()
    }

    fn said(value: &[u8]) -> Said<Self> {
        parsed(value).unwrap_or(Said::Rejected)
    }

    fn changelog(env: &Env<Self>) -> Vec<Change<Self>> {
        let rows: Vec<(i32, i64, i32, i64, i32)> = env.query(
            r#"SELECT partition, "offset", sensor_id, (extract(epoch FROM window_start) * 1000)::bigint + at_ms, milli
               FROM sensors_changelog ORDER BY partition, "offset", id"#,
        );
        rows.into_iter()
            .map(|(partition, offset, sensor, at, milli)| (partition, offset, (sensor, at), milli))
            .collect()
    }

    fn facts(env: &Env<Self>) -> Facts<Self> {
        let rows: Vec<(i32, i64, i32)> = env.query(
            "SELECT sensor_id, (extract(epoch FROM measured_at) * 1000)::bigint, (temperature * 1000)::integer FROM sensor_readings",
        );
        rows.into_iter().map(|(sensor, at, milli)| ((sensor, at), milli)).collect()
    }

    fn check_rows(env: &Env<Self>, facts: &Facts<Self>) {
        check_windows(env, facts);
        check_days(env, facts);
    }

    fn poison() -> Poison<Self> {
        poison::poison()
    }
}

/// What a record says; `None` where it cannot be used.
fn parsed(value: &[u8]) -> Option<Said<Sensors>> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let sensor = i32::try_from(value["sensor_id"].as_i64()?).ok()?;
    let at = match value["timestamp_ms"].as_i64() {
        Some(at) => at,
        None => thousandths(&value["timestamp"].as_number()?.to_string()),
    };
    let milli = i32::try_from(thousandths(&value["temperature"].as_number()?.to_string())).ok()?;
    Some(Said::Fact((sensor, at), milli))
}

/// The whole thousandths of a decimal with three decimals at most.
fn thousandths(decimal: &str) -> i64 {
    let (whole, part) = decimal.split_once('.').unwrap_or((decimal, ""));
    format!("{whole}{part:0<3}").parse().unwrap()
}

/// The count, the sum, the least and the greatest of values.
type Sums = (i64, i64, i64, i64);

/// The sums of facts, by what names them.
fn sums<K: Ord>(facts: &Facts<Sensors>, name: impl Fn(i32, i64) -> K) -> BTreeMap<K, Sums> {
    let mut sums = BTreeMap::new();
    for (&(sensor, at), &milli) in facts {
        let milli = i64::from(milli);
        let (count, sum, least, greatest): &mut Sums =
            sums.entry(name(sensor, at)).or_insert((0, 0, i64::MAX, i64::MIN));
        (*count, *sum) = (*count + 1, *sum + milli);
        (*least, *greatest) = ((*least).min(milli), (*greatest).max(milli));
    }
    sums
}

/// Asserts that the windows are the sums of the facts, and their means what PostgreSQL rounds of them.
fn check_windows(env: &Env<Sensors>, facts: &Facts<Sensors>) {
    type Row = (i32, i64, i64, i64, i64, i64);
    let rows: Vec<Row> = env.query(
        "SELECT sensor_id, (extract(epoch FROM window_start) * 1000)::bigint, reading_count::bigint, sum_milli,
                min_milli::bigint, max_milli::bigint
         FROM sensor_temperatures
         WHERE window_end - window_start = interval '15 minutes' AND avg_temperature = round(sum_milli / (1000.0 * reading_count), 2)
         ORDER BY 1, 2",
    );
    let expected = sums(facts, |sensor, at| (sensor, at.div_euclid(WINDOW_MS) * WINDOW_MS));
    let expected: Vec<Row> = expected
        .into_iter()
        .map(|((sensor, start), (count, sum, least, greatest))| (sensor, start, count, sum, least, greatest))
        .collect();
    assert_eq!(rows, expected, "sensor_temperatures");
}

/// Asserts that the days of the report are the sums of the facts, and that they have the hours of the clock.
fn check_days(env: &Env<Sensors>, facts: &Facts<Sensors>) {
    type Row = (i32, i64, i64, i64, i64, i64, i64);
    let rows: Vec<Row> = env.query(
        "SELECT sensor_id, (extract(epoch FROM date) / 86400)::bigint, reading_count, (avg_temperature * 100)::bigint,
                (min_temperature * 100)::bigint, (max_temperature * 100)::bigint, cardinality(hourly_temperatures)::bigint
         FROM daily_report ORDER BY 1, 2",
    );
    let hundredths = |milli: i64, count: i64| {
        let (quotient, rest) = (milli / (10 * count), milli % (10 * count));
        quotient + if 2 * rest.abs() >= 10 * count { milli.signum() } else { 0 }
    };
    let expected = sums(facts, |sensor, at| (sensor, at.div_euclid(86_400_000)));
    let expected: Vec<Row> = expected
        .into_iter()
        .map(|((sensor, day), (count, sum, least, greatest))| {
            (sensor, day, count, hundredths(sum, count), hundredths(least, 1), hundredths(greatest, 1), 24)
        })
        .collect();
    assert_eq!(rows, expected, "daily_report");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_made_sensors_have_every_oddity() {
        let first = world::world(7);
        let later = world::corrections(&first, 7);
        let rejected = |lines: &[Line]| lines.iter().filter(|line| parsed(line.json().as_bytes()).is_none()).count();
        assert_eq!([rejected(&first), rejected(&later)], [1, 1]);
        let known = |key: &Line| first.iter().any(|line| Sensors::same_key(line, key));
        assert!(later.iter().filter(|line| known(line)).count() > 20 && !later.iter().all(known));
    }
}

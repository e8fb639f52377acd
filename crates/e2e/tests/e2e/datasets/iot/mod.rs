//! Devices: readings of some minutes. Everything is counted again in whole numbers, by this file alone.

mod poison;
mod world;

use std::{collections::BTreeMap, sync::OnceLock};

use serde_json::Value;

use self::world::{Line, WINDOW_MS};
use super::{Change, Dataset, Facts, Poison, Said};
use crate::{env::Env, random::Random};

/// The iot pipeline.
pub(crate) struct Iot;

/// What is known of a reading.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    milli: i64,
    unit: String,
    quality: Option<i16>,
    is_anomaly: bool,
}

impl Dataset for Iot {
    const PIPELINE: &'static str = "iot";
    const SETTINGS: &'static [(&'static str, &'static str)] = &[("KEEP_HISTORY", "forever")];
    const IN_MEMORY: &'static [&'static str] = &["--lateness", "10000days"];
    const SEGMENTS: &'static str = "iot_segments";
    const FACTS: &'static str = "sensor_readings";
    const GROUPS: &'static str = "sensor_readings_stream_agg";
    const DERIVED: &'static [&'static str] = &["sensor_readings", "reading_progress"];
    const HASHED: usize = 2;
    const CHANGED_AT: &'static str = "
        SELECT device_id || ' ' || device_type || ' ' || to_char(window_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS name,
               (extract(epoch FROM processing_time) * 1000000)::bigint
        FROM sensor_readings_stream_agg ORDER BY name";

    type Line = Line;
    /// Device, type, and milliseconds since 1970.
    type Key = (String, String, i64);
    type Known = Known;

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
        (&one.device, one.kind, one.at_ms) == (&other.device, other.kind, other.at_ms)
    }

    fn correction(first: &[Line]) -> (Line, &'static [&'static str]) {
        let mut line = first.iter().find(|line| line.device == "dev 2" && line.milli.is_some()).unwrap().clone();
        line.milli = line.milli.map(|milli| milli + 1);
        (line, &["dev 2 temperature 2023-01-02 00:00"])
    }

    fn file(lines: &[Line]) -> String {
        world::file(lines)
    }

    /// A value that cannot be read is sent as it is.
    fn large_row(bytes: usize) -> String {
        let mut random = Random::new(1);
        let text: String = (0..bytes).map(|_| char::from_digit(random.small(10), 10).unwrap()).collect();
        format!("2023-01-02T00:00:00Z,dev 1,temperature,x{text},°C,90,false\n")
    }

    const DELIMITER: char = ',';

    fn message_key(line: &Line) -> String {
        line.device.clone()
    }

    fn message_value(line: &Line) -> String {
        line.json()
    }

    fn said(value: &[u8]) -> Said<Self> {
        parsed(value).unwrap_or(Said::Rejected)
    }

    fn changelog(env: &Env<Self>) -> Vec<Change<Self>> {
        type Row = (i32, i64, String, String, i64, i64, String, Option<i16>, bool);
        let rows: Vec<Row> = env.query(
            r#"SELECT partition, "offset", device_id, device_type, (extract(epoch FROM window_start) * 1000)::bigint + at_ms,
                      value_milli, unit, quality_score, is_anomaly
               FROM iot_changelog ORDER BY partition, "offset", id"#,
        );
        let change = |(partition, offset, device, kind, at, milli, unit, quality, is_anomaly): Row| {
            (partition, offset, (device, kind, at), Known { milli, unit, quality, is_anomaly })
        };
        rows.into_iter().map(change).collect()
    }

    /// What the changelog says, which is more than the table of readings has while a refresh is due.
    fn facts(env: &Env<Self>) -> Facts<Self> {
        facts_of(
            env,
            "SELECT DISTINCT ON (device_id, device_type, window_start, at_ms) device_id, device_type,
                    (extract(epoch FROM window_start) * 1000)::bigint + at_ms, value_milli, unit, quality_score, is_anomaly
             FROM iot_changelog
             ORDER BY device_id, device_type, window_start, at_ms, timestamp_ms DESC, partition DESC, id DESC",
        )
    }

    fn check_rows(env: &Env<Self>, facts: &Facts<Self>) {
        let rows = facts_of(
            env,
            "SELECT device_id, device_type, (extract(epoch FROM time) * 1000)::bigint, round(value * 1000)::bigint,
                    coalesce(unit, ''), quality_score, is_anomaly
             FROM sensor_readings",
        );
        assert_eq!(&rows, facts, "sensor_readings");
        check_windows(env, facts);
    }

    fn poison() -> Poison<Self> {
        poison::poison()
    }
}

fn facts_of(env: &Env<Iot>, query: &'static str) -> Facts<Iot> {
    type Row = (String, String, i64, i64, String, Option<i16>, bool);
    let rows: Vec<Row> = env.query(query);
    let fact = |(device, kind, at, milli, unit, quality, is_anomaly)| {
        ((device, kind, at), Known { milli, unit, quality, is_anomaly })
    };
    rows.into_iter().map(fact).collect()
}

/// What a record says; `None` where it cannot be used.
fn parsed(value: &[u8]) -> Option<Said<Iot>> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let at = match &value["time"] {
        Value::Number(seconds) => thousandths(&seconds.to_string()),
        time => chrono::DateTime::parse_from_rfc3339(time.as_str()?).ok()?.timestamp_millis(),
    };
    let known = Known {
        milli: thousandths(&value["value"].as_number()?.to_string()),
        unit: text("unit").unwrap_or_default(),
        quality: value["quality_score"].as_i64().map(|quality| quality.try_into().unwrap()),
        is_anomaly: value["is_anomaly"].as_bool().unwrap_or(false),
    };
    Some(Said::Fact((text("device_id")?, text("device_type")?, at), known))
}

/// The whole thousandths of a decimal with three decimals at most.
fn thousandths(decimal: &str) -> i64 {
    let (whole, part) = decimal.split_once('.').unwrap_or((decimal, ""));
    format!("{whole}{part:0<3}").parse().unwrap()
}

/// Asserts that the windows are the sums of the facts, and their deviations those of exact rationals.
fn check_windows(env: &Env<Iot>, facts: &Facts<Iot>) {
    type Row = (String, String, i64, i32, i64, i64, i64, i32, i32, i64);
    let rows: Vec<Row> = env.query(
        "SELECT device_id, device_type, (extract(epoch FROM window_start) * 1000)::bigint, reading_count, sum_milli, min_milli,
                max_milli, anomaly_count, quality_count, sum_quality
         FROM sensor_readings_stream_agg
         WHERE window_end - window_start = interval '1 minute' AND avg_value = (sum_milli / (1000.0 * reading_count))::float8
         ORDER BY 1, 2, 3",
    );
    let deviations: Vec<(Option<f64>,)> =
        env.query("SELECT stddev_value FROM sensor_readings_stream_agg ORDER BY device_id, device_type, window_start");
    let mut windows: BTreeMap<(&str, &str, i64), Vec<&Known>> = BTreeMap::new();
    for ((device, kind, at), known) in facts {
        windows.entry((device, kind, at.div_euclid(WINDOW_MS) * WINDOW_MS)).or_default().push(known);
    }
    let row = |(&(device, kind, start), known): (&(&str, &str, i64), &Vec<&Known>)| {
        let values = || known.iter().map(|known| known.milli);
        let count = |is: fn(&Known) -> bool| i32::try_from(known.iter().filter(|known| is(known)).count()).unwrap();
        (
            device.to_owned(),
            kind.to_owned(),
            start,
            count(|_| true),
            values().sum(),
            values().min().unwrap(),
            values().max().unwrap(),
            count(|known| known.is_anomaly),
            count(|known| known.quality.is_some()),
            known.iter().filter_map(|known| known.quality).map(i64::from).sum(),
        )
    };
    assert_eq!(rows, windows.iter().map(row).collect::<Vec<Row>>(), "sensor_readings_stream_agg");
    for (known, (found,)) in windows.values().zip(deviations) {
        let (count, sum) = (known.len() as i128, known.iter().map(|known| i128::from(known.milli)).sum::<i128>());
        let squares: i128 = known.iter().map(|known| (count * i128::from(known.milli) - sum).pow(2)).sum();
        let expected = (count > 1).then(|| (squares as f64 / (count * count * (count - 1)) as f64).sqrt() / 1_000.0);
        let near = expected.zip(found).map_or(expected == found, |(one, other)| (one - other).abs() <= one * 1e-12);
        assert!(near, "a deviation is {found:?}, not {expected:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_made_devices_have_every_oddity() {
        let first = world::world(7);
        let later = world::corrections(&first, 7);
        let rejected = |lines: &[Line]| lines.iter().filter(|line| parsed(line.json().as_bytes()).is_none()).count();
        assert_eq!([rejected(&first), rejected(&later)], [1, 1]);
        let known = |key: &Line| first.iter().any(|line| Iot::same_key(line, key));
        assert!(later.iter().filter(|line| known(line)).count() > 20 && !later.iter().all(known));
    }
}

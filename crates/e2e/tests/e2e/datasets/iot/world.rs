//! Made devices: readings of some minutes of two days, and what a later file says of them instead.

use std::fmt::Write as _;

use crate::random::Random;

/// How long a window is, milliseconds.
pub(crate) const WINDOW_MS: i64 = 60 * 1_000;
/// 2023-01-02 00:00 UTC, milliseconds since 1970.
const BEGIN_MS: i64 = 1_672_617_600_000;
/// What devices measure, and the unit.
const KINDS: [(&str, &str); 3] = [("temperature", "°C"), ("energy", "kWh"), ("motion", "")];
/// The minutes that have readings, counted from the first: some next to each other, one a day later.
const MINUTES: [i64; 5] = [0, 1, 2, 40, 1_500];
/// How many readings a minute has.
const READINGS: i64 = 7;

/// A row of the input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) device: String,
    pub(crate) kind: &'static str,
    unit: &'static str,
    /// When it was taken, milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// Thousandths; `None` is a text that is no number.
    pub(crate) milli: Option<i64>,
    quality: Option<u32>,
    is_anomaly: bool,
}

impl Line {
    /// The value as a decimal, in the shortest form.
    fn value(&self) -> Option<String> {
        let milli = self.milli?;
        let sign = if milli < 0 { "-" } else { "" };
        let long = format!("{sign}{}.{:03}", milli.abs() / 1_000, milli.abs() % 1_000);
        Some(long.trim_end_matches('0').trim_end_matches('.').to_owned())
    }

    fn time(&self) -> String {
        chrono::DateTime::from_timestamp_millis(self.at_ms).unwrap().to_rfc3339()
    }

    /// The message value, its fields in another order than our producer's.
    pub(crate) fn json(&self) -> String {
        let value = self.value().unwrap_or_else(|| "\"n/a\"".to_owned());
        let quality = self.quality.map_or_else(|| "null".to_owned(), |quality| quality.to_string());
        let time = match self.at_ms % 2_000 {
            0 => format!("{}", self.at_ms / 1_000),
            _ => format!("\"{}\"", self.time()),
        };
        format!(
            r#"{{"value": {value}, "is_anomaly": {}, "unit": "{}", "quality_score": {quality}, "time": {time}, "device_type": "{}", "device_id": "{}"}}"#,
            self.is_anomaly, self.unit, self.kind, self.device
        )
    }
}

/// The rows as the file that the producer reads.
pub(crate) fn file(lines: &[Line]) -> String {
    let mut file = "time,device_id,device_type,value,unit,quality_score,is_anomaly\n".to_owned();
    for line in lines {
        let value = line.value().unwrap_or_else(|| "n/a".to_owned());
        let quality = line.quality.map(|quality| quality.to_string()).unwrap_or_default();
        let Line { device, kind, unit, is_anomaly, .. } = line;
        writeln!(file, "{},{device},{kind},{value},{unit},{quality},{is_anomaly}", line.time()).unwrap();
    }
    file
}

/// The devices as first sent: some readings of each minute, at its first and its last millisecond too, and one that is no number.
/// One device measures two things at the same instants.
pub(crate) fn world(seed: u64) -> Vec<Line> {
    let mut random = Random::new(seed);
    let mut lines = Vec::new();
    for minute in MINUTES {
        for device in 1..=12 {
            for n in 0..READINGS {
                let within = [0, WINDOW_MS - 1].get(usize::try_from(n).unwrap()).copied().unwrap_or(n * 7_001);
                let at_ms = BEGIN_MS + minute * WINDOW_MS + within;
                let (name, kind) = if device == 12 { (11, 1) } else { (device, (device + 1) % 3) };
                lines.push(line(&mut random, name, kind, at_ms));
            }
        }
    }
    lines.push(Line { milli: None, ..line(&mut random, 3, 0, BEGIN_MS + 5_000) });
    lines
}

fn line(random: &mut Random, device: usize, kind: usize, at_ms: i64) -> Line {
    let (kind, unit) = KINDS[kind];
    Line {
        device: format!("dev {device}"),
        kind,
        unit,
        at_ms,
        milli: Some(milli(random)),
        quality: Some(random.small(101)).filter(|quality| quality % 5 != 0),
        is_anomaly: random.small(4) == 0,
    }
}

/// What a later file says: other values, one more reading, one of a minute of its own, and one that is no number.
pub(crate) fn corrections(lines: &[Line], seed: u64) -> Vec<Line> {
    let mut random = Random::new(seed);
    let corrected = lines.iter().filter(|line| line.milli.is_some()).skip(3).step_by(9);
    let mut later: Vec<Line> = corrected.map(|line| Line { milli: Some(milli(&mut random)), ..line.clone() }).collect();
    for (device, at_ms) in [(1, BEGIN_MS + 7_777), (4, BEGIN_MS + 60 * WINDOW_MS)] {
        later.push(line(&mut random, device, 0, at_ms));
    }
    later.push(Line { milli: None, ..line(&mut random, 5, 0, BEGIN_MS + 5_001) });
    later
}

/// A value, of which some are large.
fn milli(random: &mut Random) -> i64 {
    let small = i64::from(random.small(59_999)) - 9_999;
    if random.small(8) == 0 { small * 99_999_999 } else { small }
}

//! Made sensors: readings of some windows of two days, and what a later file says of them instead.

use std::fmt::Write as _;

use crate::random::Random;

/// How long a window is, milliseconds.
pub(crate) const WINDOW_MS: i64 = 15 * 60 * 1_000;
/// 2023-01-02 00:00 UTC, milliseconds since 1970.
const BEGIN_MS: i64 = 1_672_617_600_000;
/// How many sensors there are.
const SENSORS: i32 = 7;
/// The windows that have readings, counted from the first: some next to each other, some a day apart.
const WINDOWS: [i64; 6] = [0, 1, 2, 40, 95, 150];
/// How many readings a window has.
const READINGS: i64 = 9;

/// A row of the input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) sensor: i32,
    /// When it was taken, milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// Thousandths of a degree; `None` is a text that is no number.
    pub(crate) milli: Option<i32>,
}

impl Line {
    /// The temperature as a decimal, in the shortest form.
    fn temperature(&self) -> Option<String> {
        let milli = self.milli?;
        let sign = if milli < 0 { "-" } else { "" };
        let long = format!("{sign}{}.{:03}", milli.abs() / 1_000, milli.abs() % 1_000);
        Some(long.trim_end_matches('0').trim_end_matches('.').to_owned())
    }

    /// The message value, its fields in another order than our producer's.
    pub(crate) fn json(&self) -> String {
        let temperature = self.temperature().unwrap_or_else(|| "\"n/a\"".to_owned());
        let time = match self.at_ms % 1_000 {
            0 => format!(r#""timestamp": {}"#, self.at_ms / 1_000),
            _ => format!(r#""timestamp_ms": {}"#, self.at_ms),
        };
        format!(r#"{{"temperature": {temperature}, {time}, "sensor_id": {}}}"#, self.sensor)
    }
}

/// The rows as the file that the producer reads.
pub(crate) fn file(lines: &[Line]) -> String {
    let mut file = "sensor_id,timestamp,temperature\n".to_owned();
    for line in lines {
        let temperature = line.temperature().unwrap_or_else(|| "n/a".to_owned());
        let seconds = format!("{}.{:03}", line.at_ms / 1_000, line.at_ms % 1_000);
        writeln!(file, "{},{seconds},{temperature}", line.sensor).expect("a String takes all text");
    }
    file
}

/// The sensors as first sent: some readings of each window, at its first and its last millisecond too, and one that is no number.
pub(crate) fn world(seed: u64) -> Vec<Line> {
    let mut random = Random::new(seed);
    let mut lines = Vec::new();
    for window in WINDOWS {
        for sensor in 1..=SENSORS {
            for n in 0..READINGS {
                let within = [0, WINDOW_MS - 1].get(usize::try_from(n).unwrap()).copied().unwrap_or(n * 97_001);
                lines.push(Line {
                    sensor,
                    at_ms: BEGIN_MS + window * WINDOW_MS + within,
                    milli: Some(milli(&mut random)),
                });
            }
        }
    }
    lines.push(Line { sensor: 3, at_ms: BEGIN_MS + 5_000, milli: None });
    lines
}

/// What a later file says: other temperatures, one more reading, one of a window of its own, and one that is no number.
pub(crate) fn corrections(lines: &[Line], seed: u64) -> Vec<Line> {
    let mut random = Random::new(seed);
    let corrected = lines.iter().filter(|line| line.milli.is_some()).skip(3).step_by(9);
    let mut later: Vec<Line> = corrected.map(|line| Line { milli: Some(milli(&mut random)), ..line.clone() }).collect();
    for (sensor, at_ms) in [(1, BEGIN_MS + 7_777), (4, BEGIN_MS + 60 * WINDOW_MS)] {
        later.push(Line { sensor, at_ms, milli: Some(milli(&mut random)) });
    }
    later.push(Line { sensor: 5, at_ms: BEGIN_MS + 5_001, milli: None });
    later
}

/// A temperature such as sensors have.
fn milli(random: &mut Random) -> i32 {
    i32::try_from(random.small(59_999)).unwrap() - 9_999
}

//! The options of all simulators.

use std::{str::FromStr, time::Duration};

use clap::Args;
use formats::instant;
use service::settings::duration;
use stream::millis;

use crate::world::{Devices, Faults};

/// How time passes in a simulation, and what goes wrong in it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Simulator")]
pub struct SimulationSettings {
    /// How often each device reports.
    #[arg(long, env = "PERIOD", default_value = "1s", value_parser = duration, value_name = "DURATION")]
    pub(crate) period: Duration,
    /// The same one gives the same messages.
    #[arg(long, env = "SEED", default_value_t = 42, value_name = "N")]
    pub seed: u64,
    /// When the first readings are taken (such as 2026-01-31T00:00:00Z) [default: now, less the duration unless in real time].
    #[arg(long, env = "START", value_name = "TIME", value_parser = time)]
    pub(crate) start: Option<i64>,
    /// For how long readings are taken [default: without end in real time, else 1day].
    #[arg(long, env = "DURATION", value_parser = duration, value_name = "DURATION")]
    pub(crate) duration: Option<Duration>,
    /// How fast time passes: realtime, max, or so many times as fast as it does.
    #[arg(long, env = "SPEED", default_value = "realtime", value_name = "realtime|max|N")]
    pub(crate) speed: Speed,
    /// The share of messages that come late.
    #[arg(long, env = "LATE", default_value = "0%", value_parser = share, value_name = "SHARE")]
    late: f64,
    /// How late these come, at most.
    #[arg(long, env = "LATE_BY", default_value = "30m", value_parser = duration, value_name = "DURATION")]
    late_by: Duration,
    /// The share of messages that come twice.
    #[arg(long, env = "DUPLICATE", default_value = "0%", value_parser = share, value_name = "SHARE")]
    duplicate: f64,
    /// The share of messages that never come.
    #[arg(long, env = "DROP", default_value = "0%", value_parser = share, value_name = "SHARE")]
    drop: f64,
    /// The share of time that a device is offline; it sends its readings afterwards, in order.
    #[arg(long, env = "OFFLINE", default_value = "0%", value_parser = share, value_name = "SHARE")]
    offline: f64,
    /// How long it then is.
    #[arg(long, env = "OFFLINE_FOR", default_value = "10m", value_parser = duration, value_name = "DURATION")]
    offline_for: Duration,
    /// A device whose clock is wrong, and by how much: 7=+26h; may be repeated.
    #[arg(long, env = "SKEW", value_delimiter = ',', value_parser = skew, value_name = "DEVICE=TIME")]
    skew: Vec<(String, i64)>,
    /// A device that falls silent, and how long after the start: 7=12h; may be repeated.
    #[arg(long, env = "SILENT", value_delimiter = ',', value_parser = silent, value_name = "DEVICE=DURATION")]
    silent: Vec<(String, i64)>,
}

impl SimulationSettings {
    /// What goes wrong with these devices, in a run that starts then, in milliseconds since 1970 UTC.
    pub(crate) fn faults(&self, devices: &impl Devices, start_ms: i64) -> Result<Faults, String> {
        if millis(self.offline_for) == 0 {
            return Err("--offline-for is a millisecond at least".to_owned());
        }
        if self.offline > 0.9 {
            return Err("--offline is at most 90%: some time has to be left to send".to_owned());
        }
        let numbered = |named: &[(String, i64)], from: i64| {
            let of = |(name, time): &(String, i64)| {
                let lacking = || format!("there is no device {name}: {}", known(devices));
                Ok((devices.number(name).ok_or_else(lacking)?, from + time))
            };
            named.iter().map(of).collect::<Result<Vec<_>, String>>()
        };
        Ok(Faults {
            late: self.late,
            late_by_ms: millis(self.late_by),
            duplicate: self.duplicate,
            drop: self.drop,
            offline: self.offline,
            offline_ms: millis(self.offline_for),
            skews: numbered(&self.skew, 0)?,
            silent_from: numbered(&self.silent, start_ms)?,
        })
    }
}

/// Which devices there are, in words.
fn known(devices: &impl Devices) -> String {
    let count = devices.count();
    format!("there are {count}, from {} to {}", devices.name(1), devices.name(count))
}

/// How fast time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// As fast as messages can be sent.
    Max,
    /// So many times as fast as it does.
    Times(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("max", _) => Ok(Self::Max),
            ("realtime", _) => Ok(Self::Times(1.0)),
            (_, Ok(times)) if (0.001..=1e9).contains(&times) => Ok(Self::Times(times)),
            _ => Err("neither realtime, max nor a number such as 60".to_owned()),
        }
    }
}

fn time(text: &str) -> Result<i64, String> {
    instant::parse(text).ok_or_else(|| "not a time such as 2026-01-31T00:00:00Z".to_owned())
}

/// Reads `1%` or `0.01`.
///
/// # Errors
/// When the text is no share from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().map(|number| number / unit);
    share.ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "not a share such as 1% or 0.01".to_owned())
}

fn skew(text: &str) -> Result<(String, i64), String> {
    let read = || {
        let (device, time) = text.split_once('=')?;
        let (sign, time) =
            time.strip_prefix('-').map_or((1, time.strip_prefix('+').unwrap_or(time)), |time| (-1, time));
        Some((device.to_owned(), sign * millis(duration(time).ok()?)))
    };
    read().ok_or_else(|| "not a device and a time such as 7=+26h".to_owned())
}

fn silent(text: &str) -> Result<(String, i64), String> {
    let read =
        || text.split_once('=').and_then(|(device, time)| Some((device.to_owned(), millis(duration(time).ok()?))));
    read().ok_or_else(|| "not a device and a duration such as 7=12h".to_owned())
}

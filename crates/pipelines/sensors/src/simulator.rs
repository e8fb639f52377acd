//! The world of [`crate::world`] as a source of messages, in the order in which they are sent.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    num::NonZeroU32,
    str::FromStr,
    time::{Duration, Instant, SystemTime},
};

use clap::Args;
use service::settings::duration;
use stream::{Outgoing, ReadError, RowOutcome, Source, millis};

use crate::{
    instant,
    routing::Routing,
    settings::SharedSettings,
    world::{Faults, Measured, World},
};

/// How long at most a wait is, so that a clock that is set anew is noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Settings of the producer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Simulator")]
pub struct SimulatorSettings {
    #[command(flatten)]
    pub(crate) shared: SharedSettings,
    /// How many sensors there are: 1, 2, ….
    #[arg(long, env = "SENSORS", default_value = "20", value_name = "N")]
    sensors: NonZeroU32,
    /// How often each sensor reports.
    #[arg(long, env = "PERIOD", default_value = "1s", value_parser = duration, value_name = "DURATION")]
    period: Duration,
    /// The same one gives the same messages.
    #[arg(long, env = "SEED", default_value_t = 42, value_name = "N")]
    seed: u64,
    /// When the first readings are taken (such as 2026-01-31T00:00:00Z) [default: now, less the duration unless in real time].
    #[arg(long, env = "START", value_name = "TIME", value_parser = time)]
    start: Option<i64>,
    /// For how long readings are taken [default: without end in real time, else 1day].
    #[arg(long, env = "DURATION", value_parser = duration, value_name = "DURATION")]
    duration: Option<Duration>,
    /// How fast time passes: realtime, max, or so many times as fast as it does.
    #[arg(long, env = "SPEED", default_value = "realtime", value_name = "realtime|max|N")]
    speed: Speed,
    /// The share of readings that are none: the sensor is disconnected, or the temperature extreme [default: 0.1 % to 1 %, by sensor].
    #[arg(long, env = "ANOMALY", value_parser = share, value_name = "SHARE")]
    anomaly: Option<f64>,
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
    /// The share of time that a sensor is offline; it sends its readings afterwards, in order.
    #[arg(long, env = "OFFLINE", default_value = "0%", value_parser = share, value_name = "SHARE")]
    offline: f64,
    /// How long it is offline each time.
    #[arg(long, env = "OFFLINE_FOR", default_value = "10m", value_parser = duration, value_name = "DURATION")]
    offline_for: Duration,
    /// A sensor whose clock is wrong, and by how much: 7=+26h; may be repeated.
    #[arg(long, env = "SKEW", value_delimiter = ',', value_parser = skew, value_name = "SENSOR=TIME")]
    skew: Vec<(i32, i64)>,
    /// A sensor that falls silent, and how long after the start: 7=12h; may be repeated.
    #[arg(long, env = "SILENT", value_delimiter = ',', value_parser = silent, value_name = "SENSOR=DURATION")]
    silent: Vec<(i32, i64)>,
}

/// How fast time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speed {
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
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().map(|number| number / unit);
    share.ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "not a share such as 1% or 0.01".to_owned())
}

fn of_sensor(text: &str) -> Option<(i32, &str)> {
    let (sensor, time) = text.split_once('=')?;
    Some((sensor.parse().ok().filter(|sensor| *sensor > 0)?, time))
}

fn skew(text: &str) -> Result<(i32, i64), String> {
    let read = || {
        let (sensor, time) = of_sensor(text)?;
        let (sign, time) =
            time.strip_prefix('-').map_or((1, time.strip_prefix('+').unwrap_or(time)), |time| (-1, time));
        Some((sensor, sign * millis(duration(time).ok()?)))
    };
    read().ok_or_else(|| "not a sensor and a time such as 7=+26h".to_owned())
}

fn silent(text: &str) -> Result<(i32, i64), String> {
    let read = || of_sensor(text).and_then(|(sensor, time)| Some((sensor, millis(duration(time).ok()?))));
    read().ok_or_else(|| "not a sensor and a duration such as 7=12h".to_owned())
}

/// Something to be sent at its time. The order is that of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    sent_ms: i64,
    sensor: i32,
    k: i64,
    at_ms: i64,
    milli: Option<i32>,
}

/// Messages of a world, between two instants.
pub struct Simulator {
    world: World,
    routing: Routing,
    /// The readings to be taken next: that one of all sensors, from this one on.
    k: i64,
    sensor: i32,
    /// Where they end.
    end: i64,
    /// What was taken, and is sent later.
    delayed: BinaryHeap<Reverse<Due>>,
    clock: Option<Clock>,
    sent: u64,
    last: Due,
}

/// The clock that messages wait for.
struct Clock {
    /// When the simulation began, by its own time and by the real one.
    start_ms: i64,
    began: Instant,
    times: f64,
}

impl Clock {
    /// How long it is until an instant.
    fn until(&self, ms: i64) -> Option<Duration> {
        #[expect(clippy::cast_precision_loss, reason = "to the millisecond for ages")]
        let at = Duration::try_from_secs_f64((ms - self.start_ms) as f64 / 1_000.0 / self.times).ok()?;
        at.checked_sub(self.began.elapsed()).filter(|left| !left.is_zero())
    }
}

impl Simulator {
    /// Begins to simulate.
    ///
    /// # Errors
    /// When the settings contradict each other, or would end in the future.
    pub fn open(settings: &SimulatorSettings) -> Result<Self, ReadError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis);
        Self::at(settings, now).map_err(ReadError::Unusable)
    }

    fn at(settings: &SimulatorSettings, now_ms: i64) -> Result<Self, String> {
        let is_live = settings.speed == Speed::Times(1.0);
        let lasts = settings.duration.or((!is_live).then_some(Duration::from_secs(24 * 60 * 60))).map(millis);
        let start_ms = settings.start.unwrap_or(if is_live { now_ms } else { now_ms - lasts.unwrap_or_default() });
        if !is_live && start_ms.saturating_add(lasts.unwrap_or_default()) > now_ms {
            return Err("it would end in the future: choose an earlier --start, or a shorter --duration".to_owned());
        }
        let sensors = i32::try_from(settings.sensors.get()).map_err(|_| "there are too many --sensors")?;
        let period_ms = millis(settings.period);
        if period_ms == 0 || millis(settings.offline_for) == 0 {
            return Err("--period and --offline-for are a millisecond at least".to_owned());
        }
        if settings.offline > 0.9 {
            return Err("--offline is at most 90%: some time has to be left to send".to_owned());
        }
        let named = settings.skew.iter().chain(&settings.silent).find(|(sensor, _)| *sensor > sensors);
        if let Some((sensor, _)) = named {
            return Err(format!("there is no sensor {sensor}: there are {sensors}"));
        }
        let faults = Faults {
            anomaly: settings.anomaly,
            late: settings.late,
            late_by_ms: millis(settings.late_by),
            duplicate: settings.duplicate,
            drop: settings.drop,
            offline: settings.offline,
            offline_ms: millis(settings.offline_for),
            skews: settings.skew.clone(),
            silent_from: settings.silent.iter().map(|&(sensor, after)| (sensor, start_ms + after)).collect(),
        };
        // The first instant that is not before the start.
        let first = |ms: i64| ms.div_euclid(period_ms) + i64::from(ms.rem_euclid(period_ms) > 0);
        Ok(Self {
            world: World::new(settings.seed, period_ms, sensors, faults),
            routing: Routing::of(&settings.shared),
            k: first(start_ms),
            sensor: 1,
            end: lasts.map_or(i64::MAX, |lasts| first(start_ms.saturating_add(lasts))),
            delayed: BinaryHeap::new(),
            clock: match settings.speed {
                Speed::Max => None,
                Speed::Times(times) => Some(Clock { start_ms, began: Instant::now(), times }),
            },
            sent: 0,
            last: Due { sent_ms: 0, sensor: 0, k: 0, at_ms: 0, milli: None },
        })
    }

    /// What is sent next, if that is within what `wait` allows.
    fn next_due(&mut self) -> Option<Result<Due, Duration>> {
        loop {
            let instant = (self.k < self.end).then(|| self.world.instant(self.sensor, self.k));
            let delayed = self.delayed.peek().map(|Reverse(due)| due.sent_ms);
            let takes = match (instant, delayed) {
                (None, None) => return None,
                (Some(instant), Some(delayed)) => instant < delayed,
                (instant, None) => instant.is_some(),
                (None, Some(_)) => false,
            };
            let sent_ms = if takes { instant } else { delayed }.expect("one of them is next");
            if let Some(wait) = self.clock.as_ref().and_then(|clock| clock.until(sent_ms)) {
                return Some(Err(wait.min(LONGEST_WAIT)));
            }
            if !takes {
                return self.delayed.pop().map(|Reverse(due)| Ok(due));
            }
            if let Some(due) = self.take(sent_ms) {
                return Some(Ok(due));
            }
        }
    }

    /// Takes the next reading; gives it where it is sent at once.
    fn take(&mut self, instant: i64) -> Option<Due> {
        let (sensor, k) = (self.sensor, self.k);
        (self.sensor, self.k) = if sensor == self.world.sensors { (1, k + 1) } else { (sensor + 1, k) };
        let Measured { at_ms, milli, sent_ms, again_ms } = self.world.measured(sensor, k);
        let due = |sent_ms| Due { sent_ms, sensor, k, at_ms, milli };
        self.delayed.extend(again_ms.map(|again| Reverse(due(again))));
        match sent_ms {
            Some(sent) if sent > instant => {
                self.delayed.push(Reverse(due(sent)));
                None
            }
            sent => sent.map(due),
        }
    }
}

impl Source for Simulator {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
        let due = match self.next_due() {
            None => return Ok(None),
            Some(Err(wait)) => return Ok(Some(RowOutcome::Wait(wait))),
            Some(Ok(due)) => due,
        };
        let at_ms = u64::try_from(due.at_ms).unwrap_or_default();
        let outcome = self.routing.write(due.sensor, Some(at_ms), due.milli, message);
        message.timestamp_ms = Some(due.sent_ms);
        self.sent += 1;
        self.last = due;
        Ok(Some(outcome))
    }

    fn further_topics(&self) -> Vec<String> {
        self.routing.further_topics()
    }

    fn is_of_the_past(&self) -> bool {
        self.clock.as_ref().is_none_or(|clock| clock.times > 1.0)
    }

    fn is_endless(&self) -> bool {
        self.end == i64::MAX
    }

    fn line(&self) -> u64 {
        self.sent
    }

    fn label(&self) -> String {
        format!("sensor {} at {}", self.last.sensor, instant::text(self.last.at_ms))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[derive(Parser)]
    struct Parsed {
        #[command(flatten)]
        settings: SimulatorSettings,
    }

    /// 2026-02-01 00:00 UTC.
    const NOW: i64 = 1_769_904_000_000;

    fn simulator(args: &str) -> Result<Simulator, String> {
        let args = std::iter::once("test").chain(args.split(' ').filter(|arg| !arg.is_empty()));
        let parsed = Parsed::try_parse_from(args).map_err(|error| error.to_string())?;
        Simulator::at(&parsed.settings, NOW)
    }

    fn messages(args: &str) -> Vec<Outgoing> {
        let mut simulator = simulator(args).unwrap();
        let mut message = Outgoing::default();
        std::iter::from_fn(|| simulator.next(&mut message).unwrap().map(|_| message.clone())).collect()
    }

    const FAULTS: &str = "--speed max --late 2% --duplicate 1% --offline 5% --drop 1%";

    fn sorted(mut messages: Vec<Outgoing>) -> Vec<Vec<u8>> {
        messages.sort_by(|one, other| (one.timestamp_ms, &one.value).cmp(&(other.timestamp_ms, &other.value)));
        messages.into_iter().map(|message| message.value).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let digest = messages(&format!("{FAULTS} --start 2026-01-01T00:00:00Z --duration 10m"))
            .iter()
            .fold(Sha256::new(), |digest, message| digest.chain_update(&message.value))
            .finalize();
        let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "809dc495878f3d34");
    }

    #[test]
    fn a_run_may_begin_in_the_middle() {
        let whole = messages(&format!("{FAULTS} --start 2026-01-01T00:00:00Z --duration 40m"));
        let mut parts = messages(&format!("{FAULTS} --start 2026-01-01T00:00:00Z --duration 15m"));
        parts.extend(messages(&format!("{FAULTS} --start 2026-01-01T00:15:00Z --duration 25m")));
        assert_eq!(sorted(parts), sorted(whole));
    }

    #[test]
    fn messages_are_sent_in_the_order_of_their_timestamps() {
        let all = messages(&format!("{FAULTS} --duration 1h"));
        assert!(all.is_sorted_by_key(|message| message.timestamp_ms));
        assert!(all.len() > 70_000 && all.iter().any(|message| message.topic == 1));
    }

    #[test]
    fn a_real_time_run_waits_and_has_no_end() {
        let mut live = simulator("--sensors 1").unwrap();
        assert!(live.is_endless() && !live.is_of_the_past());
        let mut message = Outgoing::default();
        assert!(matches!(live.next(&mut message), Ok(Some(RowOutcome::Send))));
        assert!(matches!(live.next(&mut message), Ok(Some(RowOutcome::Wait(wait))) if wait <= LONGEST_WAIT));
    }

    #[test]
    fn wrong_settings_are_refused() {
        for (args, expected) in [
            ("--speed max --start 2026-01-31T12:00:00Z", "end in the future"),
            ("--speed fast", "neither realtime"),
            ("--late 101%", "not a share"),
            ("--skew 7", "not a sensor and a time"),
            ("--silent 21=1h", "no sensor 21"),
            ("--start yesterday", "not a time"),
            ("--range 50..-10", "not two temperatures"),
            ("--period 0s", "a millisecond at least"),
        ] {
            let refused = simulator(args).err().unwrap_or_default();
            assert!(refused.contains(expected), "{args}: {refused}");
        }
        assert_eq!(
            simulator("--speed max --skew=7=+26h,8=-5m").unwrap().world.faults.skews,
            [(7, 93_600_000), (8, -300_000)]
        );
    }
}

//! A world as a source of messages, in the order in which they are sent.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant, SystemTime},
};

use formats::instant;
use stream::{Outgoing, ReadError, RowOutcome, Source, millis};

use crate::{
    settings::{SimulationSettings, Speed},
    world::{Devices, Measured, World},
};

/// How long at most a wait is, so that a clock that is set anew is noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Something to be sent at its time. The order is that of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due<V> {
    sent_ms: i64,
    device: i32,
    k: i64,
    at_ms: i64,
    value: V,
}

/// Messages of a world, between two instants.
pub struct Simulation<D: Devices> {
    world: World<D>,
    /// The readings to be taken next: that one of all devices, from this one on.
    k: i64,
    device: i32,
    /// Where they end.
    end: i64,
    /// What was taken, and is sent later.
    delayed: BinaryHeap<Reverse<Due<D::Value>>>,
    clock: Option<Clock>,
    sent: u64,
    /// What was sent last: the device, and when it measured.
    last: (i32, i64),
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

impl<D: Devices> Simulation<D> {
    /// Begins to simulate.
    ///
    /// # Errors
    /// When the settings contradict each other, or would end in the future.
    pub fn open(settings: &SimulationSettings, devices: D) -> Result<Self, ReadError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis);
        Self::at(settings, devices, now).map_err(ReadError::Unusable)
    }

    /// As [`Simulation::open`], at a time in milliseconds since 1970 UTC.
    fn at(settings: &SimulationSettings, devices: D, now_ms: i64) -> Result<Self, String> {
        let is_live = settings.speed == Speed::Times(1.0);
        let lasts = settings.duration.or((!is_live).then_some(Duration::from_secs(24 * 60 * 60))).map(millis);
        let start_ms = settings.start.unwrap_or(if is_live { now_ms } else { now_ms - lasts.unwrap_or_default() });
        if !is_live && start_ms.saturating_add(lasts.unwrap_or_default()) > now_ms {
            return Err("it would end in the future: choose an earlier --start, or a shorter --duration".to_owned());
        }
        let period_ms = millis(settings.period);
        if period_ms == 0 {
            return Err("--period is a millisecond at least".to_owned());
        }
        let faults = settings.faults(&devices, start_ms)?;
        // The first instant that is not before the start.
        let first = |ms: i64| ms.div_euclid(period_ms) + i64::from(ms.rem_euclid(period_ms) > 0);
        Ok(Self {
            world: World { seed: settings.seed, period_ms, devices, faults },
            k: first(start_ms),
            device: 1,
            end: lasts.map_or(i64::MAX, |lasts| first(start_ms.saturating_add(lasts))),
            delayed: BinaryHeap::new(),
            clock: match settings.speed {
                Speed::Max => None,
                Speed::Times(times) => Some(Clock { start_ms, began: Instant::now(), times }),
            },
            sent: 0,
            last: (0, 0),
        })
    }

    /// What is sent next, if that is within what `wait` allows.
    fn next_due(&mut self) -> Option<Result<Due<D::Value>, Duration>> {
        loop {
            let instant = (self.k < self.end).then(|| self.world.instant(self.device, self.k));
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
    fn take(&mut self, instant: i64) -> Option<Due<D::Value>> {
        let (device, k) = (self.device, self.k);
        (self.device, self.k) = if device == self.world.devices.count() { (1, k + 1) } else { (device + 1, k) };
        let Measured { at_ms, value, sent_ms, again_ms } = self.world.measured(device, k);
        let due = |sent_ms| Due { sent_ms, device, k, at_ms, value };
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

impl<D: Devices> Source for Simulation<D> {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
        let due = match self.next_due() {
            None => return Ok(None),
            Some(Err(wait)) => return Ok(Some(RowOutcome::Wait(wait))),
            Some(Ok(due)) => due,
        };
        let at_ms = u64::try_from(due.at_ms).unwrap_or_default();
        let outcome = self.world.devices.write(due.device, at_ms, due.value, message);
        message.timestamp_ms = Some(due.sent_ms);
        self.sent += 1;
        self.last = (due.device, due.at_ms);
        Ok(Some(outcome))
    }

    fn further_topics(&self) -> Vec<String> {
        self.world.devices.further_topics()
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
        format!("{} at {}", self.world.devices.name(self.last.0), instant::text(self.last.1))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::world::tests::Twenty;

    #[derive(Parser)]
    struct Parsed {
        #[command(flatten)]
        settings: SimulationSettings,
    }

    /// 2026-02-01 00:00 UTC.
    const NOW: i64 = 1_769_904_000_000;

    fn simulation(args: &str) -> Result<Simulation<Twenty>, String> {
        let args = std::iter::once("test").chain(args.split(' ').filter(|arg| !arg.is_empty()));
        let parsed = Parsed::try_parse_from(args).map_err(|error| error.to_string())?;
        Simulation::at(&parsed.settings, Twenty, NOW)
    }

    fn messages(args: &str) -> Vec<Outgoing> {
        let mut simulation = simulation(args).unwrap();
        let mut message = Outgoing::default();
        std::iter::from_fn(|| simulation.next(&mut message).unwrap().map(|_| message.clone())).collect()
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
        assert_eq!(hex, "174ddae6bdd25663");
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
        assert!(all.len() > 70_000);
    }

    #[test]
    fn a_real_time_run_waits_and_has_no_end() {
        let mut live = simulation("--period 1h").unwrap();
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
            ("--skew 7", "not a device and a time"),
            ("--silent 21=1h", "no device 21: there are 20, from 1 to 20"),
            ("--start yesterday", "not a time"),
            ("--period 0s", "a millisecond at least"),
        ] {
            let refused = simulation(args).err().unwrap_or_default();
            assert!(refused.contains(expected), "{args}: {refused}");
        }
        assert_eq!(
            simulation("--speed max --skew=7=+26h,8=-5m").unwrap().world.faults.skews,
            [(7, 93_600_000), (8, -300_000)]
        );
    }
}

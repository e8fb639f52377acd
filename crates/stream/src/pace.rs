//! Sends at an even pace.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// A sleep shorter than this takes longer than requested; so many may be sent at once instead.
const FINEST: Duration = Duration::from_millis(1);
/// A sender that was delayed makes good for this much, and not for more: no flood after a stall.
const MAKES_GOOD: Duration = Duration::from_millis(100);

/// So many a second, evenly.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    every: Duration,
    due: Instant,
}

impl Pace {
    /// `rate` a second from `now` on.
    pub(crate) fn new(rate: NonZeroU32, now: Instant) -> Self {
        Self { every: Duration::from_secs(1) / rate.get(), due: now }
    }

    /// How much too early the next one is, or `None` when it is due.
    pub(crate) fn ahead(&self, now: Instant) -> Option<Duration> {
        self.due.checked_duration_since(now).filter(|ahead| *ahead >= FINEST)
    }

    /// Notes that one was sent.
    pub(crate) fn step(&mut self, now: Instant) {
        let earliest = now.checked_sub(MAKES_GOOD).unwrap_or(now);
        self.due = self.due.max(earliest) + self.every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are sent in ten seconds by one who checks the clock every `tick`.
    fn sent_in_ten_seconds(rate: u32, tick: Duration) -> u32 {
        let begun = Instant::now();
        let (mut now, mut sent) = (begun, 0);
        let mut pace = Pace::new(NonZeroU32::new(rate).unwrap(), begun);
        while now < begun + Duration::from_secs(10) {
            while pace.ahead(now).is_none() {
                pace.step(now);
                sent += 1;
            }
            now += tick;
        }
        sent
    }

    #[test]
    fn the_rate_is_kept() {
        for (rate, tick_ms) in [(1, 1), (3, 1), (1_000, 1), (1_000, 20), (50_000, 10)] {
            let sent = sent_in_ten_seconds(rate, Duration::from_millis(tick_ms.into()));
            let wanted = rate * 10;
            // The last tick may come a little before the end, and up to a millisecond is sent ahead.
            let a_tick = rate * tick_ms / 1000;
            assert!(sent + a_tick >= wanted && sent <= wanted + rate / 1000 + 1, "{rate}: {sent}");
        }
    }

    #[test]
    fn a_stall_is_not_made_good() {
        let begun = Instant::now();
        let mut pace = Pace::new(NonZeroU32::new(100).unwrap(), begun);
        let later = begun + Duration::from_secs(60);
        let mut at_once = 0;
        while pace.ahead(later).is_none() {
            pace.step(later);
            at_once += 1;
        }
        assert!((10..=12).contains(&at_once), "{at_once}");
    }
}

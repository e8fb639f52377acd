//! Event time: when what a record tells happened, and what follows from it for the windows of its key.
//!
//! Each partition key has three numbers. All of them only grow, and they are decided when a record arrives, in the order of the
//! log: so they depend on the records of that key alone, and on nothing that is done with memory.

use std::time::Duration;

use crate::core::{
    mutation::{self, Mutation},
    offsets::Version,
};

/// Before any time that is known.
pub(crate) const NEVER: i64 = i64::MIN;

/// A clock that was never set says an earlier time: 2001-01-01, milliseconds since 1970 UTC. Many begin at 2000-01-01.
const FIRST_MS: i64 = 978_307_200_000;
/// A time in milliseconds that is taken for one in seconds is later: the seconds of the year 5138.
const IN_SECONDS: i64 = 100_000_000_000;

/// Windows by event time, all of one length. Times are milliseconds since 1970 UTC, and lengths milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// How long each is.
    pub size_ms: i64,
    /// How long after its key's greatest time so far a window becomes final, counted from its end.
    pub lateness_ms: i64,
    /// How far ahead of its record's Kafka timestamp an event may be.
    pub ahead_ms: i64,
    /// How long before the greatest time so far the windows of a key are kept; `None` is for ever.
    pub keep_ms: Option<i64>,
    /// How long the changelog keeps facts that the cold store has, by the Kafka timestamps of their records; `None` is for ever.
    pub history_ms: Option<i64>,
}

impl Windows {
    /// Whether they can be kept so.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        let needed = self.lateness_ms.saturating_add(self.size_ms);
        match self.keep_ms {
            Some(keep_ms) if keep_ms < needed => {
                let [keep, needed] = [keep_ms, needed]
                    .map(|ms| humantime::format_duration(Duration::from_millis(ms.unsigned_abs())).to_string());
                Err(format!(
                    "--keep is {keep}, and a window is final {needed} after its beginning: keep at least that long"
                ))
            }
            _ => Ok(()),
        }
    }

    /// When the window ends that begins at `slot`: the first instant that is not in it.
    pub fn end(&self, slot: i64) -> i64 {
        slot.saturating_add(self.size_ms)
    }

    /// Why an event cannot have happened then, as its record's Kafka timestamp has it: see [`impossible_time`].
    pub(crate) fn impossible(&self, event_ms: i64, timestamp_ms: i64) -> Option<String> {
        impossible_time(event_ms, timestamp_ms, self.ahead_ms)
    }
}

/// How far an event may be ahead of its arrival: what the consumer's `--ahead` is unless it is set.
const AHEAD_MS: i64 = 60 * 60 * 1_000;

/// Why an event of a live input cannot have happened then; `None` where it can. Both in milliseconds.
///
/// A consumer with a lesser `--ahead` keeps what lies between among its rejects.
pub fn impossible_on_arrival(event_ms: i64, arrival_ms: i64) -> Option<String> {
    impossible_time(event_ms, arrival_ms, AHEAD_MS)
}

/// Why an event cannot have happened then, as its record's Kafka timestamp has it; `None` where it can. All in milliseconds.
///
/// Without a Kafka timestamp, one that is not positive, no clock is too far ahead.
fn impossible_time(event_ms: i64, timestamp_ms: i64, ahead_ms: i64) -> Option<String> {
    if event_ms < FIRST_MS {
        return Some(format!("its time is {event_ms} ms since 1970, before 2001: a clock that was never set"));
    }
    let ahead = event_ms.saturating_sub(timestamp_ms);
    if timestamp_ms <= 0 || ahead <= ahead_ms {
        return None;
    }
    let hint = if event_ms / 1_000 > IN_SECONDS { ": seconds are expected, these look like milliseconds" } else { "" };
    let by = humantime::format_duration(Duration::from_secs(ahead.unsigned_abs() / 1_000));
    Some(format!("its time is {event_ms} ms since 1970, {by} ahead of its record{hint}"))
}

/// The three numbers of a partition key, and which record was its newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyTimes {
    /// The greatest event time of its facts.
    pub(crate) clock_ms: i64,
    /// The greatest value that the clock less the lateness ever had: a window that ends by then is final.
    pub(crate) final_through_ms: i64,
    /// The greatest value that the clock less what is kept ever had: a window that ends by then takes no facts any more.
    pub(crate) horizon_ms: i64,
    /// The version of its newest record; noted, as the clock is, wherever groups leave memory.
    pub(crate) newest: Option<Version>,
}

impl Default for KeyTimes {
    fn default() -> Self {
        Self { clock_ms: NEVER, final_through_ms: NEVER, horizon_ms: NEVER, newest: None }
    }
}

impl KeyTimes {
    /// Notes a fact of that time.
    pub(crate) fn note(&mut self, event_ms: i64, windows: &Windows) {
        self.clock_ms = self.clock_ms.max(event_ms);
        self.follow(windows);
    }

    /// Has the other two follow the clock, as far as they are behind.
    pub(crate) fn follow(&mut self, windows: &Windows) {
        if self.clock_ms == NEVER {
            return;
        }
        self.final_through_ms = self.final_through_ms.max(self.clock_ms.saturating_sub(windows.lateness_ms));
        if let Some(keep_ms) = windows.keep_ms {
            self.horizon_ms = self.horizon_ms.max(self.clock_ms.saturating_sub(keep_ms));
        }
    }

    /// Whether a window that ends then is final.
    pub(crate) fn is_final(&self, end: i64) -> bool {
        end <= self.final_through_ms
    }

    /// Whether a window that ends then takes no facts any more.
    pub(crate) fn is_behind_horizon(&self, end: i64) -> bool {
        end <= self.horizon_ms
    }

    /// Whether a window has become final, or has come behind the horizon, since these were stored.
    pub(crate) fn has_passed(&self, stored: &Self, windows: &Windows) -> bool {
        let passed = |now: i64, then: i64| now.div_euclid(windows.size_ms) > then.div_euclid(windows.size_ms);
        !mutation::is(Mutation::TimesOfFlushedOnly)
            && (passed(self.final_through_ms, stored.final_through_ms) || passed(self.horizon_ms, stored.horizon_ms))
    }
}

//! What was hoped for, beside what was measured; a miss is said as plainly as a hit.

use crate::{place::Run, spread::Spread, table::grouped};

/// What the producer's queue takes when it is full, which that of a small file never is: 32 MiB of records, and some
/// 200 bytes beside each of 150,000. Memory that grows with the file is beyond it.
pub(crate) const QUEUE_MIB: f64 = 64.0;

/// Rows from which on memory a fact tells something; of fewer it is drowned by what does not grow.
pub(crate) const TELLING: u32 = 1_000_000;

/// Which side of the target is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    AtMost,
    AtLeast,
}

/// One target and what was measured.
#[derive(Clone, Debug)]
pub(crate) struct Rating {
    what: &'static str,
    sense: Sense,
    target: f64,
    measured: f64,
    unit: &'static str,
}

impl Rating {
    pub(crate) fn at_most(what: &'static str, target: f64, measured: f64, unit: &'static str) -> Self {
        Self { what, sense: Sense::AtMost, target, measured, unit }
    }

    pub(crate) fn at_least(what: &'static str, target: f64, measured: f64, unit: &'static str) -> Self {
        Self { what, sense: Sense::AtLeast, target, measured, unit }
    }

    /// Whether it was met.
    pub(crate) fn is_met(&self) -> bool {
        match self.sense {
            Sense::AtMost => self.measured <= self.target,
            Sense::AtLeast => self.measured >= self.target,
        }
    }

    /// What, target, measured, verdict.
    pub(crate) fn cells(&self) -> [String; 4] {
        let figure = |value: f64| {
            if value > 0.0 && value < 10.0 {
                format!("{value:.2} {}", self.unit)
            } else {
                format!("{} {}", grouped(value), self.unit)
            }
        };
        let sign = if self.sense == Sense::AtMost { "≤" } else { "≥" };
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        [self.what.to_owned(), format!("{sign} {}", figure(self.target)), figure(self.measured), verdict.to_owned()]
    }
}

/// The targets of several rounds, each measured by the median.
pub(crate) fn middle(rounds: &[Vec<Rating>]) -> Vec<Rating> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let measured = |place: usize| Spread::of(rounds.iter().filter_map(|round| Some(round.get(place)?.measured))).median;
    first.iter().enumerate().map(|(place, rating)| Rating { measured: measured(place), ..rating.clone() }).collect()
}

/// Records a second, from the program's start to its end.
pub(crate) fn records_per_s(run: &Run) -> f64 {
    f64::from(run.records) / run.cost.took.as_secs_f64()
}

/// The group join, seconds; 0 where there was none.
pub(crate) fn join_s(run: &Run) -> f64 {
    run.cost.field("joined the group", "joined_in_ms").unwrap_or(0.0) / 1e3
}

/// Claiming and loading at assignment, seconds; 0 where there was none.
pub(crate) fn load_s(run: &Run) -> f64 {
    run.cost.field("claimed and loaded", "load_ms").unwrap_or(0.0) / 1e3
}

/// From the program's start until it is ready, the join not counted, milliseconds.
pub(crate) fn ready_without_join_ms(run: &Run) -> Option<f64> {
    Some((run.cost.ready?.as_secs_f64() - join_s(run)) * 1e3)
}

/// Bytes of the consumer's memory that a fact takes: what a run's peak is above the small one's, a fact.
pub(crate) fn bytes_a_fact(run: &Run, small: &Run) -> f64 {
    (run.cost.peak_mib - small.cost.peak_mib) * 1_048_576.0 / f64::from(run.facts.saturating_sub(small.facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_is_told() {
        let check = |rating: Rating, expected: [&str; 4]| assert_eq!(rating.cells(), expected);
        check(Rating::at_most("time", 0.8, 0.81, "s"), ["time", "≤ 0.80 s", "0.81 s", "MISSED"]);
        check(Rating::at_most("rows", 0.0, 0.0, "rows"), ["rows", "≤ 0 rows", "0 rows", "met"]);
        check(Rating::at_least("rate", 5e5, 5e5, "/s"), ["rate", "≥ 500,000 /s", "500,000 /s", "met"]);
        let rounds = [3.0, 1.0, 2.0].map(|measured| vec![Rating::at_most("time", 2.0, measured, "s")]);
        check(middle(&rounds).remove(0), ["time", "≤ 2.00 s", "2.00 s", "met"]);
        // What could not be measured was not met.
        assert!(!Rating::at_most("ready", 200.0, f64::NAN, "ms").is_met());
    }
}

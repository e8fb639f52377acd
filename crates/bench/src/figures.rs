//! The figures of one run.

use crate::env::Run;

/// Rows from which on memory a fact is meaningful; with fewer, constant memory dominates.
pub(crate) const ENOUGH_ROWS: u32 = 1_000_000;

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

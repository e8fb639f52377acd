//! A refresh of the state tables: what it covers, and when a run is complete.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    core::{
        flush::Flush,
        mutation::{self, Mutation},
        offsets::{Gap, PartitionRow},
    },
    pipeline::{Coverage, Pipeline},
};

/// The changed groups of a refresh, computed from all facts up to `to`.
#[derive(Debug)]
pub(crate) struct Refresh<P: Pipeline> {
    /// The rows of the groups that changed, shard by shard.
    pub rows: Vec<P::Row>,
    /// What each shard has in it.
    pub parts: Vec<RefreshPart>,
    /// How far the run is to go.
    pub target: Target,
}

/// What a shard has in a refresh.
#[derive(Debug)]
pub(crate) struct RefreshPart {
    /// The number of the shard.
    pub shard: u64,
    /// Which of the rows are its own.
    pub rows: Range<usize>,
    /// How far each of its partitions goes.
    pub to: Vec<PartitionProgress>,
    /// What it writes to the cold store, where groups leave memory.
    pub flush: Option<Flush>,
}

impl RefreshPart {
    /// Whether it writes rows of the cold store.
    pub(crate) fn writes_cold_rows(&self) -> bool {
        self.flush.as_ref().is_some_and(|flush| flush.rows.len() > 0)
    }
}

impl<P: Pipeline> Refresh<P> {
    /// A refresh of nothing yet.
    pub(crate) fn new(target: Target) -> Self {
        Self { rows: Vec::new(), parts: Vec::new(), target }
    }

    /// Adds the changed groups of a shard.
    pub(crate) fn add(&mut self, shard: u64, rows: Vec<P::Row>, to: Vec<PartitionProgress>, flush: Option<Flush>) {
        let first = self.rows.len();
        self.rows.extend(rows);
        self.parts.push(RefreshPart { shard, rows: first..self.rows.len(), to, flush });
    }
}

/// How far a partition goes in a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionProgress {
    /// The Kafka partition.
    pub partition: i32,
    /// The claim under which it was read.
    pub epoch: i64,
    /// The next offset to read; `None` when nothing was.
    pub next_offset: Option<i64>,
    /// The offset up to which the state tables were refreshed before, as far as we know.
    pub refreshed: Option<i64>,
    /// Whether its topic was recreated and is not read to its end by then.
    pub catching_up: bool,
}

/// How far a run is to go before it may be called complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// The end of every partition of the topic, as seen at start.
    pub ends: BTreeMap<i32, i64>,
    /// What was stored when those ends were reached first: the greatest id of a fact, by owner partition. A replica that goes on
    /// storing facts does not move it.
    pub last_ids: Option<BTreeMap<i32, i64>>,
    /// Whether Kafka compacts the topic, so that it is not known which records it has had.
    pub compacted: bool,
}

impl Target {
    /// Notes what is stored, the first time that every partition is stored to its end.
    pub(crate) fn note(&mut self, stored: &[PartitionRow]) {
        let reaches = |(partition, end): (&i32, &i64)| {
            let next = stored.iter().find(|row| row.partition == *partition).and_then(|row| row.next_offset);
            next.unwrap_or(0) >= *end
        };
        if self.last_ids.is_none() && self.ends.iter().all(reaches) {
            self.last_ids = Some(stored.iter().map(|row| (row.partition, row.last_id)).collect());
        }
    }

    /// Whether the state tables hold every partition of the topic up to the end seen at start, with every fact that was stored
    /// by then.
    pub(crate) fn is_reached(&self, stored: &[PartitionRow]) -> bool {
        let Some(last_ids) = &self.last_ids else { return false };
        let refreshed = |partition: &i32| stored.iter().find(|row| row.partition == *partition)?.refreshed_through;
        let at_end = |(partition, end): (&i32, &i64)| *end == 0 || refreshed(partition).is_some_and(|at| at >= *end);
        let last_id = |partition: &i32| last_ids.get(partition).copied().unwrap_or(0);
        let is_refreshed = |row: &PartitionRow| {
            let owes = row.refreshed_id < last_id(&row.partition) && !mutation::is(Mutation::CompleteWhileOwed);
            !owes && !row.catching_up
        };
        self.ends.iter().all(at_end) && stored.iter().all(is_refreshed)
    }

    /// As [`Target::is_reached`], of what is stored right now.
    pub(crate) fn is_reached_now(&self, stored: &[PartitionRow]) -> bool {
        let mut target = self.clone();
        target.note(stored);
        target.is_reached(stored)
    }
}

/// Says how far all partitions are refreshed, and whether that is all that existed.
pub(crate) fn coverage(stored: &[PartitionRow], at_end: bool, missing: Option<String>) -> Coverage {
    let refreshed = stored.iter().map(|row| (row.partition, row.refreshed_through.unwrap_or(0))).collect();
    Coverage { refreshed, complete: at_end && missing.is_none(), missing }
}

/// Says which records the topic has had that were never read.
pub(crate) fn missing(gaps: &[Gap], compacted: bool) -> Option<String> {
    let gap =
        |gap: &Gap| format!("offsets {} to {} of partition {}", gap.from_offset, gap.to_offset - 1, gap.partition);
    let gaps: Vec<String> = gaps.iter().map(gap).collect();
    let removed =
        (!gaps.is_empty()).then(|| format!("{} were removed by kafka before they were read", gaps.join(", ")));
    let superseded =
        compacted.then(|| "records with a later one of the same key: cleanup.policy is compact".to_owned());
    let reasons: Vec<String> = removed.into_iter().chain(superseded).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(partition: i32, refreshed_through: Option<i64>) -> PartitionRow {
        PartitionRow {
            partition,
            epoch: 1,
            next_offset: refreshed_through,
            refreshed_through,
            ..PartitionRow::default()
        }
    }

    #[test]
    fn complete_means_every_partition_to_its_end() {
        let target = Target { ends: BTreeMap::from([(0, 10), (1, 0), (2, 5)]), last_ids: None, compacted: false };
        let check =
            |stored: &[PartitionRow], expected| assert_eq!(target.is_reached_now(stored), expected, "{stored:?}");
        check(&[row(0, Some(10)), row(2, Some(5))], true);
        check(&[row(0, Some(12)), row(1, None), row(2, Some(5))], true);
        check(&[row(0, Some(10)), row(2, Some(4))], false);
        check(&[row(0, Some(10))], false);
        check(&[row(0, Some(10)), row(2, None)], false);
    }

    #[test]
    fn complete_means_that_every_fact_stored_by_then_is_refreshed_and_no_later_one() {
        let mut target = Target { ends: BTreeMap::from([(0, 10), (1, 5)]), last_ids: None, compacted: false };
        let rows = |refreshed: [i64; 2], last: [i64; 2]| {
            let with =
                |row: PartitionRow, at: usize| PartitionRow { refreshed_id: refreshed[at], last_id: last[at], ..row };
            [with(row(0, Some(10)), 0), with(row(1, Some(5)), 1)]
        };
        assert!(!target.is_reached_now(&rows([7, 3], [7, 4])), "a fact of partition 1 waits for a refresh");
        target.note(&[row(0, Some(9)), row(1, Some(5))]);
        assert_eq!(target.last_ids, None, "partition 0 is not stored to its end");
        target.note(&rows([7, 3], [7, 4]));
        target.note(&rows([9, 3], [9, 9]));
        assert!(target.is_reached(&rows([9, 4], [9, 9])), "later facts do not count");
        assert!(!target.is_reached(&rows([9, 3], [9, 9])));
    }

    #[test]
    fn a_run_with_a_gap_is_not_complete_and_says_what_is_missing() {
        let gaps =
            [Gap { partition: 0, from_offset: 0, to_offset: 28 }, Gap { partition: 2, from_offset: 5, to_offset: 6 }];
        let removed =
            "offsets 0 to 27 of partition 0, offsets 5 to 5 of partition 2 were removed by kafka before they were read";
        let superseded = "records with a later one of the same key: cleanup.policy is compact";
        assert_eq!(missing(&[], false), None);
        assert_eq!(missing(&gaps, false).as_deref(), Some(removed));
        assert_eq!(missing(&[], true).as_deref(), Some(superseded));
        assert_eq!(missing(&gaps, true), Some(format!("{removed}; {superseded}")));
        let stored = [row(0, Some(40))];
        assert!(coverage(&stored, true, None).complete && !coverage(&stored, false, None).complete);
        assert!(!coverage(&stored, true, missing(&gaps, false)).complete);
    }
}

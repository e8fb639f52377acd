//! What tests ask of a consumer.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Pipeline,
    core::{
        groups::Groups,
        shard::{self, Shard},
    },
};

use super::{Consumer, Unanswered};

/// What is in memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) bytes: usize,
    /// What of it is of windows that are final.
    pub(crate) of_final: usize,
}

impl<P: Pipeline> Consumer<P> {
    /// Whether all jobs are answered.
    pub(crate) fn is_idle(&self) -> bool {
        let Unanswered { batches, refresh, progress_read: _, repartition } = self.unanswered;
        batches == 0 && !refresh && !repartition && self.lookup.is_none() && !self.wants_flush()
    }

    /// What is in memory, of groups that leave it, in bytes.
    pub(crate) fn held(&self) -> Held {
        let groups = self.shards.memories().map(|memory| &memory.groups).filter(|groups| groups.leave());
        Held { of_final: groups.map(Groups::final_bytes).sum(), bytes: self.facts_bytes() }
    }

    /// The state, in words.
    pub(crate) fn describe(&self) -> String {
        let state =
            |shard: &Shard<P>| format!("{:?} {:?}", shard.partitions, shard.memory().map(|memory| &memory.cursors));
        let waits = (self.lookup, self.settling);
        format!("{:?}, {:?}, {waits:?}", self.shards.iter().map(state).collect::<Vec<_>>(), self.unanswered)
    }

    /// The shards, by number, with the claims under which each is read.
    pub(crate) fn claims(&self) -> BTreeMap<u64, Vec<(i32, i64)>> {
        let claims = |shard: &Shard<P>| Some((shard.number, shard.memory().or(shard.kept())?.cursors.claims()));
        self.shards.iter().filter_map(claims).collect()
    }

    /// How far a partition that is loaded is stored, once all batches sent so far are.
    pub(crate) fn committed(&mut self, partition: i32) -> Option<i64> {
        self.shards.cursor(partition).map(|cursor| cursor.committed())
    }

    /// Whether all partitions are one shard.
    pub(crate) fn is_spread(&self) -> bool {
        self.spread
    }

    /// Whether all shards become one as soon as nothing is unanswered.
    pub(crate) fn is_joining(&self) -> bool {
        self.joins
    }

    /// The partitions that a key blocks, and whose memory is gone.
    pub(crate) fn blocked_partitions(&self) -> BTreeSet<i32> {
        self.shards.partitions(|shard| matches!(shard.state, shard::State::Blocked { .. })).into_iter().collect()
    }

    /// Whether any is being loaded.
    pub(crate) fn is_loading(&self) -> bool {
        self.shards.iter().any(|shard| shard.load().is_some())
    }

    /// The shards that a key blocks.
    pub(crate) fn blocked_shards(&self) -> Vec<u64> {
        self.shards.iter().filter(|shard| shard.blocked_by().is_some()).map(|shard| shard.number).collect()
    }

    /// Whether all partitions that were given are read.
    pub(crate) fn is_reading(&self) -> bool {
        self.shards.are_reading()
    }

    /// Every group's row, and the partitions that are read.
    pub(crate) fn memory(&self) -> (Vec<P::Row>, Vec<i32>) {
        let rows = self.shards.memories().flat_map(|memory| memory.groups.rows(&self.pipeline)).collect();
        (rows, self.shards.partitions(|shard| shard.memory().is_some()))
    }
}

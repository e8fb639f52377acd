//! All shards of a consumer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use crate::{
    Pipeline,
    core::{
        cursor::{Cursor, Cursors},
        refresh::PartitionProgress,
        shard::{Memory, Shard},
    },
};

/// A shard a partition, or one of all.
pub(crate) struct Shards<P: Pipeline> {
    list: Vec<Shard<P>>,
    /// The index in the list of each partition's shard.
    index_of: BTreeMap<i32, usize>,
}

impl<P: Pipeline> Default for Shards<P> {
    fn default() -> Self {
        Self { list: Vec::new(), index_of: BTreeMap::new() }
    }
}

impl<P: Pipeline> Shards<P> {
    /// Takes a shard in, of partitions that none has.
    pub(crate) fn add(&mut self, shard: Shard<P>) {
        self.index_of.extend(shard.partitions.iter().map(|partition| (*partition, self.list.len())));
        self.list.push(shard);
    }

    /// Removes and returns the shards that any of these partitions belongs to.
    pub(crate) fn remove(&mut self, partitions: &BTreeSet<i32>) -> Vec<Shard<P>> {
        let is_any = |shard: &mut Shard<P>| shard.partitions.iter().any(|partition| partitions.contains(partition));
        let removed = self.list.extract_if(.., is_any).collect();
        self.index_of.clear();
        for (index, shard) in self.list.iter().enumerate() {
            self.index_of.extend(shard.partitions.iter().map(|partition| (*partition, index)));
        }
        removed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shard<P>> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Shard<P>> {
        self.list.iter_mut()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The shard of a partition.
    pub(crate) fn of(&mut self, partition: i32) -> Option<&mut Shard<P>> {
        self.index_of.get(&partition).map(|index| &mut self.list[*index])
    }

    /// The shard of that number.
    pub(crate) fn numbered(&mut self, number: u64) -> Option<&mut Shard<P>> {
        self.list.iter_mut().find(|shard| shard.number == number)
    }

    /// The cursor of a partition that is loaded.
    pub(crate) fn cursor(&mut self, partition: i32) -> Option<&mut Cursor> {
        self.of(partition)?.memory_mut()?.cursors.get_mut(partition)
    }

    /// Whether all of them are read.
    pub(crate) fn are_reading(&self) -> bool {
        self.list.iter().all(Shard::is_reading)
    }

    /// Whether every partition was read to its end, and nothing has come since.
    pub(crate) fn at_end(&self) -> bool {
        self.are_reading() && self.cursors().all(Cursors::at_end)
    }

    /// As [`Shards::at_end`], of those that are read.
    pub(crate) fn read_are_at_end(&self) -> bool {
        self.list
            .iter()
            .filter(|shard| shard.is_reading())
            .filter_map(Shard::memory)
            .all(|memory| memory.cursors.at_end())
    }

    /// Whether every partition has been read to the end it had at start: see [`Cursors::reached`].
    pub(crate) fn reached(&self, ends: &BTreeMap<i32, i64>) -> bool {
        self.are_reading() && self.cursors().all(|cursors| cursors.reached(ends))
    }

    /// What each holds that is loaded.
    pub(crate) fn memories(&self) -> impl Iterator<Item = &Memory<P>> {
        self.list.iter().filter_map(Shard::memory)
    }

    fn cursors(&self) -> impl Iterator<Item = &Cursors> {
        self.memories().map(|memory| &memory.cursors)
    }

    /// Whether anything that was read is not refreshed yet.
    pub(crate) fn unrefreshed(&self) -> bool {
        self.cursors().any(Cursors::unrefreshed)
    }

    /// Whether the open batch covers anything.
    pub(crate) fn has_range(&self) -> bool {
        self.cursors().any(Cursors::has_range)
    }

    /// How far each is that is loaded, by its number.
    pub(crate) fn progress(&self) -> BTreeMap<u64, Vec<PartitionProgress>> {
        let progress = |shard: &Shard<P>| Some((shard.number, shard.memory()?.cursors.refreshed_to()));
        self.list.iter().filter_map(progress).collect()
    }

    /// The first partition of which anything was ever read.
    pub(crate) fn first_read(&self) -> Option<i32> {
        self.cursors().filter_map(Cursors::first_read).min()
    }

    /// The number of facts in memory.
    pub(crate) fn facts(&self) -> usize {
        let held = self.list.iter().filter_map(|shard| shard.memory().or(shard.kept()));
        held.map(|memory| memory.groups.facts()).sum()
    }

    /// A partition that has been stalled for so long that it is to be checked; it counts as checked then.
    pub(crate) fn stall(&mut self, now: Instant) -> Option<i32> {
        self.list.iter_mut().filter_map(Shard::memory_mut).find_map(|memory| memory.cursors.stall(now))
    }

    /// When one that is stalled is to be checked next.
    pub(crate) fn stalled_until(&self) -> Option<Instant> {
        self.cursors().filter_map(Cursors::stalled_until).min()
    }

    /// Whether the stall of a partition was reported.
    pub(crate) fn is_stall_reported(&self, partition: i32) -> bool {
        self.cursors().any(|cursors| cursors.is_stall_reported(partition))
    }

    /// The partitions of those that are so, in order.
    pub(crate) fn partitions(&self, are: impl Fn(&Shard<P>) -> bool) -> Vec<i32> {
        let mut partitions: Vec<i32> =
            self.list.iter().filter(|shard| are(shard)).flat_map(|shard| shard.partitions.iter().copied()).collect();
        partitions.sort_unstable();
        partitions
    }
}

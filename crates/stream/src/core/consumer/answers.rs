//! What PostgreSQL has answered: stored, or refused, and then loaded again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    Error, Pipeline,
    core::{
        check::{KeyMoved, Refusal},
        interface::Command,
        jobs::{Answer, JobOutcome, ShardOutcome, StoredParts},
        mutation::{self, Mutation},
        offsets::PartitionRow,
        refresh::PartitionProgress,
        schedule::Repartition,
        shard::{Dropped, Shard},
    },
};

use super::{AFTER_A_FENCE, Consumer, Purpose};

impl<P: Pipeline> Consumer<P> {
    pub(super) fn answer(&mut self, now: Instant, answer: Answer, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        match answer {
            Answer::Batches { count, shards } => {
                let mut is_known = |of: &(u64, JobOutcome<_>)| self.shards.numbered(of.0).is_some();
                if !mutation::is(Mutation::SlotsKept) || shards.iter().any(&mut is_known) {
                    self.unanswered.batches -= count;
                }
                for (shard, outcome) in shards {
                    match outcome {
                        JobOutcome::Stored(StoredParts { offsets, numbers }) => {
                            let Some(shard) = self.shards.numbered(shard) else { continue };
                            self.watch.note_stored(offsets);
                            shard.memory_mut().into_iter().for_each(|memory| memory.groups.stored(&numbers));
                        }
                        JobOutcome::Refused(refusal) => self.recover(now, shard, refusal, out)?,
                        JobOutcome::Void => {}
                    }
                }
            }
            Answer::Refresh { shards, complete } => {
                self.unanswered.refresh = false;
                self.refreshed(now, shards, complete, out)?;
            }
            Answer::Progress { number, stored, owners } => {
                self.unanswered.progress_read = false;
                let target = self.schedule.target(&self.ends, self.settings.compacted);
                for (shard, refusal) in self.schedule.compare(number, &stored, target, &self.shards) {
                    self.recover(now, shard, refusal, out)?;
                }
                for shard in self.shards.iter_mut() {
                    let moved = |by: &KeyMoved| owners.get(&by.key).is_some_and(|owner| *owner != Some(by.owner));
                    if shard.blocked_by().is_some_and(moved) {
                        shard.unblock(now);
                    }
                }
                self.measure_lag(&stored, out);
            }
            Answer::Repartition(outcome) => {
                self.unanswered.repartition = false;
                let done = matches!(outcome, JobOutcome::Stored(()));
                *self.schedule.repartition() = if done { Repartition::Done } else { Repartition::No };
            }
            Answer::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Handles the answer to a refresh. What was refused is dropped; what is stored counts as refreshed, and the shards
    /// that owed it are read from now on.
    pub(super) fn refreshed(
        &mut self,
        now: Instant,
        shards: Vec<ShardOutcome<PartitionProgress>>,
        complete: bool,
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let (mut is_any_stored, mut to_free) = (false, Vec::new());
        for (number, outcome) in shards {
            match outcome {
                JobOutcome::Stored(to) => {
                    is_any_stored = true;
                    let Some(shard) = self.shards.numbered(number) else { continue };
                    if let Some(memory) = shard.memory_mut() {
                        memory.groups.refreshed();
                        memory.cursors.refreshed(&to);
                    }
                    let (fetches, memory) = shard.finish_owed(now);
                    to_free.push(Dropped { memory, loaded: None });
                    self.fetch(fetches, out);
                }
                JobOutcome::Refused(refusal) => {
                    self.schedule.not_refreshed();
                    self.recover(now, number, refusal, out)?;
                }
                JobOutcome::Void if self.shards.numbered(number).is_none() => {}
                // Another replica refreshes.
                JobOutcome::Void => {
                    self.schedule.postpone(now);
                    self.ending.iter_mut().for_each(|ending| ending.refreshed = false);
                    let memory = self.shards.numbered(number).and_then(Shard::memory_mut);
                    memory.into_iter().for_each(|memory| memory.groups.not_refreshed());
                }
            }
        }
        self.free(to_free, out);
        if is_any_stored {
            self.schedule.refreshed(now, complete);
            self.commit_offsets(now, out);
        }
        Ok(())
    }

    /// Drops a shard's memory after a refusal; it is claimed and loaded again where it is still ours. No batch is applied twice to the
    /// same memory.
    pub(super) fn recover(
        &mut self,
        now: Instant,
        number: u64,
        refusal: Refusal,
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let number = match self.shards.of(refusal.partition()) {
            Some(shard) if mutation::is(Mutation::OldAnswerBelieved) => shard.number,
            _ => number,
        };
        if self.shards.numbered(number).is_none() {
            if let Refusal::Fenced { partition, epoch } = refusal {
                tracing::info!(
                    partition,
                    epoch,
                    "fenced: the partition was claimed again since it was given back or dropped; what was in hand is read again by its owner"
                );
            }
            return Ok(());
        }
        if mutation::is(Mutation::RefusedMemoryKept) {
            return Ok(());
        }
        if mutation::is(Mutation::RefusalDropsOthers) {
            self.drop_all(now, out);
        }
        match refusal {
            Refusal::Fenced { partition, epoch } => {
                tracing::warn!(
                    partition,
                    epoch,
                    "fenced: another consumer has claimed the partition, or it was reset; forgetting it, and claiming it again if it is still ours"
                );
                let wait = if mutation::is(Mutation::FencedClaimsAtOnce) { Duration::ZERO } else { AFTER_A_FENCE };
                self.drop_memory(number, now + wait, out);
            }
            Refusal::Lost { partition, stored } => {
                tracing::warn!(partition, ?stored, "the database has lost commits; loading and reading again");
                self.drop_memory(number, now, out);
            }
            Refusal::KeyMoved(by) if self.may_unite(&by) => {
                self.drop_memory(number, now, out);
                self.unite(out);
            }
            // It is about to be one with the shard of the key.
            Refusal::KeyMoved(by) if self.spread && self.group.assigned.contains(&by.owner) => {
                self.drop_memory(number, now, out);
            }
            Refusal::KeyMoved(by) if self.settings.until_end => return Err(by.error()),
            Refusal::KeyMoved(by) => self.block(now, number, by, out),
        }
        Ok(())
    }

    /// Whether a key belongs to a partition that is ours as well.
    pub(super) fn may_unite(&self, by: &KeyMoved) -> bool {
        !self.spread && self.group.assigned.contains(&by.owner) && !mutation::is(Mutation::SpreadShardsWait)
    }

    pub(super) fn drop_memory(&mut self, number: u64, until: Instant, out: &mut Vec<Command<P>>) {
        self.drop_by(number, |shard, next| shard.drop_memory(next, until), out);
    }

    pub(super) fn block(&mut self, now: Instant, number: u64, by: KeyMoved, out: &mut Vec<Command<P>>) {
        tracing::error!("blocked: {}", by.error());
        self.drop_by(number, |shard, next| shard.block(now, next, by), out);
    }

    /// Has a shard drop what it holds, under another number from now on; it is not fetched any more.
    pub(super) fn drop_by(
        &mut self,
        number: u64,
        drop: impl FnOnce(&mut Shard<P>, u64) -> Dropped<P>,
        out: &mut Vec<Command<P>>,
    ) {
        let next = self.numbers.draw();
        let Some(shard) = self.shards.numbered(number) else { return };
        let held = drop(shard, next);
        let partitions = shard.partitions.iter().copied().collect();
        self.stop_fetching(&partitions, out);
        self.free([held], out);
        self.cancel_loads(out);
        self.schedule.begin();
    }

    /// Drops all memory: everything is claimed, loaded and compared again.
    pub(super) fn drop_all(&mut self, until: Instant, out: &mut Vec<Command<P>>) {
        if mutation::is(Mutation::LoadingForgotten) {
            self.loads.clear();
        }
        let loading = |shard: &Shard<P>| shard.load().is_some() && mutation::is(Mutation::LoadingForgotten);
        let numbers: Vec<u64> = self
            .shards
            .iter()
            .filter(|shard| shard.blocked_by().is_none() && !loading(shard))
            .map(|shard| shard.number)
            .collect();
        for number in numbers {
            self.drop_memory(number, until, out);
        }
    }

    /// How far those of our partitions are behind that are not fetched, by the ends that were seen last.
    pub(super) fn measure_lag(&mut self, stored: &[PartitionRow], out: &mut Vec<Command<P>>) {
        let next =
            |partition: i32| stored.iter().find(|row| row.partition == partition).and_then(|row| row.next_offset);
        let lag = |partition: &i32| {
            let end = self.latest_ends.get(partition)?;
            Some((*partition, (end - next(*partition).unwrap_or(0)).max(0)))
        };
        let lags: BTreeMap<i32, i64> = self.group.assigned.difference(&self.group.fetched).filter_map(lag).collect();
        if !lags.is_empty() && self.ending.is_none() {
            self.query_topic(Purpose::Presence, out);
        }
        out.push(Command::MeasureLag(lags));
    }
}

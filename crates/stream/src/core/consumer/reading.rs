//! Records are applied to their shards and go into the open batch.

use std::time::{Duration, Instant};

use crate::{
    Error, Pipeline,
    core::{
        batch::Batch,
        cursor::{Cursor, Verdict},
        interface::{Command, Message},
        jobs::{Job, LookedUp, Lookup},
        mutation::{self, Mutation},
        shard::Shard,
    },
};

use super::{BATCH_AGE, BUSY, Consumer, IN_FLIGHT, LOOKUP, OpenBatch, TRICKLE, TRICKLE_AGE};

impl<P: Pipeline> Consumer<P> {
    pub(super) fn record(
        &mut self,
        now: Instant,
        fetch: u64,
        message: &Message<'_>,
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let (partition, offset) = (message.partition, message.offset);
        let Some(memory) = self.shards.of(partition).and_then(Shard::reading_mut) else { return Ok(()) };
        let end = if self.settings.until_end { self.ends.get(&partition).copied() } else { None };
        let mut has_parked_enough = false;
        if let Some(end) = end.filter(|end| offset >= *end) {
            // It came after we began: not for this run, and neither is anything between.
            if let Some(cursor) = memory.cursors.get_mut(partition).filter(|cursor| cursor.is_of(fetch)) {
                cursor.pass(end);
                self.watch.on_fetched(partition);
            }
        } else {
            let bytes = memory.open.len_bytes();
            let rejects = &mut self.rejects;
            match memory.take(&self.pipeline, &self.feed.topic, fetch, message, |key| rejects.keeps(now, key)) {
                Verdict::Apply(_) => {
                    has_parked_enough = memory.groups.parked_groups() >= LOOKUP;
                    self.open.add(now, memory.open.len_bytes() - bytes);
                    self.watch.on_fetched(partition);
                }
                Verdict::Skip => self.watch.on_fetched(partition),
                Verdict::Stale => {}
                Verdict::FetchFrom(offset) => self.fetch_again(&[(partition, Some(offset))], out),
                Verdict::OtherRecord(why) => self.topic_changed(now, partition, why, out)?,
            }
        }
        // No need to wait for Kafka to say that this was the last record of the run.
        let is_last = end.is_some_and(|end| offset + 1 >= end) && self.shards.reached(&self.ends);
        if is_last || has_parked_enough || self.open.is_full(self.settings.batch_size) {
            self.send_batch(out);
        }
        Ok(())
    }

    pub(super) fn end_of_partition(&mut self, now: Instant, fetch: u64, partition: i32, out: &mut Vec<Command<P>>) {
        let end = self.ends.get(&partition).copied().unwrap_or(0);
        let is_of = |cursor: &&mut Cursor| cursor.is_of(fetch) || mutation::is(Mutation::OldEndBelieved);
        let Some(cursor) = self.shards.cursor(partition).filter(is_of) else { return };
        cursor.reach_end(end, now);
        self.watch.on_fetched(partition);
        if self.shards.read_are_at_end() && !self.is_trickle(now) {
            self.send_batch(out);
        }
    }

    /// Sends the open batch, if it covers anything: all parts of it together. Those with records that wait for groups are left, and
    /// the groups are looked up.
    pub(super) fn send_batch(&mut self, out: &mut Vec<Command<P>>) {
        let parts = self.shards.iter_mut().filter_map(|shard| shard.reading_mut()?.take_part()).collect::<Vec<_>>();
        let since = self.open.since;
        self.open = OpenBatch::default();
        for left in self.shards.memories().filter(|memory| memory.groups.parked_groups() > 0) {
            self.open.records += left.open.records();
            self.open.bytes += left.open.len_bytes();
            self.open.since = since;
        }
        if !parts.is_empty() {
            self.unanswered.batches += 1;
            out.push(Command::Job(Job::Commit(Box::new(Batch { number: None, parts }))));
        }
        self.look_up(out);
    }

    /// Looks up the groups that records wait for, unless that is under way.
    fn look_up(&mut self, out: &mut Vec<Command<P>>) {
        if self.lookup.is_some() || self.shards.memories().all(|memory| memory.groups.parked_groups() == 0) {
            return;
        }
        let number = self.numbers.draw();
        self.lookup = Some(number);
        let parked = |shard: &Shard<P>| Some((shard.number, shard.memory()?.groups.parked()));
        let shards = self.shards.iter().filter_map(parked).filter(|(_, names)| !names.is_empty()).collect();
        out.push(Command::LookUp(Lookup { number, shards }));
    }

    /// Takes in the groups that records wait for, and sends those records.
    ///
    /// # Errors
    /// When a row is not what this program writes.
    pub(super) fn looked_up(&mut self, number: u64, rows: LookedUp, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        if self.lookup.take_if(|lookup| *lookup == number).is_none() {
            return Ok(());
        }
        for (shard, rows) in rows {
            // What was dropped meanwhile is read again.
            let Some(memory) = self.shards.numbered(shard).and_then(Shard::memory_mut) else { continue };
            memory.found(&rows)?;
        }
        self.send_batch(out);
        Ok(())
    }

    /// Whether the open batch is kept open though nothing more has come: until half of the time between two refreshes, and not for long.
    pub(super) fn is_trickle(&self, now: Instant) -> bool {
        self.open
            .since
            .is_some_and(|since| self.open.records < TRICKLE && now.duration_since(since) <= self.batch_age())
            && self.batch_age() > BATCH_AGE
    }

    /// How old the open batch gets.
    pub(super) fn batch_age(&self) -> Duration {
        let keeps = self.shards.memories().any(|memory| memory.groups.windows().is_some());
        let is_small = self.open.records < TRICKLE && !self.settings.until_end && self.ending.is_none();
        if keeps && is_small { BATCH_AGE.max((self.settings.refresh_every / 2).min(TRICKLE_AGE)) } else { BATCH_AGE }
    }

    /// Whether a record may be taken in: not while groups are looked up, or while a refresh is made that memory waits for.
    pub(super) fn may_take(&self) -> bool {
        let is_full = self.unanswered.refresh && self.facts_bytes() > self.settings.facts_memory / 4 * 5;
        self.has_room() && self.lookup.is_none() && self.settling.is_none() && !is_full
    }

    pub(super) fn has_room(&self) -> bool {
        self.unanswered.batches < IN_FLIGHT
    }

    pub(super) fn note_room(&mut self, now: Instant) {
        self.full_since = if self.may_take() { None } else { self.full_since.or(Some(now)) };
    }

    pub(super) fn pause_or_resume(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        let is_busy = self.full_since.is_some_and(|since| now.duration_since(since) >= BUSY);
        let pause = is_busy || (self.paused && !self.may_take());
        if std::mem::replace(&mut self.paused, pause) != pause {
            out.push(if pause { Command::Pause } else { Command::Resume });
        }
    }
}

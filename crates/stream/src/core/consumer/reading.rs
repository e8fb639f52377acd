//! Records are applied to their shards and go into the open batch.

use std::time::Instant;

use crate::{
    Error, Pipeline,
    core::{
        batch::Batch,
        cursor::{Cursor, Verdict},
        interface::{Command, Message},
        jobs::Job,
        mutation::{self, Mutation},
        shard::Shard,
    },
};

use super::{BUSY, Consumer, IN_FLIGHT, OpenBatch};

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
        if let Some(end) = end.filter(|end| offset >= *end) {
            // It came after we began: not for this run, and neither is anything between.
            if let Some(cursor) = memory.cursors.get_mut(partition).filter(|cursor| cursor.is_of(fetch)) {
                cursor.pass(end);
                self.watch.on_fetched(partition);
            }
        } else {
            let bytes = memory.open.len_bytes();
            match memory.take(&self.pipeline, &self.feed.topic, fetch, message) {
                Verdict::Apply(_) => {
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
        if is_last || self.open.is_full(self.settings.batch_size) {
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
        if self.shards.read_are_at_end() {
            self.send_batch(out);
        }
    }

    /// Sends the open batch, if it covers anything: all parts of it together.
    pub(super) fn send_batch(&mut self, out: &mut Vec<Command<P>>) {
        self.open = OpenBatch::default();
        let parts = self.shards.iter_mut().filter_map(|shard| shard.reading_mut()?.take_part()).collect::<Vec<_>>();
        if !parts.is_empty() {
            self.unanswered.batches += 1;
            out.push(Command::Job(Job::Commit(Box::new(Batch { number: None, parts }))));
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.unanswered.batches < IN_FLIGHT
    }

    pub(super) fn note_room(&mut self, now: Instant) {
        self.full_since = if self.has_room() { None } else { self.full_since.or(Some(now)) };
    }

    pub(super) fn pause_or_resume(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        let is_busy = self.full_since.is_some_and(|since| now.duration_since(since) >= BUSY);
        let pause = is_busy || (self.paused && !self.has_room());
        if std::mem::replace(&mut self.paused, pause) != pause {
            out.push(if pause { Command::Pause } else { Command::Resume });
        }
    }
}

//! How a run ends: at the end of the topic, at a stop, or at an error.

use std::time::Instant;

use service::telemetry::millis;

use crate::{
    Error, Pipeline,
    core::{
        interface::Command,
        jobs::Job,
        mutation::{self, Mutation},
        schedule::{RefreshOf, Repartition},
    },
};

use super::{Consumer, Ending, STOP_REFRESHING, STOP_STORING};

impl<P: Pipeline> Consumer<P> {
    /// Whether this consumer has nothing more to do in a run until the end.
    pub(super) fn is_done(&self) -> bool {
        let idle = self.unanswered.batches == 0 && !self.unanswered.refresh && !self.shards.has_range();
        let refreshed = self.shards.is_empty() || self.schedule.is_prompt_done();
        self.settings.until_end && self.group.member && idle && self.shards.are_reading() && refreshed
    }

    /// Ends a run until the end once all partitions of the topic are refreshed, also those of other consumers.
    pub(super) fn end_if_done(&mut self, now: Instant, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        let is_complete = self.schedule.is_complete() || mutation::is(Mutation::EndsBeforeOthers);
        if !self.is_done() || !is_complete {
            return Ok(());
        }
        if self.settings.repartition && *self.schedule.repartition() != Repartition::Done {
            if *self.schedule.repartition() == Repartition::No {
                return self.repartition(out);
            }
            return Ok(());
        }
        self.end(now, out);
        Ok(())
    }

    /// Has every group moved whose newest record came from another partition than its owner.
    pub(super) fn repartition(&mut self, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        let mut all = self.shards.iter_mut().filter(|shard| self.ends.keys().all(|end| shard.partitions.contains(end)));
        let Some(shard) = all.next() else { return Err(Error::NotSoleOwner) };
        let number = shard.number;
        let Some(memory) = shard.memory_mut() else { return Ok(()) };
        let moves = Box::new(memory.moves());
        *self.schedule.repartition() = Repartition::Requested;
        self.unanswered.repartition = true;
        out.push(Command::Job(Job::Repartition { shard: number, moves }));
        Ok(())
    }

    pub(super) fn end(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        self.commit_offsets(now, out);
        self.ended = true;
        out.push(Command::End);
    }

    /// Stores and refreshes what was read. The client is of no more use; another one goes on from what is stored.
    pub(super) fn client_lost(&mut self, now: Instant, reason: String, out: &mut Vec<Command<P>>) {
        let error = self.watch.client_lost(reason, self.group.member);
        self.begin_ending(now, Some(error), out);
    }

    pub(super) fn begin_ending(&mut self, now: Instant, error: Option<Error>, out: &mut Vec<Command<P>>) {
        if self.ending.is_none() {
            self.settling = None;
            self.send_batch(out);
            self.ending = Some(Ending { began: now, refreshed: false, error });
        }
    }

    /// Goes on ending, if it has begun to; whether it has.
    pub(super) fn go_on_ending(&mut self, now: Instant, out: &mut Vec<Command<P>>) -> Result<bool, Error> {
        let Some(ending) = &self.ending else { return Ok(false) };
        let took = now.duration_since(ending.began);
        let stores = (self.unanswered.batches > 0 || self.lookup.is_some()) && took < STOP_STORING;
        // One may be under way, of what had been read before.
        let refreshes = self.unanswered.refresh && took < STOP_REFRESHING;
        let waits = self.schedule.postponed_until(now).is_some() && took < STOP_REFRESHING;
        if stores || refreshes || waits {
            return Ok(true);
        }
        let may_refresh = !self.settings.until_end && self.unanswered.batches == 0 && self.wants_refresh();
        if may_refresh && !ending.refreshed {
            self.refresh(now, RefreshOf::Behind, out);
            self.ending.iter_mut().for_each(|ending| ending.refreshed = true);
            return Ok(true);
        }
        let ending = self.ending.take();
        if let Some(error) = ending.and_then(|ending| ending.error) {
            self.ended = true;
            return Err(error);
        }
        self.end(now, out);
        tracing::info!(stopped_in_ms = millis(took), "stopped");
        Ok(true)
    }
}

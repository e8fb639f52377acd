//! When the state tables are refreshed, and the progress of all partitions is read.

use std::time::Instant;

use crate::{
    Pipeline,
    core::{
        interface::Command,
        jobs::Job,
        mutation::{self, Mutation},
        refresh::Refresh,
        residency::{Limits, Tail},
        schedule::RefreshOf,
        shard::{Memory, Shard},
    },
};

use super::{Consumer, MAX_FLUSH_BYTES, SETTLE, Settling};

impl<P: Pipeline> Consumer<P> {
    /// Whether anything waits for a refresh, and one may be made.
    pub(super) fn wants_refresh(&self) -> bool {
        let wants = |memory: &Memory<P>| memory.is_behind() && memory.may_refresh();
        !self.unanswered.refresh && self.shards.memories().any(wants)
    }

    pub(super) fn refresh_if_due(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        if self.unanswered.refresh || self.shards.is_empty() || self.schedule.postponed_until(now).is_some() {
            return;
        }
        if let Some(Settling { of, since }) = self.settling {
            let is_due = self.is_settled() || now.duration_since(since) >= SETTLE;
            return if is_due {
                self.make_refresh(now, of, out)
            };
        }
        let prompt = self.schedule.is_prompt(&self.shards, &self.ends);
        let regular =
            self.wants_flush() || self.wants_refresh() && self.schedule.next_refresh().is_some_and(|due| due <= now);
        if prompt || regular || self.shards.iter().any(Shard::is_owing) {
            let of = match (prompt, regular) {
                (true, _) => RefreshOf::All,
                (false, true) => RefreshOf::Behind,
                (false, false) => RefreshOf::Owing,
            };
            self.refresh(now, of, out);
        }
    }

    /// Whether a refresh is to be made for what it writes to the cold store: memory is full, or a load would take too long.
    pub(super) fn wants_flush(&self) -> bool {
        let limit = self.tail_limit();
        let is_long = |memory: &Memory<P>| memory.groups.tails.values().any(|tail| tail.facts() > limit);
        !self.unanswered.refresh
            && (self.facts_bytes() > self.settings.facts_memory || self.shards.memories().any(is_long))
    }

    /// How many facts of an owner partition a load may have to read.
    fn tail_limit(&self) -> usize {
        self.settings.tail_facts / self.group.assigned.len().max(1)
    }

    /// Whether all that was read is sent.
    fn is_settled(&self) -> bool {
        self.shards.memories().all(Memory::is_settled)
    }

    /// Sends a refresh; where groups leave memory, once all that was read is sent.
    pub(super) fn refresh(&mut self, now: Instant, of: RefreshOf, out: &mut Vec<Command<P>>) {
        if !mutation::is(Mutation::RefreshOvertakesBatch) && !mutation::is(Mutation::FlushOvertakesBatch) {
            self.send_batch(out);
        }
        let leave = self.shards.memories().any(|memory| memory.groups.leave());
        let overtakes = mutation::is(Mutation::FlushOvertakesBatch);
        if leave && !self.is_settled() && self.ending.is_none() && !overtakes {
            self.settling = Some(Settling { of, since: now });
        } else {
            self.make_refresh(now, of, out);
        }
    }

    fn make_refresh(&mut self, now: Instant, of: RefreshOf, out: &mut Vec<Command<P>>) {
        self.settling = None;
        let (held, limit, mut is_any_left) = (self.facts_bytes(), self.tail_limit(), false);
        let is_full = self.wants_flush();
        let overtakes = mutation::is(Mutation::FlushOvertakesBatch);
        let mut refresh = Refresh::new(self.schedule.target(&self.ends, self.settings.compacted));
        for shard in self.shards.iter_mut() {
            let (number, is_owing, partitions) = (shard.number, shard.is_owing(), shard.partitions.clone());
            // Where memory is full, it cannot wait until a topic that was recreated is read.
            let may = |memory: &&mut Memory<P>| memory.may_refresh() || is_full && memory.groups.leave();
            let Some(memory) = shard.memory_mut().filter(may) else { continue };
            if !memory.is_settled() && !overtakes {
                is_any_left = true;
                continue;
            }
            let is_of = match of {
                RefreshOf::All => true,
                RefreshOf::Behind => memory.is_behind() || memory.groups.leave(),
                RefreshOf::Owing => is_owing,
            };
            if is_of {
                let rows = memory.groups.begin_refresh(&self.pipeline);
                let flush = memory.groups.leave().then(|| {
                    // Its share of what all may hold.
                    let share = |all: usize| all.saturating_mul(memory.groups.bytes()).checked_div(held).unwrap_or(all);
                    let before = |(owner, tail): (&u16, &Tail)| Some((*owner, tail.flush_before(limit)?));
                    let limits = Limits {
                        budget: share(self.settings.facts_memory),
                        flush: share(MAX_FLUSH_BYTES),
                        flush_before: memory.groups.tails.iter().filter_map(before).collect(),
                    };
                    memory.groups.begin_flush(&partitions, &limits)
                });
                refresh.add(number, rows, memory.cursors.refreshed_to(), flush);
            }
        }
        if refresh.parts.is_empty() {
            return;
        }
        // That which must not wait is still to be made of those that are left out.
        self.schedule.made(now, if is_any_left && of == RefreshOf::All { RefreshOf::Behind } else { of });
        self.unanswered.refresh = true;
        out.push(Command::Job(Job::Refresh(Box::new(refresh))));
    }

    pub(super) fn may_read_progress(&self) -> bool {
        !self.unanswered.progress_read && self.group.member
    }

    /// Reads the progress of every partition, if it is time to.
    pub(super) fn read_progress_if_due(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        if self.may_read_progress() && self.schedule.next_progress_read(now, self.is_done()) <= now {
            let number = self.numbers.draw();
            self.schedule.read_progress(now, number, self.shards.progress(), self.unanswered.refresh);
            self.unanswered.progress_read = true;
            let keys = self.shards.iter().filter_map(Shard::blocked_by).map(|by| by.key.clone()).collect();
            out.push(Command::Job(Job::ReadProgress { number, keys }));
        }
    }
}

//! When the state tables are refreshed, and the progress of all partitions is read.

use std::time::Instant;

use crate::{
    Pipeline,
    core::{
        interface::Command,
        jobs::Job,
        mutation::{self, Mutation},
        refresh::Refresh,
        schedule::RefreshOf,
        shard::{Memory, Shard},
    },
};

use super::Consumer;

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
        let prompt = self.schedule.is_prompt(&self.shards, &self.ends);
        let regular = self.wants_refresh() && self.schedule.next_refresh().is_some_and(|due| due <= now);
        if prompt || regular || self.shards.iter().any(Shard::is_owing) {
            let of = match (prompt, regular) {
                (true, _) => RefreshOf::All,
                (false, true) => RefreshOf::Behind,
                (false, false) => RefreshOf::Owing,
            };
            self.refresh(now, of, out);
        }
    }

    /// Sends a refresh.
    pub(super) fn refresh(&mut self, now: Instant, of: RefreshOf, out: &mut Vec<Command<P>>) {
        if !mutation::is(Mutation::RefreshOvertakesBatch) {
            self.send_batch(out);
        }
        let mut refresh = Refresh::new(self.schedule.target(&self.ends, self.settings.compacted));
        for shard in self.shards.iter_mut() {
            let (number, is_owing) = (shard.number, shard.is_owing());
            let Some(memory) = shard.memory_mut().filter(|memory| memory.may_refresh()) else { continue };
            let is_of = match of {
                RefreshOf::All => true,
                RefreshOf::Behind => memory.is_behind(),
                RefreshOf::Owing => is_owing,
            };
            if is_of {
                refresh.add(number, memory.groups.begin_refresh(&self.pipeline), memory.cursors.refreshed_to());
            }
        }
        if refresh.parts.is_empty() {
            return;
        }
        self.schedule.made(now, of);
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

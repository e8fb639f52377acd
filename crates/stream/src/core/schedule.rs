//! When the state tables are refreshed, and when all is done.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    Pipeline,
    core::{
        check::{Refusal, check_refresh},
        interface::Settings,
        mutation::{self, Mutation},
        offsets::PartitionRow,
        refresh::{PartitionProgress, Target},
        shard::Memory,
        shards::Shards,
    },
};

/// How often a consumer compares what is stored with what it has. It would not notice otherwise, while no record comes,
/// that it was fenced: seldom enough to cost nothing, often enough to be reading again within 20 s.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// How often one that is done checks whether the others are.
const COMPARE_DONE_EVERY: Duration = Duration::from_millis(250);

/// How often a refresh is tried while another replica makes one. No session waits for it in PostgreSQL, since batches
/// use the same one.
const RETRY_EVERY: Duration = Duration::from_millis(200);

/// What has been refreshed, what is known of the others, and what is left to do at the end.
#[derive(Debug)]
pub(crate) struct Schedule {
    every: Duration,
    until_end: bool,
    /// When the last refresh was answered.
    last: Instant,
    /// Whether the refresh that must not wait was made: on catching up, or at the end.
    prompt_done: bool,
    /// The read of the progress that is not answered yet.
    progress_read: Option<ProgressRead>,
    last_progress_read: Option<Instant>,
    /// Whether the topic is refreshed to the end, as far as is known.
    complete: bool,
    /// What was stored when the topic's ends were reached first, see [`Target`].
    last_ids: Option<BTreeMap<i32, i64>>,
    repartition: Repartition,
    /// Since when something stored waits for a refresh.
    behind_since: Option<Instant>,
    /// Until when no refresh is made, since another replica makes one.
    postponed_until: Option<Instant>,
    /// When the refresh under way was made.
    made_at: Option<Instant>,
}

/// A read under way, and the progress that was expected then of every partition of each shard.
#[derive(Debug)]
struct ProgressRead {
    number: u64,
    expected: BTreeMap<u64, Vec<PartitionProgress>>,
    /// Whether a refresh was under way: then it is not known where the state tables are.
    refreshing: bool,
}

/// Of which shards a refresh is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshOf {
    /// Of all: it must not wait.
    All,
    /// Of those that have changed groups.
    Behind,
    /// Of those that are read only once what they owe is refreshed.
    Owing,
}

/// How far `consumer repartition` is with what it does at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repartition {
    /// Not requested, or not wanted.
    No,
    Requested,
    Done,
}

impl Schedule {
    /// Nothing refreshed yet.
    pub(crate) fn new(now: Instant, settings: &Settings) -> Self {
        Self {
            every: settings.refresh_every,
            until_end: settings.until_end,
            last: now,
            prompt_done: false,
            progress_read: None,
            last_progress_read: None,
            complete: false,
            last_ids: None,
            repartition: Repartition::No,
            behind_since: None,
            postponed_until: None,
            made_at: None,
        }
    }

    /// Partitions were taken over, or memory was dropped: what was known of the end is void.
    pub(crate) fn begin(&mut self) {
        self.progress_read = None;
        self.complete = false;
        self.last_ids = None;
        self.repartition = Repartition::No;
        self.prompt_done &= !self.until_end;
    }

    /// Whether a refresh is due that must not wait, of all shards: when all has been read for the first time, or at the end of a run.
    pub(crate) fn is_prompt<P: Pipeline>(&self, shards: &Shards<P>, ends: &BTreeMap<i32, i64>) -> bool {
        let is_read = if self.until_end { shards.reached(ends) } else { shards.at_end() };
        !self.prompt_done && is_read && shards.memories().all(Memory::may_refresh)
    }

    /// When the next refresh of changes is due; at the end only, where a run has one.
    pub(crate) fn next_refresh(&self) -> Option<Instant> {
        (!self.until_end).then(|| self.last + self.every)
    }

    /// A refresh is made.
    pub(crate) fn made(&mut self, now: Instant, of: RefreshOf) {
        self.prompt_done |= of == RefreshOf::All;
        self.made_at = (of != RefreshOf::Owing).then_some(now);
    }

    /// A refresh is stored.
    pub(crate) fn refreshed(&mut self, now: Instant, complete: bool) {
        self.complete = complete;
        let Some(made_at) = self.made_at else { return };
        self.last = now;
        // What still waits was stored after it was made: under a steady load something always waits, but not for long.
        if self.behind_since.is_some() {
            self.behind_since = Some(made_at);
        }
    }

    /// A refresh is not stored, and its groups still wait for one.
    pub(crate) fn not_refreshed(&mut self) {
        self.prompt_done = false;
    }

    /// No refresh is made for a while: another replica makes one.
    pub(crate) fn postpone(&mut self, now: Instant) {
        self.not_refreshed();
        self.postponed_until = Some(now + RETRY_EVERY);
    }

    /// Until when no refresh is made; `None` where one may be.
    pub(crate) fn postponed_until(&self, now: Instant) -> Option<Instant> {
        self.postponed_until.filter(|until| now < *until)
    }

    /// Notes whether something stored waits for a refresh, and since when.
    pub(crate) fn note_behind(&mut self, now: Instant, behind: bool) {
        self.behind_since = if behind { self.behind_since.or(Some(now)) } else { None };
    }

    /// Since when something stored waits for a refresh.
    pub(crate) fn behind_since(&self) -> Option<Instant> {
        self.behind_since
    }

    /// How far the run is to go.
    pub(crate) fn target(&self, ends: &BTreeMap<i32, i64>, compacted: bool) -> Target {
        Target { ends: ends.clone(), last_ids: self.last_ids.clone(), compacted }
    }

    /// When to read the progress next; `is_done` says whether nothing else is left to do.
    pub(crate) fn next_progress_read(&self, now: Instant, is_done: bool) -> Instant {
        let every = if is_done { COMPARE_DONE_EVERY } else { COMPARE_EVERY };
        self.last_progress_read.map_or(now, |last| last + every)
    }

    /// The progress is being read. Jobs are done in order: what was sent before is stored by then, and what is sent
    /// later is not.
    pub(crate) fn read_progress(
        &mut self,
        now: Instant,
        number: u64,
        expected: BTreeMap<u64, Vec<PartitionProgress>>,
        refreshing: bool,
    ) {
        self.progress_read = Some(ProgressRead { number, expected, refreshing });
        self.last_progress_read = Some(now);
    }

    /// Compares what is stored with what was expected when the read was sent. Returns the shards whose memory is to be
    /// dropped, and why, those included that were dropped since. The answer to a cancelled read changes nothing.
    pub(crate) fn compare<P: Pipeline>(
        &mut self,
        number: u64,
        stored: &[PartitionRow],
        mut target: Target,
        shards: &Shards<P>,
    ) -> Vec<(u64, Refusal)> {
        let Some(read) = self.progress_read.take_if(|read| read.number == number) else { return Vec::new() };
        target.note(stored);
        self.complete = target.is_reached(stored);
        self.last_ids = target.last_ids;
        let mut expected = read.expected;
        if mutation::is(Mutation::ComparedTooLate) {
            expected = shards.progress();
        }
        for expected in expected.values_mut().flatten().filter(|_| read.refreshing) {
            let row = stored.iter().find(|row| row.partition == expected.partition);
            expected.refreshed = row.and_then(|row| row.refreshed_through);
        }
        expected.into_iter().filter_map(|(shard, to)| Some((shard, check_refresh(&to, stored)?))).collect()
    }

    /// Whether the refresh of the end is made, by a consumer that has partitions.
    pub(crate) fn is_prompt_done(&self) -> bool {
        self.prompt_done
    }

    /// Whether the topic is refreshed to the end, as far as is known.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// How far `consumer repartition` is.
    pub(crate) fn repartition(&mut self) -> &mut Repartition {
        &mut self.repartition
    }
}

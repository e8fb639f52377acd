//! The consumer's state, and what is done first when something happens.

mod answers;
mod assignment;
mod ending;
#[cfg(test)]
mod inspect;
mod kafka_state;
mod loading;
mod reading;
mod refreshing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Error, Pipeline,
    core::{
        batch::MAX_BATCH_BYTES,
        groups::Met,
        interface::{Command, Input, Settings, Takes},
        kafka::Right,
        mutation::{self, Mutation},
        numbers::Numbers,
        offsets::Feed,
        readiness::{self, View},
        reject_budget::RejectBudget,
        schedule::{RefreshOf, Schedule},
        shard::Shard,
        shards::Shards,
        watch::{Client, KafkaWatch},
    },
    kafka_errors::Decision,
};

/// Batches that may be sent and not answered: with fewer the disk is waited for more often, since those that wait are stored
/// together; more would only take memory.
const IN_FLIGHT: usize = 4;
/// The most jobs that may be unanswered: the batches, a refresh, a read of the progress, a repartition.
pub(crate) const JOBS: usize = IN_FLIGHT + 3;
/// How many loads may be under way at once: each takes a connection, and memory.
const MOST_LOADS: usize = 2;
/// A trickle of records is stored after this time, even if it never pauses.
const BATCH_AGE: Duration = Duration::from_millis(500);
/// The same of a feed with windows, to which few records come at a time: each transaction costs a segment.
const TRICKLE_AGE: Duration = Duration::from_secs(5);
/// A batch of windows with less records stays open for longer: twenty readings a second are not to be twenty transactions.
const TRICKLE: usize = 1_000;
/// How long a refresh waits at most until groups are looked up, and all that was read is sent. What is not by then is left out of it.
const SETTLE: Duration = Duration::from_secs(1);
/// So many groups that records wait for are looked up together at most.
const LOOKUP: usize = 256;
/// What the facts take in memory that a refresh writes to the cold store at most; where that is not enough, another one follows at
/// once.
const MAX_FLUSH_BYTES: usize = 4 << 20;
/// How long to wait before a missing topic is checked again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Where PostgreSQL takes longer than this to answer, Kafka is polled meanwhile, with all partitions paused.
const BUSY: Duration = Duration::from_secs(1);
/// How long a fenced consumer waits for a rebalance that it may have missed, before it claims again what it believes to
/// own. That is longer than a heartbeat, or two consumers would fence each other by turns.
const AFTER_A_FENCE: Duration = Duration::from_secs(4);
/// How long each request to Kafka may take: longer than any healthy response, shorter than a person's patience.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a request that only checks whether Kafka and the topic are available.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(2);
/// The share of the 20 s stop deadline in which batches may still be stored.
const STOP_STORING: Duration = Duration::from_secs(10);
/// The share of it in which a refresh may still end; the rest is for leaving the group.
const STOP_REFRESHING: Duration = Duration::from_secs(15);
/// How long one poll may wait for a record; signals and answers are checked in between.
const POLL: Duration = Duration::from_millis(50);
/// How long one poll may wait while an answer is about to come.
const AWAITED: Duration = Duration::from_millis(1);

/// The state of our membership in the group.
struct Assignment {
    /// The partitions that are ours.
    assigned: BTreeSet<i32>,
    /// Those of them that are fetched.
    fetched: BTreeSet<i32>,
    /// Whether the group has ever given us our part, which may be none.
    member: bool,
    /// Since when it gives us none; `None` while an assignment is in force.
    unassigned: Option<Instant>,
    began: Instant,
}

/// Jobs that are not answered yet. A shard that changes meanwhile frees none of their slots.
#[derive(Debug, Default)]
struct Unanswered {
    batches: usize,
    refresh: bool,
    /// The read of every partition's progress.
    progress_read: bool,
    repartition: bool,
}

/// The totals of the open batch, over all its parts.
#[derive(Debug, Default)]
struct OpenBatch {
    records: usize,
    bytes: usize,
    /// When its first record came.
    since: Option<Instant>,
}

/// The end of a run: what was read is stored and refreshed, as far as the time allows.
struct Ending {
    began: Instant,
    /// Whether the last refresh was made.
    refreshed: bool,
    /// The error that is returned then; `None` for a stop.
    error: Option<Error>,
}

/// A refresh that waits until all that was read is sent: it writes facts to the cold store, and says up to which id.
#[derive(Clone, Copy, Debug)]
struct Settling {
    of: RefreshOf,
    since: Instant,
}

/// Why Kafka is queried about the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To begin reading what was loaded by then: what Kafka had before says nothing of it.
    Begin,
    /// To check whether it exists.
    Presence,
    /// To see whether a transaction is over that a partition waits for.
    Transaction(i32),
}

/// A consumer's decisions.
pub(crate) struct Consumer<P: Pipeline> {
    settings: Settings,
    pipeline: Arc<P>,
    feed: Arc<Feed>,
    /// The end of every partition of the topic, as seen at start; lower where it has fallen.
    ends: BTreeMap<i32, i64>,
    /// The end of every partition as it was seen last.
    latest_ends: BTreeMap<i32, i64>,
    numbers: Numbers,
    shards: Shards<P>,
    /// Whether keys are spread over partitions: then all partitions are one shard.
    spread: bool,
    /// Whether that was found out and is still to be stored.
    notes_spread: bool,
    /// Whether the shards are to become one, once nothing of them is unanswered.
    joins: bool,
    /// The loads under way, each with the partitions that it may still claim.
    loads: BTreeMap<u64, Vec<i32>>,
    open: OpenBatch,
    rejects: RejectBudget,
    group: Assignment,
    unanswered: Unanswered,
    schedule: Schedule,
    watch: KafkaWatch,
    topic_query: Option<(u64, Purpose)>,
    /// The lookup under way of groups that records wait for.
    lookup: Option<u64>,
    /// A refresh that is made once all that was read is sent.
    settling: Option<Settling>,
    ending: Option<Ending>,
    /// Since when there has been no room for another batch.
    full_since: Option<Instant>,
    paused: bool,
    ended: bool,
}

impl<P: Pipeline> Consumer<P> {
    /// A consumer that is about to join its group, and is to read a topic with these ends.
    pub(crate) fn new(
        now: Instant,
        pipeline: Arc<P>,
        feed: Arc<Feed>,
        settings: Settings,
        client: Client,
        ends: BTreeMap<i32, i64>,
    ) -> Self {
        Self {
            shards: Shards::default(),
            // To move keys all of them are to be seen together.
            spread: settings.repartition,
            notes_spread: false,
            joins: false,
            loads: BTreeMap::new(),
            open: OpenBatch::default(),
            rejects: RejectBudget::new(pipeline.rejects_per_day()),
            group: Assignment {
                assigned: BTreeSet::new(),
                fetched: BTreeSet::new(),
                member: false,
                unassigned: Some(now),
                began: now,
            },
            unanswered: Unanswered::default(),
            schedule: Schedule::new(now, &settings),
            watch: KafkaWatch::new(client),
            topic_query: None,
            lookup: None,
            settling: None,
            ending: None,
            full_since: None,
            paused: false,
            ended: false,
            numbers: Numbers::default(),
            latest_ends: ends.clone(),
            ends,
            settings,
            pipeline,
            feed,
        }
    }

    /// Takes in what has happened, and adds what is to be done.
    ///
    /// # Errors
    /// The error that ends a consumer.
    pub(crate) fn on(&mut self, now: Instant, input: Input<'_, P>, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        match input {
            // Records come by the million: nothing else is checked for each of them.
            Input::Record { fetch, message } => return self.record(now, fetch, &message, out),
            Input::Tick => {}
            Input::Stop => self.begin_ending(now, None, out),
            Input::Assigned(partitions) => self.assigned(now, &partitions, out),
            Input::Revoked(partitions) => self.revoked(now, partitions, out),
            Input::EndOfPartition { fetch, partition } => self.end_of_partition(now, fetch, partition, out),
            Input::Idle if self.is_trickle(now) => {}
            Input::Idle => self.send_batch(out),
            Input::Topic { query, response } => self.topic(now, query, response, out)?,
            Input::KafkaFailed(failure) => self.kafka_failed(now, &failure, out)?,
            Input::OffsetsCommitted(Ok(())) => self.watch.grants(Right::ReadGroup),
            Input::OffsetsCommitted(Err(failure)) if matches!(failure.decision, Decision::Denied(_)) => {
                self.kafka_failed(now, &failure, out)?;
            }
            Input::OffsetsCommitted(Err(_)) => {}
            Input::GroupDenied => self.watch.denies(now, Right::ReadGroup, &self.group.fetched),
            Input::Behind(mut behind) => {
                behind.retain(|partition, _| !self.shards.is_stall_reported(*partition));
                self.watch.check_transactions(now, &behind);
            }
            Input::TopicRecreated if mutation::is(Mutation::RecreationIgnored) => {}
            Input::TopicRecreated => return Err(self.topic_recreated()),
            Input::ClientLost(reason) => self.client_lost(now, reason, out),
            Input::Claimed(load) => self.loads.get_mut(&load).into_iter().for_each(Vec::clear),
            Input::Loaded { load, loaded } => self.loaded(load, loaded, out)?,
            Input::LookedUp { lookup, rows } => self.looked_up(lookup, rows?, out)?,
            Input::Answer(answer) => self.answer(now, answer, out)?,
        }
        self.go_on(now, out)
    }

    /// When [`Consumer::on`] is to be called at the latest, if nothing happens before.
    pub(crate) fn wakes_at(&self, now: Instant) -> Instant {
        if let Some(ending) = &self.ending {
            let storing = self.unanswered.batches > 0 && now < ending.began + STOP_STORING;
            let deadline = ending.began + if storing { STOP_STORING } else { STOP_REFRESHING };
            return self.schedule.postponed_until(now).map_or(deadline, |until| until.min(deadline));
        }
        let full = self.full_since.filter(|_| !self.paused).map(|since| since + BUSY);
        let age = self.open.since.filter(|_| self.lookup.is_none()).map(|since| since + self.batch_age());
        let settled = self.settling.map(|settling| settling.since + SETTLE);
        let load = self.shards.iter().filter_map(|shard| self.load_at(shard)).min();
        let refresh = self.wants_refresh().then(|| self.schedule.next_refresh()).flatten();
        let refresh = refresh.filter(|_| self.settling.is_none());
        let postponed = self.schedule.postponed_until(now);
        let refresh = refresh.map(|at| postponed.map_or(at, |until| until.max(at)));
        let progress_read = self.may_read_progress().then(|| self.schedule.next_progress_read(now, self.is_done()));
        let stall = self.may_query_transactions().then(|| self.shards.stalled_until()).flatten();
        let kafka = self.watch_wakes_at(now);
        let wakes = [full, age, settled, load, refresh, postponed, progress_read, stall, kafka];
        let commit = self.watch.commit_due(now);
        wakes.into_iter().flatten().chain([commit]).min().unwrap_or(commit)
    }

    /// Whether a record may come.
    pub(crate) fn takes_records(&self) -> bool {
        !self.paused && self.may_take() && self.ending.is_none()
    }

    /// What is to be waited for, and how long.
    pub(crate) fn takes(&self) -> Takes {
        if self.ending.is_some() {
            return Takes::Answers(POLL);
        }
        if self.paused {
            return Takes::Group(POLL);
        }
        if !self.may_take() {
            return Takes::Answers(POLL);
        }
        // With nothing to read, answers are received at once.
        let is_answer_near = self.unanswered.batches > 0
            || self.unanswered.refresh
            || !self.loads.is_empty()
            || matches!(self.topic_query, Some((_, Purpose::Begin)));
        Takes::Records(if is_answer_near && self.shards.read_are_at_end() { AWAITED } else { POLL })
    }

    /// What keeps us from being ready, PostgreSQL aside; empty when nothing does.
    pub(crate) fn unready(&self, postgres: Vec<String>) -> Vec<String> {
        let hides = mutation::is(Mutation::ReadyWhileWaiting);
        let of = |are: fn(&Shard<P>) -> bool| if hides { Vec::new() } else { self.shards.partitions(are) };
        let blocked: BTreeSet<String> =
            self.shards.iter().filter_map(Shard::blocked_by).map(|by| by.error().to_string()).collect();
        readiness::unready(View {
            assigned: self.group.unassigned.is_none(),
            waiting: if self.joins { self.group.assigned.iter().copied().collect() } else { of(Shard::is_waiting) },
            loading: if self.joins { Vec::new() } else { of(|shard| shard.load().is_some() || shard.is_owing()) },
            blocked: blocked.into_iter().collect(),
            kafka: self.watch.reason(),
            denied: self.watch.denials(),
            postgres,
        })
    }

    /// The number of facts in memory.
    pub(crate) fn facts(&self) -> usize {
        self.shards.facts()
    }

    /// What facts take in memory, in bytes, where groups leave it.
    pub(crate) fn facts_bytes(&self) -> usize {
        self.shards.memories().filter(|memory| memory.groups.leave()).map(|memory| memory.groups.bytes()).sum()
    }

    /// What has happened to records and groups since this was last asked.
    pub(crate) fn take_met(&mut self) -> Met {
        let memories = self.shards.iter_mut().filter_map(Shard::memory_mut);
        memories.fold(Met::default(), |sum, memory| sum.plus(memory.groups.take_met()))
    }

    /// Since when something stored waits for a refresh.
    pub(crate) fn behind_since(&self) -> Option<Instant> {
        self.schedule.behind_since()
    }

    /// Everything that is due by now, in the order of its urgency.
    fn go_on(&mut self, now: Instant, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        if self.ended || self.go_on_ending(now, out)? {
            return Ok(());
        }
        self.join_if_due(now, out);
        self.load_if_due(now, out);
        self.check_kafka(now, out)?;
        let is_old = self.open.since.is_some_and(|since| now.duration_since(since) > self.batch_age());
        if is_old && self.lookup.is_none() {
            self.send_batch(out);
        }
        self.note_room(now);
        self.pause_or_resume(now, out);
        self.schedule.note_behind(now, self.shards.unrefreshed());
        self.refresh_if_due(now, out);
        self.read_progress_if_due(now, out);
        self.end_if_done(now, out)
    }
}

impl OpenBatch {
    fn add(&mut self, now: Instant, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
        self.since.get_or_insert(now);
    }

    fn remove(&mut self, records: usize, bytes: usize) {
        self.records = self.records.saturating_sub(records);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn is_full(&self, max_records: usize) -> bool {
        self.records >= max_records || self.bytes >= MAX_BATCH_BYTES
    }
}

//! What a consumer decides, without doing any of it: no client of Kafka, no connection, no clock.
//!
//! [`Consumer::on`] takes what has happened, and when, and gives what is to be done. `kafka/driver.rs` does the part of Kafka,
//! `postgres/` that of PostgreSQL. What is asked for has a number, which its answer brings back.
//! So an answer to something that was given up meanwhile is told from one that is waited for.
//!
//! | what happens | what follows | where |
//! |---|---|---|
//! | the group assigns partitions | that is answered at once. They wait, are claimed and loaded, compared with the offsets that Kafka has, and read, each shard for itself; others are read meanwhile | [`shard::State`] |
//! | it revokes partitions | the open batch is sent, their shards are dropped, and they are given back at once. What is in hand is stored, or refused once another consumer has claimed them | `revoked` |
//! | it revokes partitions that are being loaded | a load that may still claim them is given up, and what else it was for is claimed anew. Later, it goes on where other shards wait for it, and what it brings of them is ignored | `give_up_claims`, `let_go` |
//! | a COMMIT is in doubt | `postgres/retry.rs` sends the same batch again, with the same batch number. Where the stored offset is the one that it expects, it is stored now; where it is the batch's own end, it was stored before | [`check::check_commit`] |
//! | another consumer has claimed a partition | its epoch is newer: what its shard has in a batch or refresh is refused, and the rest is stored. A shard that has nothing to store finds it within 5 s, by reading the stored progress. Its memory is dropped; after [`AFTER_A_FENCE`] it is claimed and loaded again where it is still ours | [`check::Refusal::Fenced`], `recover` |
//! | a key belongs to another partition, and that is ours | the topic has no keys: all partitions become one shard, and that is remembered | `unite` |
//! | a key belongs to a partition that another consumer holds | the shard is blocked, once it has told what it owes; its key is asked for with the progress | `recover`, [`shard::State::Blocked`] |
//! | an answer comes of what was given up | it frees its place, and nothing else | `answer`, [`Unanswered`] |
//! | it is time to stop | the open batch is stored and told, as far as the time allows | `go_on_ending` |

pub(crate) mod batch;
pub(crate) mod check;
pub(crate) mod cursor;
pub(crate) mod facts;
pub(crate) mod groups;
mod interface;
pub(crate) mod jobs;
pub(crate) mod kafka;
pub(crate) mod mutation;
mod numbers;
pub(crate) mod offsets;
mod readiness;
pub(crate) mod refresh;
pub(crate) mod repartition;
mod schedule;
pub(crate) mod shard;
mod shards;
pub(crate) mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use service::telemetry::millis;

use crate::{
    Error, Pipeline,
    core::{
        batch::{Batch, MAX_BATCH_BYTES},
        check::{KeyMoved, Refusal},
        cursor::{Cursor, Verdict},
        groups::Groups,
        jobs::{Answer, Claim, Job, Load, Loaded, LoadedShard, Outcome, ShardOutcome},
        kafka::{Failure, Limits, Look, Right, Seen},
        mutation::Mutation,
        numbers::Numbers,
        offsets::{Feed, Stored},
        readiness::View,
        refresh::{Refresh, RefreshedTo},
        schedule::{RefreshOf, Repartition, Schedule},
        shard::{Begun, Held, Known, Memory, Shard},
        shards::Shards,
        watch::{Client, Watch},
    },
    kafka_errors::{Decision, Resource},
};

pub(crate) use interface::{Command, Fetch, Input, Message, Settings, Takes};

/// Batches that may be sent and not answered: with fewer the disk is waited for more often, since those that wait are stored
/// together; more would only take memory.
const IN_FLIGHT: usize = 4;
/// The most jobs that may be unanswered: the batches, a refresh, a read of the progress, a repartition.
pub(crate) const JOBS: usize = IN_FLIGHT + 3;
/// How many loads may be under way at once: each takes a connection, and memory.
const MOST_LOADS: usize = 2;
/// A trickle of records is stored after this time, even if it never pauses.
const BATCH_AGE: Duration = Duration::from_millis(500);
/// How long to wait before looking again whether a topic is back.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Where PostgreSQL takes longer than this to answer, Kafka is polled meanwhile, with all partitions paused.
const BUSY: Duration = Duration::from_secs(1);
/// How long a fenced consumer listens for a rebalance it may have slept through before it claims again what it still believes to
/// own: longer than a heartbeat, or two consumers would fence each other by turns.
const AFTER_A_FENCE: Duration = Duration::from_secs(4);
/// How long each request to Kafka may take: longer than any healthy answer, shorter than a person's patience.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The same where it is asked whether Kafka and the topic are there.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(2);
/// The share of the 20 s stop deadline in which batches may still be stored.
const STOP_STORING: Duration = Duration::from_secs(10);
/// The share of it in which a refresh may still end; the rest is for leaving the group.
const STOP_REFRESHING: Duration = Duration::from_secs(15);
/// How long one poll may wait for a record; signals and answers are looked at in between.
const POLL: Duration = Duration::from_millis(50);
/// How long one poll may wait while an answer is about to come.
const AWAITED: Duration = Duration::from_millis(1);

/// Where our part in the group stands.
struct Group {
    /// The partitions that are ours.
    assigned: BTreeSet<i32>,
    /// Those of them that are fetched.
    fetched: BTreeSet<i32>,
    /// Whether the group has ever given us our part, which may be none.
    member: bool,
    /// Since when it gives us none; `None` while an assignment stands.
    unassigned: Option<Instant>,
    began: Instant,
}

/// Jobs that are not answered yet. What becomes of a shard meanwhile frees none of their places.
#[derive(Debug, Default)]
struct Unanswered {
    batches: usize,
    refresh: bool,
    /// Where every partition stands.
    progress_read: bool,
    repartition: bool,
}

/// What the parts of the open batch hold together.
#[derive(Debug, Default)]
struct OpenBatch {
    records: usize,
    bytes: usize,
    /// When its first record came.
    since: Option<Instant>,
}

/// The way to the end: what is in hand is stored and told, as far as the time allows.
struct Ending {
    began: Instant,
    /// Whether the last refresh was made.
    refreshed: bool,
    /// What is given then; `None` for a stop.
    error: Option<Error>,
}

/// What Kafka is asked about the topic for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To begin reading what was loaded by then: what Kafka had before says nothing of it.
    Begin,
    /// To see whether it is there.
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
    group: Group,
    unanswered: Unanswered,
    schedule: Schedule,
    watch: Watch,
    look: Option<(u64, Purpose)>,
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
        (pipeline, feed): (Arc<P>, Arc<Feed>),
        settings: Settings,
        (client, ends): (Client, BTreeMap<i32, i64>),
    ) -> Self {
        Self {
            shards: Shards::default(),
            // To move keys all of them are to be seen together.
            spread: settings.repartition,
            notes_spread: false,
            joins: false,
            loads: BTreeMap::new(),
            open: OpenBatch::default(),
            group: Group {
                assigned: BTreeSet::new(),
                fetched: BTreeSet::new(),
                member: false,
                unassigned: Some(now),
                began: now,
            },
            unanswered: Unanswered::default(),
            schedule: Schedule::new(now, &settings),
            watch: Watch::new(client),
            look: None,
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
    /// Whatever ends a consumer.
    pub(crate) fn on(&mut self, now: Instant, input: Input<'_, P>, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        match input {
            // A record is the only thing that comes by the million: nothing else is looked at for it.
            Input::Record { fetch, message } => return self.record(now, (fetch, &message), out),
            Input::Tick => {}
            Input::Stop => self.begin_ending(now, None, out),
            Input::Assigned(partitions) => self.assigned(now, &partitions, out),
            Input::Revoked(partitions) => self.revoked(now, partitions, out),
            Input::EndOfPartition { fetch, partition } => self.end_of_partition(now, (fetch, partition), out),
            Input::Idle => self.send_batch(out),
            Input::Topic { look, answer } => self.topic(now, (look, answer), out)?,
            Input::KafkaFailed(failure) => self.kafka_failed(now, &failure, out)?,
            Input::OffsetsTold(Ok(())) => self.watch.grants(Right::ReadGroup),
            Input::OffsetsTold(Err(failure)) if matches!(failure.decision, Decision::Denied(_)) => {
                self.kafka_failed(now, &failure, out)?;
            }
            Input::OffsetsTold(Err(_)) => {}
            Input::GroupDenied => self.watch.denies(now, Right::ReadGroup, &self.group.fetched),
            Input::Behind(mut behind) => {
                behind.retain(|partition, _| !self.shards.is_told_held_up(*partition));
                self.watch.look_behind_transactions(now, &behind);
            }
            Input::TopicCreatedAgain if mutation::is(Mutation::CreatedAgainIgnored) => {}
            Input::TopicCreatedAgain => return Err(self.topic_created_again()),
            Input::ClientLost(reason) => self.client_lost(now, reason, out),
            Input::Claimed(load) => self.loads.get_mut(&load).into_iter().for_each(Vec::clear),
            Input::Loaded { load, loaded } => self.loaded(load, loaded, out)?,
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
        let age = self.open.since.map(|since| since + BATCH_AGE);
        let load = self.shards.iter().filter_map(|shard| self.load_at(shard)).min();
        let refresh = self.wants_refresh().then(|| self.schedule.next_refresh()).flatten();
        let postponed = self.schedule.postponed_until(now);
        let refresh = refresh.map(|at| postponed.map_or(at, |until| until.max(at)));
        let progress_read = self.may_read_progress().then(|| self.schedule.next_progress_read(now, self.is_done()));
        let held_up = self.may_look_behind().then(|| self.shards.held_up_until()).flatten();
        let kafka = self.watch_wakes_at(now);
        let wakes = [full, age, load, refresh, postponed, progress_read, held_up, kafka];
        let tell = self.watch.tell_at(now);
        wakes.into_iter().flatten().chain([tell]).min().unwrap_or(tell)
    }

    /// Whether a record may come.
    pub(crate) fn takes_records(&self) -> bool {
        !self.paused && self.has_room() && self.ending.is_none()
    }

    /// What is to be waited for, and how long.
    pub(crate) fn takes(&self) -> Takes {
        if self.ending.is_some() {
            return Takes::Answers(POLL);
        }
        if self.paused {
            return Takes::Group(POLL);
        }
        if !self.has_room() {
            return Takes::Answers(POLL);
        }
        // With nothing to read, answers are heard at once.
        let is_answer_near = self.unanswered.batches > 0
            || self.unanswered.refresh
            || !self.loads.is_empty()
            || self.look.is_some();
        Takes::Records(if is_answer_near && self.shards.read_are_at_end() { AWAITED } else { POLL })
    }

    /// What keeps us from being ready, beside PostgreSQL; nothing when nothing does.
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

    /// Since when something stored waits to be told.
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
        if self.open.since.is_some_and(|since| now.duration_since(since) > BATCH_AGE) {
            self.send_batch(out);
        }
        self.note_room(now);
        self.pause_or_resume(now, out);
        self.schedule.note_behind(now, self.shards.unrefreshed());
        self.refresh_if_due(now, out);
        self.read_progress_if_due(now, out);
        self.end_if_done(now, out)
    }

    // ---- records

    fn record(
        &mut self,
        now: Instant,
        (fetch, message): (u64, &Message<'_>),
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
            match memory.take(&self.pipeline, &self.feed.topic, (fetch, message)) {
                Verdict::Apply(_) => {
                    self.open.add(now, memory.open.len_bytes() - bytes);
                    self.watch.on_fetched(partition);
                }
                Verdict::Skip => self.watch.on_fetched(partition),
                Verdict::Stale => {}
                Verdict::FetchFrom(offset) => self.fetch_again(&[(partition, Some(offset))], out),
                Verdict::Changed(why) => self.topic_changed(now, (partition, why), out)?,
            }
        }
        // No need to wait for Kafka to say that this was the last record of the run.
        let is_last = end.is_some_and(|end| offset + 1 >= end) && self.shards.reached(&self.ends);
        if is_last || self.open.is_full(self.settings.batch_size) {
            self.send_batch(out);
        }
        Ok(())
    }

    fn end_of_partition(&mut self, now: Instant, (fetch, partition): (u64, i32), out: &mut Vec<Command<P>>) {
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
    fn send_batch(&mut self, out: &mut Vec<Command<P>>) {
        self.open = OpenBatch::default();
        let feed = &self.feed;
        let parts = self.shards.iter_mut().filter_map(|shard| shard.reading_mut()?.take_part(feed)).collect::<Vec<_>>();
        if !parts.is_empty() {
            self.unanswered.batches += 1;
            out.push(Command::Job(Job::Commit(Box::new(Batch { number: None, parts }))));
        }
    }

    fn has_room(&self) -> bool {
        self.unanswered.batches < IN_FLIGHT
    }

    fn note_room(&mut self, now: Instant) {
        self.full_since = if self.has_room() { None } else { self.full_since.or(Some(now)) };
    }

    fn pause_or_resume(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        let is_busy = self.full_since.is_some_and(|since| now.duration_since(since) >= BUSY);
        let pause = is_busy || (self.paused && !self.has_room());
        if std::mem::replace(&mut self.paused, pause) != pause {
            out.push(if pause { Command::Pause } else { Command::Resume });
        }
    }

    // ---- the group

    fn assigned(&mut self, now: Instant, partitions: &[i32], out: &mut Vec<Command<P>>) {
        if !std::mem::replace(&mut self.group.member, true) {
            tracing::info!(joined_in_ms = millis(now.duration_since(self.group.began)), "joined the group");
        }
        tracing::info!(?partitions, "assigned");
        self.group.unassigned = None;
        self.watch.grants(Right::ReadGroup);
        self.watch.answers();
        // The client fetches nothing at all until that is answered.
        out.push(Command::Accept);
        if partitions.is_empty() {
            return;
        }
        self.watch.topic_is_there();
        self.group.assigned.extend(partitions);
        let has_what_blocks = |shard: &Shard<P>| shard.blocked_by().is_some_and(|by| partitions.contains(&by.owner));
        if self.spread {
            self.join_shards(out);
        } else if self.shards.iter().any(has_what_blocks) {
            self.unite(out);
        } else {
            for partition in partitions {
                self.shards.add(Shard::new(self.numbers.draw(), [*partition], now));
            }
        }
    }

    /// What is in hand is sent, and the partitions are given back at once: it is stored, or refused once another consumer has claimed
    /// them.
    fn revoked(&mut self, now: Instant, partitions: Vec<i32>, out: &mut Vec<Command<P>>) {
        tracing::info!(?partitions, "revoked");
        self.send_batch(out);
        let partitions: BTreeSet<i32> = partitions.into_iter().collect();
        self.group.assigned.retain(|partition| !partitions.contains(partition));
        self.group.unassigned = Some(now);
        self.watch.state().forget(&partitions);
        let kept = mutation::is(Mutation::RevokedFactsKept);
        let removed = if kept { Vec::new() } else { self.shards.remove(&partitions) };
        self.group.fetched.retain(|partition| !partitions.contains(partition));
        // First of all: to take out others would answer the revocation.
        out.push(Command::Release(partitions.clone()));
        let release = out.len() - 1;
        self.give_up_claims(now, &partitions);
        self.let_go(removed, out);
        if mutation::is(Mutation::OthersTakenOutFirst) {
            out[release..].rotate_left(1);
        }
        if self.spread {
            self.join_shards(out);
        }
    }

    /// Gives up loads that may still claim one of these partitions, which are another consumer's by now: it would be fenced for nothing.
    fn give_up_claims(&mut self, now: Instant, partitions: &BTreeSet<i32>) {
        let may_claim = |load: u64| {
            self.loads.get(&load).is_some_and(|claimed| claimed.iter().any(|partition| partitions.contains(partition)))
        };
        for shard in self.shards.iter_mut().filter(|shard| shard.load().is_some_and(may_claim)) {
            // It has brought nothing yet.
            shard.give_up_load(now);
        }
    }

    /// Keys are spread over partitions, all of which are ours: there is one shard of all from now on, and at later starts.
    fn unite(&mut self, out: &mut Vec<Command<P>>) {
        tracing::info!("keys come from several partitions: these are loaded and read as one");
        (self.spread, self.notes_spread) = (true, true);
        self.join_shards(out);
    }

    /// Has all partitions become one shard, once nothing of them is unanswered; until then nothing is read.
    fn join_shards(&mut self, out: &mut Vec<Command<P>>) {
        self.send_batch(out);
        self.joins = true;
        let all = self.group.assigned.clone();
        self.stop_fetching(&all, out);
    }

    fn join_if_due(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        if !self.joins {
            return;
        }
        if self.shards.has_range() {
            self.send_batch(out);
        }
        if self.unanswered.batches > 0 || self.unanswered.refresh {
            return;
        }
        self.joins = false;
        let all = self.group.assigned.clone();
        let shards = self.shards.remove(&all);
        let until = shards.iter().filter_map(Shard::load_at).fold(now, Instant::max);
        if !all.is_empty() {
            let (shard, loaded) = Shard::of(self.numbers.draw(), all, until, shards);
            self.shards.add(shard);
            free_groups(loaded, out);
        }
        self.cancel_loads(out);
        self.schedule.begin();
    }

    /// Shards are gone: nothing of them is fetched or loaded any more.
    fn let_go(&mut self, shards: Vec<Shard<P>>, out: &mut Vec<Command<P>>) {
        let partitions = shards.iter().flat_map(|shard| shard.partitions.iter().copied()).collect();
        self.stop_fetching(&partitions, out);
        self.free(shards.into_iter().map(Shard::into_held), out);
        self.cancel_loads(out);
    }

    fn stop_fetching(&mut self, partitions: &BTreeSet<i32>, out: &mut Vec<Command<P>>) {
        let fetched: BTreeSet<i32> = self.group.fetched.intersection(partitions).copied().collect();
        self.group.fetched.retain(|partition| !fetched.contains(partition));
        if !fetched.is_empty() {
            out.push(Command::StopFetching(fetched));
        }
    }

    /// What they hold of the open batch is not in it any more.
    fn free(&mut self, all: impl IntoIterator<Item = Held<P>>, out: &mut Vec<Command<P>>) {
        let mut groups = Vec::new();
        for Held { memory, loaded } in all {
            if let Some(memory) = memory {
                self.open.remove(memory.open.records(), memory.open.len_bytes());
                groups.push(memory.groups);
            }
            groups.extend(loaded);
        }
        free_groups(groups, out);
    }

    /// Gives up the loads that no shard waits for any more.
    fn cancel_loads(&mut self, out: &mut Vec<Command<P>>) {
        let wanted: BTreeSet<u64> = self.shards.iter().filter_map(Shard::load).collect();
        let unwanted = self.loads.extract_if(.., |load, _| !wanted.contains(load));
        out.extend(unwanted.map(|(load, _)| Command::CancelLoad(load)));
    }

    // ---- claiming, loading, beginning to read

    /// When a shard is to be claimed and loaded; not while another load may still claim what is missing in it.
    fn load_at(&self, shard: &Shard<P>) -> Option<Instant> {
        let may_load = !self.joins && self.loads.len() < MOST_LOADS;
        let is_claimed = |partition: &i32| self.loads.values().any(|claimed| claimed.contains(partition));
        shard.load_at().filter(|_| may_load && !shard.missing().iter().any(is_claimed))
    }

    /// Begins to claim and load all that wait for it, together.
    fn load_if_due(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        let is_due = |shard: &&Shard<P>| self.load_at(shard).is_some_and(|until| until <= now);
        let due: Vec<u64> = self.shards.iter().filter(is_due).map(|shard| shard.number).collect();
        if due.is_empty() {
            return;
        }
        let number = self.numbers.draw();
        let mut claim = Claim { as_one: self.spread, spread: self.notes_spread, ..Claim::default() };
        let mut shards = Vec::new();
        for shard in self.shards.iter_mut().filter(|shard| due.contains(&shard.number)) {
            claim.forget.extend(shard.begin_load(now, number));
            let missing = shard.missing();
            claim.partitions.extend(&missing);
            shards.push(missing);
        }
        claim.partitions.sort_unstable();
        self.loads.insert(number, claim.partitions.clone());
        out.push(Command::Load(Load { number, claim, shards }));
    }

    /// Takes what a load brings, as far as it is still waited for.
    fn loaded(
        &mut self,
        load: u64,
        loaded: Result<Box<Loaded<P>>, Error>,
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        if self.loads.remove(&load).is_none() && !mutation::is(Mutation::OldLoadBelieved) {
            if let Ok(Loaded::Shards(loaded)) = loaded.map(|loaded| *loaded) {
                free_groups(loaded.into_iter().map(|loaded| loaded.groups).collect(), out);
            }
            return Ok(());
        }
        let loaded = match *loaded? {
            Loaded::Spread if self.spread => return Ok(()),
            Loaded::Spread => {
                self.unite(out);
                return Ok(());
            }
            Loaded::Shards(loaded) => loaded,
        };
        self.notes_spread = false;
        for loaded in loaded {
            let is_of = |shard: &&mut Shard<P>| {
                let is_old = mutation::is(Mutation::OldLoadBelieved) && shard.load().is_some();
                (shard.load() == Some(load) || is_old) && shard.missing() == loaded.partitions
            };
            match self.shards.iter_mut().find(is_of) {
                Some(shard) => shard.loaded(loaded),
                None => out.push(Command::Free(vec![loaded.groups])),
            }
        }
        Ok(())
    }

    /// Asks Kafka about the topic, unless it is being asked already.
    fn look_at_topic(&mut self, purpose: Purpose, out: &mut Vec<Command<P>>) {
        if self.look.is_some() {
            return;
        }
        let number = self.numbers.draw();
        self.look = Some((number, purpose));
        if purpose == Purpose::Begin {
            self.shards.iter_mut().for_each(|shard| shard.await_look(number));
        }
        let patience = if purpose == Purpose::Presence { PRESENCE_TIMEOUT } else { REQUEST_TIMEOUT };
        let only = if let Purpose::Transaction(partition) = purpose { Some(partition) } else { None };
        let ends = if only.is_none() { self.ends.clone() } else { BTreeMap::new() };
        out.push(Command::Look(Look { number, patience, only, ends }));
    }

    fn topic(
        &mut self,
        now: Instant,
        (number, answer): (u64, Result<Option<Seen>, Failure>),
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let Some((_, purpose)) = self.look.take_if(|look| look.0 == number) else { return Ok(()) };
        if self.ending.is_some() {
            return Ok(());
        }
        match answer {
            Ok(Some(seen)) => {
                self.watch.answers();
                self.watch.topic_is_there();
                self.lower_ends(&seen);
                self.latest_ends.extend(seen.offsets.iter().map(|(partition, offsets)| (*partition, offsets.1)));
                return match purpose {
                    Purpose::Begin => self.begin_reading(now, (number, &seen), out),
                    Purpose::Transaction(partition) => self.look_behind(now, (partition, &seen), out),
                    Purpose::Presence => Ok(()),
                };
            }
            Ok(None) => {
                self.watch.answers();
                self.watch.topic_is_missing(now);
            }
            Err(failure) if failure.decision == Decision::Denied(Resource::Topic) => {
                self.watch.denies(now, Right::DescribeTopic, &self.group.fetched);
            }
            Err(failure) => self.kafka_failed(now, &failure, out)?,
        }
        // They are claimed and loaded once more: what is stored may be another's by then.
        let given_up = self.shards.iter_mut().filter(|shard| shard.awaits_look(number));
        free_groups(given_up.filter_map(|shard| shard.give_up_load(now + RETRY_DELAY)).collect(), out);
        Ok(())
    }

    /// Lowers the ends to read to where the topic's own have fallen. They never do: the topic is another one, which is to be
    /// read to its own end. What can be read of it may end before an open transaction.
    fn lower_ends(&mut self, seen: &Seen) {
        for (partition, end) in &seen.ends {
            self.ends.entry(*partition).and_modify(|known| *known = (*end).min(*known));
        }
    }

    fn begin_reading(
        &mut self,
        now: Instant,
        (look, seen): (u64, &Seen),
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let (mut fetches, mut to_free) = (Vec::new(), Vec::new());
        let known = Known { offsets: &seen.offsets, feed: &self.feed, reset_offsets: self.settings.reset_offsets };
        let awaits = |shard: &&Shard<P>| shard.awaits_look(look);
        tell_loaded(now, self.shards.iter().filter(awaits).filter_map(Shard::just_loaded));
        for shard in self.shards.iter_mut().filter(|shard| shard.awaits_look(look)) {
            match shard.begin_reading(now, &known, &mut self.numbers)? {
                Begun::Reading(begun) => fetches.extend(begun),
                Begun::NotRead(groups) => to_free.extend(groups),
                Begun::Owing => {}
            }
            for partition in &shard.partitions {
                let stable = seen.offsets.get(partition).map_or(0, |offsets| offsets.1);
                self.ends.entry(*partition).or_insert(stable);
            }
        }
        free_groups(to_free, out);
        self.fetch(fetches, out);
        self.schedule.begin();
        Ok(())
    }

    /// Has partitions fetched that are ready for it; not those of shards that are about to become one, which fetches all of them.
    fn fetch(&mut self, fetches: Vec<Fetch>, out: &mut Vec<Command<P>>) {
        if self.joins {
            return;
        }
        for fetch in &fetches {
            // Where nothing is stored, too: the answer to a commit is how a right that was taken from the group shows.
            let cursor = self.shards.cursor(fetch.partition);
            self.watch.stored(cursor.map(|cursor| (fetch.partition, cursor.committed())));
            self.group.fetched.insert(fetch.partition);
        }
        if !fetches.is_empty() {
            out.push(Command::Fetch(fetches));
        }
    }

    /// Has partitions fetched anew: from a given offset, or from where they are.
    fn fetch_again(&mut self, partitions: &[(i32, Option<i64>)], out: &mut Vec<Command<P>>) {
        let mut fetches = Vec::new();
        for &(partition, from) in partitions.iter().filter(|(partition, _)| self.group.fetched.contains(partition)) {
            let number = self.numbers.draw();
            let Some(cursor) = self.shards.cursor(partition) else { continue };
            let position = cursor.fetch_again(number);
            let offset = from.unwrap_or(position);
            fetches.push(Fetch { partition, offset, number });
        }
        if !fetches.is_empty() {
            out.push(Command::Fetch(fetches));
        }
    }

    // ---- PostgreSQL's answers

    fn answer(&mut self, now: Instant, answer: Answer, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        match answer {
            Answer::Batches { count, shards } => {
                let mut is_known = |of: &ShardOutcome<_>| self.shards.numbered(of.0).is_some();
                if !mutation::is(Mutation::PlacesKept) || shards.iter().any(&mut is_known) {
                    self.unanswered.batches -= count;
                }
                for (shard, outcome) in shards {
                    match outcome {
                        Outcome::Stored(offsets) if self.shards.numbered(shard).is_some() => self.watch.stored(offsets),
                        Outcome::Refused(refusal) => self.recover(now, (shard, refusal), out)?,
                        Outcome::Stored(_) | Outcome::Void => {}
                    }
                }
            }
            Answer::Refresh { shards, complete } => {
                self.unanswered.refresh = false;
                self.refreshed(now, (shards, complete), out)?;
            }
            Answer::Progress { number, stored, owners } => {
                self.unanswered.progress_read = false;
                let target = self.schedule.target(&self.ends, self.settings.compacted);
                for refused in self.schedule.compare(number, &stored, (target, &self.shards)) {
                    self.recover(now, refused, out)?;
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
                let done = matches!(outcome, Outcome::Stored(()));
                *self.schedule.repartition() = if done { Repartition::Done } else { Repartition::No };
            }
            Answer::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// A refresh was answered: what was refused is dropped; what is stored counts as told, and whoever owed it is read from now on.
    fn refreshed(
        &mut self,
        now: Instant,
        (shards, complete): (Vec<ShardOutcome<RefreshedTo>>, bool),
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let (mut is_any_stored, mut to_free) = (false, Vec::new());
        for (number, outcome) in shards {
            match outcome {
                Outcome::Stored(to) => {
                    is_any_stored = true;
                    let Some(shard) = self.shards.numbered(number) else { continue };
                    if let Some(memory) = shard.memory_mut() {
                        memory.groups.refreshed();
                        memory.cursors.refreshed(&to);
                    }
                    let (fetches, memory) = shard.has_told(now);
                    to_free.push(Held { memory, loaded: None });
                    self.fetch(fetches, out);
                }
                Outcome::Refused(refusal) => {
                    self.schedule.not_refreshed();
                    self.recover(now, (number, refusal), out)?;
                }
                Outcome::Void if self.shards.numbered(number).is_none() => {}
                // Another replica refreshes.
                Outcome::Void => {
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
            self.tell_offsets(now, out);
        }
        Ok(())
    }

    /// Drops a shard's memory after a refusal; it is claimed and loaded again where it is still ours. No batch is applied twice to the
    /// same memory.
    fn recover(
        &mut self,
        now: Instant,
        (number, refusal): (u64, Refusal),
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
            Refusal::KeyMoved(by) => self.block(now, (number, by), out),
        }
        Ok(())
    }

    /// Whether a key belongs to a partition that is ours as well.
    fn may_unite(&self, by: &KeyMoved) -> bool {
        !self.spread && self.group.assigned.contains(&by.owner) && !mutation::is(Mutation::SpreadShardsWait)
    }

    fn drop_memory(&mut self, number: u64, until: Instant, out: &mut Vec<Command<P>>) {
        self.drop_by(number, |shard, next| shard.drop_memory(next, until), out);
    }

    fn block(&mut self, now: Instant, (number, by): (u64, KeyMoved), out: &mut Vec<Command<P>>) {
        tracing::error!("standing still: {}", by.error());
        self.drop_by(number, |shard, next| shard.block(now, next, by), out);
    }

    /// Has a shard drop what it holds, under another number from now on; it is not fetched any more.
    fn drop_by(&mut self, number: u64, drop: impl FnOnce(&mut Shard<P>, u64) -> Held<P>, out: &mut Vec<Command<P>>) {
        let next = self.numbers.draw();
        let Some(shard) = self.shards.numbered(number) else { return };
        let held = drop(shard, next);
        let partitions = shard.partitions.iter().copied().collect();
        self.stop_fetching(&partitions, out);
        self.free([held], out);
        self.cancel_loads(out);
        self.schedule.begin();
    }

    /// Drops all memory: everything is claimed, loaded and compared anew.
    fn drop_all(&mut self, until: Instant, out: &mut Vec<Command<P>>) {
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
    fn measure_lag(&mut self, stored: &[Stored], out: &mut Vec<Command<P>>) {
        let next =
            |partition: i32| stored.iter().find(|row| row.partition == partition).and_then(|row| row.next_offset);
        let lag = |partition: &i32| {
            let end = self.latest_ends.get(partition)?;
            Some((*partition, (end - next(*partition).unwrap_or(0)).max(0)))
        };
        let lags: BTreeMap<i32, i64> = self.group.assigned.difference(&self.group.fetched).filter_map(lag).collect();
        if !lags.is_empty() && self.ending.is_none() {
            self.look_at_topic(Purpose::Presence, out);
        }
        out.push(Command::MeasureLag(lags));
    }

    // ---- the topic

    /// Handles a topic that is not the one the stored offsets belong to.
    fn topic_changed(
        &mut self,
        now: Instant,
        (partition, why): (i32, String),
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let error = Error::TopicChanged { topic: self.feed.topic.clone(), partition, why };
        if !self.settings.reset_offsets {
            return Err(error);
        }
        if let Some(shard) = self.shards.of(partition) {
            shard.forget_offsets(&error, partition);
        }
        self.drop_all(now, out);
        Ok(())
    }

    /// What ends us when the topic was created again under us, before anything of it is taken in: the client keeps the old one's
    /// leader epochs, with which Kafka may refuse to be asked for the new one for ever.
    fn topic_created_again(&self) -> Error {
        let topic = self.feed.topic.clone();
        match self.shards.first_read().filter(|_| !self.settings.reset_offsets) {
            Some(partition) => {
                let why = "kafka has another id for it than when it was read".to_owned();
                Error::TopicChanged { topic, partition, why }
            }
            None => Error::TopicMadeAgain { topic },
        }
    }

    // ---- what is wrong with Kafka

    fn kafka_failed(&mut self, now: Instant, failure: &Failure, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        match failure.decision {
            // Looks at the offsets again, and names what is wrong if something is.
            Decision::OffsetOutOfRange => self.drop_all(now + RETRY_DELAY, out),
            Decision::TopicMissing => {
                // It may come back as another topic: compare once it is there.
                self.watch.topic_is_missing(now);
                self.drop_all(now + RETRY_DELAY, out);
            }
            Decision::Denied(resource) => self.watch.denies(now, right(resource), &self.group.fetched),
            Decision::ClientDead => self.client_lost(now, failure.error.clone(), out),
            Decision::Settings => return Err(self.watch.refused(failure)),
            Decision::Retry | Decision::Refused => self.watch.unavailable(now, failure),
            // What is a mistake of ours never gets here, and the last two are of a producer.
            Decision::Event | Decision::Bug | Decision::TooLarge | Decision::RecordRefused => {}
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        let is_spare = self.group.member && self.group.assigned.is_empty();
        self.watch.limits((self.settings.wait, self.settings.away), is_spare)
    }

    /// Asks again for what is denied or not there, tells Kafka how far we are, and ends what takes too long.
    fn check_kafka(&mut self, now: Instant, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        if self.shards.iter().any(Shard::wants_look) {
            self.look_at_topic(Purpose::Begin, out);
        }
        let unassigned = self.group.unassigned;
        if self.look.is_none() && self.watch.state().look_due(now, unassigned) {
            self.look_at_topic(Purpose::Presence, out);
        }
        if !self.paused {
            // Their partitions are taken out and added again where they are: librdkafka tells a denial of records once.
            let denied = self.watch.state().records_due(now);
            self.fetch_again(&denied.into_iter().map(|partition| (partition, None)).collect::<Vec<_>>(), out);
        }
        if self.may_look_behind()
            && let Some(partition) = self.shards.held_up(now)
        {
            self.look_at_topic(Purpose::Transaction(partition), out);
        }
        if self.watch.tell_at(now) <= now {
            self.tell_offsets(now, out);
        }
        self.watch.check(now, self.limits())
    }

    fn watch_wakes_at(&self, now: Instant) -> Option<Instant> {
        self.watch.wakes_at(now, (self.group.unassigned, self.look.is_some(), !self.paused, self.limits()))
    }

    fn may_look_behind(&self) -> bool {
        !self.paused && self.look.is_none() && !self.watch.is_unavailable()
    }

    /// Looks whether a transaction is over behind which records of this run wait.
    ///
    /// Until then the end of the partition that Kafka tells is not that of the run: those records are not to be passed over.
    fn look_behind(
        &mut self,
        now: Instant,
        (partition, seen): (i32, &Seen),
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let Some(&(_, stable)) = seen.offsets.get(&partition) else { return Ok(()) };
        let Some(cursor) = self.shards.cursor(partition) else { return Ok(()) };
        let Some(held_up) = cursor.held_up() else { return Ok(()) };
        let is_news = cursor.tells_held_up();
        if cursor.learn(stable) {
            self.fetch_again(&[(partition, None)], out);
            return Ok(());
        }
        let (end, waited) = (held_up.end, now.duration_since(held_up.since));
        if is_news {
            watch::tell_transaction((partition, (stable, end)));
        }
        if self.settings.until_end && waited > self.settings.away {
            let topic = self.feed.topic.clone();
            return Err(Error::OpenTransaction { topic, partition, stable, end, waited });
        }
        Ok(())
    }

    fn tell_offsets(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        out.extend(self.watch.offsets_to_tell(now, &self.group.fetched).map(Command::TellOffsets));
    }

    // ---- refreshes, and the end

    /// Whether a refresh would tell anything, and may be made.
    fn wants_refresh(&self) -> bool {
        let wants = |memory: &Memory<P>| memory.is_behind() && memory.may_refresh();
        !self.unanswered.refresh && self.shards.memories().any(wants)
    }

    fn refresh_if_due(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
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
    fn refresh(&mut self, now: Instant, of: RefreshOf, out: &mut Vec<Command<P>>) {
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

    fn may_read_progress(&self) -> bool {
        !self.unanswered.progress_read && self.group.member
    }

    /// Reads where every partition stands, if it is time to.
    fn read_progress_if_due(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        if self.may_read_progress() && self.schedule.next_progress_read(now, self.is_done()) <= now {
            let number = self.numbers.draw();
            self.schedule.read_progress(now, number, (self.shards.progress(), self.unanswered.refresh));
            self.unanswered.progress_read = true;
            let keys = self.shards.iter().filter_map(Shard::blocked_by).map(|by| by.key.clone()).collect();
            out.push(Command::Job(Job::ReadProgress { number, keys }));
        }
    }

    /// Whether a run until the end has nothing more to do itself.
    fn is_done(&self) -> bool {
        let idle = self.unanswered.batches == 0 && !self.unanswered.refresh && !self.shards.has_range();
        let told = self.shards.is_empty() || self.schedule.is_told();
        self.settings.until_end && self.group.member && idle && self.shards.are_reading() && told
    }

    /// Ends a run until the end once all partitions of the topic are told, whoever owns them.
    fn end_if_done(&mut self, now: Instant, out: &mut Vec<Command<P>>) -> Result<(), Error> {
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
    fn repartition(&mut self, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        let mut all = self.shards.iter_mut().filter(|shard| self.ends.keys().all(|end| shard.partitions.contains(end)));
        let Some(shard) = all.next() else { return Err(Error::NotAlone) };
        let number = shard.number;
        let Some(memory) = shard.memory_mut() else { return Ok(()) };
        let moves = Box::new(memory.moves(&self.feed));
        *self.schedule.repartition() = Repartition::Asked;
        self.unanswered.repartition = true;
        out.push(Command::Job(Job::Repartition { shard: number, moves }));
        Ok(())
    }

    fn end(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        self.tell_offsets(now, out);
        self.ended = true;
        out.push(Command::End);
    }

    /// Stores and tells what was read: the client is of no more use, another one goes on from what is stored.
    fn client_lost(&mut self, now: Instant, reason: String, out: &mut Vec<Command<P>>) {
        let error = self.watch.client_lost(reason, self.group.member);
        self.begin_ending(now, Some(error), out);
    }

    fn begin_ending(&mut self, now: Instant, error: Option<Error>, out: &mut Vec<Command<P>>) {
        if self.ending.is_none() {
            self.send_batch(out);
            self.ending = Some(Ending { began: now, refreshed: false, error });
        }
    }

    /// Goes on ending, if it has begun to; whether it has.
    fn go_on_ending(&mut self, now: Instant, out: &mut Vec<Command<P>>) -> Result<bool, Error> {
        let Some(ending) = &self.ending else { return Ok(false) };
        let took = now.duration_since(ending.began);
        let stores = self.unanswered.batches > 0 && took < STOP_STORING;
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

#[cfg(test)]
impl<P: Pipeline> Consumer<P> {
    /// Whether all jobs are answered.
    pub(crate) fn is_idle(&self) -> bool {
        let Unanswered { batches, refresh, progress_read: _, repartition } = self.unanswered;
        batches == 0 && !refresh && !repartition
    }

    /// Where it stands, in words.
    pub(crate) fn stands(&self) -> String {
        let stands =
            |shard: &Shard<P>| format!("{:?} {:?}", shard.partitions, shard.memory().map(|memory| &memory.cursors));
        format!("{:?}, {:?}", self.shards.iter().map(stands).collect::<Vec<_>>(), self.unanswered)
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

    /// The partitions that a key blocks, and whose memory is gone.
    pub(crate) fn standing(&self) -> BTreeSet<i32> {
        self.shards.partitions(|shard| matches!(shard.state, shard::State::Blocked { .. })).into_iter().collect()
    }

    /// Whether any is being loaded.
    pub(crate) fn is_loading(&self) -> bool {
        self.shards.iter().any(|shard| shard.load().is_some())
    }

    /// The shards that a key blocks.
    pub(crate) fn blocked(&self) -> Vec<u64> {
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

/// Says what was claimed and loaded.
fn tell_loaded<'a, P: Pipeline>(now: Instant, all: impl Iterator<Item = (Instant, &'a LoadedShard<P>)>) {
    let (mut partitions, mut facts, mut groups, mut first) = (Vec::<i32>::new(), 0, 0, now);
    for (began, loaded) in all {
        partitions.extend(&loaded.partitions);
        facts += loaded.groups.facts();
        groups += loaded.groups.len();
        first = first.min(began);
    }
    if partitions.is_empty() {
        return;
    }
    partitions.sort_unstable();
    let load_ms = millis(now.duration_since(first));
    tracing::info!(?partitions, facts, groups, load_ms, "claimed and loaded");
}

/// Frees these elsewhere, where there are any.
fn free_groups<P: Pipeline>(groups: Vec<Groups<P>>, out: &mut Vec<Command<P>>) {
    if !groups.is_empty() {
        out.push(Command::Free(groups));
    }
}

fn right(resource: Resource) -> Right {
    match resource {
        Resource::Group => Right::ReadGroup,
        Resource::Topic => Right::ReadTopic,
        Resource::Cluster | Resource::TransactionalId => Right::Cluster,
    }
}

#[cfg(test)]
mod tests;

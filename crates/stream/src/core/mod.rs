//! What a consumer decides, without doing any of it: no client of Kafka, no connection, no clock.
//!
//! [`Consumer::on`] takes what has happened, and when, and gives what is to be done. `kafka/driver.rs` does the part of Kafka,
//! `postgres/` that of PostgreSQL. What is asked for has a number, which its answer brings back.
//! So an answer to something that was given up meanwhile is told from one that is waited for.
//!
//! | what happens | what follows | where |
//! |---|---|---|
//! | the group assigns partitions | they wait, are claimed and loaded, compared with the offsets that Kafka has, and read | [`shard::State`] |
//! | it revokes partitions that are read | the open batch is sent; they are given back once all batches are answered, or after [`REVOKE`] | `go_on_revoking` |
//! | it revokes partitions, and some are being loaded | the load goes on while batches are waited for; then it is given up, and what it brings is ignored. Those that stay are loaded anew | `go_on_revoking`, [`Shard::cancel_load`] |
//! | a COMMIT is in doubt | `postgres/retry.rs` sends the same batch again, with the same batch number. Where the stored offset is the one that it expects, it is stored now; where it is the batch's own end, it was stored before | [`check::check_commit`] |
//! | another consumer has claimed a partition | its epoch is newer: the batch or refresh is refused, and stores nothing. A consumer that has nothing to store finds it within 5 s, by reading the stored progress. All memory is dropped; after [`AFTER_A_FENCE`] what is still ours is claimed and loaded again | [`check::Refusal::Fenced`], `recover` |
//! | a refresh is refused for a partition that was given back since | no memory is dropped: the others are told by the next refresh | `answer` |
//! | Kafka says what the topic has while partitions are being given back | it is ignored, and asked for again with the next load | `topic` |
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
        check::Refusal,
        cursor::{Cursor, Verdict},
        jobs::{Answer, Job, Outcome, Task},
        kafka::{Failure, Limits, Look, Right, Seen},
        mutation::Mutation,
        numbers::Numbers,
        offsets::Feed,
        readiness::View,
        refresh::Refresh,
        schedule::{Repartition, Schedule},
        shard::Shard,
        watch::{Client, Watch},
    },
    kafka_errors::{Decision, Resource},
};

pub(crate) use interface::{Command, Fetch, Input, Message, Settings, Takes};

/// Batches that may be sent and not answered: with fewer the disk is waited for more often, since those that wait are stored
/// together; more would only take memory.
const IN_FLIGHT: usize = 4;
/// The most jobs that may be unanswered: the batches, one more on a revocation, a refresh, a read of the progress, a repartition.
pub(crate) const JOBS: usize = IN_FLIGHT + 4;
/// A trickle of records is stored after this time, even if it never pauses.
const BATCH_AGE: Duration = Duration::from_millis(500);
/// How long to wait before looking again whether a topic is back.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Where PostgreSQL takes longer than this to answer, Kafka is polled meanwhile, with all partitions paused.
const BUSY: Duration = Duration::from_secs(1);
/// How long the batches in hand may take once a partition is revoked.
const REVOKE: Duration = Duration::from_secs(2);
/// How long a fenced consumer listens for a rebalance it may have slept through before it claims again what it still believes to
/// own: longer than a heartbeat, or two consumers would fence each other by turns.
const AFTER_A_FENCE: Duration = Duration::from_secs(4);
/// How long a blocked consumer waits before it looks whether the partition key belongs here now.
const BLOCKED: Duration = Duration::from_secs(30);
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
    /// The partitions that are fetched for us.
    fetched: BTreeSet<i32>,
    /// Whether the group has ever given us our part, which may be none.
    member: bool,
    /// Since when it gives us none; `None` while an assignment stands.
    unassigned: Option<Instant>,
    began: Instant,
}

/// Jobs that are not answered yet. What becomes of their shard meanwhile frees none of their places.
#[derive(Debug, Default)]
struct Unanswered {
    batches: usize,
    refresh: bool,
    /// Where every partition stands.
    progress_read: bool,
    repartition: bool,
}

/// Partitions that are given back once what is in hand is stored, at `until` at the latest.
struct Revocation {
    partitions: BTreeSet<i32>,
    began: Instant,
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
    /// To begin reading what the load of that number brought: what Kafka had before says nothing of it.
    Begin(u64),
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
    numbers: Numbers,
    shard: Shard<P>,
    group: Group,
    unanswered: Unanswered,
    schedule: Schedule,
    watch: Watch,
    look: Option<(u64, Purpose)>,
    revocation: Option<Revocation>,
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
        let mut numbers = Numbers::default();
        Self {
            shard: Shard::new(numbers.draw(), Arc::clone(&pipeline), Arc::clone(&feed)),
            group: Group { fetched: BTreeSet::new(), member: false, unassigned: Some(now), began: now },
            unanswered: Unanswered::default(),
            schedule: Schedule::new(now, &settings),
            watch: Watch::new(client),
            look: None,
            revocation: None,
            ending: None,
            full_since: None,
            paused: false,
            ended: false,
            numbers,
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
            Input::Revoked(partitions) => self.revoked(now, &partitions, out),
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
                behind.retain(|partition, _| !self.shard.cursors.is_told_held_up(*partition));
                self.watch.look_behind_transactions(now, &behind);
            }
            Input::TopicCreatedAgain if mutation::is(Mutation::CreatedAgainIgnored) => {}
            Input::TopicCreatedAgain => return Err(self.topic_created_again()),
            Input::ClientLost(reason) => self.client_lost(now, reason, out),
            Input::Loaded { load, loaded } => self.shard.loaded(load, loaded)?,
            Input::Answer(answer) => self.answer(now, answer, out)?,
        }
        self.go_on(now, out)
    }

    /// When [`Consumer::on`] is to be called at the latest, if nothing happens before.
    pub(crate) fn wakes_at(&self, now: Instant) -> Instant {
        if let Some(revocation) = &self.revocation {
            return revocation.began + REVOKE;
        }
        if let Some(ending) = &self.ending {
            let storing = self.unanswered.batches > 0 && now < ending.began + STOP_STORING;
            return ending.began + if storing { STOP_STORING } else { STOP_REFRESHING };
        }
        let full = self.full_since.filter(|_| !self.paused).map(|since| since + BUSY);
        let age = self.shard.open_since().map(|since| since + BATCH_AGE);
        let refresh = self.wants_refresh().then(|| self.schedule.next_refresh()).flatten();
        let progress_read = self.may_read_progress().then(|| self.schedule.next_progress_read(now, self.is_done()));
        let held_up = self.may_look_behind().then(|| self.shard.cursors.held_up_until()).flatten();
        let kafka = self.watch_wakes_at(now);
        let wakes = [full, age, self.shard.load_at(), refresh, progress_read, held_up, kafka];
        let tell = self.watch.tell_at(now);
        wakes.into_iter().flatten().chain([tell]).min().unwrap_or(tell)
    }

    /// Whether a record may come.
    pub(crate) fn takes_records(&self) -> bool {
        self.fetches() && self.has_room() && self.revocation.is_none() && self.ending.is_none()
    }

    /// What is to be waited for, and how long.
    pub(crate) fn takes(&self) -> Takes {
        let is_answer_near = self.unanswered.batches > 0 || self.unanswered.refresh;
        if self.revocation.is_some() || self.ending.is_some() {
            return Takes::Answers(POLL);
        }
        if self.fetches() {
            // With nothing to read, answers are heard at once.
            let wait = if is_answer_near && self.shard.cursors.at_end() { AWAITED } else { POLL };
            return if self.takes_records() { Takes::Records(wait) } else { Takes::Answers(POLL) };
        }
        Takes::Group(if self.shard.loading().is_empty() { POLL } else { AWAITED })
    }

    /// What keeps us from being ready, beside PostgreSQL; nothing when nothing does.
    pub(crate) fn unready(&self, postgres: Vec<String>) -> Vec<String> {
        readiness::unready(View {
            assigned: self.group.unassigned.is_none(),
            waiting: if mutation::is(Mutation::ReadyWhileWaiting) {
                Vec::new()
            } else {
                self.shard.waiting().collect()
            },
            loading: if mutation::is(Mutation::ReadyWhileWaiting) { &[] } else { self.shard.loading() },
            blocked: self.shard.why_blocked(),
            kafka: self.watch.reason(),
            denied: self.watch.denials(),
            postgres,
        })
    }

    /// The number of facts in memory.
    pub(crate) fn facts(&self) -> usize {
        self.shard.groups.facts()
    }

    /// Since when something stored waits to be told.
    pub(crate) fn behind_since(&self) -> Option<Instant> {
        self.schedule.behind_since()
    }

    /// Everything that is due by now, in the order of its urgency.
    fn go_on(&mut self, now: Instant, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        self.go_on_revoking(now, out)?;
        if self.revocation.is_some() || self.go_on_ending(now, out)? {
            return Ok(());
        }
        if let Some(load) = self.shard.begin_load(now, &mut self.numbers) {
            out.push(Command::Load(load));
        }
        self.check_kafka(now, out)?;
        if self.shard.open_since().is_some_and(|since| now.duration_since(since) > BATCH_AGE) {
            self.send_batch(out);
        }
        self.note_room(now);
        self.pause_or_resume(now, out);
        self.schedule.note_behind(now, self.shard.cursors.unrefreshed());
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
        let end = if self.settings.until_end { self.ends.get(&partition).copied() } else { None };
        if let Some(end) = end.filter(|end| offset >= *end) {
            // It came after we began: not for this run, and neither is anything between.
            if let Some(cursor) = self.shard.cursors.get_mut(partition).filter(|cursor| cursor.is_of(fetch)) {
                cursor.pass(end);
                self.watch.on_fetched(partition);
            }
        } else {
            match self.shard.take(now, fetch, message) {
                Verdict::Apply(_) | Verdict::Skip => self.watch.on_fetched(partition),
                Verdict::Stale => {}
                Verdict::FetchFrom(offset) => self.fetch_again(&[(partition, Some(offset))], out),
                Verdict::Changed(why) => self.topic_changed(now, (partition, why), out)?,
            }
        }
        // No need to wait for Kafka to say that this was the last record of the run.
        let is_last = end.is_some_and(|end| offset + 1 >= end) && self.shard.cursors.reached(&self.ends);
        if is_last || self.shard.is_full(self.settings.batch_size) {
            self.send_batch(out);
        }
        Ok(())
    }

    fn end_of_partition(&mut self, now: Instant, (fetch, partition): (u64, i32), out: &mut Vec<Command<P>>) {
        let end = self.ends.get(&partition).copied().unwrap_or(0);
        let is_of = |cursor: &&mut Cursor| cursor.is_of(fetch) || mutation::is(Mutation::OldEndBelieved);
        let cursor = self.shard.cursors.get_mut(partition).filter(is_of);
        let Some(cursor) = cursor else { return };
        cursor.reach_end(end, now);
        self.watch.on_fetched(partition);
        if self.shard.cursors.at_end() {
            self.send_batch(out);
        }
    }

    /// Sends the open batch, if it covers anything.
    fn send_batch(&mut self, out: &mut Vec<Command<P>>) {
        if let Some(batch) = self.shard.take_batch() {
            self.unanswered.batches += 1;
            self.send(Task::Commit(Box::new(batch)), out);
        }
    }

    fn send(&mut self, task: Task<P>, out: &mut Vec<Command<P>>) {
        out.push(Command::Job(Job { shard: self.shard.number, task }));
    }

    fn has_room(&self) -> bool {
        self.unanswered.batches < IN_FLIGHT
    }

    fn note_room(&mut self, now: Instant) {
        self.full_since = if self.has_room() { None } else { self.full_since.or(Some(now)) };
    }

    fn pause_or_resume(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        let is_busy = self.full_since.is_some_and(|since| now.duration_since(since) >= BUSY);
        let pause = !self.shard.is_reading() || is_busy || (self.paused && !self.has_room());
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
        self.send_batch(out);
        self.shard.add(now, partitions);
        if partitions.is_empty() {
            out.push(Command::Fetch(Vec::new()));
        } else {
            self.watch.topic_is_there();
        }
    }

    /// What is in hand is sent, and stored before the partitions are given back, if it can be: stored later it would be refused
    /// once another consumer has claimed them.
    fn revoked(&mut self, now: Instant, partitions: &[i32], out: &mut Vec<Command<P>>) {
        self.send_batch(out);
        let revocation = self.revocation.get_or_insert(Revocation { partitions: BTreeSet::new(), began: now });
        revocation.partitions.extend(partitions);
    }

    fn go_on_revoking(&mut self, now: Instant, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        let is_due = |revocation: &mut Revocation| {
            self.unanswered.batches == 0 || now.duration_since(revocation.began) >= REVOKE
        };
        let Some(Revocation { partitions, began }) = self.revocation.take_if(is_due) else { return Ok(()) };
        // What came since then, if anything did, is stored or refused like all else.
        self.send_batch(out);
        self.cancel_load(now, out);
        self.shard.remove(&partitions)?;
        self.group.fetched.retain(|partition| !partitions.contains(partition));
        self.group.unassigned = Some(now);
        self.watch.state().forget(&partitions);
        let numbers: Vec<i32> = partitions.iter().copied().collect();
        out.push(Command::Release(partitions));
        tracing::info!(
            partitions = ?numbers,
            given_back_in_ms = millis(now.duration_since(began)),
            "revoked"
        );
        Ok(())
    }

    // ---- claiming, loading, beginning to read

    fn cancel_load(&mut self, until: Instant, out: &mut Vec<Command<P>>) {
        if !self.shard.loading().is_empty() {
            self.shard.cancel_load(until);
            out.push(Command::CancelLoad);
        }
    }

    /// Asks Kafka about the topic, unless it is being asked already.
    fn look_at_topic(&mut self, purpose: Purpose, out: &mut Vec<Command<P>>) {
        if self.look.is_some() {
            return;
        }
        let number = self.numbers.draw();
        self.look = Some((number, purpose));
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
        // Whatever would follow can wait: partitions that are taken out now would answer the revocation.
        let is_revoking = self.revocation.is_some() && !mutation::is(Mutation::TopicBelievedWhileRevoking);
        if is_revoking || self.ending.is_some() {
            return Ok(());
        }
        let is_load = self.shard.awaits_offsets().is_some_and(|load| purpose == Purpose::Begin(load));
        match answer {
            Ok(Some(seen)) => {
                self.watch.answers();
                self.watch.topic_is_there();
                self.lower_ends(&seen);
                return match purpose {
                    Purpose::Begin(_) if is_load => self.begin_reading(now, &seen, out),
                    Purpose::Transaction(partition) => self.look_behind(now, (partition, &seen), out),
                    _ => Ok(()),
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
        // It is claimed and loaded once more: what is stored may be another's by then.
        if is_load {
            self.shard.cancel_load(now + RETRY_DELAY);
        }
        Ok(())
    }

    /// Lowers the ends to read to where the topic's own have fallen. They never do: the topic is another one, which is to be
    /// read to its own end. What can be read of it may end before an open transaction.
    fn lower_ends(&mut self, seen: &Seen) {
        for (partition, end) in &seen.ends {
            self.ends.entry(*partition).and_modify(|known| *known = (*end).min(*known));
        }
    }

    fn begin_reading(&mut self, now: Instant, seen: &Seen, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        let taken_over = self.shard.take_over(now, &seen.offsets, (self.settings.reset_offsets, &mut self.numbers))?;
        let Some(fetches) = taken_over else { return Ok(()) };
        for fetch in &fetches {
            let stable = seen.offsets.get(&fetch.partition).map_or(0, |offsets| offsets.1);
            self.ends.entry(fetch.partition).or_insert(stable);
            // Where nothing is stored, too: the answer to a commit is how a right that was taken from the group shows.
            let cursor = self.shard.cursors.get_mut(fetch.partition);
            self.watch.stored(cursor.map(|cursor| (fetch.partition, cursor.committed())));
            self.group.fetched.insert(fetch.partition);
        }
        out.push(Command::Fetch(fetches));
        self.schedule.begin();
        Ok(())
    }

    /// Has partitions fetched anew: from a given offset, or from where they are.
    fn fetch_again(&mut self, partitions: &[(i32, Option<i64>)], out: &mut Vec<Command<P>>) {
        let mut fetches = Vec::new();
        for &(partition, from) in partitions {
            let number = self.numbers.draw();
            let Some(cursor) = self.shard.cursors.get_mut(partition) else { continue };
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
        let ours = self.shard.number;
        match answer {
            Answer::Batches { shard, count, outcome } => {
                if shard == ours || !mutation::is(Mutation::PlacesKept) {
                    self.unanswered.batches -= count;
                }
                match outcome {
                    Outcome::Stored(offsets) if shard == ours => self.watch.stored(offsets),
                    Outcome::Refused(refusal) if shard == ours || mutation::is(Mutation::OldAnswerBelieved) => {
                        self.recover(now, refusal, out)?;
                    }
                    Outcome::Stored(_) | Outcome::Refused(_) | Outcome::Void => {}
                }
            }
            Answer::Refresh { shard, outcome } => {
                self.unanswered.refresh = false;
                match outcome {
                    _ if shard != ours => {}
                    Outcome::Stored((to, complete)) => {
                        self.shard.groups.refreshed();
                        self.shard.cursors.refreshed(&to);
                        self.schedule.refreshed(now, complete);
                        self.tell_offsets(now, out);
                    }
                    Outcome::Refused(refusal) if self.shard.cursors.are_refused(&refusal) => {
                        self.recover(now, refusal, out)?;
                    }
                    // It told a partition that was given back meanwhile: the others are told by the next one.
                    Outcome::Refused(_) | Outcome::Void => {
                        self.shard.groups.not_refreshed();
                        self.schedule.not_refreshed();
                    }
                }
            }
            Answer::Partitions { number, stored } => {
                self.unanswered.progress_read = false;
                let target = self.schedule.target(&self.ends, self.settings.compacted);
                if let Some(refusal) = self.schedule.compare(number, &stored, (target, &self.shard.cursors)) {
                    self.recover(now, refusal, out)?;
                }
            }
            Answer::Repartition { shard, outcome } => {
                self.unanswered.repartition = false;
                if shard == ours {
                    let done = matches!(outcome, Outcome::Stored(()));
                    *self.schedule.repartition() = if done { Repartition::Done } else { Repartition::No };
                }
            }
            Answer::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Drops all memory after a refusal; partitions that are still ours are claimed and loaded again. No batch is applied twice to
    /// the same memory.
    fn recover(&mut self, now: Instant, refusal: Refusal, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        let mut wait = Duration::ZERO;
        match &refusal {
            Refusal::Fenced { partition, epoch } => {
                tracing::warn!(
                    partition,
                    epoch,
                    "fenced: another consumer has claimed the partition, or it was reset; forgetting all, and claiming again what is still ours"
                );
                wait = if mutation::is(Mutation::FencedClaimsAtOnce) { Duration::ZERO } else { AFTER_A_FENCE };
            }
            Refusal::Lost { partition, stored } => {
                tracing::warn!(partition, ?stored, "the database has lost commits; loading and reading again");
            }
            Refusal::KeyMoved { .. } => {}
        }
        let Some(error) = refusal.key_moved() else {
            self.drop_memory(now + wait, out);
            return Ok(());
        };
        if self.settings.until_end {
            return Err(error);
        }
        tracing::error!("standing still: {error}");
        self.drop_memory(now + BLOCKED, out);
        self.shard.block(now + BLOCKED, error.to_string());
        Ok(())
    }

    fn drop_memory(&mut self, until: Instant, out: &mut Vec<Command<P>>) {
        self.cancel_load(until, out);
        self.shard.drop_memory(self.numbers.draw(), &self.group.fetched, until);
        self.schedule.begin();
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
        self.shard.accept(&error, partition);
        self.drop_memory(now, out);
        Ok(())
    }

    /// What ends us when the topic was created again under us, before anything of it is taken in: the client keeps the old one's
    /// leader epochs, with which Kafka may refuse to be asked for the new one for ever.
    fn topic_created_again(&self) -> Error {
        let topic = self.feed.topic.clone();
        match self.shard.cursors.first_read().filter(|_| !self.settings.reset_offsets) {
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
            Decision::OffsetOutOfRange => self.drop_memory(now + RETRY_DELAY, out),
            Decision::TopicMissing => {
                // It may come back as another topic: compare once it is there.
                self.watch.topic_is_missing(now);
                self.drop_memory(now + RETRY_DELAY, out);
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
        let is_spare = self.group.member && self.group.fetched.is_empty();
        self.watch.limits((self.settings.wait, self.settings.away), is_spare)
    }

    /// Asks again for what is denied or not there, tells Kafka how far we are, and ends what takes too long.
    fn check_kafka(&mut self, now: Instant, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        if let Some(load) = self.shard.awaits_offsets() {
            self.look_at_topic(Purpose::Begin(load), out);
        }
        let unassigned = self.group.unassigned;
        if self.look.is_none() && self.watch.state().look_due(now, unassigned) {
            self.look_at_topic(Purpose::Presence, out);
        }
        if self.fetches() {
            // Their partitions are taken out and added again where they are: librdkafka tells a denial of records once.
            let denied = self.watch.state().records_due(now);
            self.fetch_again(&denied.into_iter().map(|partition| (partition, None)).collect::<Vec<_>>(), out);
        }
        if self.may_look_behind()
            && let Some(partition) = self.shard.cursors.held_up(now)
        {
            self.look_at_topic(Purpose::Transaction(partition), out);
        }
        if self.watch.tell_at(now) <= now {
            self.tell_offsets(now, out);
        }
        self.watch.check(now, self.limits())
    }

    fn watch_wakes_at(&self, now: Instant) -> Option<Instant> {
        self.watch.wakes_at(now, (self.group.unassigned, self.look.is_some(), self.fetches(), self.limits()))
    }

    /// Whether what is fetched is taken in, so that it may be fetched anew.
    fn fetches(&self) -> bool {
        self.shard.is_reading() && !self.paused
    }

    fn may_look_behind(&self) -> bool {
        self.fetches() && self.look.is_none() && !self.watch.is_unavailable()
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
        let Some(cursor) = self.shard.cursors.get_mut(partition) else { return Ok(()) };
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
        let changed = self.shard.groups.has_changed() || self.shard.cursors.unrefreshed();
        changed && !self.unanswered.refresh && self.shard.may_refresh()
    }

    fn refresh_if_due(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        if self.unanswered.refresh || !self.shard.may_refresh() {
            return;
        }
        let prompt = self.schedule.is_prompt(&self.shard.cursors, &self.ends);
        let regular = self.wants_refresh() && self.schedule.next_refresh().is_some_and(|due| due <= now);
        if prompt || regular {
            self.refresh(now, prompt, out);
        }
    }

    /// Sends a refresh of all that was read so far.
    fn refresh(&mut self, now: Instant, prompt: bool, out: &mut Vec<Command<P>>) {
        if !mutation::is(Mutation::RefreshOvertakesBatch) {
            self.send_batch(out);
        }
        let rows = self.shard.groups.begin_refresh(&self.pipeline);
        let to = self.shard.cursors.refreshed_to();
        let target = self.schedule.target(&self.ends, self.settings.compacted);
        self.schedule.made(now, prompt);
        self.unanswered.refresh = true;
        self.send(Task::Refresh(Box::new(Refresh { rows, to, target })), out);
    }

    fn may_read_progress(&self) -> bool {
        !self.unanswered.progress_read && self.shard.is_reading()
    }

    /// Asks where every partition stands, if it is time to.
    fn read_progress_if_due(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        if self.may_read_progress() && self.schedule.next_progress_read(now, self.is_done()) <= now {
            let number = self.numbers.draw();
            let expected = (self.shard.cursors.refreshed_to(), self.unanswered.refresh);
            self.schedule.read_progress(now, number, expected);
            self.unanswered.progress_read = true;
            self.send(Task::ReadPartitions { number }, out);
        }
    }

    /// Whether a run until the end has nothing more to do itself.
    fn is_done(&self) -> bool {
        let idle = self.unanswered.batches == 0 && !self.unanswered.refresh && !self.shard.cursors.has_range();
        let told = self.shard.cursors.is_empty() || self.schedule.is_told();
        self.settings.until_end && self.group.member && idle && self.shard.is_reading() && told
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
        let all: Vec<i32> = self.ends.keys().copied().collect();
        if self.shard.cursors.numbers() != all {
            return Err(Error::NotAlone);
        }
        *self.schedule.repartition() = Repartition::Asked;
        self.unanswered.repartition = true;
        let moves = self.shard.moves();
        self.send(Task::Repartition(Box::new(moves)), out);
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
        let is_reading = self.shard.is_reading();
        let stores = self.unanswered.batches > 0 && took < STOP_STORING;
        // One may be under way, of what had been read before.
        let refreshes = self.unanswered.refresh && took < STOP_REFRESHING;
        if is_reading && (stores || refreshes) {
            return Ok(true);
        }
        let may_refresh = !self.settings.until_end && self.unanswered.batches == 0 && self.wants_refresh();
        if may_refresh && !ending.refreshed {
            self.refresh(now, false, out);
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

#[cfg(test)]
impl<P: Pipeline> Consumer<P> {
    /// Whether all jobs are answered, and nothing is asked of Kafka.
    pub(crate) fn is_idle(&self) -> bool {
        let Unanswered { batches, refresh, progress_read: _, repartition } = self.unanswered;
        batches == 0 && !refresh && !repartition && self.revocation.is_none()
    }

    /// Whether all partitions that were given are read.
    pub(crate) fn is_reading(&self) -> bool {
        self.shard.is_reading()
    }

    /// Where it stands, in words.
    pub(crate) fn stands(&self) -> String {
        format!("{:?}, {:?}", self.shard.cursors, self.unanswered)
    }

    /// The claim under which a partition is read.
    pub(crate) fn epoch(&self, partition: i32) -> i64 {
        self.shard.cursors.epoch(partition)
    }

    /// The number of what is in memory.
    pub(crate) fn shard(&self) -> u64 {
        self.shard.number
    }

    /// Every group's row, and the partitions that are read.
    pub(crate) fn memory(&self) -> (Vec<P::Row>, Vec<i32>) {
        (self.shard.groups.rows(&self.pipeline), self.shard.cursors.numbers())
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

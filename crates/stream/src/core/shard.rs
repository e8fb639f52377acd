//! What is loaded, read, stored and dropped together: today all partitions of a consumer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use crate::{
    Error,
    core::{
        Fetch, Message,
        batch::{Batch, Changes, Outcome, Reject},
        cursor::{self, Arrived, Cursor, Cursors, Start, Verdict},
        groups::{Groups, Position},
        jobs::{Claim, Load, Loaded},
        kafka::Offsets,
        mutation::{self, Mutation},
        numbers::Numbers,
        offsets::{Feed, Forget, Stored, short},
        repartition::Moves,
    },
    pipeline::{Pipeline, Reading},
};

/// How far a shard is.
pub(crate) enum State<P: Pipeline> {
    /// Partitions are to be claimed and loaded, at this time.
    Waiting { until: Instant },
    /// As waiting, because a partition key belongs to a partition that another consumer holds.
    Blocked { until: Instant, why: String },
    /// Partitions are being claimed and loaded.
    Loading(Loading<P>),
    /// All partitions are loaded, and are read.
    Reading,
}

/// A load under way.
pub(crate) struct Loading<P: Pipeline> {
    number: u64,
    pub(crate) partitions: Vec<i32>,
    began: Instant,
    /// Why the shard was blocked before, where it was: it still is for all that is known.
    why_blocked: Option<String>,
    /// What was loaded, while it is not yet known which offsets Kafka has.
    loaded: Option<Loaded<P>>,
}

/// A shard. It owns all that belongs to its partitions: to drop it is to forget them.
pub(crate) struct Shard<P: Pipeline> {
    /// Names it on every job and answer; another one from the moment when its memory is dropped.
    pub(crate) number: u64,
    pub(crate) state: State<P>,
    /// The partitions that are to be claimed and loaded, those of a load under way included.
    pending: BTreeSet<i32>,
    /// Those whose stored offsets are to be forgotten with the next claim, as `--reset-offsets` accepted.
    forget: BTreeMap<i32, Forget>,
    /// How far the partitions that are loaded were read.
    pub(crate) cursors: Cursors,
    pub(crate) groups: Groups<P>,
    open: OpenBatch,
    pipeline: Arc<P>,
    feed: Arc<Feed>,
}

/// The batch that records are applied to.
struct OpenBatch {
    batch: Batch,
    /// When its first record came.
    since: Option<Instant>,
}

impl<P: Pipeline> Shard<P> {
    /// Nothing to read yet.
    pub(crate) fn new(number: u64, pipeline: Arc<P>, feed: Arc<Feed>) -> Self {
        let open = OpenBatch { batch: Batch::new(&feed.changelog), since: None };
        Self {
            number,
            state: State::Reading,
            pending: BTreeSet::new(),
            forget: BTreeMap::new(),
            cursors: Cursors::default(),
            groups: Groups::default(),
            open,
            pipeline,
            feed,
        }
    }

    /// Whether all of its partitions are loaded.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.state, State::Reading)
    }

    /// Whether a refresh would be of whole partitions: none whose topic was created again is still being read.
    pub(crate) fn may_refresh(&self) -> bool {
        self.is_reading() && !self.cursors.is_empty() && !self.cursors.catching_up()
    }

    /// Partitions that wait to be claimed; none while they are.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = i32> {
        let loading = self.loading();
        self.pending.iter().copied().filter(move |partition| !loading.contains(partition))
    }

    /// Partitions that are being claimed and loaded.
    pub(crate) fn loading(&self) -> &[i32] {
        match &self.state {
            State::Loading(loading) => &loading.partitions,
            _ => &[],
        }
    }

    /// Why it is blocked.
    pub(crate) fn why_blocked(&self) -> Option<&str> {
        match &self.state {
            State::Blocked { why, .. } | State::Loading(Loading { why_blocked: Some(why), .. }) => Some(why),
            _ => None,
        }
    }

    /// Takes partitions in, to be claimed and loaded at once: more may be what a blocked shard was waiting for.
    pub(crate) fn add(&mut self, now: Instant, partitions: &[i32]) {
        self.pending.extend(partitions);
        match &mut self.state {
            State::Waiting { until } | State::Blocked { until, .. } => *until = now,
            State::Reading if !self.pending.is_empty() => self.state = State::Waiting { until: now },
            State::Reading | State::Loading(_) => {}
        }
    }

    /// Lets partitions go, with all that belongs to them.
    pub(crate) fn remove(&mut self, partitions: &BTreeSet<i32>) -> Result<(), Error> {
        for partition in partitions {
            self.pending.remove(partition);
            // Whoever claims it next may read it to where it is to be read on.
            self.forget.remove(partition);
            self.cursors.remove(*partition);
            if !mutation::is(Mutation::RevokedFactsKept) {
                self.groups.forget(short(*partition)?);
            }
        }
        if self.pending.is_empty() {
            self.state = State::Reading;
        }
        Ok(())
    }

    /// Drops all memory; `partitions`, and what was being loaded, are claimed and loaded again, at `until` at the earliest.
    pub(crate) fn drop_memory(&mut self, number: u64, partitions: &BTreeSet<i32>, until: Instant) {
        self.number = number;
        self.cursors = Cursors::default();
        if !mutation::is(Mutation::BatchAppliedTwice) {
            self.groups = Groups::default();
        }
        self.open = OpenBatch { batch: Batch::new(&self.feed.changelog), since: None };
        if mutation::is(Mutation::LoadingForgotten) {
            self.pending.clear();
        }
        self.pending.extend(partitions);
        self.wait(until);
    }

    /// Has memory that was dropped loaded again at `until` at the earliest, because of this.
    pub(crate) fn block(&mut self, until: Instant, why: String) {
        if !self.pending.is_empty() {
            self.state = State::Blocked { until, why };
        }
    }

    /// Waits, for the same reason as before where there was one.
    fn wait(&mut self, until: Instant) {
        let why = match &mut self.state {
            State::Blocked { why, .. } => Some(std::mem::take(why)),
            State::Loading(loading) => loading.why_blocked.take(),
            State::Waiting { .. } | State::Reading => None,
        };
        self.state = match why {
            _ if self.pending.is_empty() => State::Reading,
            Some(why) => State::Blocked { until, why },
            None => State::Waiting { until },
        };
    }

    /// Gives a load up, where one is under way; its partitions are claimed and loaded again, at `until` at the earliest.
    pub(crate) fn cancel_load(&mut self, until: Instant) {
        if let State::Loading(_) = self.state {
            self.wait(until);
        }
    }

    /// When it is to be claimed and loaded.
    pub(crate) fn load_at(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } | State::Blocked { until, .. } => Some(until),
            State::Loading(_) | State::Reading => None,
        }
    }

    /// Begins to claim and load what waits for it, if it is time to.
    pub(crate) fn begin_load(&mut self, now: Instant, numbers: &mut Numbers) -> Option<Load> {
        if self.load_at()? > now {
            return None;
        }
        let partitions: Vec<i32> = self.pending.iter().copied().collect();
        let forget = self.forget.iter().filter(|(partition, _)| self.pending.contains(partition));
        let claim = Claim { partitions: partitions.clone(), forget: forget.map(|(p, why)| (*p, *why)).collect() };
        let why_blocked = self.why_blocked().map(str::to_owned);
        let number = numbers.draw();
        self.state = State::Loading(Loading { number, partitions, began: now, why_blocked, loaded: None });
        Some(Load { number, claim })
    }

    /// Takes what a load brings, if it is the one under way. It is to be compared with what Kafka has before it is read.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub(crate) fn loaded(&mut self, number: u64, loaded: Result<Box<Loaded<P>>, Error>) -> Result<(), Error> {
        if let State::Loading(loading) = &mut self.state
            && (loading.number == number || mutation::is(Mutation::OldLoadBelieved))
        {
            let loaded = loaded?;
            for stored in &loaded.stored {
                self.forget.remove(&stored.partition);
            }
            loading.loaded = Some(*loaded);
        }
        Ok(())
    }

    /// The load of which all is there but which offsets Kafka has.
    pub(crate) fn awaits_offsets(&self) -> Option<u64> {
        match &self.state {
            State::Loading(Loading { number, loaded: Some(_), .. }) => Some(*number),
            _ => None,
        }
    }

    /// Begins to read what was loaded, where its offsets fit those that Kafka has; gives what is to be fetched. `None` where offsets
    /// are to be forgotten first: they are claimed and loaded once more.
    ///
    /// # Errors
    /// When they do not fit, and that was not accepted by `reset_offsets`.
    pub(crate) fn take_over(
        &mut self,
        now: Instant,
        offsets: &Offsets,
        (reset_offsets, numbers): (bool, &mut Numbers),
    ) -> Result<Option<Vec<Fetch>>, Error> {
        let State::Loading(loading) = &mut self.state else { return Ok(None) };
        let (began, loaded) = (loading.began, loading.loaded.take());
        let Some(loaded) = loaded else { return Ok(None) };
        let Some(starts) = self.starts(&loaded.stored, offsets, reset_offsets)? else {
            self.wait(now);
            return Ok(None);
        };
        // One that is read already is given anew: what was loaded of it takes the place of what is in memory.
        for stored in loaded.stored.iter().filter(|stored| self.cursors.holds(stored.partition)) {
            self.groups.forget(short(stored.partition)?);
        }
        let mut fetches = Vec::with_capacity(starts.len());
        for (stored, start) in loaded.stored.iter().zip(starts) {
            if stored.next_offset.is_none() && start.offset > 0 {
                tracing::warn!(
                    partition = stored.partition,
                    first_offset = start.offset,
                    "kafka has removed records of the partition that this database has not read: no run is complete"
                );
            }
            let number = numbers.draw();
            self.cursors.insert(stored.partition, Cursor::new(stored, start, number)?);
            fetches.push(Fetch { partition: stored.partition, offset: start.offset, number });
        }
        // A row that was removed between a claim's statements is claimed again.
        let is_loaded = |partition: &i32| loaded.stored.iter().any(|stored| stored.partition == *partition);
        self.pending.retain(|partition| !is_loaded(partition) && !mutation::is(Mutation::RemovedRowForgotten));
        self.state = if self.pending.is_empty() { State::Reading } else { State::Waiting { until: now } };
        self.groups.absorb(loaded.groups);
        let (facts, groups) = (self.groups.facts(), self.groups.len());
        let load_ms = service::telemetry::millis(now.duration_since(began));
        tracing::info!(partitions = fetches.len(), facts, groups, load_ms, "claimed and loaded");
        Ok(Some(fetches))
    }

    /// Says where to begin each partition; `None` when stored offsets that do not fit are to be forgotten first, as was accepted.
    fn starts(
        &mut self,
        stored: &[Stored],
        offsets: &Offsets,
        reset_offsets: bool,
    ) -> Result<Option<Vec<Start>>, Error> {
        let mut starts = Vec::with_capacity(stored.len());
        for stored in stored {
            let known = offsets.get(&stored.partition).copied().unwrap_or((0, 0));
            match cursor::start(&self.feed, stored, known) {
                Ok(start) => starts.push(start),
                Err(error) if reset_offsets => self.accept(&error, stored.partition),
                Err(error) => return Err(error),
            }
        }
        Ok(self.forget.is_empty().then_some(starts))
    }

    /// Has a partition's stored offsets forgotten with its next claim.
    pub(crate) fn accept(&mut self, error: &Error, partition: i32) {
        tracing::warn!(%error, "accepted by --reset-offsets: beginning at the earliest offset");
        let why = if matches!(error, Error::RetentionGap { .. }) { Forget::Gap } else { Forget::OtherTopic };
        self.forget.insert(partition, why);
    }

    /// Takes a message in; [`Verdict::FetchFrom`] and [`Verdict::Changed`] are to be acted upon.
    pub(crate) fn take(&mut self, now: Instant, fetch: u64, message: &Message<'_>) -> Verdict {
        let is_of = |cursor: &&mut Cursor| cursor.is_of(fetch) || mutation::is(Mutation::OldRecordBelieved);
        let cursor = self.cursors.get_mut(message.partition).filter(is_of);
        let Some(cursor) = cursor else { return Verdict::Stale };
        let arrived = Arrived { offset: message.offset, timestamp_ms: message.timestamp_ms, crc32: message.crc32() };
        let verdict = cursor.arrive(arrived);
        if let Verdict::Apply(at) = verdict {
            let batch = &mut self.open.batch;
            let outcome = apply(&*self.pipeline, (&mut self.groups, batch), message, (&self.feed.topic, at));
            cursor.count(outcome);
            batch.count(1);
            self.open.since.get_or_insert(now);
        }
        verdict
    }

    /// Since when the open batch has had a record.
    pub(crate) fn open_since(&self) -> Option<Instant> {
        self.open.since
    }

    /// Whether the open batch is large enough to be sent.
    pub(crate) fn is_full(&self, max_records: usize) -> bool {
        self.open.batch.is_full(max_records)
    }

    /// Takes the open batch, unless it covers nothing; the next one begins.
    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        let ranges = self.cursors.take_ranges();
        if ranges.is_empty() {
            return None;
        }
        let next = OpenBatch { batch: Batch::new(&self.feed.changelog), since: None };
        let mut batch = std::mem::replace(&mut self.open, next).batch;
        batch.ranges = ranges;
        batch.foreign_claims = batch.changes.foreign_owners().map(|owner| (owner, self.cursors.epoch(owner))).collect();
        Some(batch)
    }

    /// The partition keys whose newest record came from another partition than their owner, to be moved there.
    pub(crate) fn moves(&mut self) -> Moves {
        let misplaced = self.groups.misplaced();
        let mut changes = Changes::new(&self.feed.changelog);
        for (group, owner) in &misplaced {
            self.groups.change_owner(group, *owner, &mut changes);
        }
        let keys: BTreeMap<String, i32> =
            misplaced.iter().map(|(group, owner)| (P::route(group), i32::from(*owner))).collect();
        Moves { keys: keys.into_iter().collect(), changes, to: self.cursors.refreshed_to() }
    }
}

fn apply<P: Pipeline>(
    pipeline: &P,
    (groups, batch): (&mut Groups<P>, &mut Batch),
    message: &Message<'_>,
    (topic, at): (&str, Position),
) -> Outcome {
    let reading = match message.value {
        None => Reading::Rejected("the value is null".into()),
        Some(value) => pipeline.read(message.key, value),
    };
    match reading {
        Reading::Record(record) => groups.apply(&record, at, &mut batch.changes),
        Reading::Filtered => Outcome::Filtered,
        Reading::Rejected(reason) => {
            batch.reject(Reject {
                topic,
                partition: message.partition,
                offset: at.offset,
                timestamp_ms: message.timestamp_ms,
                key: message.key,
                value: message.value,
                reason: &reason,
            });
            Outcome::Rejected
        }
    }
}

//! What is loaded, read, stored and dropped together: one partition, or all partitions of a topic whose keys are spread over them.

use std::{collections::BTreeMap, time::Instant};

use crate::{
    Error,
    columns::ColumnError,
    core::{
        batch::{Changes, Outcome, Part, Reject},
        check::KeyMoved,
        cursor::{self, Arrived, Cursor, Cursors, Start, Verdict},
        groups::{Applied, Groups},
        interface::{Fetch, Message},
        jobs::LoadedShard,
        kafka::Offsets,
        mutation::{self, Mutation},
        numbers::Numbers,
        offsets::{Feed, Forget, PartitionRow, Position},
        repartition::Moves,
    },
    pipeline::{Decoded, Pipeline},
};

/// How far a shard is.
pub(crate) enum State<P: Pipeline> {
    /// It is to be claimed and loaded, at this time: all of it, or the partitions that are not kept.
    Waiting { until: Instant, kept: Option<Memory<P>> },
    /// As waiting, until a partition key no longer belongs to a partition of another consumer.
    Blocked { by: KeyMoved },
    /// It is being claimed and loaded.
    Loading(Loading<P>),
    /// It is loaded, and owes a refresh of what others have stored. It is read once that is done: where its first batch
    /// is refused for a key of another partition, it would owe for ever.
    Owing { memory: Memory<P>, fetches: Vec<Fetch> },
    /// It is read.
    Reading(Memory<P>),
}

/// A load under way.
pub(crate) struct Loading<P: Pipeline> {
    /// The number of the load.
    pub(crate) load: u64,
    began: Instant,
    /// What it held before.
    kept: Option<Memory<P>>,
    /// What was loaded, while it is not yet known which offsets Kafka has.
    loaded: Option<Box<LoadedShard<P>>>,
    /// The topic query that is to say so, once it is sent.
    query: Option<u64>,
}

/// What a shard holds in memory. To drop it is to forget all that belongs to its partitions.
pub(crate) struct Memory<P: Pipeline> {
    /// How far the partitions were read.
    pub(crate) cursors: Cursors,
    pub(crate) groups: Groups<P>,
    /// Its part of the open batch.
    pub(crate) open: Part,
}

/// All that a shard has in memory.
pub(crate) struct Dropped<P: Pipeline> {
    pub(crate) memory: Option<Memory<P>>,
    /// What was loaded and not taken in yet.
    pub(crate) loaded: Option<Groups<P>>,
}

/// A shard.
pub(crate) struct Shard<P: Pipeline> {
    /// Names what is in memory, on every job and answer: another one once something of it was refused.
    pub(crate) number: u64,
    /// Its partitions; they never change.
    pub(crate) partitions: Vec<i32>,
    pub(crate) state: State<P>,
    /// Those whose stored offsets are to be forgotten with the next claim, as `--reset-offsets` accepted.
    forget: BTreeMap<i32, Forget>,
    /// The key that blocks it once it is loaded and what it owes is refreshed.
    blocked_by: Option<KeyMoved>,
}

/// What is known when a shard begins to be read.
pub(crate) struct Known<'a> {
    /// The offsets that Kafka has.
    pub(crate) offsets: &'a Offsets,
    pub(crate) feed: &'a Feed,
    /// Whether stored offsets that do not fit them may be forgotten.
    pub(crate) reset_offsets: bool,
}

/// What follows once it is known what Kafka has.
pub(crate) enum Begun<P: Pipeline> {
    /// These are to be fetched.
    Reading(Vec<Fetch>),
    /// A refresh is to be made first.
    Owing,
    /// It is claimed and loaded once more, or blocked; what it had is dropped.
    NotRead(Vec<Groups<P>>),
}

impl<P: Pipeline> State<P> {
    fn into_dropped(self) -> Dropped<P> {
        match self {
            Self::Reading(memory) | Self::Owing { memory, .. } => Dropped { memory: Some(memory), loaded: None },
            Self::Waiting { kept, .. } => Dropped { memory: kept, loaded: None },
            Self::Loading(Loading { kept, loaded, .. }) => {
                Dropped { memory: kept, loaded: loaded.map(|loaded| loaded.groups) }
            }
            Self::Blocked { .. } => Dropped { memory: None, loaded: None },
        }
    }
}

impl<P: Pipeline> Shard<P> {
    /// To be claimed and loaded at `until` at the earliest.
    pub(crate) fn new(number: u64, partitions: impl IntoIterator<Item = i32>, until: Instant) -> Self {
        let (partitions, state) = (partitions.into_iter().collect(), State::Waiting { until, kept: None });
        Self { number, partitions, state, forget: BTreeMap::new(), blocked_by: None }
    }

    /// One of all these partitions, of shards of some of them: what those hold is kept, and the rest is to be claimed and loaded at
    /// `until` at the earliest. Nothing of theirs may be unanswered. Gives back what was being loaded.
    pub(crate) fn of(
        number: u64,
        partitions: impl IntoIterator<Item = i32>,
        until: Instant,
        shards: Vec<Self>,
    ) -> (Self, Vec<Groups<P>>) {
        let mut all = Self::new(number, partitions, until);
        let (mut kept, mut to_free): (Option<Memory<P>>, _) = (None, Vec::new());
        for mut shard in shards {
            all.forget.append(&mut shard.forget);
            let held = shard.into_dropped();
            to_free.extend(held.loaded);
            match (&mut kept, held.memory) {
                (Some(kept), Some(memory)) => kept.absorb(memory),
                (None, memory) => kept = memory,
                (Some(_), None) => {}
            }
        }
        kept.iter_mut().for_each(|kept| kept.open.shard = number);
        all.state = State::Waiting { until, kept };
        (all, to_free)
    }

    /// What it holds while it is not read.
    pub(crate) fn kept(&self) -> Option<&Memory<P>> {
        match &self.state {
            State::Waiting { kept, .. } | State::Loading(Loading { kept, .. }) => kept.as_ref(),
            State::Blocked { .. } | State::Owing { .. } | State::Reading(_) => None,
        }
    }

    /// The partitions that it does not hold.
    pub(crate) fn missing(&self) -> Vec<i32> {
        let is_kept = |partition: &i32| self.kept().is_some_and(|kept| kept.cursors.holds(*partition));
        self.partitions.iter().copied().filter(|partition| !is_kept(partition)).collect()
    }

    /// What it holds, where it is loaded.
    pub(crate) fn memory(&self) -> Option<&Memory<P>> {
        match &self.state {
            State::Reading(memory) | State::Owing { memory, .. } => Some(memory),
            State::Waiting { .. } | State::Blocked { .. } | State::Loading(_) => None,
        }
    }

    /// What it holds, where it is loaded.
    pub(crate) fn memory_mut(&mut self) -> Option<&mut Memory<P>> {
        match &mut self.state {
            State::Reading(memory) | State::Owing { memory, .. } => Some(memory),
            State::Waiting { .. } | State::Blocked { .. } | State::Loading(_) => None,
        }
    }

    /// What it holds, where it is read.
    pub(crate) fn reading_mut(&mut self) -> Option<&mut Memory<P>> {
        if let State::Reading(memory) = &mut self.state { Some(memory) } else { None }
    }

    /// Whether it is read.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.state, State::Reading(_))
    }

    /// Whether it is loaded, and owes a refresh.
    pub(crate) fn is_owing(&self) -> bool {
        matches!(self.state, State::Owing { .. })
    }

    /// Whether it waits to be claimed.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// The number of the load that it waits for.
    pub(crate) fn load(&self) -> Option<u64> {
        if let State::Loading(loading) = &self.state { Some(loading.load) } else { None }
    }

    /// The key that blocks it, also while it is loaded once more to refresh what it owes.
    pub(crate) fn blocked_by(&self) -> Option<&KeyMoved> {
        if let State::Blocked { by } = &self.state { Some(by) } else { self.blocked_by.as_ref() }
    }

    /// When it is to be claimed and loaded.
    pub(crate) fn load_at(&self) -> Option<Instant> {
        if let State::Waiting { until, .. } = self.state { Some(until) } else { None }
    }

    /// Drops its memory, which is given back to be freed; it is claimed and loaded again at `until` at the earliest.
    pub(crate) fn drop_memory(&mut self, number: u64, until: Instant) -> Dropped<P> {
        let held = self.wait(until);
        self.number = number;
        held
    }

    fn wait(&mut self, until: Instant) -> Dropped<P> {
        // A shard that waits already has a reason to.
        let until = self.load_at().map_or(until, |at| at.max(until));
        std::mem::replace(&mut self.state, State::Waiting { until, kept: None }).into_dropped()
    }

    /// All that it holds.
    pub(crate) fn into_dropped(self) -> Dropped<P> {
        self.state.into_dropped()
    }

    /// Blocks it until that key belongs to another partition, once what it owes is refreshed. Its memory is dropped,
    /// and loaded again for that refresh where anything is changed.
    pub(crate) fn block(&mut self, now: Instant, number: u64, by: KeyMoved) -> Dropped<P> {
        let owes = self.memory().is_some_and(Memory::is_behind);
        let held = self.drop_memory(number, now);
        if owes {
            self.blocked_by = Some(by);
        } else {
            self.state = State::Blocked { by };
        }
        held
    }

    /// What blocked it is over.
    pub(crate) fn unblock(&mut self, now: Instant) {
        self.blocked_by = None;
        if let State::Blocked { .. } = self.state {
            self.state = State::Waiting { until: now, kept: None };
        }
    }

    /// Begins to claim and load it; gives what is to be forgotten.
    pub(crate) fn begin_load(&mut self, now: Instant, load: u64) -> BTreeMap<i32, Forget> {
        let kept = self.take_kept();
        self.state = State::Loading(Loading { load, began: now, kept, loaded: None, query: None });
        self.forget.clone()
    }

    /// Takes what a load brings. It is to be compared with what Kafka has before it is read.
    pub(crate) fn loaded(&mut self, loaded: LoadedShard<P>) {
        for stored in &loaded.stored {
            self.forget.remove(&stored.partition);
        }
        if let State::Loading(loading) = &mut self.state {
            loading.loaded = Some(Box::new(loaded));
        }
    }

    /// Notes the topic query that is to say which offsets Kafka has, where that is all that is missing.
    pub(crate) fn await_topic_state(&mut self, query: u64) {
        if let State::Loading(Loading { loaded: Some(_), query: awaited @ None, .. }) = &mut self.state {
            *awaited = Some(query);
        }
    }

    /// Whether only the offsets that Kafka has are missing, and no query for them was sent.
    pub(crate) fn wants_topic_state(&self) -> bool {
        matches!(self.state, State::Loading(Loading { loaded: Some(_), query: None, .. }))
    }

    /// Whether it waits for that topic query.
    pub(crate) fn awaits_topic_state(&self, query: u64) -> bool {
        matches!(self.state, State::Loading(Loading { query: Some(awaited), .. }) if awaited == query)
    }

    /// What was loaded and is not taken in yet: when that began, and what it is.
    pub(crate) fn just_loaded(&self) -> Option<(Instant, &LoadedShard<P>)> {
        if let State::Loading(Loading { began, loaded: Some(loaded), .. }) = &self.state {
            Some((*began, loaded))
        } else {
            None
        }
    }

    /// Cancels a load under way, and gives back what it brought; it is claimed and loaded again, at `until` at the
    /// earliest.
    pub(crate) fn cancel_load(&mut self, until: Instant) -> Option<Groups<P>> {
        let State::Loading(Loading { kept, loaded, .. }) = &mut self.state else { return None };
        let (kept, loaded) = (kept.take(), loaded.take());
        self.state = State::Waiting { until, kept };
        Some(loaded?.groups)
    }

    fn take_kept(&mut self) -> Option<Memory<P>> {
        match &mut self.state {
            State::Waiting { kept, .. } | State::Loading(Loading { kept, .. }) => kept.take(),
            State::Blocked { .. } | State::Owing { .. } | State::Reading(_) => None,
        }
    }

    /// Begins to read what was loaded, where its offsets fit those that Kafka has.
    ///
    /// # Errors
    /// When they do not fit, and that was not accepted by `reset_offsets`.
    pub(crate) fn begin_reading(
        &mut self,
        now: Instant,
        known: &Known<'_>,
        numbers: &mut Numbers,
    ) -> Result<Begun<P>, Error> {
        let State::Loading(loading) = &mut self.state else { return Ok(Begun::NotRead(Vec::new())) };
        let loaded = loading.loaded.take();
        self.cancel_load(now);
        let Some(loaded) = loaded else { return Ok(Begun::NotRead(Vec::new())) };
        // A row that was removed between a claim's statements is claimed again.
        if loaded.stored.len() < loaded.partitions.len() && !mutation::is(Mutation::RemovedRowForgotten) {
            return Ok(Begun::NotRead(vec![loaded.groups]));
        }
        let Some(starts) = self.starts(&loaded.stored, known)? else {
            return Ok(Begun::NotRead(vec![loaded.groups]));
        };
        let (mut cursors, mut fetches) = (Cursors::default(), Vec::with_capacity(starts.len()));
        for (stored, start) in loaded.stored.iter().zip(starts) {
            if stored.next_offset.is_none() && start.offset > 0 {
                tracing::warn!(
                    partition = stored.partition,
                    first_offset = start.offset,
                    "kafka has removed records of the partition that this database has not read: no run is complete"
                );
            }
            let number = numbers.draw();
            cursors.insert(stored.partition, Cursor::new(stored, start, number)?);
            fetches.push(Fetch { partition: stored.partition, offset: start.offset, number });
        }
        let mut memory = Memory { cursors, groups: loaded.groups, open: Part::new(self.number, &P::CHANGELOG) };
        let has_changed = memory.groups.has_changed();
        if let Some(mut kept) = self.take_kept() {
            fetches.extend(kept.cursors.fetch_again(numbers));
            kept.absorb(memory);
            memory = kept;
        }
        // One whose topic was recreated is refreshed at its end only.
        let owes = has_changed && !memory.cursors.catching_up();
        if owes && !mutation::is(Mutation::OwedNotRefreshedFirst) {
            self.state = State::Owing { memory, fetches };
            return Ok(Begun::Owing);
        }
        if let Some(by) = self.blocked_by.take() {
            self.state = State::Blocked { by };
            return Ok(Begun::NotRead(vec![memory.groups]));
        }
        self.state = State::Reading(memory);
        Ok(Begun::Reading(fetches))
    }

    /// What it owed is refreshed: it is read from now on, or blocked, which frees its memory. Returns what is to be
    /// fetched.
    pub(crate) fn finish_owed(&mut self, now: Instant) -> (Vec<Fetch>, Option<Memory<P>>) {
        match std::mem::replace(&mut self.state, State::Waiting { until: now, kept: None }) {
            State::Owing { memory, fetches: _ } if self.blocked_by.is_some() => {
                let by = self.blocked_by.take().expect("it was checked");
                self.state = State::Blocked { by };
                (Vec::new(), Some(memory))
            }
            State::Owing { memory, fetches } => {
                self.state = State::Reading(memory);
                (fetches, None)
            }
            other => {
                self.state = other;
                (Vec::new(), None)
            }
        }
    }

    /// Says where to begin each partition; `None` when stored offsets that do not fit are to be forgotten first, as was accepted.
    fn starts(&mut self, stored: &[PartitionRow], known: &Known<'_>) -> Result<Option<Vec<Start>>, Error> {
        let mut starts = Vec::with_capacity(stored.len());
        for stored in stored {
            let offsets = known.offsets.get(&stored.partition).copied().unwrap_or((0, 0));
            match cursor::start(known.feed, stored, offsets) {
                Ok(start) => starts.push(start),
                Err(error) if known.reset_offsets => self.forget_offsets(&error, stored.partition),
                Err(error) => return Err(error),
            }
        }
        Ok(self.forget.is_empty().then_some(starts))
    }

    /// Has a partition's stored offsets forgotten with its next claim.
    pub(crate) fn forget_offsets(&mut self, error: &Error, partition: i32) {
        tracing::warn!(%error, "accepted by --reset-offsets: beginning at the earliest offset");
        let why = if matches!(error, Error::RetentionGap { .. }) { Forget::Gap } else { Forget::OtherTopic };
        self.forget.insert(partition, why);
    }
}

impl<P: Pipeline> Memory<P> {
    /// Takes in what belongs to further partitions. Neither has a record in its open part.
    fn absorb(&mut self, other: Self) {
        self.cursors.absorb(other.cursors);
        self.groups.absorb(other.groups);
    }

    /// Takes a message in; [`Verdict::FetchFrom`] and [`Verdict::OtherRecord`] are to be acted upon.
    /// `keeps` says of a key whether another rejected record of it is kept with its bytes.
    pub(crate) fn take(
        &mut self,
        pipeline: &P,
        topic: &str,
        fetch: u64,
        message: &Message<'_>,
        keeps: impl FnMut(Option<&[u8]>) -> bool,
    ) -> Verdict {
        let is_of = |cursor: &&mut Cursor| cursor.is_of(fetch) || mutation::is(Mutation::OldRecordBelieved);
        let cursor = self.cursors.get_mut(message.partition).filter(is_of);
        let Some(cursor) = cursor else { return Verdict::Stale };
        let arrived = Arrived { offset: message.offset, timestamp_ms: message.timestamp_ms, crc32: message.crc32() };
        let verdict = cursor.accept(arrived);
        if let Verdict::Apply(at) = verdict {
            // What is parked is counted once it is applied.
            if let Some(outcome) = apply(pipeline, &mut self.groups, &mut self.open, message, topic, at, keeps) {
                cursor.count(outcome);
            }
            self.open.count(1);
        }
        verdict
    }

    /// Takes in the rows of the cold store that records wait for, and applies those records.
    ///
    /// # Errors
    /// When a row is not what this program writes.
    pub(crate) fn found(&mut self, rows: &[u8]) -> Result<(), ColumnError> {
        for (partition, outcome) in self.groups.found(rows, &mut self.open.changes)? {
            if let Some(cursor) = self.cursors.get_mut(partition.into()) {
                cursor.count(outcome);
            }
        }
        Ok(())
    }

    /// Takes its part of the open batch, unless it covers nothing, or some of it waits for a group that is not in memory; the next
    /// one begins.
    pub(crate) fn take_part(&mut self) -> Option<Part> {
        if self.groups.parked_groups() > 0 {
            return None;
        }
        let ranges = self.cursors.take_ranges();
        if ranges.is_empty() {
            return None;
        }
        let next = Part::new(self.open.shard, &P::CHANGELOG);
        let mut part = std::mem::replace(&mut self.open, next);
        self.groups.seal(&part.changes);
        part.ranges = ranges;
        part.claims = self.cursors.claims();
        if mutation::is(Mutation::ClaimsOfSourcesOnly) {
            part.claims.retain(|claim| part.ranges.iter().any(|range| range.partition == claim.0));
        }
        Some(part)
    }

    /// Whether anything of it waits for a refresh.
    pub(crate) fn is_behind(&self) -> bool {
        self.groups.has_changed() || self.cursors.unrefreshed()
    }

    /// Whether a refresh would be of whole partitions: none whose topic was recreated is still being read.
    pub(crate) fn may_refresh(&self) -> bool {
        !self.cursors.catching_up()
    }

    /// Whether all that was read of it is sent, so that a refresh may write to the cold store.
    pub(crate) fn is_settled(&self) -> bool {
        !self.groups.leave() || (self.groups.is_settled() && !self.cursors.has_range())
    }
}

impl<P: Pipeline> Memory<P> {
    /// The partition keys whose newest record came from another partition than their owner, to be moved there.
    pub(crate) fn moves(&mut self) -> Moves {
        let (misplaced, moved) = (self.groups.misplaced(), self.groups.misplaced_keys().collect::<Vec<_>>());
        let mut changes = Changes::new(&P::CHANGELOG);
        for (group, owner) in &misplaced {
            self.groups.change_owner(group, *owner, &mut changes);
        }
        let mut keys: BTreeMap<String, i32> =
            misplaced.iter().map(|(group, owner)| (P::partition_key(group), i32::from(*owner))).collect();
        keys.extend(moved);
        Moves { keys: keys.into_iter().collect(), changes, to: self.cursors.refreshed_to() }
    }
}

fn apply<P: Pipeline>(
    pipeline: &P,
    groups: &mut Groups<P>,
    part: &mut Part,
    message: &Message<'_>,
    topic: &str,
    at: Position,
    mut keeps: impl FnMut(Option<&[u8]>) -> bool,
) -> Option<Outcome> {
    let reading = match message.value {
        None => Decoded::Rejected("the value is null".into()),
        Some(value) => pipeline.read(message.key, value),
    };
    let reason = match reading {
        Decoded::Record(record) => {
            match groups.apply_or_park(pipeline, &record, at, message.timestamp_ms, &mut part.changes) {
                Applied::Whole(outcome) => return Some(outcome),
                Applied::Parked => return None,
                Applied::Rejected(reason) => reason.into(),
            }
        }
        Decoded::Filtered => return Some(Outcome::Filtered),
        Decoded::Rejected(reason) => reason,
    };
    if keeps(message.key) {
        part.reject(Reject {
            topic,
            partition: message.partition,
            offset: at.offset,
            timestamp_ms: message.timestamp_ms,
            key: message.key,
            value: message.value,
            reason: &reason,
        });
    }
    Some(Outcome::Rejected)
}

//! What the group asks for: partitions come, are claimed and loaded, and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{Message, Offset, TopicPartitionList, consumer::Consumer, error::KafkaError};
use service::telemetry::millis;
use tokio::sync::mpsc::error::TryRecvError;

use crate::{
    Error, Pipeline,
    changelog::Standing,
    claims::Forget,
    copy::CopyReader,
    group::{self, ASK, Rebalance, Watermarks},
    kafka_errors::{Decision, Resource, decide},
    kafka_state::Right,
    loader::{Load, Loaded},
    offsets::{Stored, short},
    partitions::{self, Progress, Start},
    reader::{AGAIN, Reader},
    readiness::View,
    state::LoadedIds,
    topic_client::Kafka,
};

/// How long the batch in hand may take once its partition is asked back.
const REVOKE: Duration = Duration::from_secs(2);
/// How long a fenced consumer listens for a rebalance it may have slept through before it claims
/// again what it still believes to own: longer than a heartbeat, or two consumers would fence each other by turns.
const AFTER_A_FENCE: Duration = Duration::from_secs(4);
/// How long a consumer that met a homeless route stands still before it looks whether things have changed.
const HOMELESS: Duration = Duration::from_secs(30);

/// What is assigned to us, and how far we are in taking it over.
pub struct Assignment<P: Pipeline> {
    /// Partitions that librdkafka fetches for us.
    assigned: BTreeSet<i32>,
    /// Partitions that still have to be claimed and loaded.
    waiting: BTreeSet<i32>,
    /// Those of them whose stored offsets are to be forgotten, as `--reset-offsets` accepted.
    forget: BTreeMap<i32, Forget>,
    load: Option<Load>,
    /// Where the partitions that are loaded stand.
    claimed: Vec<Stored>,
    copy: CopyReader,
    ids: LoadedIds<P>,
    load_began: Option<Instant>,
    not_before: Option<Instant>,
    /// Why nothing is read, though it could be loaded.
    blocked: Option<String>,
    /// Whether the group has ever given us our part.
    member: bool,
    /// Whether what it gave us still stands.
    stands: bool,
    /// Since when it does not, where it does not.
    unassigned: Instant,
    began: Instant,
}

impl<P: Pipeline> Default for Assignment<P> {
    fn default() -> Self {
        Self {
            assigned: BTreeSet::new(),
            waiting: BTreeSet::new(),
            forget: BTreeMap::new(),
            load: None,
            claimed: Vec::new(),
            copy: CopyReader::default(),
            ids: LoadedIds::default(),
            load_began: None,
            not_before: None,
            blocked: None,
            member: false,
            stands: false,
            unassigned: Instant::now(),
            began: Instant::now(),
        }
    }
}

impl<P: Pipeline> Assignment<P> {
    /// Whether nothing has to be claimed or loaded.
    pub fn is_settled(&self) -> bool {
        self.load.is_none() && self.waiting.is_empty()
    }

    /// Whether the group has given us our part, which may be none.
    pub fn is_member(&self) -> bool {
        self.member
    }

    /// Since when the group has given us no part.
    pub(crate) fn unassigned_since(&self) -> Option<Instant> {
        (!self.stands).then_some(self.unassigned)
    }

    /// Partitions that librdkafka fetches for us.
    pub fn assigned(&self) -> &BTreeSet<i32> {
        &self.assigned
    }

    /// Its part in what readiness depends on.
    pub(crate) fn view(&self) -> View<'_> {
        View {
            assigned: self.stands,
            waiting: Some(&self.waiting),
            loading: self.load.as_ref().map_or(&[], |load| &load.partitions),
            blocked: self.blocked.as_deref(),
            ..View::default()
        }
    }

    /// How long a poll may wait: a load brings its pieces faster than any group asks.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(if self.load.is_some() { 1 } else { 50 })
    }
}

impl<P: Pipeline> Reader<P> {
    /// Does what the group has asked for.
    pub(crate) fn answer_group(&mut self) -> Result<(), Error> {
        let consumer = Arc::clone(&self.parts.consumer);
        for asked in consumer.client().context().take_asked() {
            match asked {
                Rebalance::Assign(partitions) => self.assign(&partitions)?,
                Rebalance::Revoke(partitions) => self.revoke(&partitions)?,
            }
        }
        Ok(())
    }

    fn assign(&mut self, partitions: &[i32]) -> Result<(), Error> {
        if !std::mem::replace(&mut self.assignment.member, true) {
            tracing::info!(joined_in_ms = millis(self.assignment.began.elapsed()), "joined the group");
        }
        tracing::info!(?partitions, "assigned");
        self.assignment.stands = true;
        self.assignment.waiting.extend(partitions);
        // More partitions may be what a consumer that stands still was waiting for.
        self.assignment.not_before = None;
        self.kafka_grants(Right::ReadGroup);
        self.kafka_answers();
        if partitions.is_empty() {
            let answered = self.parts.consumer.incremental_assign(&TopicPartitionList::new());
            return self.needs_client(answered);
        }
        self.topic_is_there();
        Ok(())
    }

    fn revoke(&mut self, partitions: &[i32]) -> Result<(), Error> {
        let began = Instant::now();
        if self.assignment.is_settled() {
            self.send()?;
        }
        self.drain(began, REVOKE)?;
        self.give_up_loading();
        // librdkafka refuses to take back what was never given, and then the group would wait for ever.
        let gone: BTreeSet<i32> = partitions.iter().copied().collect();
        let never_assigned: BTreeSet<i32> = gone.difference(&self.assignment.assigned).copied().collect();
        if !never_assigned.is_empty() {
            let given = self.parts.consumer.incremental_assign(&self.list(&never_assigned));
            self.needs_client(given)?;
        }
        for partition in &gone {
            self.assignment.waiting.remove(partition);
            self.assignment.assigned.remove(partition);
            self.intake.partitions.remove(*partition);
            self.intake.state.forget(short(*partition)?);
        }
        self.stash.retain(|message| !gone.contains(&message.partition()));
        self.kafka.forget(&gone);
        (self.assignment.stands, self.assignment.unassigned) = (false, Instant::now());
        let taken = self.parts.consumer.incremental_unassign(&self.list(&gone));
        self.needs_client(taken)?;
        tracing::info!(?partitions, given_back_in_ms = millis(began.elapsed()), "revoked");
        Ok(())
    }

    /// Goes on claiming and loading, if there is anything to.
    pub(crate) fn load_on(&mut self) -> Result<(), Error> {
        let due = self.assignment.not_before.is_none_or(|not_before| Instant::now() >= not_before);
        if self.assignment.load.is_none() && !self.assignment.waiting.is_empty() && due {
            let partitions: Vec<i32> = std::mem::take(&mut self.assignment.waiting).into_iter().collect();
            self.assignment.not_before = None;
            self.assignment.load_began = Some(Instant::now());
            let load = self.parts.loader.load(&self.parts.runtime, partitions, &self.assignment.forget)?;
            self.assignment.load = Some(load);
        }
        while let Some(load) = &mut self.assignment.load {
            match load.loaded.try_recv() {
                Ok(loaded) => self.take_loaded(loaded)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Error::WriterGone),
            }
        }
        Ok(())
    }

    fn take_loaded(&mut self, loaded: Loaded) -> Result<(), Error> {
        match loaded {
            Loaded::Begin(stored) => {
                self.assignment.copy = CopyReader::default();
                self.assignment.ids = LoadedIds::new(&stored)?;
                for stored in &stored {
                    self.intake.state.forget(short(stored.partition)?);
                    self.assignment.forget.remove(&stored.partition);
                }
                self.assignment.claimed = stored;
            }
            Loaded::Homes(homes) => {
                for (route, home) in homes {
                    self.intake.state.load_home(route, short(home)?);
                }
            }
            Loaded::Piece(piece) => {
                self.assignment.copy.push(&piece);
                while let Some(row) = self.assignment.copy.next_row() {
                    self.intake.state.load_row(row, &mut self.assignment.ids)?;
                }
                self.check_memory()?;
            }
            Loaded::Ready => self.take_over()?,
            Loaded::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Begins to read partitions that were claimed and loaded.
    fn take_over(&mut self) -> Result<(), Error> {
        let stored = std::mem::take(&mut self.assignment.claimed);
        self.assignment.load = None;
        self.assignment.ids = LoadedIds::default();
        self.assignment.copy = CopyReader::default();
        let Some(starts) = self.look_at_kafka(ASK)?.map(|marks| self.starts(&stored, &marks)).transpose()?.flatten()
        else {
            // Kafka did not answer, or offsets are to be forgotten first: claim and load once more.
            self.assignment.waiting.extend(stored.iter().map(|stored| stored.partition));
            return Ok(());
        };
        for (stored, start) in stored.iter().zip(&starts) {
            if stored.next_offset.is_none() && start.offset > 0 {
                tracing::warn!(
                    partition = stored.partition,
                    first_offset = start.offset,
                    "kafka has removed records of the partition that this database has not read: no run is complete"
                );
            }
            self.intake.partitions.insert(stored.partition, Progress::new(stored, *start)?);
            // Where nothing is stored, too: the answer to a commit is how a right that was taken from the group shows.
            self.committed.insert(stored.partition, stored.next_offset.unwrap_or(start.offset));
        }
        let offsets: Vec<(i32, i64)> =
            stored.iter().zip(&starts).map(|(stored, start)| (stored.partition, start.offset)).collect();
        self.fetch_from(&offsets)?;
        self.assignment.blocked = None;
        self.schedule.begin();
        let load_ms = self.assignment.load_began.map_or(0, |began| millis(began.elapsed()));
        let (facts, groups) = (self.intake.state.facts(), self.intake.state.groups());
        self.report_facts();
        tracing::info!(partitions = starts.len(), facts, groups, load_ms, "claimed and loaded");
        Ok(())
    }

    /// Asks Kafka, for so long at most a question, which offsets it has; `None` when it does not say, and is to be asked again.
    pub(crate) fn look_at_kafka(&mut self, patience: Duration) -> Result<Option<Watermarks>, Error> {
        let answer = match group::watermarks(&self.parts.consumer, &self.parts.feed.topic, patience) {
            Ok(Some(marks)) => self.lower_ends(&marks).map(|()| Some(marks)),
            answer => answer,
        };
        if !matches!(answer, Ok(Some(_))) {
            self.assignment.not_before = Some(Instant::now() + AGAIN);
        }
        match answer {
            Ok(Some(marks)) => {
                self.kafka_answers();
                self.topic_is_there();
                return Ok(Some(marks));
            }
            Ok(None) => {
                self.kafka_answers();
                self.topic_is_missing();
            }
            Err(error) if decide(&error) == Decision::Denied(Resource::Topic) => {
                self.kafka_denies(Right::DescribeTopic);
            }
            Err(error) => self.trouble(&error)?,
        }
        Ok(None)
    }

    /// Lowers the ends to read to where the topic's own have fallen. They never do: the topic is another one, which is to be
    /// read to its own end. What can be read of it may end before an open transaction.
    fn lower_ends(&mut self, marks: &Watermarks) -> Result<(), KafkaError> {
        let ends = &mut self.parts.ends;
        let short = marks.iter().filter(|(partition, (_, stable))| ends.get(partition).is_some_and(|end| end > stable));
        let short: Vec<i32> = short.map(|(partition, _)| *partition).collect();
        if !short.is_empty() {
            let now = Kafka::connect(&self.parts.kafka)?.ends(&self.parts.feed.topic, short)?;
            now.into_iter().for_each(|(partition, end)| {
                ends.entry(partition).and_modify(|known| *known = end.min(*known));
            });
        }
        Ok(())
    }

    /// Says where to begin each partition. Where the stored offsets do not fit and that was accepted, they are to be forgotten:
    /// then there is nowhere to begin yet.
    fn starts(&mut self, stored: &[Stored], marks: &Watermarks) -> Result<Option<Vec<Start>>, Error> {
        let mut starts = Vec::with_capacity(stored.len());
        for stored in stored {
            let (start, end) = marks.get(&stored.partition).copied().unwrap_or((0, 0));
            match partitions::start(&self.parts.feed, stored, (start, end), self.parts.cluster_id.as_deref()) {
                Ok(start) => starts.push(start),
                Err(error) if self.parts.settings.reset_offsets => self.accept(&error, stored.partition),
                Err(error) => return Err(error),
            }
            self.parts.ends.entry(stored.partition).or_insert(end);
        }
        Ok(self.assignment.forget.is_empty().then_some(starts))
    }

    /// Has a partition's stored offsets forgotten with its next claim.
    fn accept(&mut self, error: &Error, partition: i32) {
        tracing::warn!(%error, "accepted by --reset-offsets: beginning at the earliest offset");
        let why = if matches!(error, Error::RetentionGap { .. }) { Forget::Gap } else { Forget::OtherTopic };
        self.assignment.forget.insert(partition, why);
    }

    /// Has librdkafka fetch partitions from given offsets. Those it fetches already are taken from it and given anew, since it
    /// refuses to seek where it has given up fetching, as after an offset that was out of range.
    pub(crate) fn fetch_from(&mut self, starts: &[(i32, i64)]) -> Result<(), Error> {
        let partitions: BTreeSet<i32> = starts.iter().map(|(partition, _)| *partition).collect();
        let known: BTreeSet<i32> = partitions.intersection(&self.assignment.assigned).copied().collect();
        if !known.is_empty() {
            // What came before comes again after it; taken in first, it would leave a gap.
            self.stash.retain(|message| !known.contains(&message.partition()));
            // While they are still ours: a resume may overtake the start of fetching, and librdkafka drops what was overtaken.
            let resumed = self.parts.consumer.resume(&self.list(&known));
            let taken = resumed.and_then(|()| self.parts.consumer.incremental_unassign(&self.list(&known)));
            self.needs_client(taken)?;
        }
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for (partition, offset) in starts {
            // Adding a partition with an offset fails only for offsets below −2000.
            let _ = list.add_partition_offset(&self.parts.feed.topic, *partition, Offset::Offset(*offset));
        }
        let given = self.parts.consumer.incremental_assign(&list);
        self.needs_client(given)?;
        self.assignment.assigned.extend(partitions);
        Ok(())
    }

    /// Gives up the memory of all partitions after a batch was refused; they are claimed and loaded again.
    pub(crate) fn recover(&mut self, standing: Standing) {
        let mut wait = Duration::ZERO;
        match standing {
            Standing::Fenced { partition, epoch } => {
                tracing::warn!(
                    partition,
                    epoch,
                    "fenced: another consumer has claimed the partition, or it was reset; forgetting all, and claiming again what is still ours"
                );
                wait = AFTER_A_FENCE;
            }
            Standing::Lost { partition, stored } => {
                tracing::warn!(partition, ?stored, "the database has lost commits; loading and reading again");
            }
            Standing::Ours | Standing::Done => {}
        }
        self.begin_again_after(wait);
    }

    /// As [`Reader::begin_again`], but not at once.
    pub(crate) fn begin_again_after(&mut self, wait: Duration) {
        self.begin_again();
        self.assignment.not_before = Some(Instant::now() + wait);
    }

    /// Forgets all memory, and claims and loads again what is assigned, or about to be.
    pub(crate) fn begin_again(&mut self) {
        self.term += 1;
        self.in_flight = 0;
        self.schedule.begin();
        self.intake.clear();
        self.stash.clear();
        self.give_up_loading();
        self.assignment.waiting.extend(self.assignment.assigned.iter().copied());
    }

    /// Ends a load under way; what it was to load waits for the next one, though it may never have been assigned.
    fn give_up_loading(&mut self) {
        if let Some(load) = self.assignment.load.take() {
            self.assignment.waiting.extend(load.partitions.iter().copied());
        }
    }

    /// Stops reading, unready, because a route's home is owned by another consumer.
    pub(crate) fn stand_still(&mut self, error: Error) -> Result<(), Error> {
        if self.parts.settings.until_end {
            return Err(error);
        }
        tracing::error!("standing still: {error}");
        self.begin_again_after(HOMELESS);
        self.assignment.blocked = Some(error.to_string());
        Ok(())
    }

    /// Handles a topic that is not the one the stored offsets belong to.
    pub(crate) fn topic_changed(&mut self, partition: i32, why: String) -> Result<(), Error> {
        let error = Error::TopicChanged { topic: self.parts.feed.topic.clone(), partition, why };
        if !self.parts.settings.reset_offsets {
            return Err(error);
        }
        self.accept(&error, partition);
        self.begin_again();
        Ok(())
    }
}

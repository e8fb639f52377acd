//! What the group asks for: partitions come, are claimed and loaded, and go.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{Message, Offset, TopicPartitionList, consumer::Consumer};
use service::telemetry::millis;
use tokio::sync::mpsc::error::TryRecvError;

use crate::{
    Error, Pipeline,
    changelog::Standing,
    claims,
    copy::CopyReader,
    group::{self, ASK, Rebalance},
    loader::{Load, Loaded},
    offsets::{Stored, short},
    partitions::{self, Progress, Start},
    reader::{AGAIN, Reader},
    state::LoadedIds,
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
    load: Option<Load>,
    copy: CopyReader,
    ids: LoadedIds<P>,
    load_began: Option<Instant>,
    not_before: Option<Instant>,
    member: bool,
    began: Instant,
}

impl<P: Pipeline> Default for Assignment<P> {
    fn default() -> Self {
        Self {
            assigned: BTreeSet::new(),
            waiting: BTreeSet::new(),
            load: None,
            copy: CopyReader::default(),
            ids: LoadedIds::default(),
            load_began: None,
            not_before: None,
            member: false,
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

    /// Partitions that librdkafka fetches for us.
    pub fn assigned(&self) -> &BTreeSet<i32> {
        &self.assigned
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
        self.assignment.waiting.extend(partitions);
        // More partitions may be what a consumer that stands still was waiting for.
        self.assignment.not_before = None;
        if partitions.is_empty() {
            self.parts.consumer.incremental_assign(&TopicPartitionList::new())?;
            self.parts.health.clear("group");
        }
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
            self.parts.consumer.incremental_assign(&self.list(&never_assigned))?;
        }
        for partition in &gone {
            self.assignment.waiting.remove(partition);
            self.assignment.assigned.remove(partition);
            self.intake.partitions.remove(*partition);
            self.intake.state.forget(short(*partition)?);
        }
        self.stash.retain(|message| !gone.contains(&message.partition()));
        self.parts.consumer.incremental_unassign(&self.list(&gone))?;
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
            self.assignment.load = Some(self.parts.loader.load(&self.parts.runtime, partitions));
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
            Loaded::Begin => {
                self.assignment.copy = CopyReader::default();
                self.assignment.ids = LoadedIds::default();
                let partitions = self.assignment.load.as_ref().map_or(&[][..], |load| &load.partitions);
                for partition in partitions {
                    self.intake.state.forget(short(*partition)?);
                }
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
            Loaded::Ready(stored) => self.take_over(stored)?,
            Loaded::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Begins to read partitions that were claimed and loaded.
    fn take_over(&mut self, mut stored: Vec<Stored>) -> Result<(), Error> {
        self.assignment.load = None;
        self.assignment.ids = LoadedIds::default();
        self.assignment.copy = CopyReader::default();
        let marks = match group::watermarks(&self.parts.consumer, &self.parts.feed.topic, ASK) {
            Ok(Some(marks)) => marks,
            Ok(None) => {
                self.try_again(&stored, &format!("topic {} is missing", self.parts.feed.topic));
                return Ok(());
            }
            Err(error) => {
                self.try_again(&stored, &error);
                return Ok(());
            }
        };
        let mut starts = Vec::with_capacity(stored.len());
        for stored in &mut stored {
            let told = marks.get(&stored.partition).copied();
            let (start, end) = told.unwrap_or((0, 0));
            let begin = self.begin(stored, (start, end))?;
            let known = self.parts.ends.entry(stored.partition).or_insert(end);
            if told.is_some() {
                // A topic's end never falls: where it has, the topic is another one, which is to be read to its own end.
                *known = end.min(*known);
            }
            self.intake.partitions.insert(stored.partition, Progress::new(stored, begin)?);
            starts.push((stored.partition, begin.offset));
        }
        if self.intake.partitions.unpublished() {
            self.intake.state.mark_all_changed();
        }
        self.fetch_from(&starts)?;
        self.parts.health.clear("group");
        self.parts.health.clear("homes");
        self.schedule.begin();
        let load_ms = self.assignment.load_began.map_or(0, |began| millis(began.elapsed()));
        let (facts, groups) = (self.intake.state.facts(), self.intake.state.groups());
        self.report_facts();
        tracing::info!(partitions = starts.len(), facts, groups, load_ms, "claimed and loaded");
        Ok(())
    }

    /// Puts partitions back that could not be taken over because Kafka did not answer.
    fn try_again(&mut self, stored: &[Stored], error: &impl std::fmt::Display) {
        self.kafka_is_away(error);
        self.assignment.waiting.extend(stored.iter().map(|stored| stored.partition));
        self.assignment.not_before = Some(Instant::now() + AGAIN);
    }

    /// Says where to begin; where the stored offsets do not fit and that was accepted, at the earliest.
    fn begin(&self, stored: &mut Stored, marks: (i64, i64)) -> Result<Start, Error> {
        match partitions::start(&self.parts.feed, stored, marks, self.parts.cluster_id.as_deref()) {
            Err(error) if self.parts.settings.reset_offsets => {
                tracing::warn!(%error, "accepted by --reset-offsets: beginning at the earliest offset");
                self.forget_offsets(stored)?;
                Ok(Start { offset: marks.0, checked: false })
            }
            start => start,
        }
    }

    fn forget_offsets(&self, stored: &mut Stored) -> Result<(), Error> {
        let doing = "forgetting the old topic's offsets";
        let refused = |source| Error::of_postgres(doing, source);
        let (database, feed) = (&self.parts.loader.database, &self.parts.feed);
        let done = self.parts.runtime.block_on(async {
            let mut connection = database.connect().await?;
            claims::forget_offsets(&mut connection, feed, (stored.partition, stored.epoch)).await
        });
        if !done.map_err(refused)? {
            return Err(refused(sqlx::Error::RowNotFound));
        }
        (stored.next_offset, stored.published_through, stored.last) = (None, None, None);
        stored.catching_up = true;
        Ok(())
    }

    /// Has librdkafka fetch partitions from given offsets. Those it fetches already are taken from it and given anew, since it
    /// refuses to seek where it has given up fetching, as after an offset that was out of range.
    fn fetch_from(&mut self, starts: &[(i32, i64)]) -> Result<(), Error> {
        let partitions: BTreeSet<i32> = starts.iter().map(|(partition, _)| *partition).collect();
        let known: BTreeSet<i32> = partitions.intersection(&self.assignment.assigned).copied().collect();
        if !known.is_empty() {
            // What came before comes again after it; taken in first, it would leave a gap.
            self.stash.retain(|message| !known.contains(&message.partition()));
            // While they are still ours: a resume may overtake the start of fetching, and librdkafka drops what was overtaken.
            self.parts.consumer.resume(&self.list(&known))?;
            self.parts.consumer.incremental_unassign(&self.list(&known))?;
        }
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for (partition, offset) in starts {
            list.add_partition_offset(&self.parts.feed.topic, *partition, Offset::Offset(*offset))?;
        }
        self.parts.consumer.incremental_assign(&list)?;
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
        self.parts.health.fault("homes", error.to_string());
        self.begin_again_after(HOMELESS);
        Ok(())
    }

    /// Handles a topic that is not the one the stored offsets belong to.
    pub(crate) fn topic_changed(&mut self, partition: i32, why: String) -> Result<(), Error> {
        let error = Error::TopicChanged { topic: self.parts.feed.topic.clone(), partition, why };
        if !self.parts.settings.reset_offsets {
            return Err(error);
        }
        tracing::warn!(%error, "accepted by --reset-offsets: beginning at the earliest offset");
        if let Some(mut stored) = self.intake.partitions.as_stored(partition) {
            self.forget_offsets(&mut stored)?;
        }
        self.begin_again();
        Ok(())
    }
}

//! The thread that reads: it alone polls Kafka and owns the facts in memory.
//!
//! One turn of its loop hears the writer, answers the group, goes on loading, reads, sends what is
//! due. It never waits for Postgres: while the writer is busy it keeps polling, with the
//! partitions paused.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rdkafka::{Message, Offset, TopicPartitionList, consumer::Consumer, error::KafkaError, message::OwnedMessage};
use service::{Stop, health::Health, settings::KafkaSettings, telemetry::millis};

use crate::{
    Error, Pipeline,
    group::{ASK, GroupConsumer},
    intake::Intake,
    kafka_state::KafkaState,
    loader::Loader,
    measures, memory,
    offsets::Feed,
    partitions::Verdict,
    rebalance::Assignment,
    schedule::Schedule,
    settings::ConsumeSettings,
    transactions::OpenTransactions,
    writer::{Event, Job, Task},
};

/// Batches the writer may hold: with fewer it waits for the disk more often, since those that wait are stored together;
/// more would only take memory.
pub(crate) const IN_FLIGHT: usize = 4;
/// The most that can be queued for the writer: the batches, one more on a revocation, a publication, a survey.
pub(crate) const JOBS: usize = IN_FLIGHT + 6;
/// How long one poll may wait for a record; signals and the writer are looked at in between.
const POLL: Duration = Duration::from_millis(50);
/// How long one poll may wait while the writer is about to answer.
const AWAITED: Duration = Duration::from_millis(1);
/// A trickle of records is stored after this time, even if it never pauses.
const BATCH_AGE: Duration = Duration::from_millis(500);
/// How long to wait before looking again whether a topic is back.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);
/// A writer that is busy for longer than this is away: go on polling, paused.
const BUSY: Duration = Duration::from_secs(1);

/// What the reading thread is given.
pub struct Parts<P: Pipeline> {
    /// Our membership of the group.
    pub consumer: Arc<GroupConsumer>,
    /// The dataset.
    pub pipeline: Arc<P>,
    /// Topic and changelog.
    pub feed: Arc<Feed>,
    /// Batch sizes, times, modes.
    pub settings: Arc<ConsumeSettings>,
    /// Claims and loads.
    pub loader: Loader,
    /// Where loads run.
    pub runtime: tokio::runtime::Handle,
    /// To the writer.
    pub jobs: tokio::sync::mpsc::Sender<Job<P>>,
    /// From the writer.
    pub events: mpsc::Receiver<Event>,
    /// Readiness and liveness.
    pub health: Health,
    /// Whether to stop.
    pub stop: Stop,
    /// The end of every partition of the topic at start.
    pub ends: BTreeMap<i32, i64>,
    /// Whether Kafka compacts the topic.
    pub compacted: bool,
    /// The id of the Kafka cluster.
    pub cluster_id: Option<String>,
    /// The consumer group, for messages.
    pub group: String,
    /// Where Kafka is and who we are to it, for messages.
    pub kafka: KafkaSettings,
}

/// The reading thread.
pub struct Reader<P: Pipeline> {
    pub(crate) parts: Parts<P>,
    pub(crate) intake: Intake<P>,
    pub(crate) assignment: Assignment<P>,
    pub(crate) schedule: Schedule,
    /// Counts how often memory was given up; jobs of an older term are void.
    pub(crate) term: u64,
    pub(crate) in_flight: usize,
    /// Since when the writer has been full.
    full_since: Option<Instant>,
    /// Records that arrived although their partition was paused.
    pub(crate) stash: Vec<OwnedMessage>,
    held: bool,
    pub(crate) transactions: OpenTransactions,
    pub(crate) kafka: KafkaState,
    /// Whether any record, or the end of a partition, was ever read: a right that was there is waited for longer than one
    /// that never was.
    pub(crate) has_read: bool,
    /// The stored offset of each partition, for lag tools.
    pub(crate) committed: BTreeMap<i32, i64>,
    /// When Kafka was last told of them.
    pub(crate) told_kafka: Option<Instant>,
    memory_limit_mib: Option<u64>,
}

impl<P: Pipeline> Reader<P> {
    /// Puts the parts together.
    pub fn new(parts: Parts<P>) -> Self {
        let memory_limit_mib = parts.settings.max_facts_memory.or_else(memory::default_limit_mib);
        Self {
            intake: Intake::new(Arc::clone(&parts.pipeline), Arc::clone(&parts.feed)),
            assignment: Assignment::default(),
            schedule: Schedule::new(&parts.settings),
            term: 0,
            in_flight: 0,
            full_since: None,
            stash: Vec::new(),
            held: false,
            transactions: OpenTransactions::default(),
            kafka: KafkaState::default(),
            has_read: false,
            committed: BTreeMap::new(),
            told_kafka: None,
            memory_limit_mib,
            parts,
        }
    }

    /// Reads until all is done, or it is time to stop.
    ///
    /// # Errors
    /// Whatever ends a consumer, see [`Error`].
    pub fn run(&mut self) -> Result<(), Error> {
        loop {
            self.parts.health.turn();
            self.hear()?;
            self.answer_group()?;
            self.load_on()?;
            self.check_topic()?;
            if self.parts.stop.is_stopping() {
                return self.wind_down();
            }
            self.look_after_kafka()?;
            self.look_behind_transactions()?;
            self.parts.health.set_unready(self.unready());
            if self.may_read() {
                self.read()?;
                self.send()?;
            } else {
                self.wait()?;
            }
            self.publish_if_due()?;
            self.survey_if_due()?;
            if self.is_finished()? {
                self.tell_kafka();
                return Ok(());
            }
        }
    }

    fn may_read(&mut self) -> bool {
        let room = self.in_flight < IN_FLIGHT;
        self.full_since = if room { None } else { self.full_since.or_else(|| Some(Instant::now())) };
        room && self.assignment.is_settled()
    }

    /// Reads until the batch is full, old enough, or nothing comes.
    fn read(&mut self) -> Result<(), Error> {
        self.release()?;
        let consumer = Arc::clone(&self.parts.consumer);
        let began = Instant::now();
        // With nothing to read, what the writer says is heard at once.
        let awaited = (self.in_flight > 0 || self.schedule.is_publishing()) && self.intake.partitions.at_end();
        let patience = if awaited { AWAITED } else { POLL };
        let max_records = usize::try_from(self.parts.settings.batch_size).unwrap_or(usize::MAX);
        for polled in 1_u64.. {
            let arrived = consumer.poll(patience);
            self.check_topic()?;
            match arrived {
                None => return Ok(()),
                Some(Ok(message)) => {
                    self.hears_from(message.partition());
                    self.take(&message)?;
                    if self.ends_the_run(&message) {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.hears_from(partition);
                    self.reach_end(partition);
                    if self.intake.partitions.at_end() {
                        return Ok(());
                    }
                }
                Some(Err(error)) => {
                    self.trouble(&error)?;
                    return Ok(());
                }
            }
            if self.intake.batch.is_full(max_records) || (polled % 256 == 0 && began.elapsed() > BATCH_AGE) {
                break;
            }
        }
        Ok(())
    }

    /// Ends us when the topic was made again under us, before anything of it is taken in: the client keeps the old one's leader
    /// epochs, with which Kafka may refuse to be asked for the new one for ever.
    fn check_topic(&self) -> Result<(), Error> {
        if !self.parts.consumer.client().context().is_made_again() {
            return Ok(());
        }
        let topic = self.parts.feed.topic.clone();
        match self.intake.partitions.first_read().filter(|_| !self.parts.settings.reset_offsets) {
            Some(partition) => {
                let why = "kafka has another id for it than when it was read".to_owned();
                Err(Error::TopicChanged { topic, partition, why })
            }
            None => Err(Error::TopicMadeAgain { topic }),
        }
    }

    /// Whether a run until the end has read its last record with this one: no need to wait for Kafka to say so.
    fn ends_the_run(&self, message: &impl Message) -> bool {
        let last = |end: &i64| message.offset() + 1 >= *end;
        self.parts.settings.until_end
            && self.parts.ends.get(&message.partition()).is_some_and(last)
            && self.intake.partitions.reached(&self.parts.ends)
    }

    fn reach_end(&mut self, partition: i32) {
        let end = self.parts.ends.get(&partition).copied().unwrap_or(0);
        if let Some(progress) = self.intake.partitions.get_mut(partition) {
            progress.reach_end(end, Instant::now());
        }
    }

    /// Takes a message in; whether its partition was sought back.
    pub(crate) fn take(&mut self, message: &impl Message) -> Result<bool, Error> {
        let partition = message.partition();
        if self.parts.settings.until_end
            && let Some(end) = self.parts.ends.get(&partition)
            && message.offset() >= *end
        {
            // It came after we began: not for this run, and neither is anything between.
            if let Some(progress) = self.intake.partitions.get_mut(partition) {
                progress.pass(*end);
            }
            return Ok(false);
        }
        match self.intake.take(message) {
            Verdict::Fold(_) | Verdict::Skip => Ok(false),
            Verdict::Seek(offset) => {
                let sought = self.parts.consumer.seek(&self.parts.feed.topic, partition, Offset::Offset(offset), ASK);
                if let Err(error) = sought {
                    self.trouble(&error)?;
                    self.begin_again_after(AGAIN);
                }
                Ok(true)
            }
            Verdict::Changed(why) => self.topic_changed(partition, why).map(|()| false),
        }
    }

    /// Sends the batch in hand to the writer.
    pub(crate) fn send(&mut self) -> Result<(), Error> {
        let batch = self.intake.seal();
        if batch.is_empty() {
            return Ok(());
        }
        self.check_memory()?;
        self.report_facts();
        self.in_flight += 1;
        self.ask(Task::Commit(Box::new(batch)))
    }

    pub(crate) fn report_facts(&self) {
        let facts = u32::try_from(self.intake.state.facts()).unwrap_or(u32::MAX);
        metrics::gauge!(measures::FACTS).set(facts);
    }

    pub(crate) fn check_memory(&self) -> Result<(), Error> {
        memory::check(self.memory_limit_mib)
    }

    /// Asks the writer for something; there is always room, see [`JOBS`].
    pub(crate) fn ask(&mut self, task: Task<P>) -> Result<(), Error> {
        self.parts.jobs.try_send(Job { term: self.term, task }).map_err(|_| Error::WriterGone)
    }

    /// Hears all that the writer has to say.
    fn hear(&mut self) -> Result<(), Error> {
        loop {
            match self.parts.events.try_recv() {
                Ok(event) => self.heed(event)?,
                Err(mpsc::TryRecvError::Empty) => return Ok(()),
                Err(mpsc::TryRecvError::Disconnected) => return Err(Error::WriterGone),
            }
        }
    }

    /// Waits a little for the writer; whether it said anything.
    pub(crate) fn hear_within(&mut self, wait: Duration) -> Result<bool, Error> {
        match self.parts.events.recv_timeout(wait) {
            Ok(event) => self.heed(event).map(|()| true),
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(false),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(Error::WriterGone),
        }
    }

    fn heed(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Committed { batches, offsets } => {
                self.in_flight = self.in_flight.saturating_sub(batches);
                self.committed.extend(offsets);
            }
            Event::Published { through, complete } => {
                self.intake.partitions.published(&through);
                self.schedule.published(complete);
                self.tell_kafka();
            }
            Event::Surveyed { number, stored } => self.compare(number, &stored),
            Event::Rehomed => self.schedule.rehomed(),
            Event::Refused { term, standing } if term == self.term => self.recover(standing),
            Event::Homeless { term, error } if term == self.term => self.stand_still(error)?,
            Event::Refused { .. } | Event::Homeless { .. } => {}
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Waits for the writer, the loader or the group, and keeps polling meanwhile.
    fn wait(&mut self) -> Result<(), Error> {
        let busy = self.full_since.is_some_and(|since| since.elapsed() > BUSY);
        if self.assignment.is_settled() && !busy {
            self.hear_within(POLL)?;
            return Ok(());
        }
        self.hold()?;
        let consumer = Arc::clone(&self.parts.consumer);
        match consumer.poll(self.assignment.patience()) {
            Some(Ok(message)) => self.stash.push(message.detach()),
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => self.trouble(&error)?,
        }
        Ok(())
    }

    pub(crate) fn hold(&mut self) -> Result<(), Error> {
        if !std::mem::replace(&mut self.held, true) {
            let paused = self.parts.consumer.pause(&self.list(self.assignment.assigned()));
            self.needs_client(paused)?;
        }
        Ok(())
    }

    /// Goes on where [`Reader::hold`] stopped, beginning with what arrived nevertheless.
    fn release(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.held, false) {
            let resumed = self.parts.consumer.resume(&self.list(self.assignment.assigned()));
            self.needs_client(resumed)?;
            let mut sought = BTreeSet::new();
            for message in std::mem::take(&mut self.stash) {
                // What came before a seek comes again after it.
                if !sought.contains(&message.partition()) && self.take(&message)? {
                    sought.insert(message.partition());
                }
            }
        }
        Ok(())
    }

    pub(crate) fn list(&self, partitions: &BTreeSet<i32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.parts.feed.topic, *partition);
        }
        list
    }

    fn wind_down(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        self.finish(began)?;
        self.tell_kafka();
        tracing::info!(stopped_in_ms = millis(began.elapsed()), "stopped");
        Ok(())
    }

    /// Stores what is in hand and publishes, as far as the time allows.
    pub(crate) fn finish(&mut self, began: Instant) -> Result<(), Error> {
        if !self.assignment.is_settled() {
            return Ok(());
        }
        self.send()?;
        self.drain(began, WIND_DOWN_STORE)?;
        // One may be under way, of what had been read before.
        self.await_publication(began)?;
        let unpublished = self.intake.state.has_changed() || self.intake.partitions.unpublished();
        if self.in_flight == 0 && self.may_publish() && unpublished {
            self.publish()?;
            self.await_publication(began)?;
        }
        Ok(())
    }

    /// Waits for a publication under way, as far as a stop that `began` then allows.
    fn await_publication(&mut self, began: Instant) -> Result<(), Error> {
        while self.schedule.is_publishing() && began.elapsed() < WIND_DOWN_ALL {
            self.hear_within(POLL)?;
        }
        Ok(())
    }

    /// Waits until the writer has stored what it was given, until `limit` after `began`.
    pub(crate) fn drain(&mut self, began: Instant, limit: Duration) -> Result<(), Error> {
        while self.in_flight > 0 && began.elapsed() < limit {
            self.hear_within(Duration::from_millis(20))?;
        }
        Ok(())
    }
}

/// The share of the 20 s stop deadline in which batches may still be stored.
const WIND_DOWN_STORE: Duration = Duration::from_secs(10);
/// The share of it in which a publication may still end; the rest is for leaving the group.
const WIND_DOWN_ALL: Duration = Duration::from_secs(15);

//! The one place where a failure of Kafka at run time is handled.

use std::time::{Duration, Instant};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    error::{KafkaError, KafkaResult},
};

use crate::{
    Error, Pipeline,
    group::ASK,
    kafka_errors::{Decision, Denial, Resource, decide},
    kafka_state::{Limits, Right, TooLong},
    reader::{AGAIN, Reader},
    readiness::{self, View},
};

/// How often Kafka is told how far we are: its answer is the only word of a right that was taken from the group, since a refused
/// heartbeat is not reported (librdkafka 2.12).
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How long a look may take whether Kafka and the topic are there.
const LOOK: Duration = Duration::from_secs(2);

impl<P: Pipeline> Reader<P> {
    /// Decides what an error of Kafka's means.
    pub(crate) fn trouble(&mut self, error: &KafkaError) -> Result<(), Error> {
        match decide(error) {
            // Looks at the ends again, and names what is wrong if something is.
            Decision::OffsetOutOfRange => self.begin_again_after(AGAIN),
            Decision::TopicMissing => {
                // It may come back as another topic: compare once it is there.
                self.topic_is_missing();
                self.begin_again_after(AGAIN);
            }
            Decision::Denied(resource) => self.kafka_denies(right(resource)),
            Decision::ClientDead => return Err(self.let_go(error.to_string())?),
            Decision::Settings => {
                return Err(Error::KafkaRefused {
                    brokers: self.parts.kafka.brokers.clone(),
                    reason: error.to_string(),
                });
            }
            Decision::Retry | Decision::Refused => self.kafka_is_away(error),
            Decision::Event => {}
            // The last two are of a producer's.
            Decision::Bug | Decision::TooLarge | Decision::RecordRefused => return Err(Error::Kafka(error.clone())),
        }
        Ok(())
    }

    /// Ends this client where a call to it failed that cannot fail on a sound one: nobody knows then what it fetches.
    pub(crate) fn needs_client(&mut self, called: KafkaResult<()>) -> Result<(), Error> {
        match called {
            Ok(()) => Ok(()),
            Err(error) => Err(self.let_go(error.to_string())?),
        }
    }

    /// Notes that Kafka, or the topic, is not there.
    pub(crate) fn kafka_is_away(&mut self, error: &impl std::fmt::Display) {
        // Why connections fail says more than what a request met.
        let reason = self.parts.consumer.client().context().connections().last().unwrap_or_else(|| error.to_string());
        if self.kafka.unavailable(Instant::now(), reason) {
            tracing::warn!(%error, "kafka does not answer; waiting for it");
        }
    }

    pub(crate) fn topic_is_missing(&mut self) {
        if self.kafka.misses_topic(Instant::now()) {
            tracing::warn!(topic = self.parts.feed.topic, "the topic is missing; waiting for it");
        }
    }

    pub(crate) fn topic_is_there(&mut self) {
        if self.kafka.finds_topic() {
            tracing::info!(topic = self.parts.feed.topic, "the topic is there");
        }
        self.kafka_grants(Right::DescribeTopic);
    }

    pub(crate) fn kafka_answers(&mut self) {
        if self.kafka.answers() {
            tracing::info!("kafka answers again");
        }
    }

    pub(crate) fn kafka_denies(&mut self, right: Right) {
        if self.kafka.denies(Instant::now(), right, self.assignment.assigned()) {
            tracing::warn!("{}; waiting for the right", self.denial(right));
        }
    }

    pub(crate) fn kafka_grants(&mut self, right: Right) {
        if self.kafka.grants(right) {
            tracing::info!("{}: that is over", self.denial(right));
        }
    }

    /// A record, or the end of a partition, came.
    pub(crate) fn hears_from(&mut self, partition: i32) {
        self.has_read = true;
        self.kafka_answers();
        if self.kafka.reads(partition) {
            tracing::info!("{}: that is over", self.denial(Right::ReadTopic));
        }
    }

    /// Notices what Kafka says although no record comes, asks again for what it denies, and ends what takes too long.
    pub(crate) fn look_after_kafka(&mut self) -> Result<(), Error> {
        let context = self.parts.consumer.client().context();
        if context.has_forgotten_brokers() {
            return Err(self.let_go("kafka named no broker, not even itself".to_owned())?);
        }
        let (committed, denied) = (context.take_committed(), context.take_group_denied());
        if denied {
            self.kafka_denies(Right::ReadGroup);
        }
        match committed {
            Some(Ok(())) => self.kafka_grants(Right::ReadGroup),
            Some(Err(error)) if matches!(decide(&error), Decision::Denied(_)) => self.trouble(&error)?,
            _ => {}
        }
        self.ask_again()?;
        if self.told_kafka.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.tell_kafka();
        }
        let settings = &self.parts.settings;
        // A replica without partitions reads nothing, and has been let in all the same.
        let is_in = self.has_read || (self.assignment.is_member() && self.assignment.assigned().is_empty());
        let denial = if is_in { settings.away } else { settings.wait };
        match self.kafka.too_long(Instant::now(), Limits { outage: settings.away, denial }) {
            Some(too_long) => Err(self.gives_up(too_long)),
            None => Ok(()),
        }
    }

    fn gives_up(&self, too_long: TooLong) -> Error {
        let brokers = self.parts.kafka.brokers.clone();
        match (too_long, self.parts.consumer.client().context().connections().refusal()) {
            (TooLong::Denial(right), _) => Error::KafkaDenied { denial: self.denial(right) },
            (TooLong::Missing(waited), _) => Error::TopicMissing { topic: self.parts.feed.topic.clone(), waited },
            (TooLong::Outage(..), Some(reason)) => Error::KafkaRefused { brokers, reason },
            (TooLong::Outage(waited, reason), None) => Error::KafkaAway { brokers, waited, reason },
        }
    }

    /// Asks for what is denied: for the topic as any client does, and for records by taking their partitions out and adding them
    /// again where they are.
    fn ask_again(&mut self) -> Result<(), Error> {
        if self.kafka.look_due(Instant::now(), self.assignment.unassigned_since()) {
            self.look_at_kafka(LOOK)?;
        }
        let partitions = self.kafka.records_due(Instant::now());
        if !self.assignment.is_settled() {
            return Ok(());
        }
        let starts = partitions.into_iter().filter_map(|partition| {
            let position = self.intake.partitions.get_mut(partition)?.position();
            Some((partition, position))
        });
        let starts: Vec<(i32, i64)> = starts.collect();
        if starts.is_empty() { Ok(()) } else { self.fetch_from(&starts) }
    }

    /// Looks whether a transaction is over behind which records of this run wait.
    ///
    /// Until then the end of the partition that Kafka tells is not that of the run: those records are not to be passed over.
    pub(crate) fn look_behind_transactions(&mut self) -> Result<(), Error> {
        let behind = self.parts.consumer.client().context().behind();
        for (partition, (stable, end)) in self.transactions.look(Instant::now(), &behind) {
            tracing::warn!(partition, stable, end, "records are behind an open transaction; waiting for its end");
        }
        let is_able = self.assignment.is_settled() && !self.kafka.is_unavailable();
        let Some((partition, held_up)) = is_able.then(|| self.intake.partitions.held_up(Instant::now())).flatten()
        else {
            return Ok(());
        };
        let stable = match self.parts.consumer.fetch_watermarks(&self.parts.feed.topic, partition, ASK) {
            Ok((_, stable)) => stable,
            Err(error) => return self.trouble(&error),
        };
        let progress = self.intake.partitions.get_mut(partition);
        if let Some(position) = progress.and_then(|progress| progress.learn(stable).then(|| progress.position())) {
            return self.fetch_from(&[(partition, position)]);
        }
        let (end, waited) = (held_up.end, held_up.since.elapsed());
        if !held_up.is_known {
            tracing::warn!(partition, stable, end, "records are behind an open transaction; waiting for its end");
        }
        if self.parts.settings.until_end && waited > self.parts.settings.away {
            let topic = self.parts.feed.topic.clone();
            return Err(Error::OpenTransaction { topic, partition, stable, end, waited });
        }
        Ok(())
    }

    /// Stores and publishes what was read, and forgets it: the client is of no more use.
    fn let_go(&mut self, reason: String) -> Result<Error, Error> {
        self.finish(Instant::now())?;
        self.intake.clear();
        self.report_facts();
        self.schedule.note_behind(false);
        let brokers = self.parts.kafka.brokers.clone();
        Ok(Error::ClientLost { brokers, reason, joined: self.assignment.is_member() })
    }

    /// Tells Kafka how far we are, for lag tools; nothing of ours reads it, so nothing waits for it.
    ///
    /// Nor is it told while it is away: a client would wait for ever for the answer before it ends.
    pub(crate) fn tell_kafka(&mut self) {
        self.told_kafka = Some(Instant::now());
        if self.kafka.is_unavailable() {
            return;
        }
        self.committed.retain(|partition, _| self.assignment.assigned().contains(partition));
        let mut list = TopicPartitionList::with_capacity(self.committed.len());
        for (partition, offset) in &self.committed {
            // Adding a partition with an offset fails only for offsets below −2000.
            let _ = list.add_partition_offset(&self.parts.feed.topic, *partition, Offset::Offset(*offset));
        }
        if list.count() > 0
            && let Err(error) = self.parts.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "the courtesy commit to kafka failed");
        }
    }

    /// What keeps us from being ready.
    pub(crate) fn unready(&self) -> Vec<String> {
        readiness::unready(View {
            kafka: self.kafka.reason(),
            denied: self.kafka.denied().into_iter().map(|right| self.denial(right)).collect(),
            postgres: self.parts.loader.postgres.outages().reasons(),
            ..self.assignment.view()
        })
    }

    fn denial(&self, right: Right) -> String {
        let (operation, resource, name) = match right {
            Right::ReadGroup => ("Read", Resource::Group, &*self.parts.group),
            Right::ReadTopic => ("Read", Resource::Topic, &*self.parts.feed.topic),
            Right::DescribeTopic => ("Describe", Resource::Topic, &*self.parts.feed.topic),
            Right::Cluster => ("an operation", Resource::Cluster, ""),
        };
        let denial = Denial::new(&self.parts.kafka, operation, resource, name);
        let denial = if right == Right::DescribeTopic { denial.mended_by("Read") } else { denial };
        denial.to_string()
    }
}

fn right(resource: Resource) -> Right {
    match resource {
        Resource::Group => Right::ReadGroup,
        Resource::Topic => Right::ReadTopic,
        Resource::Cluster | Resource::TransactionalId => Right::Cluster,
    }
}

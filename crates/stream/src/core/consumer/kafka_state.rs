//! A topic that has changed, and a Kafka that fails, denies or lags.

use std::time::Instant;

use crate::{
    Error, Pipeline,
    core::{
        interface::Command,
        kafka::{Failure, Limits, Right, TopicState},
        shard::Shard,
        watch,
    },
    kafka_errors::{Decision, Resource},
};

use super::{Consumer, Purpose, RETRY_DELAY};

impl<P: Pipeline> Consumer<P> {
    /// Handles a topic that is not the one the stored offsets belong to.
    pub(super) fn topic_changed(
        &mut self,
        now: Instant,
        partition: i32,
        why: String,
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

    /// The error that ends us when the topic was recreated while we read it, before anything of the new one is taken
    /// in. The client keeps the leader epochs of the old one, with which Kafka may refuse requests for the new one for
    /// ever.
    pub(super) fn topic_recreated(&self) -> Error {
        let topic = self.feed.topic.clone();
        match self.shards.first_read().filter(|_| !self.settings.reset_offsets) {
            Some(partition) => {
                let why = "kafka has another id for it than when it was read".to_owned();
                Error::TopicChanged { topic, partition, why }
            }
            None => Error::TopicRecreated { topic },
        }
    }

    pub(super) fn kafka_failed(
        &mut self,
        now: Instant,
        failure: &Failure,
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        match failure.decision {
            // Compares the offsets again, and names what is wrong if something is.
            Decision::OffsetOutOfRange => self.drop_all(now + RETRY_DELAY, out),
            Decision::TopicMissing => {
                // It may come back as another topic: compare once it exists.
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

    pub(super) fn limits(&self) -> Limits {
        let is_spare = self.group.member && self.group.assigned.is_empty();
        self.watch.limits(self.settings.wait, self.settings.outage_timeout, is_spare)
    }

    /// Requests again what is denied or missing, commits our offsets to Kafka, and ends what takes too long.
    pub(super) fn check_kafka(&mut self, now: Instant, out: &mut Vec<Command<P>>) -> Result<(), Error> {
        if self.shards.iter().any(Shard::wants_topic_state) {
            self.query_topic(Purpose::Begin, out);
        }
        let unassigned = self.group.unassigned;
        if self.topic_query.is_none() && self.watch.state().topic_query_due(now, unassigned) {
            self.query_topic(Purpose::Presence, out);
        }
        if !self.paused {
            // Their partitions are removed and added again at their offsets: librdkafka reports a denial of records
            // once.
            let denied = self.watch.state().records_due(now);
            self.fetch_again(&denied.into_iter().map(|partition| (partition, None)).collect::<Vec<_>>(), out);
        }
        if self.may_query_transactions()
            && let Some(partition) = self.shards.stall(now)
        {
            self.query_topic(Purpose::Transaction(partition), out);
        }
        if self.watch.commit_due(now) <= now {
            self.commit_offsets(now, out);
        }
        self.watch.check(now, self.limits())
    }

    pub(super) fn watch_wakes_at(&self, now: Instant) -> Option<Instant> {
        self.watch.wakes_at(now, self.group.unassigned, self.topic_query.is_some(), !self.paused, self.limits())
    }

    pub(super) fn may_query_transactions(&self) -> bool {
        !self.paused && self.topic_query.is_none() && !self.watch.is_unavailable()
    }

    /// Checks whether the transaction has ended behind which records of this run wait.
    ///
    /// Until then the end that Kafka reports for the partition is not that of the run: those records must not be passed
    /// over.
    pub(super) fn query_transactions(
        &mut self,
        now: Instant,
        partition: i32,
        seen: &TopicState,
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let Some(&(_, stable)) = seen.offsets.get(&partition) else { return Ok(()) };
        let Some(cursor) = self.shards.cursor(partition) else { return Ok(()) };
        let Some(stall) = cursor.stall() else { return Ok(()) };
        let is_news = cursor.report_stall();
        if cursor.learn(stable) {
            self.fetch_again(&[(partition, None)], out);
            return Ok(());
        }
        let (end, waited) = (stall.end, now.duration_since(stall.since));
        if is_news {
            watch::log_transaction((partition, (stable, end)));
        }
        if self.settings.until_end && waited > self.settings.outage_timeout {
            let topic = self.feed.topic.clone();
            return Err(Error::OpenTransaction { topic, partition, stable, end, waited });
        }
        Ok(())
    }

    pub(super) fn commit_offsets(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        out.extend(self.watch.offsets_to_commit(now, &self.group.fetched).map(Command::CommitOffsets));
    }
}

fn right(resource: Resource) -> Right {
    match resource {
        Resource::Group => Right::ReadGroup,
        Resource::Topic => Right::ReadTopic,
        Resource::Cluster | Resource::TransactionalId => Right::Cluster,
    }
}

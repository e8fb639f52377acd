//! Our membership of the consumer group: settings, rebalances, lag.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult},
    groups::GroupMemberInfo,
    metadata::MetadataPartition,
    statistics::Partition,
    types::RDKafkaRespErr,
};

use service::settings::KafkaSettings;

use crate::{
    Error,
    client::{self, Connections, KnownBrokers},
    core::{kafka::given_back, watch::Behind},
    identity::{Member, Membership},
    kafka_errors::{Decision, Resource, decide},
    metrics,
    settings::ConsumeSettings,
};

/// The consumer as this crate uses it: polled by one thread only.
pub(crate) type GroupConsumer = BaseConsumer<GroupContext>;

/// What the group wants of this member. The reading thread handles it, which alone calls `poll`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rebalance {
    /// These partitions are ours from now on.
    Assign(Vec<i32>),
    /// These are to be given back, which completes the group's rebalance.
    Revoke(Vec<i32>),
}

/// Receives the events of librdkafka.
///
/// `rebalance` only takes notes, which the reading thread handles before anything else: librdkafka pauses all
/// partitions until then. Those that are assigned are added later, each when it is loaded, at the offset stored in
/// PostgreSQL. So nothing blocks inside a callback, and no record arrives before its partition is ready for it.
#[derive(Debug, Default)]
pub(crate) struct GroupContext {
    /// The name of the feed.
    feed: &'static str,
    rebalances: Mutex<Vec<Rebalance>>,
    /// Whether anything of that, or of `recreated`, was not taken yet: cheap enough to check after each record.
    noted: AtomicBool,
    /// While the consumer closes, the callback gives partitions back, since no thread reads the notes.
    closing: AtomicBool,
    known_brokers: KnownBrokers,
    connections: Connections,
    /// Whether the topic was deleted and recreated while we knew it.
    recreated: AtomicBool,
    /// Whether Kafka has denied us the group, until that is taken: the library says so once, perhaps before anybody
    /// reads.
    group_denied: AtomicBool,
    /// What became of the last commit to Kafka, until it is taken.
    committed: Mutex<Option<KafkaResult<()>>>,
    /// What is behind open transactions.
    behind: Mutex<Behind>,
    /// The partitions whose lag was reported.
    measured: Mutex<BTreeSet<(String, i32)>>,
    /// The lag of partitions of ours that are not fetched.
    waiting: Mutex<Vec<(String, i32, u32)>>,
}

impl GroupContext {
    /// Whether there is a rebalance, or a recreated topic, that nobody has taken yet.
    pub(crate) fn has_noted(&self) -> bool {
        self.noted.load(Ordering::Relaxed)
    }

    /// Takes the rebalances since the last call.
    pub(crate) fn take_rebalances(&self) -> Vec<Rebalance> {
        self.noted.store(false, Ordering::Relaxed);
        if self.is_recreated() {
            self.noted.store(true, Ordering::Relaxed);
        }
        std::mem::take(&mut *self.rebalances.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what became of the last commit to Kafka since the last call.
    pub(crate) fn take_committed(&self) -> Option<KafkaResult<()>> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was behind open transactions when that was last checked.
    pub(crate) fn behind(&self) -> Behind {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether Kafka has denied us the group since the last call.
    pub(crate) fn take_group_denied(&self) -> bool {
        self.group_denied.swap(false, Ordering::Relaxed)
    }

    /// From now on partitions are given back at once, and no lag is reported.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.send_lags(Vec::new());
    }

    /// Takes the lag of the partitions that are not fetched.
    pub(crate) fn measure(&self, topic: &str, lags: &BTreeMap<i32, i64>) {
        let lag =
            |(partition, lag): (&i32, &i64)| (topic.to_owned(), *partition, u32::try_from(*lag).unwrap_or(u32::MAX));
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = lags.iter().map(lag).collect();
    }

    fn send_lags(&self, lags: Vec<(String, i32, u32)>) {
        metrics::set_lags(self.feed, &mut self.measured.lock().unwrap_or_else(PoisonError::into_inner), lags);
    }

    /// Whether the client has forgotten every broker, and will never reach Kafka again.
    pub(crate) fn has_forgotten_brokers(&self) -> bool {
        self.known_brokers.are_forgotten()
    }

    /// Whether the topic was deleted and recreated while we knew it.
    pub(crate) fn is_recreated(&self) -> bool {
        self.recreated.load(Ordering::Relaxed)
    }

    /// Why connections fail.
    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }
}

impl ClientContext for GroupContext {
    fn stats(&self, statistics: Statistics) {
        self.known_brokers.on_statistics(&statistics);
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = behind(&statistics);
        if !self.closing.load(Ordering::SeqCst) {
            let mut lags = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // What is fetched by now is known better.
            lags.extend(fetched_lags(&statistics));
            self.send_lags(lags);
        }
    }

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        if reports_recreation(message) {
            self.recreated.store(true, Ordering::Relaxed);
            self.noted.store(true, Ordering::Relaxed);
        }
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(fac, "librdkafka: {message}");
            }
            // The library reports every refused connection as an error, many a second; what it
            // means for us is logged where it is handled.
            _ => tracing::debug!(fac, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "librdkafka: {reason}");
        if decide(&error) == Decision::Denied(Resource::Group) {
            self.group_denied.store(true, Ordering::Relaxed);
        }
        self.connections.on_error(&error, reason);
    }
}

/// Whether librdkafka says that a topic it knew has another id now, because it was deleted and recreated.
///
/// It goes on at the old offset then, as if nothing had happened. Only this line of its log reports it (2.12; a comment
/// in its `rdkafka_topic.c` admits that). As of Kafka 3.1, records are requested by the topic's id, and the line comes
/// before any record of the new topic. Before Kafka 3.1 a few records may come first, or there are no ids at all.
fn reports_recreation(message: &str) -> bool {
    // An id that is not known is zero, in base 64.
    const NONE: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    let ids = message.split_once(" changed id from ").and_then(|(_, ids)| ids.split_once(" to "));
    ids.is_some_and(|(from, to)| from != NONE && to.trim_end() != NONE)
}

/// What of the partitions that are fetched is behind an open transaction.
fn behind(statistics: &Statistics) -> Behind {
    let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
    let is_behind = |p: &&Partition| p.fetch_state == "active" && p.ls_offset >= 0 && p.ls_offset < p.hi_offset;
    partitions.filter(is_behind).map(|p| (p.partition, (p.ls_offset, p.hi_offset))).collect()
}

/// Lag in messages of each partition that is being fetched: from the next record we read to the end, that of open transactions.
fn fetched_lags(statistics: &Statistics) -> Vec<(String, i32, u32)> {
    let topics = statistics.topics.iter();
    let partitions = topics.flat_map(|(topic, seen)| seen.partitions.values().map(move |p| (topic.clone(), p)));
    let lag = |p: &Partition| {
        // With nothing queued, the fetcher's position is ours; it has passed control records, which are never ours to read. It is
        // also all that is known before the first record of an assignment.
        let fetched = p.fetchq_cnt == 0 || p.app_offset < 0;
        let position = if fetched { p.app_offset.max(p.next_offset) } else { p.app_offset };
        let known = p.partition >= 0 && p.fetch_state == "active" && position >= 0 && p.hi_offset >= 0;
        known.then(|| u32::try_from((p.hi_offset - position).max(0)).unwrap_or(u32::MAX))
    };
    partitions.filter_map(|(topic, p)| Some((topic, p.partition, lag(p)?))).collect()
}

impl ConsumerContext for GroupContext {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            let done = if assigned {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.assignment().and_then(|added| consumer.incremental_unassign(&added_of(list, &added)))
            };
            // The consumer ends; the broker's session timeout does the rest.
            if let Err(error) = done {
                tracing::debug!(%error, "could not complete a rebalance while closing");
            }
            return;
        }
        let rebalance = if assigned { Rebalance::Assign(partitions) } else { Rebalance::Revoke(partitions) };
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push(rebalance);
        self.noted.store(true, Ordering::Relaxed);
    }
}

/// What of `list` was added: see [`given_back`].
fn added_of(list: &TopicPartitionList, added: &TopicPartitionList) -> TopicPartitionList {
    let added = added.elements().iter().map(|element| element.partition()).collect();
    let revoked: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
    let back = given_back(&revoked, &added);
    let mut both = TopicPartitionList::new();
    for element in list.elements().iter().filter(|element| back.contains(&element.partition())) {
        both.add_partition(element.topic(), element.partition());
    }
    both
}

/// How long one request to Kafka may take: longer than any healthy response, shorter than a person's patience.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the consumer, which then connects.
///
/// # Errors
/// When librdkafka refuses a setting.
pub(crate) fn consumer(
    kafka: &KafkaSettings,
    membership: &Membership,
    settings: &ConsumeSettings,
    feed: &'static str,
) -> Result<GroupConsumer, Error> {
    let mut config = client::config(kafka);
    config
        .set("group.id", &membership.group)
        .set("client.id", &membership.client_id)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "2000")
        // Longer than Postgres may be unavailable, during which we poll anyway.
        .set("max.poll.interval.ms", "600000")
        // Our offsets are in PostgreSQL; those in Kafka are only for lag tools.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .set("isolation.level", "read_committed")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("statistics.interval.ms", client::STATISTICS_MS)
        // The default of a second starves a fast consumer: librdkafka waits that long once its queue is full.
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", settings.fetch_queue_kib.to_string())
        .set("fetch.message.max.bytes", "1048576")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        .set("log.connection.close", "false")
        // For the line that `reports_recreation` waits for; some twenty lines of it come with each response about the
        // topic.
        .set("debug", "metadata")
        .set_log_level(RDKafkaLogLevel::Debug);
    let refused = |error: KafkaError| Error::KafkaRefused { brokers: kafka.brokers.clone(), reason: error.to_string() };
    config.create_with_context(GroupContext { feed, ..GroupContext::default() }).map_err(refused)
}

/// The first offset of each partition and the one after its last: `partition → (start, end)`.
pub(crate) type Watermarks = BTreeMap<i32, (i64, i64)>;

/// Requests the first and the next offset of every partition of the topic; each request may take `patience`.
///
/// `Ok(None)` when the topic is missing.
///
/// # Errors
/// When Kafka does not respond in time.
pub(crate) fn watermarks(
    consumer: &GroupConsumer,
    topic: &str,
    patience: Duration,
) -> Result<Option<Watermarks>, KafkaError> {
    let Some(partitions) = partitions(consumer, topic, patience)? else { return Ok(None) };
    let ends = partitions.into_iter().map(|id| Ok((id, consumer.fetch_watermarks(topic, id, patience)?)));
    ends.collect::<Result<_, KafkaError>>().map(Some)
}

/// Requests the partitions of the topic; the request may take `patience`.
///
/// `Ok(None)` when the topic is missing.
///
/// # Errors
/// When Kafka does not respond in time.
pub(crate) fn partitions(
    consumer: &GroupConsumer,
    topic: &str,
    patience: Duration,
) -> Result<Option<Vec<i32>>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), patience)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    if let Some(error) = found.error() {
        let error = KafkaError::MetadataFetch(error.into());
        return if decide(&error) == Decision::TopicMissing { Ok(None) } else { Err(error) };
    }
    let partitions: Vec<i32> = found.partitions().iter().map(MetadataPartition::id).collect();
    Ok(Some(partitions).filter(|partitions| !partitions.is_empty()))
}

/// Requests the members of the group; the request may take `patience`.
///
/// # Errors
/// When Kafka does not respond in time, or does not support the request.
pub(crate) fn members(consumer: &GroupConsumer, group: &str, patience: Duration) -> Result<Vec<Member>, KafkaError> {
    let groups = consumer.fetch_group_list(Some(group), patience)?;
    let members = groups.groups().iter().filter(|found| found.name() == group).flat_map(|found| found.members());
    let member =
        |info: &GroupMemberInfo| Member { client_id: info.client_id().to_owned(), host: info.client_host().to_owned() };
    Ok(members.map(member).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_recreated_where_one_known_id_follows_another() {
        let line = |from: &str, to: &str| format!("[thrd:main]: Topic co2 changed id from {from} to {to}");
        let (old, new, none) = ("Rq1-9XG0QIq8sZkYkUq2Wg", "u7cT2mXnR9yJ3uQm8c2tXw", "AAAAAAAAAAAAAAAAAAAAAA");
        let found = [(old, new), (none, new), (old, none)].map(|(from, to)| reports_recreation(&line(from, to)));
        assert_eq!(found, [true, false, false]);
        assert!(!reports_recreation("Topic co2 [0] Leader 1 Epoch 0"));
    }
}

//! What is wrong with Kafka, since when, and when it has been wrong for too long.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{
    core::mutation::{self, Mutation},
    kafka_errors::Decision,
};

/// The first offset of each partition, and the one after the last that can be read, before transactions that are open.
pub(crate) type Offsets = BTreeMap<i32, (i64, i64)>;

/// What Kafka, or its client library, says went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What it calls for.
    pub(crate) decision: Decision,
    /// The error itself.
    pub(crate) error: String,
    /// Why the last connection failed, where one did; else the error.
    pub(crate) reason: String,
    /// Whether that was a refusal: of the login, or of a certificate.
    pub(crate) refused: bool,
}

/// A query to Kafka about the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicQuery {
    /// Names it, for the response.
    pub(crate) number: u64,
    /// How long each request may take.
    pub(crate) patience: Duration,
    /// One partition of it only.
    pub(crate) only: Option<i32>,
    /// The end of every partition that is to be read. The true ends are requested where less can be read.
    pub(crate) ends: BTreeMap<i32, i64>,
}

/// What Kafka says of the topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicState {
    pub(crate) offsets: Offsets,
    /// The ends, open transactions included, of the partitions for which they were requested.
    pub(crate) ends: BTreeMap<i32, i64>,
}

/// Which of the partitions that a group revokes at the end are to be removed: those that were added. librdkafka refuses
/// to remove any other, and then they would have no owner until the session ends.
pub(crate) fn given_back(revoked: &[i32], added: &BTreeSet<i32>) -> Vec<i32> {
    revoked
        .iter()
        .copied()
        .filter(|partition| added.contains(partition) || mutation::is(Mutation::NeverAddedGivenBack))
        .collect()
}

/// How often what is missing or denied is requested again. librdkafka reports a denial once, and a right that comes
/// back on a quiet topic gives no event at all.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How long a group may take to give us our part before we check whether Kafka responds.
const JOINED: Duration = Duration::from_secs(10);

/// A right that Kafka denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    /// To join the consumer group and to commit its offsets.
    ReadGroup,
    /// To fetch the topic's records.
    ReadTopic,
    /// To see the topic and its ends.
    DescribeTopic,
    /// To connect to the cluster, or any other right.
    Cluster,
}

/// Kafka as this consumer sees it. Any response ends an outage; only a response to what was denied ends a denial.
#[derive(Debug, Default)]
pub(crate) struct KafkaState {
    outage: Option<Outage>,
    /// Since when the topic has been missing.
    missing: Option<Instant>,
    group: Option<Instant>,
    cluster: Option<Instant>,
    /// Since when the topic itself is denied.
    describe: Option<Instant>,
    records: Option<RecordsDenied>,
    /// When the topic was last queried.
    queried: Option<Instant>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    reason: String,
    refused: bool,
}

/// Since when records are denied, when they were last requested, and of which partitions: of one at least.
#[derive(Debug)]
struct RecordsDenied {
    since: Instant,
    requested: Instant,
    partitions: BTreeSet<i32>,
}

/// How long each kind of error may last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// An outage.
    pub(crate) outage: Duration,
    /// A denial: a right may be granted after the pod has started.
    pub(crate) denial: Duration,
}

/// Why there is no point in waiting longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TooLong {
    /// Kafka did not respond for this long; the last reason that is known.
    Outage(Duration, String),
    /// Kafka refused us, or we did not trust it; the last reason.
    Refused(String),
    /// The topic was missing for this long.
    Missing(Duration),
    /// It kept denying this.
    Denial(Right),
}

impl KafkaState {
    /// Kafka is unavailable; returns whether that is news.
    pub(crate) fn unavailable(&mut self, now: Instant, reason: String, refused: bool) -> bool {
        let since = self.outage.as_ref().map(|outage| outage.since);
        self.outage = Some(Outage { since: since.unwrap_or(now), reason, refused });
        since.is_none()
    }

    /// The topic is missing; returns whether that is news.
    pub(crate) fn misses_topic(&mut self, now: Instant) -> bool {
        self.missing.replace(self.missing.unwrap_or(now)).is_none()
    }

    /// The topic exists; returns whether that is news.
    pub(crate) fn finds_topic(&mut self) -> bool {
        self.missing.take().is_some()
    }

    /// It responds in any way; returns whether that is news. An open connection is not a response.
    pub(crate) fn responds(&mut self) -> bool {
        // What it lets us do, it does not deny us on the whole.
        self.cluster = None;
        self.outage.take().is_some()
    }

    /// It denies a right; returns whether that is news.
    ///
    /// A denial of records is one of `partitions`, those of ours; for a consumer that has none, it is one of the topic
    /// itself.
    pub(crate) fn denies(&mut self, now: Instant, right: Right, partitions: &BTreeSet<i32>) -> bool {
        let since = match right {
            Right::ReadTopic if !partitions.is_empty() => {
                let is_news = self.records.is_none();
                let begin = || RecordsDenied { since: now, requested: now, partitions: BTreeSet::new() };
                self.records.get_or_insert_with(begin).partitions.extend(partitions);
                return is_news;
            }
            Right::ReadTopic | Right::DescribeTopic => &mut self.describe,
            Right::ReadGroup => &mut self.group,
            Right::Cluster => &mut self.cluster,
        };
        since.replace(since.unwrap_or(now)).is_none()
    }

    /// It grants a right; whether it had denied that.
    pub(crate) fn grants(&mut self, right: Right) -> bool {
        match right {
            Right::ReadGroup => self.group.take().is_some(),
            Right::DescribeTopic => self.describe.take().is_some(),
            Right::Cluster => self.cluster.take().is_some(),
            Right::ReadTopic => self.records.take().is_some(),
        }
    }

    /// A record, or the end, of a partition came; whether that ends a denial.
    pub(crate) fn reads(&mut self, partition: i32) -> bool {
        let Some(denied) = &mut self.records else { return false };
        denied.partitions.remove(&partition);
        if !denied.partitions.is_empty() {
            return false;
        }
        self.records = None;
        true
    }

    /// Partitions are not ours any more: we no longer notice whether they can be read. They may have been taken because
    /// the topic is denied, so it is to be queried.
    pub(crate) fn forget(&mut self, gone: &BTreeSet<i32>) {
        let Some(denied) = &mut self.records else { return };
        denied.partitions.retain(|partition| !gone.contains(partition));
        if denied.partitions.is_empty() {
            self.describe.get_or_insert(denied.since);
            self.records = None;
        }
    }

    /// Partitions whose records are to be requested again now.
    pub(crate) fn records_due(&mut self, now: Instant) -> BTreeSet<i32> {
        match &mut self.records {
            Some(denied) if now.duration_since(denied.requested) >= RETRY_INTERVAL => {
                denied.requested = now;
                denied.partitions.clone()
            }
            _ => BTreeSet::new(),
        }
    }

    /// Whether the topic is to be queried now: while Kafka or the topic is unavailable or denied, and while the group
    /// has given us nothing since `unassigned`. A broker that hangs reports nothing for a minute.
    pub(crate) fn topic_query_due(&mut self, now: Instant, unassigned: Option<Instant>) -> bool {
        let waited = unassigned.is_some_and(|since| now.duration_since(since) >= JOINED);
        let wanted = self.is_unavailable() || self.describe.is_some() || waited;
        let due = wanted && self.queried.is_none_or(|queried| now.duration_since(queried) >= RETRY_INTERVAL);
        if due {
            self.queried = Some(now);
        }
        due
    }

    /// Whether Kafka, or the topic, is unavailable.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.outage.is_some() || self.missing.is_some()
    }

    /// The rights it denies.
    pub(crate) fn denied(&self) -> Vec<Right> {
        self.denials().map(|(right, _)| right).collect()
    }

    /// Why it, or the topic, is unavailable.
    pub(crate) fn reason(&self) -> Option<&str> {
        let missing = self.missing.map(|_| "the topic is missing");
        self.outage.as_ref().map(|outage| outage.reason.as_str()).or(missing)
    }

    /// When it is to be checked next, if nothing comes before.
    pub(crate) fn wakes_at(
        &self,
        now: Instant,
        unassigned: Option<Instant>,
        fetches: bool,
        limits: Limits,
    ) -> Option<Instant> {
        let next = self.queried.map_or(now, |queried| queried + RETRY_INTERVAL);
        let query = (self.is_unavailable() || self.describe.is_some()).then_some(next);
        let waited = unassigned.map(|since| next.max(since + JOINED));
        let records = self.records.as_ref().filter(|_| fetches).map(|denied| denied.requested + RETRY_INTERVAL);
        let outage = [self.outage.as_ref().map(|outage| outage.since), self.missing].into_iter().flatten();
        let outage = outage.map(|since| since + limits.outage);
        let denials = self.denials().map(|(_, since)| since + limits.denial);
        [query, waited, records].into_iter().flatten().chain(outage).chain(denials).min()
    }

    /// Says whether waiting longer has no point.
    pub(crate) fn too_long(&self, now: Instant, limits: Limits) -> Option<TooLong> {
        let lasts = |since: Instant, limit: Duration| now.duration_since(since) > limit;
        // A denial explains more than a missing response.
        if let Some((right, _)) = self.denials().find(|(_, since)| lasts(*since, limits.denial)) {
            return Some(TooLong::Denial(right));
        }
        if let Some(since) = self.missing.filter(|since| lasts(*since, limits.outage)) {
            return Some(TooLong::Missing(now.duration_since(since)));
        }
        let outage = self.outage.as_ref().filter(|outage| lasts(outage.since, limits.outage))?;
        Some(match outage.refused {
            true => TooLong::Refused(outage.reason.clone()),
            false => TooLong::Outage(now.duration_since(outage.since), outage.reason.clone()),
        })
    }

    fn denials(&self) -> impl Iterator<Item = (Right, Instant)> {
        let since = [
            (Right::ReadGroup, self.group),
            (Right::ReadTopic, self.records.as_ref().map(|denied| denied.since)),
            (Right::DescribeTopic, self.describe),
            (Right::Cluster, self.cluster),
        ];
        since.into_iter().filter_map(|(right, since)| Some((right, since?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { outage: Duration::from_secs(300), denial: Duration::from_secs(60) };

    fn after(began: Instant, seconds: u64) -> Instant {
        began + Duration::from_secs(seconds)
    }

    fn of<const N: usize>(partitions: [i32; N]) -> BTreeSet<i32> {
        BTreeSet::from(partitions)
    }

    #[test]
    fn a_response_ends_an_outage_and_no_denial() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        assert!(kafka.unavailable(now, "connection refused".to_owned(), false));
        assert!(kafka.denies(now, Right::ReadGroup, &of([])) && kafka.denies(now, Right::ReadTopic, &of([0, 1])));
        kafka.denies(now, Right::Cluster, &of([]));
        assert!(kafka.responds() && !kafka.is_unavailable());
        assert_eq!(kafka.denied(), [Right::ReadGroup, Right::ReadTopic]);
        assert!(kafka.grants(Right::ReadGroup));
        assert!(!kafka.reads(1) && kafka.reads(0), "a denial is over when all that was denied is read");
        assert_eq!(kafka.denied(), []);
    }

    #[test]
    fn what_lasts_too_long_is_named_with_its_last_reason() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        kafka.unavailable(now, "timed out".to_owned(), false);
        kafka.unavailable(after(now, 100), "connection refused".to_owned(), false);
        assert_eq!(kafka.too_long(after(now, 300), LIMITS), None);
        let outage = TooLong::Outage(Duration::from_secs(301), "connection refused".to_owned());
        assert_eq!(kafka.too_long(after(now, 301), LIMITS), Some(outage));
        kafka.denies(after(now, 200), Right::ReadTopic, &of([3]));
        kafka.denies(after(now, 250), Right::ReadTopic, &of([3]));
        assert_eq!(kafka.too_long(after(now, 261), LIMITS), Some(TooLong::Denial(Right::ReadTopic)));
    }

    #[test]
    fn records_that_are_denied_are_requested_again_every_five_seconds() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        kafka.denies(now, Right::ReadTopic, &of([0, 1]));
        assert!(kafka.records_due(after(now, 4)).is_empty());
        assert_eq!(kafka.records_due(after(now, 5)), of([0, 1]));
        assert!(kafka.records_due(after(now, 6)).is_empty());
        kafka.forget(&of([0]));
        assert_eq!(kafka.records_due(after(now, 10)), of([1]));
        assert!(!kafka.topic_query_due(after(now, 10), None), "that is not what was denied");
    }

    #[test]
    fn a_consumer_without_partitions_queries_the_topic_and_forgets_no_denial() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        assert!(kafka.denies(now, Right::ReadTopic, &of([])));
        assert_eq!(kafka.denied(), [Right::DescribeTopic]);
        let due = |kafka: &mut KafkaState, seconds| kafka.topic_query_due(after(now, seconds), None);
        assert!(due(&mut kafka, 0) && !due(&mut kafka, 4) && due(&mut kafka, 5) && !due(&mut kafka, 6));
        assert!(kafka.grants(Right::DescribeTopic));

        kafka.denies(now, Right::ReadTopic, &of([0]));
        kafka.forget(&of([0]));
        assert_eq!(kafka.denied(), [Right::DescribeTopic], "the partition may have gone because of it");
        assert!(due(&mut kafka, 10));
        assert_eq!(kafka.too_long(after(now, 61), LIMITS), Some(TooLong::Denial(Right::DescribeTopic)));
    }

    #[test]
    fn a_topic_that_is_missing_is_missing_until_it_is_found() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        assert!(kafka.misses_topic(now) && !kafka.misses_topic(after(now, 9)));
        assert!(!kafka.responds() && kafka.is_unavailable(), "a response is not the topic");
        assert!(kafka.topic_query_due(after(now, 9), None));
        assert_eq!(kafka.too_long(after(now, 301), LIMITS), Some(TooLong::Missing(Duration::from_secs(301))));
        assert!(kafka.finds_topic() && !kafka.is_unavailable() && !kafka.topic_query_due(after(now, 99), None));
    }

    #[test]
    fn kafka_is_queried_while_the_group_gives_nothing() {
        let (now, mut kafka) = (Instant::now(), KafkaState::default());
        let due = |kafka: &mut KafkaState, seconds| kafka.topic_query_due(after(now, seconds), Some(now));
        assert!(!due(&mut kafka, 9) && due(&mut kafka, 10) && !due(&mut kafka, 14) && due(&mut kafka, 15));
    }
}

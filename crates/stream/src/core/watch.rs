//! What Kafka does and denies, in words, and the offsets that we commit to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use service::settings::KafkaSettings;

use crate::{
    Error,
    core::kafka::{Failure, KafkaState, Limits, Right, TooLong},
    kafka_errors::{Denial, Resource},
};

/// How often our offsets are committed to Kafka. Only the response shows that a right of the group was taken, since a
/// refused heartbeat is not reported (librdkafka 2.12).
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
/// How long we wait at a time for the response to a query that is under way.
const QUERY_WAIT: Duration = Duration::from_millis(50);
/// How long a transaction may be open in front of records that no run waits for, before that is logged: healthy
/// producers end theirs within seconds.
const OPEN: Duration = Duration::from_secs(30);

/// What is behind an open transaction, by partition: the first offset that cannot be read, and the end.
pub(crate) type Behind = BTreeMap<i32, (i64, i64)>;

/// Who we are to Kafka, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) settings: KafkaSettings,
    pub(crate) group: String,
    pub(crate) topic: String,
}

/// Kafka as this consumer sees it.
pub(crate) struct KafkaWatch {
    client: Client,
    state: KafkaState,
    /// Whether any record, or the end of a partition, was ever read: a right that was once granted is waited for longer
    /// than one that never was.
    has_read: bool,
    /// The stored offset of each partition, for lag tools.
    committed: BTreeMap<i32, i64>,
    last_commit: Option<Instant>,
    transactions: OpenTransactions,
}

impl KafkaWatch {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            state: KafkaState::default(),
            has_read: false,
            committed: BTreeMap::new(),
            last_commit: None,
            transactions: OpenTransactions::default(),
        }
    }

    /// What is wrong, since when.
    pub(crate) fn state(&mut self) -> &mut KafkaState {
        &mut self.state
    }

    /// Whether Kafka, or the topic, is unavailable.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.state.is_unavailable()
    }

    /// Why Kafka, or the topic, is unavailable.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.state.reason()
    }

    /// What it denies, in words.
    pub(crate) fn denials(&self) -> Vec<String> {
        self.state.denied().into_iter().map(|right| self.denial(right)).collect()
    }

    /// Kafka is unavailable.
    pub(crate) fn unavailable(&mut self, now: Instant, failure: &Failure) {
        if self.state.unavailable(now, failure.reason.clone(), failure.refused) {
            tracing::warn!(error = failure.error, "kafka does not answer; waiting for it");
        }
    }

    pub(crate) fn topic_is_missing(&mut self, now: Instant) {
        if self.state.misses_topic(now) {
            tracing::warn!(topic = self.client.topic, "the topic is missing; waiting for it");
        }
    }

    pub(crate) fn topic_exists(&mut self) {
        if self.state.finds_topic() {
            tracing::info!(topic = self.client.topic, "the topic exists");
        }
        self.grants(Right::DescribeTopic);
    }

    pub(crate) fn responds(&mut self) {
        if self.state.responds() {
            tracing::info!("kafka answers again");
        }
    }

    /// `partitions` are those that are fetched.
    pub(crate) fn denies(&mut self, now: Instant, right: Right, partitions: &BTreeSet<i32>) {
        if self.state.denies(now, right, partitions) {
            tracing::warn!("{}; waiting for the right", self.denial(right));
        }
    }

    pub(crate) fn grants(&mut self, right: Right) {
        if self.state.grants(right) {
            tracing::info!("{}: that is over", self.denial(right));
        }
    }

    /// A record, or the end, of a partition came.
    pub(crate) fn on_fetched(&mut self, partition: i32) {
        self.has_read = true;
        self.responds();
        if self.state.reads(partition) {
            tracing::info!("{}: that is over", self.denial(Right::ReadTopic));
        }
    }

    /// How long each kind of error may last. A replica without partitions reads nothing, and joins all the same.
    pub(crate) fn limits(&self, at_start: Duration, later: Duration, is_spare: bool) -> Limits {
        Limits { outage: later, denial: if self.has_read || is_spare { later } else { at_start } }
    }

    /// Ends what takes too long.
    ///
    /// # Errors
    /// What it was.
    pub(crate) fn check(&self, now: Instant, limits: Limits) -> Result<(), Error> {
        let brokers = self.client.settings.brokers.clone();
        Err(match self.state.too_long(now, limits) {
            None => return Ok(()),
            Some(TooLong::Denial(right)) => Error::KafkaDenied { denial: self.denial(right) },
            Some(TooLong::Missing(waited)) => Error::TopicMissing { topic: self.client.topic.clone(), waited },
            Some(TooLong::Refused(reason)) => Error::KafkaRefused { brokers, reason },
            Some(TooLong::Outage(waited, reason)) => Error::KafkaUnavailable { brokers, waited, reason },
        })
    }

    /// When something is to be checked or ended next, where nothing comes before. `queries` says whether a query is
    /// under way already, `fetches` whether partitions may be fetched again.
    pub(crate) fn wakes_at(
        &self,
        now: Instant,
        unassigned: Option<Instant>,
        queries: bool,
        fetches: bool,
        limits: Limits,
    ) -> Option<Instant> {
        let at = self.state.wakes_at(now, unassigned, fetches, limits);
        at.map(|at| if queries { at.max(now + QUERY_WAIT) } else { at })
    }

    /// Kafka refuses what we are set to.
    pub(crate) fn refused(&self, failure: &Failure) -> Error {
        Error::KafkaRefused { brokers: self.client.settings.brokers.clone(), reason: failure.error.clone() }
    }

    /// The client is of no more use.
    pub(crate) fn client_lost(&self, reason: String, joined: bool) -> Error {
        Error::ClientLost { brokers: self.client.settings.brokers.clone(), reason, joined }
    }

    /// Notes how far partitions are stored.
    pub(crate) fn note_stored(&mut self, offsets: impl IntoIterator<Item = (i32, i64)>) {
        self.committed.extend(offsets);
    }

    /// When our offsets are to be committed to Kafka.
    pub(crate) fn commit_due(&self, now: Instant) -> Instant {
        self.last_commit.map_or(now, |last| last + COMMIT_INTERVAL)
    }

    /// The offsets to commit to Kafka, of the partitions that are fetched; nothing of ours reads them, so nothing waits
    /// for that.
    ///
    /// Nothing is committed while Kafka is unavailable: a client would wait for ever for the response before it ends.
    pub(crate) fn offsets_to_commit(&mut self, now: Instant, fetched: &BTreeSet<i32>) -> Option<BTreeMap<i32, i64>> {
        self.last_commit = Some(now);
        if self.is_unavailable() {
            return None;
        }
        self.committed.retain(|partition, _| fetched.contains(partition));
        (!self.committed.is_empty()).then(|| self.committed.clone())
    }

    /// Takes in what is behind open transactions now, and logs what has been so for long.
    pub(crate) fn check_transactions(&mut self, now: Instant, behind: &Behind) {
        self.transactions.update(now, behind).into_iter().for_each(log_transaction);
    }

    fn denial(&self, right: Right) -> String {
        let (operation, resource, name) = match right {
            Right::ReadGroup => ("Read", Resource::Group, &*self.client.group),
            Right::ReadTopic => ("Read", Resource::Topic, &*self.client.topic),
            Right::DescribeTopic => ("Describe", Resource::Topic, &*self.client.topic),
            Right::Cluster => ("an operation", Resource::Cluster, ""),
        };
        let denial = Denial::new(&self.client.settings, operation, resource, name);
        let denial = if right == Right::DescribeTopic { denial.mended_by("Read") } else { denial };
        denial.to_string()
    }
}

/// Logs what is behind an open transaction: the first offset that cannot be read, and the end.
pub(crate) fn log_transaction((partition, (stable, end)): (i32, (i64, i64))) {
    tracing::warn!(partition, stable, end, "records are behind an open transaction; waiting for its end");
}

/// Since when the same open transaction has blocked each partition.
#[derive(Debug, Default)]
struct OpenTransactions(BTreeMap<i32, Open>);

#[derive(Debug)]
struct Open {
    stable: i64,
    since: Instant,
    is_logged: bool,
}

impl OpenTransactions {
    /// Takes in what is behind open transactions now, and gives what has been so for long, each once.
    fn update(&mut self, now: Instant, behind: &Behind) -> Behind {
        self.0.retain(|partition, open| behind.get(partition).is_some_and(|(stable, _)| *stable == open.stable));
        let mut long = Behind::new();
        for (partition, (stable, end)) in behind {
            let begin = || Open { stable: *stable, since: now, is_logged: false };
            let open = self.0.entry(*partition).or_insert_with(begin);
            if now.duration_since(open.since) >= OPEN && !std::mem::replace(&mut open.is_logged, true) {
                long.insert(*partition, (*stable, *end));
            }
        }
        long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_stays_open_is_logged_once() {
        let (began, mut open) = (Instant::now(), OpenTransactions::default());
        let behind = |stable, end| Behind::from([(3, (stable, end))]);
        let mut update = |seconds, behind: &Behind| open.update(began + Duration::from_secs(seconds), behind);
        let none = Behind::new();
        assert_eq!(update(0, &behind(5, 9)), none);
        assert_eq!(update(29, &behind(8, 20)), none, "that one has ended, and another is open");
        assert_eq!(update(58, &behind(8, 25)), none);
        assert_eq!(update(59, &behind(8, 30)), behind(8, 30));
        assert_eq!(update(99, &behind(8, 40)), none, "once");
        assert_eq!(update(100, &none), none);
        assert_eq!(update(101, &behind(8, 40)), none, "it was read meanwhile");
        assert_eq!(update(131, &behind(8, 41)), behind(8, 41));
    }
}

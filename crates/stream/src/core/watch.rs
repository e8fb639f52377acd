//! What Kafka does and denies, told in words, and what it is told of us.

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

/// How often Kafka is told how far we are: its answer is the only word of a right that was taken from the group, since a refused
/// heartbeat is not reported (librdkafka 2.12).
const TELL_EVERY: Duration = Duration::from_secs(5);
/// While Kafka is being asked, its answer is what is waited for.
const ASKED: Duration = Duration::from_millis(50);
/// How long a transaction may be open in front of records that no run waits for, before that is told: producers that are well end
/// theirs within seconds.
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
pub(crate) struct Watch {
    client: Client,
    state: KafkaState,
    /// Whether any record, or the end of a partition, was ever read: a right that was there is waited for longer than one
    /// that never was.
    has_read: bool,
    /// The stored offset of each partition, for lag tools.
    committed: BTreeMap<i32, i64>,
    told: Option<Instant>,
    transactions: OpenTransactions,
}

impl Watch {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            state: KafkaState::default(),
            has_read: false,
            committed: BTreeMap::new(),
            told: None,
            transactions: OpenTransactions::default(),
        }
    }

    /// What is wrong, since when.
    pub(crate) fn state(&mut self) -> &mut KafkaState {
        &mut self.state
    }

    /// Whether Kafka, or the topic, is not there.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.state.is_unavailable()
    }

    /// Why Kafka, or the topic, is not there.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.state.reason()
    }

    /// What it denies, in words.
    pub(crate) fn denials(&self) -> Vec<String> {
        self.state.denied().into_iter().map(|right| self.denial(right)).collect()
    }

    /// Kafka is not there.
    pub(crate) fn unavailable(&mut self, now: Instant, failure: &Failure) {
        if self.state.unavailable(now, (failure.reason.clone(), failure.refused)) {
            tracing::warn!(error = failure.error, "kafka does not answer; waiting for it");
        }
    }

    pub(crate) fn topic_is_missing(&mut self, now: Instant) {
        if self.state.misses_topic(now) {
            tracing::warn!(topic = self.client.topic, "the topic is missing; waiting for it");
        }
    }

    pub(crate) fn topic_is_there(&mut self) {
        if self.state.finds_topic() {
            tracing::info!(topic = self.client.topic, "the topic is there");
        }
        self.grants(Right::DescribeTopic);
    }

    pub(crate) fn answers(&mut self) {
        if self.state.answers() {
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
        self.answers();
        if self.state.reads(partition) {
            tracing::info!("{}: that is over", self.denial(Right::ReadTopic));
        }
    }

    /// How long each kind of trouble may last. A replica without partitions reads nothing, and is let in all the same.
    pub(crate) fn limits(&self, (at_start, later): (Duration, Duration), is_spare: bool) -> Limits {
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
            Some(TooLong::Outage(waited, reason)) => Error::KafkaAway { brokers, waited, reason },
        })
    }

    /// When something is to be looked at or ended next, where nothing comes before; `asks` says whether Kafka is being asked
    /// already, `fetches` whether partitions may be fetched anew.
    pub(crate) fn wakes_at(
        &self,
        now: Instant,
        (unassigned, asks, fetches, limits): (Option<Instant>, bool, bool, Limits),
    ) -> Option<Instant> {
        self.state.wakes_at(now, (unassigned, fetches), limits).map(|at| if asks { at.max(now + ASKED) } else { at })
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
    pub(crate) fn stored(&mut self, offsets: impl IntoIterator<Item = (i32, i64)>) {
        self.committed.extend(offsets);
    }

    /// When Kafka is to be told how far we are.
    pub(crate) fn tell_at(&self, now: Instant) -> Instant {
        self.told.map_or(now, |told| told + TELL_EVERY)
    }

    /// What Kafka is to be told of the partitions that are fetched; nothing of ours reads it, so nothing waits for it.
    ///
    /// Nor is it told while it is away: a client would wait for ever for the answer before it ends.
    pub(crate) fn offsets_to_tell(&mut self, now: Instant, fetched: &BTreeSet<i32>) -> Option<BTreeMap<i32, i64>> {
        self.told = Some(now);
        if self.is_unavailable() {
            return None;
        }
        self.committed.retain(|partition, _| fetched.contains(partition));
        (!self.committed.is_empty()).then(|| self.committed.clone())
    }

    /// Takes in what is behind open transactions now, and tells what has been so for long.
    pub(crate) fn look_behind_transactions(&mut self, now: Instant, behind: &Behind) {
        self.transactions.look(now, behind).into_iter().for_each(tell_transaction);
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

/// Tells what is behind an open transaction: the first offset that cannot be read, and the end.
pub(crate) fn tell_transaction((partition, (stable, end)): (i32, (i64, i64))) {
    tracing::warn!(partition, stable, end, "records are behind an open transaction; waiting for its end");
}

/// Since when each partition stands before the same open transaction.
#[derive(Debug, Default)]
struct OpenTransactions(BTreeMap<i32, Open>);

#[derive(Debug)]
struct Open {
    stable: i64,
    since: Instant,
    is_told: bool,
}

impl OpenTransactions {
    /// Takes in what is behind open transactions now, and gives what has been so for long, each once.
    fn look(&mut self, now: Instant, behind: &Behind) -> Behind {
        self.0.retain(|partition, open| behind.get(partition).is_some_and(|(stable, _)| *stable == open.stable));
        let mut told = Behind::new();
        for (partition, (stable, end)) in behind {
            let begin = || Open { stable: *stable, since: now, is_told: false };
            let open = self.0.entry(*partition).or_insert_with(begin);
            if now.duration_since(open.since) >= OPEN && !std::mem::replace(&mut open.is_told, true) {
                told.insert(*partition, (*stable, *end));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_stays_open_is_told_once() {
        let (began, mut open) = (Instant::now(), OpenTransactions::default());
        let behind = |stable, end| Behind::from([(3, (stable, end))]);
        let mut look = |seconds, behind: &Behind| open.look(began + Duration::from_secs(seconds), behind);
        let none = Behind::new();
        assert_eq!(look(0, &behind(5, 9)), none);
        assert_eq!(look(29, &behind(8, 20)), none, "that one has ended, and another is open");
        assert_eq!(look(58, &behind(8, 25)), none);
        assert_eq!(look(59, &behind(8, 30)), behind(8, 30));
        assert_eq!(look(99, &behind(8, 40)), none, "once");
        assert_eq!(look(100, &none), none);
        assert_eq!(look(101, &behind(8, 40)), none, "it was read meanwhile");
        assert_eq!(look(131, &behind(8, 41)), behind(8, 41));
    }
}

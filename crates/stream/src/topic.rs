//! A topic: how many partitions it has, and how it is made when it is missing.
//!
//! All of this blocks; call it on a thread that may.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};
use service::{Stop, backoff::Backoff, settings::KafkaSettings};

pub use crate::topic_client::{TopicSettings, TopicSpec};
use crate::{
    client::Connections,
    kafka_errors::{Decision, Denial, Resource, code_of, decide},
    topic_client::{Kafka, REQUEST_TIMEOUT},
};

/// The least timeout of a request, also where less of the waiting time is left.
const MIN_TIMEOUT: Duration = Duration::from_millis(100);

/// A topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The number of its partitions.
    pub partitions: i32,
    /// Its settings, where we may read them.
    pub settings: TopicSettings,
    /// Whether it was created just now.
    pub created: bool,
}

/// Why there is no topic to work with.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Kafka did not respond, or the topic did not appear, before the deadline.
    #[error("kafka at {brokers} is unavailable after {waited_s} s: {last}")]
    Unavailable {
        /// The bootstrap servers.
        brokers: String,
        /// How long it was waited for, in seconds.
        waited_s: u64,
        /// What the last try said.
        last: String,
    },
    /// Kafka refuses us, or we do not trust it, and so it was until the deadline.
    #[error("kafka at {brokers} refuses us, or is not trusted: {reason}")]
    AuthRefused {
        /// The bootstrap servers.
        brokers: String,
        /// What the client library says.
        reason: String,
    },
    /// A right was denied until the deadline.
    #[error("{0}")]
    Denied(Denial),
    /// Kafka refuses, and would refuse again.
    #[error("kafka refuses topic `{topic}`: {reason}")]
    Refused {
        /// The topic.
        topic: String,
        /// What Kafka said.
        reason: String,
    },
    /// A stop was requested in the meantime.
    #[error("stopped while waiting for kafka")]
    Stopped,
}

/// What of a topic cannot be read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// The first offset of each partition, where Kafka has removed those before it.
    pub first_offsets: BTreeMap<i32, i64>,
    /// Whether Kafka compacts the topic, so that any record but the last of its key may be gone.
    pub compacted: bool,
}

/// Queries Kafka, within some seconds, what of a topic cannot be read again.
///
/// # Errors
/// When it does not say: why not.
pub fn losses(kafka: &KafkaSettings, topic: &str) -> Result<Losses, String> {
    let kafka = Kafka::connect(kafka).map_err(|error| error.to_string())?;
    let reason = |error: KafkaError| kafka.connections().last().unwrap_or_else(|| error.to_string());
    let partitions = kafka.partitions(topic, REQUEST_TIMEOUT).map_err(reason)?;
    let partitions = partitions.ok_or_else(|| format!("topic {topic} is missing"))?;
    let mut first_offsets = kafka.first_offsets(topic, partitions).map_err(reason)?;
    first_offsets.retain(|_, first| *first > 0);
    Ok(Losses { first_offsets, compacted: kafka.settings(topic).is_compacted() })
}

/// How a topic is looked up.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Where Kafka is.
    pub kafka: KafkaSettings,
    /// The topic's name.
    pub topic: String,
    /// How long to wait for Kafka.
    pub wait: Duration,
}

impl Lookup {
    /// Looks the topic up, and makes it when it is missing. Waits for Kafka, and for rights.
    ///
    /// # Errors
    /// When Kafka is unavailable, refuses, denies a right, or a stop was requested.
    pub fn ensure(&self, new: TopicSpec, stop: &Stop) -> Result<Topic, TopicError> {
        let kafka = Kafka::connect(&self.kafka).map_err(|error| self.refused(&error))?;
        let mut created = false;
        let found =
            self.wait(&kafka, stop, |limit| match kafka.partitions(&self.topic, limit).map_err(Failed::describe)? {
                None if !created => {
                    created = kafka.create(&self.topic, new).map_err(Failed::create)?;
                    kafka.partitions(&self.topic, limit).map_err(Failed::describe)
                }
                found => Ok(found),
            })?;
        Ok(Topic { partitions: found, settings: kafka.settings(&self.topic), created })
    }

    /// Looks the topic up and waits until it exists, without ever making it.
    ///
    /// # Errors
    /// When Kafka is unavailable, denies a right, the topic stays missing, or a stop was requested.
    pub fn find(&self, stop: &Stop) -> Result<Topic, TopicError> {
        let kafka = Kafka::connect(&self.kafka).map_err(|error| self.refused(&error))?;
        let query = |limit| kafka.partitions(&self.topic, limit).map_err(Failed::describe);
        let partitions = self.wait(&kafka, stop, query)?;
        Ok(Topic { partitions, settings: kafka.settings(&self.topic), created: false })
    }

    /// Tries until there is a response, Kafka refuses, or the deadline has passed.
    fn wait(
        &self,
        kafka: &Kafka,
        stop: &Stop,
        mut query: impl FnMut(Duration) -> Result<Option<i32>, Failed>,
    ) -> Result<i32, TopicError> {
        let mut backoff = Backoff::new(self.wait);
        let mut last: Option<Failed> = None;
        loop {
            let limit = self.wait.saturating_sub(backoff.elapsed()).clamp(MIN_TIMEOUT, REQUEST_TIMEOUT);
            let failed = match query(limit) {
                Ok(Some(partitions)) => return Ok(partitions),
                Ok(None) => Failed::missing(),
                Err(failed) if decide(&failed.error) == Decision::Settings => return Err(self.refused(&failed.error)),
                Err(failed) => failed,
            };
            // A request that the deadline cut short says less than the response before it.
            let cut_short = limit < REQUEST_TIMEOUT && is_silence(&failed.error);
            let failed = last.take().filter(|_| cut_short).unwrap_or(failed);
            if stop.is_stopping() {
                return Err(TopicError::Stopped);
            }
            let Some(wait) = backoff.wait() else {
                return Err(self.timed_out(&failed, kafka.connections(), backoff.elapsed()));
            };
            let (brokers, topic) = (&self.kafka.brokers, &self.topic);
            tracing::debug!(brokers, topic, "waiting for kafka: {}", self.reason(&failed, kafka.connections()));
            last = Some(failed);
            std::thread::sleep(wait);
        }
    }

    /// Why there is still no topic: what the last try failed of.
    fn timed_out(&self, failed: &Failed, connections: &Connections, waited: Duration) -> TopicError {
        let Failed { right, error } = failed;
        let brokers = self.kafka.brokers.clone();
        if matches!(decide(error), Decision::Denied(_)) {
            return TopicError::Denied(self.denial(right));
        }
        if code_of(error) == Some(RDKafkaErrorCode::InvalidReplicationFactor) {
            return self.refused(error);
        }
        match connections.refusal().filter(|_| is_silence(error)) {
            Some(reason) => TopicError::AuthRefused { brokers, reason },
            None => {
                let last = self.reason(failed, connections);
                TopicError::Unavailable { brokers, waited_s: waited.as_secs(), last }
            }
        }
    }

    fn reason(&self, failed: &Failed, connections: &Connections) -> String {
        let Failed { right, error } = failed;
        match decide(error) {
            Decision::TopicMissing => format!("topic `{}` is missing", self.topic),
            Decision::Denied(_) => self.denial(right).to_string(),
            _ => connections.last().filter(|_| is_silence(error)).unwrap_or_else(|| error.to_string()),
        }
    }

    /// To write brings the right to describe, and is what a producer needs.
    fn denial(&self, right: &'static str) -> Denial {
        let denial = Denial::new(&self.kafka, right, Resource::Topic, &self.topic);
        if right == DESCRIBE { denial.mended_by("Write") } else { denial }
    }

    fn refused(&self, error: &KafkaError) -> TopicError {
        TopicError::Refused { topic: self.topic.clone(), reason: with_advice(error) }
    }
}

/// The rights to look up a topic, and to make one.
const DESCRIBE: &str = "Describe";
const CREATE: &str = "Create";

/// One try that failed, and the right it takes.
struct Failed {
    right: &'static str,
    error: KafkaError,
}

impl Failed {
    fn describe(error: KafkaError) -> Self {
        Self { right: DESCRIBE, error }
    }

    fn missing() -> Self {
        Self::describe(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition))
    }

    fn create(error: KafkaError) -> Self {
        Self { right: CREATE, error }
    }
}

/// Whether Kafka did not respond; the connections know why.
fn is_silence(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    let codes = [AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve];
    code_of(error).is_none_or(|code| codes.contains(&code))
}

/// The error, and what helps, where that is known.
pub(crate) fn with_advice(error: &KafkaError) -> String {
    match code_of(error).and_then(advice) {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    }
}

/// What helps where a topic cannot be made.
fn advice(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::PolicyViolation => {
            Some("the brokers' create.topic.policy forbids it: make the topic by hand")
        }
        RDKafkaErrorCode::InvalidReplicationFactor => {
            Some("there are fewer brokers than default.replication.factor: lower it, or make the topic by hand")
        }
        RDKafkaErrorCode::InvalidPartitions => Some("give other --partitions"),
        RDKafkaErrorCode::InvalidTopic => Some("a name has 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_last_try_failed_of_decides_how_the_waiting_ends() {
        use RDKafkaErrorCode::{
            InvalidReplicationFactor, LeaderNotAvailable, OperationTimedOut, TopicAuthorizationFailed,
        };
        let (kafka, topic) = (KafkaSettings::plaintext("k:9092"), "co2".to_owned());
        let lookup = Lookup { kafka, topic, wait: Duration::ZERO };
        let (quiet, refused) = (Connections::default(), Connections::default());
        refused.on_error(&KafkaError::Global(RDKafkaErrorCode::SaslAuthenticationFailed), "wrong password");
        let describe = |code| Failed::describe(KafkaError::MetadataFetch(code));
        let create = |code| Failed::create(KafkaError::AdminOp(code));
        let cases = [
            (Failed::missing(), &refused, "topic `co2` is missing"),
            (
                describe(TopicAuthorizationFailed),
                &quiet,
                "Describe on topic `co2`; grant `kafka-acls.sh --add --allow-principal User:ANONYMOUS --operation Write",
            ),
            (create(TopicAuthorizationFailed), &quiet, "Create on topic `co2`"),
            (create(InvalidReplicationFactor), &quiet, "lower it"),
            (describe(OperationTimedOut), &refused, "refuses us, or is not trusted: wrong password"),
            (describe(OperationTimedOut), &quiet, "is unavailable after 3 s: Meta data fetch error: OperationTimedOut"),
            (describe(LeaderNotAvailable), &quiet, "LeaderNotAvailable"),
        ];
        for (failed, connections, expected) in cases {
            let error = lookup.timed_out(&failed, connections, Duration::from_secs(3)).to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn a_topic_with_compact_in_its_policy_is_compacted() {
        let of = |policy: &str| TopicSettings { cleanup_policy: Some(policy.to_owned()), ..TopicSettings::default() };
        let compacted = ["compact", "compact,delete", "delete, compact"].map(|policy| of(policy).is_compacted());
        assert_eq!((compacted, of("delete").is_compacted()), ([true; 3], false));
        assert!(!TopicSettings::default().is_compacted(), "not known");
    }
}

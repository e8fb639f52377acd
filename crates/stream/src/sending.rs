//! How rows are sent, what is counted meanwhile, and why the sending may end early.

use std::{num::NonZeroU32, time::Duration};

use formats::ReadError;
use rdkafka::error::KafkaError;
use service::settings::KafkaSettings;

use crate::kafka_errors::{Decision, Denial, decide};

/// How long Kafka may be unavailable at run time, unless another limit is given: a broker that is
/// restarted is back before, and a job that waits longer delays its retry.
pub const OUTAGE_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a batch waits for more records, where nobody waits for their acknowledgements: larger batches cost less.
pub const LINGER: Duration = Duration::from_millis(20);

/// The same where somebody waits. Under load batches fill in less, and without it this is most of an acknowledgement's time.
pub const SHORT_LINGER: Duration = Duration::from_millis(2);

/// How rows are sent.
#[derive(Clone, Debug)]
pub struct SendSettings {
    /// Where Kafka is.
    pub kafka: KafkaSettings,
    /// The topics, by the index that a message has.
    pub topics: Vec<String>,
    /// The largest batch that all of them take, in bytes, where it is known.
    pub max_message_bytes: Option<usize>,
    /// How long a right that is denied at the start is waited for: it may be granted after we were started.
    pub wait: Duration,
    /// How long Kafka may be unavailable before a record is abandoned.
    pub outage_timeout: Duration,
    /// How long a batch waits for more records, whole milliseconds.
    pub linger: Duration,
    /// Records a second, or as many as Kafka takes.
    pub rate: Option<NonZeroU32>,
    /// What a row that cannot be read does.
    pub on_rejected: OnRejected,
}

/// What a row that cannot be read does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRejected {
    /// It is counted, and the rest is sent.
    GoOn,
    /// It ends the sending.
    Stop,
}

/// What was done with the input.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sent {
    /// Rows read.
    pub read: u64,
    /// Rows handed to Kafka's client.
    pub sent: u64,
    /// Rows that are valid and not wanted.
    pub filtered: u64,
    /// Rows that cannot be read.
    pub rejected: u64,
    /// Messages Kafka has acknowledged.
    pub acknowledged: u64,
    /// Messages it did not take.
    pub failed: u64,
    /// The time it took, from the first row to the last acknowledgement.
    pub seconds: f64,
}

/// Receives what happens meanwhile.
pub trait Watch {
    /// A row cannot be read.
    fn rejected(&mut self, line: u64, reason: &str);
    /// One of the rows sent: the first, then at most one a second.
    fn sample(&mut self, label: &str);
    /// The counts so far, several times a second.
    fn progress(&mut self, so_far: &Sent);
}

/// Why the sending is not complete.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The input cannot be read any further.
    #[error(transparent)]
    Source(#[from] ReadError),
    /// A row cannot be read, and that is to end the sending.
    #[error("line {line}: {reason}")]
    Rejected {
        /// The row's line.
        line: u64,
        /// Why it cannot be read.
        reason: String,
    },
    /// Kafka does not take records as large as these.
    #[error("line {line}: the record is larger than kafka takes ({count} such, the first one named)")]
    TooLarge {
        /// The first one's line.
        line: u64,
        /// How many there are.
        count: u64,
    },
    /// Kafka did not acknowledge some records.
    #[error("line {line}: kafka did not acknowledge the record: {reason} ({count} such, the first one named)")]
    Unacknowledged {
        /// The first one's line.
        line: u64,
        /// What the client said.
        reason: String,
        /// How many there are.
        count: u64,
    },
    /// Kafka denies us the right to write.
    #[error("{0}")]
    Denied(Denial),
    /// Kafka gives us no producer id: we may write nowhere, or its version wants another right for that.
    #[error("{0}; before Kafka 2.8 grant `--operation IdempotentWrite --cluster` too")]
    NoProducerId(Denial),
    /// Kafka refuses our login or certificate, or we do not trust its own, and records were abandoned for that.
    #[error("kafka refuses us, or is not trusted: {0}")]
    AuthRefused(String),
    /// Kafka's client cannot go on.
    #[error("kafka's client cannot go on: {0}")]
    Client(KafkaError),
    /// Kafka named no broker, and the client has forgotten all: only a new one reaches it again.
    #[error("kafka named no broker, not even itself")]
    BrokersForgotten,
    /// A stop was requested before the end of the input.
    #[error("stopped before the end of the input")]
    Stopped,
}

impl SendError {
    /// Whether Kafka's client refuses a setting, so that another try would fail the same way.
    pub fn is_setting(&self) -> bool {
        matches!(self, Self::Client(error) if decide(error) == Decision::Settings)
    }
}

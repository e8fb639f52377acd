//! Reads a topic as it is, without a consumer group: nobody else is affected, and nothing is stored.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message as _, Offset, TopicPartitionList,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
};
use service::{Stop, settings::KafkaSettings};

use crate::{
    client::{self, Connections},
    kafka_errors::{Decision, Denial, Resource, decide},
    topic::{Lookup, TopicError},
};

/// How long one poll waits, so that a stop is soon noticed.
const POLL: Duration = Duration::from_millis(200);

/// What is read.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// How to connect.
    pub kafka: KafkaSettings,
    /// The topic.
    pub topic: String,
    /// Whether only what comes from now on is read.
    pub from_end: bool,
    /// How long to wait for Kafka: at the start, and for a response later.
    pub wait: Duration,
}

/// A record, as it lies in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitored<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its Kafka timestamp, milliseconds since 1970 UTC; `None`: it has none.
    pub timestamp_ms: Option<i64>,
    /// Its key; `None`: it has none.
    pub key: Option<&'a [u8]>,
    /// Its value; `None`: it has none.
    pub value: Option<&'a [u8]>,
}

/// Why a topic cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// There is no topic to read.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// We may not read it.
    #[error("{0}")]
    Denied(Denial),
    /// Kafka does not respond, or refuses.
    #[error("kafka does not give the records: {reason}")]
    Kafka {
        /// Why.
        reason: String,
    },
}

impl Monitor {
    /// Hands over every record, those of a partition in order, until `take` breaks off or a stop is requested.
    ///
    /// # Errors
    /// When the topic is missing, we may not read it, or Kafka was unavailable for longer than `wait`.
    pub fn run(&self, stop: &Stop, mut take: impl FnMut(Monitored<'_>) -> ControlFlow<()>) -> Result<(), MonitorError> {
        let lookup = Lookup { kafka: self.kafka.clone(), topic: self.topic.clone(), wait: self.wait };
        let partitions = match lookup.find(stop) {
            Err(TopicError::Stopped) => return Ok(()),
            found => found?.partitions,
        };
        let listener = Listener::default();
        let reader = self.reader(&listener, partitions).map_err(|error| self.failed(&error, &listener))?;
        let mut failing: Option<Instant> = None;
        while !stop.is_stopping() {
            match reader.poll(POLL) {
                None => {}
                Some(Ok(record)) => {
                    failing = None;
                    let (partition, offset) = (record.partition(), record.offset());
                    let timestamp_ms = record.timestamp().to_millis();
                    let record =
                        Monitored { partition, offset, timestamp_ms, key: record.key(), value: record.payload() };
                    if take(record).is_break() {
                        break;
                    }
                }
                Some(Err(error)) => match decide(&error) {
                    Decision::Event => {}
                    Decision::Retry if failing.get_or_insert_with(Instant::now).elapsed() < self.wait => {}
                    _ => return Err(self.failed(&error, &listener)),
                },
            }
        }
        Ok(())
    }

    fn reader(&self, listener: &Listener, partitions: i32) -> Result<BaseConsumer<Listener>, KafkaError> {
        let mut config = client::config(&self.kafka);
        config.set("allow.auto.create.topics", "false").set("enable.auto.commit", "false");
        // The library wants one; nothing of it reaches a broker without a subscription or a commit.
        config.set("group.id", "monitor").set("auto.offset.reset", "earliest");
        let reader = BaseConsumer::from_config_and_context(&config, listener.clone())?;
        let begin = if self.from_end { Offset::End } else { Offset::Beginning };
        let mut assigned = TopicPartitionList::new();
        for partition in 0..partitions {
            assigned.add_partition_offset(&self.topic, partition, begin)?;
        }
        reader.assign(&assigned)?;
        Ok(reader)
    }

    fn failed(&self, error: &KafkaError, listener: &Listener) -> MonitorError {
        match decide(error) {
            Decision::Denied(_) => MonitorError::Denied(Denial::new(&self.kafka, "Read", Resource::Topic, &self.topic)),
            _ => MonitorError::Kafka { reason: listener.0.last().unwrap_or_else(|| error.to_string()) },
        }
    }
}

/// Takes in what the library reports.
#[derive(Clone, Default)]
struct Listener(Connections);

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(?level, facility, "{text}");
        self.0.on_log(facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.on_error(&error, reason);
    }
}

impl ConsumerContext for Listener {}

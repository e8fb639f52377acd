//! Asking Kafka about the topic, beside the thread that polls it.

use rdkafka::{consumer::Consumer, error::KafkaError};
use service::settings::KafkaSettings;

use crate::{
    core::kafka::{Failure, Look, Seen},
    kafka::group::{self, GroupConsumer},
    kafka_errors::decide,
    topic_client::Kafka,
};

/// Asks which offsets the topic has; `Ok(None)` when it is not there.
pub(crate) fn look(
    consumer: &GroupConsumer,
    (settings, topic): (&KafkaSettings, &str),
    look: &Look,
) -> Result<Option<Seen>, Failure> {
    let asked = match look.only {
        Some(partition) => {
            let offsets = consumer.fetch_watermarks(topic, partition, look.patience);
            offsets.map(|offsets| Some(Seen { offsets: [(partition, offsets)].into(), ends: [].into() }))
        }
        None => whole(consumer, (settings, topic), look),
    };
    asked.map_err(|error| failure(consumer, &error))
}

fn whole(
    consumer: &GroupConsumer,
    (settings, topic): (&KafkaSettings, &str),
    look: &Look,
) -> Result<Option<Seen>, KafkaError> {
    let Some(offsets) = group::watermarks(consumer, topic, look.patience)? else { return Ok(None) };
    let before = |(partition, end): (&i32, &i64)| offsets.get(partition).is_some_and(|(_, stable)| stable < end);
    let before: Vec<i32> = look.ends.iter().filter(|known| before(*known)).map(|(partition, _)| *partition).collect();
    let ends = if before.is_empty() { [].into() } else { Kafka::connect(settings)?.ends(topic, before)? };
    Ok(Some(Seen { offsets, ends }))
}

/// What an error calls for, and what is known of its cause.
pub(crate) fn failure(consumer: &GroupConsumer, error: &KafkaError) -> Failure {
    let connections = consumer.client().context().connections();
    let (text, refusal) = (error.to_string(), connections.refusal());
    Failure {
        decision: decide(error),
        refused: refusal.is_some(),
        // Why connections fail says more than what a request met.
        reason: refusal.or_else(|| connections.last()).unwrap_or_else(|| text.clone()),
        error: text,
    }
}

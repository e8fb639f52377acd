//! Asking Kafka about the topic, beside the thread that polls it.

use rdkafka::{consumer::Consumer, error::KafkaError};
use service::settings::KafkaSettings;

use crate::{
    core::kafka::{Look, Seen},
    kafka::group::{self, GroupConsumer},
    topic_client::Kafka,
};

/// Asks which offsets the topic has; `Ok(None)` when it is not there.
pub(crate) fn look(
    consumer: &GroupConsumer,
    (settings, topic): (&KafkaSettings, &str),
    look: &Look,
) -> Result<Option<Seen>, KafkaError> {
    if let Some(partition) = look.only {
        let offsets = consumer.fetch_watermarks(topic, partition, look.patience)?;
        return Ok(Some(Seen { offsets: [(partition, offsets)].into(), ends: [].into() }));
    }
    let Some(offsets) = group::watermarks(consumer, topic, look.patience)? else { return Ok(None) };
    let before = |(partition, end): (&i32, &i64)| offsets.get(partition).is_some_and(|(_, stable)| stable < end);
    let before: Vec<i32> = look.ends.iter().filter(|known| before(*known)).map(|(partition, _)| *partition).collect();
    let ends = if before.is_empty() { [].into() } else { Kafka::connect(settings)?.ends(topic, before)? };
    Ok(Some(Seen { offsets, ends }))
}

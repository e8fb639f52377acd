//! Queries Kafka about the topic, on another thread than the one that polls.

use rdkafka::{consumer::Consumer, error::KafkaError};
use service::settings::KafkaSettings;

use crate::{
    core::kafka::{TopicQuery, TopicState},
    kafka::group::{self, GroupConsumer},
    topic_client::Kafka,
};

/// Returns the offsets of the topic; `Ok(None)` when it is missing.
pub(crate) fn query_topic(
    consumer: &GroupConsumer,
    settings: &KafkaSettings,
    topic: &str,
    query: &TopicQuery,
) -> Result<Option<TopicState>, KafkaError> {
    if let Some(partition) = query.only {
        let offsets = consumer.fetch_watermarks(topic, partition, query.patience)?;
        return Ok(Some(TopicState { offsets: [(partition, offsets)].into(), ends: [].into() }));
    }
    let Some(offsets) = group::watermarks(consumer, topic, query.patience)? else { return Ok(None) };
    let before = |(partition, end): (&i32, &i64)| offsets.get(partition).is_some_and(|(_, stable)| stable < end);
    let before: Vec<i32> = query.ends.iter().filter(|known| before(*known)).map(|(partition, _)| *partition).collect();
    let ends = if before.is_empty() { [].into() } else { Kafka::connect(settings)?.ends(topic, before)? };
    Ok(Some(TopicState { offsets, ends }))
}

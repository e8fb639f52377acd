//! Kafka's producing client, and the thread that takes in its delivery reports.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rdkafka::{
    config::FromClientConfigAndContext,
    error::KafkaError,
    producer::{BaseProducer, Producer},
};

use crate::{client, deliveries::Deliveries, sending::SendSettings, source::Acknowledged};

/// How long one poll waits for delivery reports; the last one ends the sending this much later.
const POLL: Duration = Duration::from_millis(10);
/// How long to wait for the client's first response before it is given rows all the same.
const FIRST_RESPONSE: Duration = Duration::from_secs(1);
/// Kafka's own bound of a batch, minus its frame.
const MAX_BATCH: usize = 1_000_000;

/// A client that is polled until it is dropped; what it was given and has not sent is lost then.
pub(crate) struct Producing {
    client: Arc<BaseProducer<Deliveries>>,
    done: Arc<AtomicBool>,
    polling: Option<JoinHandle<()>>,
}

impl Producing {
    /// Makes the client, and has it connect; `acknowledged` is that of the source.
    ///
    /// # Errors
    /// When the library refuses a setting.
    pub(crate) fn connect(settings: &SendSettings, acknowledged: Option<Acknowledged>) -> Result<Self, KafkaError> {
        let deliveries = Deliveries::new(acknowledged);
        let client = Arc::new(BaseProducer::from_config_and_context(&config(settings), deliveries)?);
        let done = Arc::new(AtomicBool::new(false));
        let polling = std::thread::spawn({
            let (client, done) = (Arc::clone(&client), Arc::clone(&done));
            move || {
                while !done.load(Ordering::Relaxed) {
                    client.poll(POLL);
                }
            }
        });
        warm_up(&client, &settings.topics[0]);
        Ok(Self { client, done, polling: Some(polling) })
    }
}

impl Deref for Producing {
    type Target = BaseProducer<Deliveries>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Producing {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(polling) = self.polling.take() {
            // It cannot panic; if it did, there is nothing left to poll for.
            drop(polling.join());
        }
    }
}

/// The client's settings: nothing is lost or doubled while it lives, and batches are large.
fn config(settings: &SendSettings) -> rdkafka::ClientConfig {
    let batch_bytes = settings.max_message_bytes.map_or(MAX_BATCH, |bytes| bytes.min(MAX_BATCH)).max(1);
    let mut config = client::config(&settings.kafka);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        // As Java's clients do it, so that a key has one partition, no matter which client sends it.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", settings.linger.as_millis().to_string())
        // A batch beyond the topic's limit would be refused whole, with its valid records.
        .set("batch.size", batch_bytes.to_string())
        .set("batch.num.messages", "20000")
        // Besides its own bytes a queued message costs some 200 more: this bounds both.
        .set("queue.buffering.max.messages", "150000")
        .set("queue.buffering.max.kbytes", "32768")
        .set("statistics.interval.ms", client::STATISTICS_MS)
        .set("message.timeout.ms", settings.outage_timeout.as_millis().to_string());
    config
}

/// Has the client request its producer id at once.
///
/// Otherwise it sends that request with the first response over a connection that stays open, or after half a
/// second. The first response may come over the connection that it closes; the second does not. Whether
/// there are responses does not matter here.
fn warm_up(client: &BaseProducer<Deliveries>, topic: &str) {
    for _ in 0..2 {
        drop(client.client().fetch_metadata(Some(topic), FIRST_RESPONSE));
    }
}

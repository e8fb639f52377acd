//! An embedded Kafka: librdkafka's in-process cluster, listening on loopback.
//!
//! It is real enough for clients of other processes, and has limits: a partition keeps the newest 5 MiB
//! ([`KEPT_BYTES`]) or 100,000 messages ([`KEPT_MESSAGES`]) and forgets the rest; topics cannot be created, changed or
//! deleted through Kafka's admin requests; the first member of a group waits three seconds for more.

use std::{
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle},
};

use anyhow::Context;
use rdkafka::{error::KafkaResult, mocking::MockCluster, producer::DefaultProducerContext};

/// Bytes of message batches, as they are sent, that a partition keeps.
pub const KEPT_BYTES: u64 = 5 * 1024 * 1024;

/// Messages that a partition keeps.
pub const KEPT_MESSAGES: u64 = 100_000;

/// librdkafka's cluster of one broker.
pub type Cluster = MockCluster<'static, DefaultProducerContext>;

type Work = Box<dyn FnOnce(&Cluster) + Send>;

/// A Kafka that lives as long as this value.
///
/// The cluster is bound to the thread that made it, so it has its own thread; this handle can go anywhere.
#[derive(Debug)]
pub struct EmbeddedBroker {
    bootstrap: String,
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Starts a cluster of one broker on a free port.
    ///
    /// # Errors
    /// When librdkafka cannot start it.
    pub fn start() -> anyhow::Result<Self> {
        let (work, orders) = mpsc::channel::<Work>();
        let (started, start) = mpsc::channel();
        let thread = thread::Builder::new().name("embedded-broker".to_owned()).spawn(move || {
            let cluster = match MockCluster::new(1) {
                Ok(cluster) => cluster,
                Err(error) => return drop(started.send(Err(error))),
            };
            // The caller may no longer wait for the address; the orders then end at once.
            drop(started.send(Ok(cluster.bootstrap_servers())));
            orders.into_iter().for_each(|order| order(&cluster));
        })?;
        let bootstrap = start.recv().context("the embedded broker's thread ended")??;
        Ok(Self { bootstrap, work: Some(work), thread: Some(thread) })
    }

    /// The broker's address, `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Creates a topic; one that exists stays as it is.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> anyhow::Result<()> {
        let name = topic.to_owned();
        self.with(move |cluster| cluster.create_topic(&name, partitions, 1))?
            .with_context(|| format!("the embedded broker cannot create topic {topic}"))
    }

    /// Makes the broker unavailable: connections are cut, and new ones refused.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn pause(&self) -> anyhow::Result<()> {
        Ok(self.with(|cluster| cluster.broker_down(-1))??)
    }

    /// Brings the broker back after [`EmbeddedBroker::pause`].
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn resume(&self) -> anyhow::Result<()> {
        Ok(self.with(|cluster| cluster.broker_up(-1))??)
    }

    /// Does something with the cluster itself: injected errors, delays, a missing leader.
    ///
    /// # Errors
    /// When the broker's thread is gone.
    pub fn with<R: Send + 'static>(&self, work: impl FnOnce(&Cluster) -> R + Send + 'static) -> anyhow::Result<R> {
        let (done, result) = mpsc::channel();
        let order: Work = Box::new(move |cluster| drop(done.send(work(cluster))));
        let sender = self.work.as_ref().expect("taken only when dropped");
        sender.send(order).ok().context("the embedded broker is gone")?;
        result.recv().context("the embedded broker is gone")
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed by its thread; there is nothing left to stop.
            drop(thread.join());
        }
    }
}

/// Offsets of a topic's partitions: `(earliest, the next to be written)`, in order.
///
/// # Errors
/// When the broker does not answer within ten seconds, or has no such topic.
pub fn ends(bootstrap: &str, topic: &str) -> KafkaResult<Vec<(i64, i64)>> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let limit = std::time::Duration::from_secs(10);
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("allow.auto.create.topics", "false")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), limit)?;
    let mut partitions: Vec<i32> =
        metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(|partition| partition.id())).collect();
    partitions.sort_unstable();
    partitions.into_iter().map(|partition| consumer.fetch_watermarks(topic, partition, limit)).collect()
}

#[cfg(test)]
mod tests {
    use rdkafka::{
        ClientConfig,
        producer::{BaseProducer, BaseRecord, Producer},
    };

    use super::*;

    #[test]
    fn a_topic_has_the_partitions_it_was_made_with_and_keeps_what_is_sent() {
        let broker = EmbeddedBroker::start().unwrap();
        broker.create_topic("rivers", 3).unwrap();
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).create().unwrap();
        for (partition, value) in [(0, "Rhine"), (2, "Main"), (2, "Neckar")] {
            producer.send(BaseRecord::<str, str>::to("rivers").partition(partition).payload(value)).unwrap();
        }
        producer.flush(std::time::Duration::from_secs(10)).unwrap();
        assert_eq!(ends(broker.bootstrap(), "rivers").unwrap(), [(0, 1), (0, 0), (0, 2)]);
    }
}

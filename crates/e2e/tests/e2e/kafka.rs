//! Kafka as a test sees it: topics made, records sent as any client may, and all of a topic read back.

use std::time::Duration;

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer},
};
use testkit::{broker::EmbeddedBroker, kafka::Kafka};

use crate::{datasets::Dataset, report};

const LIMIT: Duration = Duration::from_secs(20);

/// A broker that lives at least as long as the test.
pub(crate) enum Brokers {
    Embedded(EmbeddedBroker),
    /// The one that tests share.
    Real(String),
    /// The test's own real one.
    Own(Kafka),
}

impl Brokers {
    pub(crate) fn bootstrap(&self) -> &str {
        match self {
            Self::Embedded(broker) => broker.bootstrap(),
            Self::Real(brokers) => brokers,
            Self::Own(kafka) => kafka.bootstrap(),
        }
    }

    /// The embedded broker, which can be disturbed.
    pub(crate) fn embedded(&self) -> &EmbeddedBroker {
        let Self::Embedded(broker) = self else { panic!("this env has no embedded broker") };
        broker
    }

    /// The real broker that may be killed.
    pub(crate) fn own(&self) -> &Kafka {
        let Self::Own(kafka) = self else { panic!("this env has no own Kafka") };
        kafka
    }

    pub(crate) fn create_topic(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
        match self {
            Self::Embedded(broker) => broker.create_topic(topic, partitions).unwrap(),
            Self::Real(_) | Self::Own(_) => {
                let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
                for (key, value) in config {
                    new = new.set(key, value);
                }
                let made = block_on(admin(self.bootstrap()).create_topics([&new], &AdminOptions::new())).unwrap();
                made.into_iter().for_each(|made| drop(made.unwrap()));
            }
        }
    }
}

/// The real broker of the environment. Without one the test says so on the terminal and ends; on CI it fails.
pub(crate) fn real<D: Dataset>(test: &str) -> Option<Brokers> {
    let brokers = testkit::kafka::given();
    if brokers.is_none() {
        report::skip(D::PIPELINE, test, "there is no real Kafka (make test with a JDK)");
    }
    brokers.map(Brokers::Real)
}

/// A broker for tests that are not about Kafka: an embedded one, which is quick; with `make faults` the real one.
pub(crate) fn any() -> Brokers {
    if std::env::var_os("E2E_ON_KAFKA").is_some() { best() } else { crate::embedded() }
}

/// The real broker where there is one, else an embedded one, for tests that either can serve.
pub(crate) fn best() -> Brokers {
    testkit::kafka::given().map_or_else(crate::embedded, Brokers::Real)
}

pub(crate) fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

/// Waits for a response of the admin client, which receives it on its own thread.
pub(crate) fn block_on<T>(response: impl Future<Output = Result<T, KafkaError>>) -> Result<T, KafkaError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(response)
}

/// A record to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp_ms: i64,
}

/// A client's settings: librdkafka's own, by default with another partitioner than our producer has.
pub(crate) fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("partitioner", "consistent_random").set("linger.ms", "5");
    config
}

/// Sends records in their order, and waits until all are acknowledged.
pub(crate) fn send(config: &ClientConfig, topic: &str, records: &[Outgoing]) {
    let producer: BaseProducer = config.create().unwrap();
    hand_over(&producer, topic, records);
    producer.flush(LIMIT).unwrap();
}

/// Hands records to a producer, which sends them in its own time.
pub(crate) fn hand_over(producer: &BaseProducer, topic: &str, records: &[Outgoing]) {
    for outgoing in records {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).timestamp(outgoing.timestamp_ms);
        record.partition = outgoing.partition;
        record.key = outgoing.key.as_deref();
        record.payload = outgoing.value.as_deref();
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
}

/// A record as the topic holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// All committed records of a topic, by partition and offset.
pub(crate) fn held(brokers: &str, topic: &str) -> Vec<Held> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{topic}-held"))
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions).unwrap() {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut held, mut ended) = (Vec::new(), 0);
    while ended < partitions {
        match consumer.poll(LIMIT).expect("the broker responds in time") {
            Ok(message) => held.push(Held {
                partition: message.partition(),
                offset: message.offset(),
                timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
            }),
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => panic!("{error}"),
        }
    }
    held.sort_by_key(|record| (record.partition, record.offset));
    held
}

/// The state of a consumer group, such as `Stable`, and how many members it has.
pub(crate) fn group(brokers: &str, group: &str) -> (String, usize) {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let groups = consumer.fetch_group_list(Some(group), LIMIT).unwrap();
    groups.groups().first().map(|group| (group.state().to_owned(), group.members().len())).unwrap_or_default()
}

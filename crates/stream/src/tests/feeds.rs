//! Two feeds of one pipeline in one process, on an embedded broker and a real PostgreSQL.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use service::{Stop, health::Health, settings::KafkaSettings};
use testkit::broker::EmbeddedBroker;

use crate::{
    Consume, ConsumeSettings, Error, FeedTables, Identity, Pipeline, consume,
    feeds::{Running, side_by_side},
    maintenance::{hash, reset},
    tests::{
        consumer::Tables,
        tiny::{Second, Tiny},
    },
};

const FEEDS: [FeedTables; 2] = [FeedTables::of::<Tiny>(), FeedTables::of::<Second>()];

/// A broker, a database, and what the consumers of one process share.
struct Process {
    broker: EmbeddedBroker,
    tables: Tables,
    health: Health,
    stop: Stop,
}

impl Process {
    async fn start(topics: &[&str]) -> Self {
        let broker = EmbeddedBroker::start().unwrap();
        topics.iter().for_each(|topic| broker.create_topic(topic, 2).unwrap());
        let health = Health::new(Duration::from_secs(60));
        Self { broker, tables: Tables::create().await, health, stop: Stop::default() }
    }

    fn send(&self, topic: &str, messages: &[&str]) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", self.broker.bootstrap()).create().unwrap();
        for message in messages {
            let key = message.split(' ').next().unwrap();
            producer.send(BaseRecord::to(topic).key(key).payload(*message)).unwrap();
        }
        producer.flush(Duration::from_secs(10)).unwrap();
    }

    /// Consumes both feeds until the end.
    async fn run(&self) -> Result<(), Error> {
        let parts = self.health.divide(&[Tiny::NAME, Second::NAME]);
        let feeds = [self.feed(Tiny::default(), parts[0].clone()), self.feed(Second::default(), parts[1].clone())];
        side_by_side(&self.stop, feeds).await
    }

    fn feed<P: Pipeline>(&self, pipeline: P, health: Health) -> Running<Error> {
        let settings = ConsumeSettings {
            until_end: true,
            refresh_every: Duration::from_millis(100),
            batch_size: 10_000,
            group_id: None,
            wait: Duration::from_secs(5),
            outage_timeout: Duration::from_secs(30),
            reset_offsets: false,
            max_facts_memory: None,
            facts_memory: 24,
            repartition: false,
            fetch_queue_kib: 8192,
        };
        let what = Consume {
            topic: P::TOPIC.to_owned(),
            kafka: KafkaSettings::plaintext(self.broker.bootstrap()),
            database: self.tables.database.url().parse().unwrap(),
            identity: Identity::new(P::NAME, "5b0c1a52-9d4e-4c1f-8a2b-0123456789ab"),
            settings,
            health,
            stop: self.stop.clone(),
        };
        Box::pin(consume(pipeline, what))
    }

    async fn groups(&self) -> [Vec<(String, String)>; 2] {
        [
            self.tables.query("SELECT grp, facts FROM tiny_groups ORDER BY grp").await,
            self.tables.query("SELECT grp, facts FROM tiny_second_groups ORDER BY grp").await,
        ]
    }
}

fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(group, facts)| ((*group).to_owned(), (*facts).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_feed_has_its_own_facts_offsets_and_rows() {
    let process = Process::start(&["t", "t2"]).await;
    process.send("t", &["1 1 10", "2 1 20", "1 1 11"]);
    // The same groups and keys, which mean something else here.
    process.send("t2", &["1 1 7", "3 2 8"]);
    process.run().await.unwrap();
    let expected = [rows(&[("g1", "1=11"), ("g2", "1=20")]), rows(&[("g1", "1=7"), ("g3", "2=8")])];
    assert_eq!(process.groups().await, expected);
    let read: Vec<(String, String, i64)> = process
        .tables
        .query("SELECT feed, topic, sum(read)::bigint FROM ingest_accounting GROUP BY 1, 2 ORDER BY 1")
        .await;
    assert_eq!(read, [("tiny".to_owned(), "t".to_owned(), 3), ("tiny-second".to_owned(), "t2".to_owned(), 2)]);
    let hashed = hash::hash(&mut process.tables.connect().await, &FEEDS).await.unwrap();
    let named: Vec<&str> = hashed.iter().map(|hash| hash.table).collect();
    assert_eq!(named, ["tiny_groups", "tiny_second_groups", hash::ALL]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_empties_every_feed_and_both_are_read_again() {
    let process = Process::start(&["t", "t2"]).await;
    process.send("t", &["1 1 10"]);
    process.send("t2", &["1 1 7"]);
    process.run().await.unwrap();
    let before = process.groups().await;
    let mut connection = process.tables.connect().await;
    reset::reset(&mut connection, &FEEDS).await.unwrap();
    assert_eq!(process.groups().await, [Vec::new(), Vec::new()]);
    process.run().await.unwrap();
    assert_eq!(process.groups().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_without_a_topic_ends_the_process_and_the_other_has_stored_what_it_had() {
    let process = Process::start(&["t"]).await;
    process.send("t", &["1 1 10"]);
    let ended = process.run().await;
    assert!(matches!(&ended, Err(Error::TopicMissing { topic, .. }) if topic == "t2"), "{ended:?}");
    assert_eq!(process.groups().await[0], rows(&[("g1", "1=10")]));
    assert!(process.stop.is_stopping());
}

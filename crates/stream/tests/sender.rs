//! Sends to librdkafka's own in-process cluster.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use service::{Stop, settings::KafkaSettings};
use stream::{
    Acknowledged, Outgoing, ReadError, RowOutcome, Source,
    sender::{LINGER, OUTAGE_TIMEOUT, OnRejected, SendError, SendSettings, Sent, Watch, send},
    topic::{Lookup, TopicError, TopicSpec},
};

const TOPIC: &str = "t";

/// Rows from a list; the first is at line 2.
struct List {
    rows: Vec<Item>,
    next: usize,
}

#[derive(Clone)]
enum Item {
    Key(&'static [u8]),
    Large,
    Filtered,
    Bad,
    Broken,
}

impl Source for List {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
        let Some(item) = self.rows.get(self.next) else { return Ok(None) };
        self.next += 1;
        (message.key, message.value) = (b"k".to_vec(), b"v".to_vec());
        match item {
            Item::Key(key) => message.key = key.to_vec(),
            Item::Large => message.value = vec![b'x'; 2_000_000],
            Item::Filtered => return Ok(Some(RowOutcome::Filtered)),
            Item::Bad => return Ok(Some(RowOutcome::Rejected("bad".to_owned()))),
            Item::Broken => return Err(ReadError::Unusable("broken".to_owned())),
        }
        Ok(Some(RowOutcome::Send))
    }

    fn line(&self) -> u64 {
        self.next as u64 + 1
    }

    fn label(&self) -> String {
        format!("row {}", self.next)
    }
}

#[derive(Default)]
struct TopicState {
    rejected: Vec<u64>,
    samples: Vec<String>,
}

impl Watch for TopicState {
    fn rejected(&mut self, line: u64, _reason: &str) {
        self.rejected.push(line);
    }

    fn sample(&mut self, label: &str) {
        self.samples.push(label.to_owned());
    }

    fn progress(&mut self, _so_far: &Sent) {}
}

struct Cluster(MockCluster<'static, DefaultProducerContext>);

impl Cluster {
    fn with_partitions(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).expect("the in-process cluster starts");
        cluster.create_topic(TOPIC, partitions, 1).expect("the topic is new");
        Self(cluster)
    }

    fn settings(&self) -> SendSettings {
        SendSettings {
            kafka: KafkaSettings::plaintext(self.0.bootstrap_servers()),
            topics: vec![TOPIC.to_owned()],
            max_message_bytes: None,
            wait: Duration::ZERO,
            outage_timeout: OUTAGE_TIMEOUT,
            linger: LINGER,
            rate: None,
            on_rejected: OnRejected::GoOn,
        }
    }

    fn send(&self, rows: &[Item]) -> (Sent, Result<(), String>) {
        self.send_with(rows, &self.settings())
    }

    fn send_with(&self, rows: &[Item], settings: &SendSettings) -> (Sent, Result<(), String>) {
        let mut source = List { rows: rows.to_vec(), next: 0 };
        let (sent, ended) = send(&mut source, settings, &mut TopicState::default(), &Stop::default());
        (sent, ended.map_err(|error| error.to_string()))
    }

    /// The partition of each key the topic holds.
    fn partitions_of_keys(&self, partitions: i32, messages: usize) -> BTreeMap<Vec<u8>, i32> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.0.bootstrap_servers())
            .set("group.id", "partitions-of-keys")
            .create()
            .expect("the settings are valid");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("a valid offset");
        }
        consumer.assign(&assignment).expect("the partitions exist");
        let mut found = BTreeMap::new();
        for _ in 0..messages {
            let message = consumer.poll(Duration::from_secs(20)).expect("a message in time").expect("no error");
            found.insert(message.key().unwrap_or_default().to_vec(), message.partition());
        }
        found
    }
}

fn counts(sent: &Sent) -> [u64; 6] {
    [sent.read, sent.sent, sent.filtered, sent.rejected, sent.acknowledged, sent.failed]
}

#[test]
fn a_key_goes_to_the_partition_that_java_clients_choose() {
    // Hashes as in Apache Kafka's UtilsTest.testMurmur2.
    let hashes: [(&'static [u8], i32); 6] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        (b"abc", 479_470_107),
    ];
    let partitions = 7;
    let cluster = Cluster::with_partitions(partitions);
    let rows: Vec<Item> = hashes.iter().map(|(key, _)| Item::Key(key)).collect();
    let (sent, ended) = cluster.send(&rows);
    assert_eq!((counts(&sent), ended), ([6, 6, 0, 0, 6, 0], Ok(())));
    let expected: BTreeMap<Vec<u8>, i32> =
        hashes.iter().map(|(key, hash)| (key.to_vec(), (hash & i32::MAX) % partitions)).collect();
    assert_eq!(cluster.partitions_of_keys(partitions, rows.len()), expected);
}

/// A source that is told what Kafka has, and gives the next message only then, three times.
struct InTurn {
    given: u64,
    through: Arc<AtomicU64>,
}

impl Source for InTurn {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
        if self.through.load(Ordering::SeqCst) < self.given {
            return Ok(Some(RowOutcome::Wait(Duration::ZERO)));
        }
        if self.given == 3 {
            return Ok(None);
        }
        self.given += 1;
        (message.key, message.value) = (self.given.to_string().into_bytes(), b"v".to_vec());
        Ok(Some(RowOutcome::Send))
    }

    fn acknowledged(&self) -> Option<Acknowledged> {
        let through = Arc::clone(&self.through);
        Some(Arc::new(move |number| _ = through.fetch_max(number, Ordering::SeqCst)))
    }

    fn line(&self) -> u64 {
        self.given
    }

    fn label(&self) -> String {
        String::new()
    }
}

#[test]
fn a_source_is_told_what_kafka_has() {
    let cluster = Cluster::with_partitions(3);
    let mut source = InTurn { given: 0, through: Arc::default() };
    let (sent, ended) = send(&mut source, &cluster.settings(), &mut TopicState::default(), &Stop::default());
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!((counts(&sent), source.through.load(Ordering::SeqCst)), ([3, 3, 0, 0, 3, 0], 3));
}

#[test]
fn outcomes_sum_to_read() {
    let cluster = Cluster::with_partitions(2);
    let rows = [Item::Key(b"a"), Item::Filtered, Item::Bad, Item::Key(b"b"), Item::Bad];
    let (sent, ended) = cluster.send(&rows);
    assert_eq!((counts(&sent), ended), ([5, 2, 1, 2, 2, 0], Ok(())));
}

#[test]
fn a_bad_row_ends_a_strict_sending_and_a_broken_input_any() {
    let cluster = Cluster::with_partitions(1);
    let strict = SendSettings { on_rejected: OnRejected::Stop, ..cluster.settings() };
    let (sent, ended) = cluster.send_with(&[Item::Key(b"a"), Item::Bad, Item::Key(b"b")], &strict);
    assert_eq!((counts(&sent), ended), ([2, 1, 0, 1, 1, 0], Err("line 3: bad".to_owned())));
    let (sent, ended) = cluster.send(&[Item::Key(b"a"), Item::Broken]);
    assert_eq!((counts(&sent), ended), ([1, 1, 0, 0, 1, 0], Err("broken".to_owned())));
}

#[test]
fn a_record_that_is_too_large_names_its_line() {
    let cluster = Cluster::with_partitions(1);
    let (sent, ended) = cluster.send(&[Item::Key(b"a"), Item::Large, Item::Key(b"b"), Item::Large]);
    let why = "line 3: the record is larger than kafka takes (2 such, the first one named)";
    assert_eq!((counts(&sent), ended), ([4, 4, 0, 0, 2, 2], Err(why.to_owned())));
}

#[test]
fn a_record_the_broker_finds_too_large_names_its_line() {
    let cluster = Cluster::with_partitions(1);
    cluster.0.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let (sent, ended) = cluster.send(&[Item::Filtered, Item::Key(b"a")]);
    let why = "line 3: the record is larger than kafka takes (1 such, the first one named)";
    assert_eq!((counts(&sent), ended), ([2, 1, 1, 0, 0, 1], Err(why.to_owned())));
}

#[test]
fn a_record_the_broker_refuses_is_no_success() {
    let cluster = Cluster::with_partitions(1);
    cluster.0.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD]);
    let (sent, ended) = cluster.send(&[Item::Key(b"a")]);
    assert_eq!(counts(&sent), [1, 1, 0, 0, 0, 1]);
    let error = ended.expect_err("the record was refused");
    assert!(error.starts_with("line 2: kafka did not acknowledge the record: "), "{error}");
}

#[test]
fn kafka_that_stays_unavailable_ends_the_sending() {
    let cluster = Cluster::with_partitions(1);
    assert_eq!(
        cluster.settings().outage_timeout,
        Duration::from_secs(300),
        "five minutes, unless another limit is given"
    );
    let settings =
        SendSettings { outage_timeout: Duration::from_secs(1), rate: NonZeroU32::new(10), ..cluster.settings() };
    let mut source = List { rows: vec![Item::Key(b"a"); 600], next: 0 };
    let (sent, ended) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&mut source, &settings, &mut TopicState::default(), &Stop::default()));
        std::thread::sleep(Duration::from_secs(1));
        cluster.0.broker_down(-1).expect("the in-process cluster accepts commands");
        sending.join().expect("sending does not panic")
    });
    assert!(matches!(ended, Err(SendError::Unacknowledged { .. })), "{ended:?}");
    assert!(sent.acknowledged > 0 && sent.failed > 0 && sent.read < 600, "{sent:?}");
}

#[test]
fn a_producer_id_that_is_denied_is_no_success() {
    let cluster = Cluster::with_partitions(1);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    cluster.0.request_errors(RDKafkaApiKey::InitProducerId, &[refused]);
    let (sent, ended) = cluster.send(&[Item::Key(b"a"), Item::Key(b"b")]);
    assert_eq!(sent.acknowledged, 0);
    let error = ended.expect_err("the client has no producer id");
    assert!(error.starts_with("kafka denies user `ANONYMOUS` Write on topic `t`; "), "{error}");
    assert!(error.contains("--operation IdempotentWrite --cluster"), "{error}");
}

#[test]
fn the_rate_is_kept() {
    let cluster = Cluster::with_partitions(1);
    let settings = SendSettings { rate: NonZeroU32::new(100), ..cluster.settings() };
    let (sent, ended) = cluster.send_with(&vec![Item::Key(b"a"); 100], &settings);
    assert_eq!((counts(&sent), ended), ([100, 100, 0, 0, 100, 0], Ok(())));
    assert!(sent.seconds >= 0.95, "{}", sent.seconds);
}

#[test]
fn stopping_ends_it_before_the_end_of_the_input() {
    let cluster = Cluster::with_partitions(1);
    let settings = SendSettings { rate: NonZeroU32::new(10), ..cluster.settings() };
    let stop = Stop::default();
    let mut source = List { rows: vec![Item::Key(b"a"); 1_000], next: 0 };
    let mut seen = TopicState::default();
    let (sent, ended) = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            stop.stop();
        });
        send(&mut source, &settings, &mut seen, &stop)
    });
    assert!(matches!(ended, Err(SendError::Stopped)), "{ended:?}");
    assert!(sent.sent > 0 && sent.sent < 100 && sent.acknowledged == sent.sent, "{sent:?}");
    assert_eq!(seen.samples.first().map(String::as_str), Some("row 1"));
}

#[test]
fn a_topic_is_found_and_never_created_by_a_lookup() {
    let cluster = Cluster::with_partitions(3);
    let lookup = |topic: &str| Lookup {
        kafka: KafkaSettings::plaintext(cluster.0.bootstrap_servers()),
        topic: topic.to_owned(),
        wait: Duration::from_millis(300),
    };
    let stop = Stop::default();
    let found = lookup(TOPIC).find(&stop).expect("the topic exists");
    assert_eq!((found.partitions, found.created), (3, false));
    for _ in 0..2 {
        let error = lookup("missing").find(&stop).expect_err("nobody created the topic");
        assert!(error.to_string().ends_with("topic `missing` is missing"), "{error}");
    }
    assert_eq!(
        lookup(TOPIC)
            .ensure(TopicSpec { partitions: 6, keeps_all: false }, &stop)
            .expect("the topic exists")
            .partitions,
        3
    );
    let created = lookup("missing")
        .ensure(TopicSpec { partitions: 6, keeps_all: false }, &stop)
        .expect("this cluster creates a topic on first use");
    assert!(created.partitions > 0 && created.created, "{created:?}");
    stop.stop();
    assert!(matches!(lookup("another").find(&stop), Err(TopicError::Stopped)));
}

#[test]
fn waiting_for_kafka_ends() {
    let lookup = Lookup {
        kafka: KafkaSettings::plaintext("127.0.0.1:1"),
        topic: TOPIC.to_owned(),
        wait: Duration::from_millis(200),
    };
    let error = lookup.find(&Stop::default()).expect_err("no broker is at this address");
    assert!(matches!(error, TopicError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

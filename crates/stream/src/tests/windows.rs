//! Windows that leave memory, on an embedded broker and a real PostgreSQL: rows are what their records say, in any number of
//! partitions and replicas, with any budget of memory, however often it is stopped and begins again.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use service::{Stop, health::Health, settings::KafkaSettings};
use sqlx::postgres::PgConnectOptions;
use testkit::broker::EmbeddedBroker;

use crate::{
    Consume, ConsumeSettings, Error, Identity, Pipeline, Residency, Windows, consume,
    simulation::turns::Rng,
    tests::{
        consumer::Tables,
        outcomes::{Cut, Proxy},
        reference::Reference,
        tiny::{OF_A_KEY, SIZE_MS, Tiny, WINDOWS},
    },
};

const KEYS: i16 = 4;
/// No window is forgotten.
const KEPT: Windows =
    Windows { size_ms: SIZE_MS, lateness_ms: 30, ahead_ms: i64::MAX, keep_ms: None, history_ms: None };
/// Those that end 120 ms before the greatest time are, and so is the history of the others.
const FORGOTTEN: Windows = Windows { keep_ms: Some(120), history_ms: Some(0), ..KEPT };

/// Readings of [`KEYS`] keys: most in order, some late, said twice, corrected, taken back, moved to another window.
fn readings(seed: u64, count: usize) -> Vec<(i16, String)> {
    let chance = Rng::new(seed);
    let below = |below: usize| i16::try_from(chance.below(below)).unwrap();
    let place = |key: i16, at: i16| format!("{} {}", WINDOWS + key * OF_A_KEY + at / 10, at % 10);
    let mut said: Vec<(i16, String)> = Vec::new();
    for n in 0..count {
        let key = below(usize::from(KEYS.unsigned_abs()));
        let now = i16::try_from(n * usize::from(OF_A_KEY.unsigned_abs()) * 10 / count).unwrap();
        let back = [0, 0, 0, 0, 3, 9, 40, 90, 300][chance.below(9)];
        let at = (now - back).max(0);
        let value = if below(9) == 0 { -1 } else { below(5).into() };
        let text = format!("{} {value}", place(key, at));
        said.push(match below(12) {
            0 => said.get(n.saturating_sub(20)).cloned().unwrap_or((key, text)),
            1 => (key, format!("{text} {}", place(key, (at - below(25)).max(0)))),
            _ => (key, text),
        });
    }
    said
}

/// A topic with readings, and a database.
struct Case {
    broker: EmbeddedBroker,
    tables: Tables,
    windows: Windows,
    facts_memory: u32,
    /// Another way to the database than straight.
    through: Option<PgConnectOptions>,
}

impl Case {
    async fn new(partitions: i32, windows: Windows, facts_memory: u32) -> Self {
        let broker = EmbeddedBroker::start().unwrap();
        broker.create_topic(Tiny::TOPIC, partitions).unwrap();
        Self { broker, tables: Tables::create().await, windows, facts_memory, through: None }
    }

    fn send(&self, partitions: i16, readings: &[(i16, String)]) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", self.broker.bootstrap()).create().unwrap();
        for (key, reading) in readings {
            let record = BaseRecord::to(Tiny::TOPIC).key(reading).payload(reading).partition((key % partitions).into());
            producer.send(record).unwrap();
        }
        producer.flush(Duration::from_secs(10)).unwrap();
    }

    /// A consumer that reads to the end, or until `stop`.
    async fn consume(&self, until_end: bool, stop: &Stop) {
        consume(Tiny { residency: Residency::Windows(self.windows) }, self.what(until_end, stop)).await.unwrap();
    }

    fn what(&self, until_end: bool, stop: &Stop) -> Consume {
        let settings = ConsumeSettings {
            until_end,
            refresh_every: Duration::from_millis(20),
            batch_size: 40,
            group_id: None,
            wait: Duration::from_secs(5),
            outage_timeout: Duration::from_secs(30),
            reset_offsets: false,
            max_facts_memory: None,
            facts_memory: self.facts_memory,
            repartition: false,
            fetch_queue_kib: 1024,
        };
        Consume {
            topic: Tiny::TOPIC.to_owned(),
            kafka: KafkaSettings::plaintext(self.broker.bootstrap()),
            database: self.through.clone().unwrap_or_else(|| self.tables.database.url().parse().unwrap()),
            identity: Identity::new(Tiny::NAME, "5b0c1a52-9d4e-4c1f-8a2b-0123456789ab"),
            settings,
            health: Health::new(Duration::from_secs(60)),
            stop: stop.clone(),
        }
    }

    async fn read_to_the_end(&self) {
        self.consume(true, &Stop::default()).await;
    }

    async fn rows(&self) -> BTreeMap<String, String> {
        self.tables.groups().await.into_iter().collect()
    }

    async fn filtered(&self) -> i64 {
        let filtered: Vec<(i64,)> =
            self.tables.query("SELECT coalesce(sum(filtered), 0)::bigint FROM ingest_accounting").await;
        filtered[0].0
    }
}

fn expected(windows: &Windows, readings: &[(i16, String)]) -> Reference {
    let mut reference = Reference::default();
    readings.iter().for_each(|(_, reading)| reference.apply(reading, windows));
    reference
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_what_the_records_say_in_any_number_of_partitions() {
    for (seed, partitions, windows, facts_memory) in [(1, 1, KEPT, 0), (2, 3, FORGOTTEN, 0), (3, 6, KEPT, 1)] {
        let case = Case::new(partitions.into(), windows, facts_memory).await;
        let readings = readings(seed, 1_500);
        case.send(partitions, &readings);
        case.read_to_the_end().await;
        let reference = expected(&windows, &readings);
        assert_eq!(case.rows().await, reference.rows(), "seed {seed}");
        assert_eq!(case.filtered().await, reference.filtered, "seed {seed}");
        let cold: Vec<(i64,)> = case.tables.query("SELECT count(*) FROM tiny_cold").await;
        assert!(cold[0].0 > 0 || facts_memory > 0, "nothing has left memory: seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_at_commit_rows_are_right() {
    let mut case = Case::new(2, FORGOTTEN, 0).await;
    let readings = readings(7, 600);
    case.send(2, &readings);
    // Claims, batches and refreshes meet them by turns.
    let cuts: Vec<Cut> =
        [Cut::Never, Cut::After, Cut::Never, Cut::Before, Cut::After].into_iter().cycle().take(60).collect();
    let (proxy, through) = Proxy::in_front_of(case.tables.database.url().parse().unwrap(), cuts).await;
    case.through = Some(through);
    case.read_to_the_end().await;
    assert!(proxy.made() > 10, "{}", proxy.made());
    let reference = expected(&FORGOTTEN, &readings);
    assert_eq!(case.rows().await, reference.rows());
    assert_eq!(case.filtered().await, reference.filtered);
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_of_another_size_are_refused_by_name() {
    let case = Case::new(1, KEPT, 0).await;
    case.send(1, &readings(8, 10));
    case.read_to_the_end().await;
    let other = Windows { size_ms: 2 * SIZE_MS, ..KEPT };
    let ended = consume(Tiny { residency: Residency::Windows(other) }, case.what(true, &Stop::default())).await;
    assert!(matches!(&ended, Err(Error::SettingFixed { name, .. }) if name == "window_size_ms"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_stopped_and_goes_on_and_another_one_joins() {
    let case = Case::new(3, KEPT, 0).await;
    let readings = readings(4, 1_500);
    for part in readings.chunks(500) {
        case.send(3, part);
        let (first, second) = (Stop::default(), Stop::default());
        let stopped = async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            first.stop();
            tokio::time::sleep(Duration::from_millis(900)).await;
            second.stop();
        };
        tokio::join!(case.consume(false, &first), case.consume(false, &second), stopped);
    }
    case.read_to_the_end().await;
    assert_eq!(case.rows().await, expected(&KEPT, &readings).rows());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_lateness_opens_no_window_that_is_final() {
    let mut case = Case::new(1, KEPT, 0).await;
    let readings = readings(5, 600);
    case.send(1, &readings[..400]);
    case.read_to_the_end().await;
    let times = "SELECT key, final_through_ms FROM key_partitions ORDER BY key";
    let before: Vec<(String, Option<i64>)> = case.tables.query(times).await;
    case.windows.lateness_ms = 200;
    case.send(1, &readings[400..]);
    case.read_to_the_end().await;
    let after: Vec<(String, Option<i64>)> = case.tables.query(times).await;
    assert!(before.iter().zip(&after).all(|(before, after)| before.1 <= after.1), "{before:?}, {after:?}");
    let plain = |rows: BTreeMap<String, String>| -> Vec<String> {
        rows.into_values().map(|row| crate::tests::reference::without_late(&row).to_owned()).collect()
    };
    assert_eq!(plain(case.rows().await), plain(expected(&KEPT, &readings).rows()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_changes_nothing_and_what_is_older_than_is_kept_is_filtered() {
    let case = Case::new(1, FORGOTTEN, 0).await;
    let readings = readings(6, 900);
    case.send(1, &readings);
    case.read_to_the_end().await;
    let rows = case.rows().await;
    let both = [&readings[..], &readings[..]].concat();
    case.send(1, &readings);
    case.read_to_the_end().await;
    let reference = expected(&FORGOTTEN, &both);
    assert_eq!(case.filtered().await, reference.filtered);
    assert_eq!(case.rows().await, reference.rows());
    let cold: Vec<(i64,)> = case.tables.query("SELECT count(*) FROM tiny_cold").await;
    let segments: Vec<(i64,)> = case.tables.query("SELECT coalesce(sum(facts), 0)::bigint FROM tiny_segments").await;
    assert!(segments[0].0 < i64::try_from(readings.len()).unwrap() / 2, "the history is not removed: {segments:?}");
    // Of each key the windows of the last 120 ms.
    assert!(cold[0].0 <= i64::from(KEYS) * 16, "{cold:?}");
    assert!(rows.len() > 16 * usize::from(KEYS.unsigned_abs()));
}

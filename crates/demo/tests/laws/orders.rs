//! Same facts, same tables: whatever the order, the repetition, the partitions, the keys and the replicas.

use std::{sync::OnceLock, thread};

use crate::{
    kafka::{self, Brokers, Outgoing},
    road::Road,
    world::{self, FACTS, Line, ROWS, shuffled},
};

const SEED: u64 = 7;

/// How records get their partitions.
#[derive(Clone, Copy, Debug)]
enum Keys {
    /// By our producer.
    Ours,
    /// Another client's partitioner.
    Others,
    /// No keys at all: any partition.
    None,
}

/// One way to the same tables.
#[derive(Clone, Copy, Debug)]
struct Way {
    partitions: i32,
    consumers: usize,
    keys: Keys,
    seed: u64,
}

const fn way(partitions: i32, consumers: usize, keys: Keys, seed: u64) -> Way {
    Way { partitions, consumers, keys, seed }
}

/// The hash of the simplest way: one partition, one consumer, every fact once, in order.
pub(crate) fn reference() -> &'static str {
    static REFERENCE: OnceLock<String> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let road = Road::embedded(1);
        let first = world::world(SEED);
        let later = world::corrections(&first, SEED);
        let known = |line: &&Line| !later.iter().any(|other| (other.key(), other.year) == (line.key(), line.year));
        let last: Vec<Line> = first.iter().filter(known).chain(&later).cloned().collect();
        road.produce(&last);
        road.consume(1);
        road.check_changelog();
        road.hash()
    })
}

/// What is sent, in several goes: shuffled, repeated, corrected, and the corrections repeated.
pub(crate) fn sendings(seed: u64) -> Vec<Vec<Line>> {
    let first = world::world(SEED);
    let later = world::corrections(&first, SEED);
    let some: Vec<Line> = shuffled(&first, seed + 1).into_iter().take(ROWS / 3).collect();
    vec![shuffled(&first, seed), some, shuffled(&later, seed + 2), shuffled(&later, seed + 3)]
}

fn travel(road: &Road, way: Way) {
    let mut timestamp_ms = 1_700_000_000_000;
    for (n, lines) in sendings(way.seed).iter().enumerate() {
        if let Keys::Ours = way.keys {
            road.produce(lines);
        } else {
            let record = |line: &Line| {
                timestamp_ms += 1;
                let key = matches!(way.keys, Keys::Others).then(|| line.key().as_bytes().to_vec());
                Outgoing { partition: None, key, value: Some(line.json().into_bytes()), timestamp_ms }
            };
            road.send(&lines.iter().map(record).collect::<Vec<_>>());
        }
        // Half of the ways read everything at once, the others from sending to sending.
        if n % 2 == 1 && way.seed % 2 == 1 {
            road.consume(way.consumers);
        }
    }
    road.consume(way.consumers);
}

fn check(brokers: Brokers, way: Way) {
    let road = Road::on(brokers, way.partitions);
    travel(&road, way);
    if let Keys::None = way.keys {
        road.check_books();
    } else {
        road.check_changelog();
    }
    assert_eq!(road.hash(), reference(), "{way:?}");
}

fn check_all(ways: &[Way], brokers: impl Fn() -> Brokers + Sync) {
    thread::scope(|scope| {
        for way in ways {
            let brokers = &brokers;
            scope.spawn(move || check(brokers(), *way));
        }
    });
}

#[test]
fn every_way_leads_to_the_same_tables() {
    let ways = [
        way(1, 1, Keys::Ours, 10),
        way(3, 3, Keys::Ours, 21),
        way(12, 2, Keys::Others, 30),
        way(3, 1, Keys::None, 41),
        way(12, 1, Keys::None, 50),
    ];
    check_all(&ways, crate::embedded);
}

#[test]
fn every_way_leads_to_the_same_tables_on_a_real_kafka() {
    let Some(brokers) = kafka::real("every way leads to the same tables") else { return };
    let ways = [
        way(1, 2, Keys::Ours, 11),
        way(3, 2, Keys::Others, 20),
        way(12, 3, Keys::Ours, 31),
        way(12, 1, Keys::None, 41),
    ];
    check_all(&ways, || Brokers::Real(brokers.bootstrap().to_owned()));
}

/// All that a run may write, with the time at which it was written.
fn written(road: &Road) -> Vec<(String, i64)> {
    let tables = ["emissions_changelog", "country_aggregates", "co2_clusters", "cluster_runs", "co2_cluster_history"];
    let mut counts: Vec<(String, i64)> = tables
        .iter()
        .map(|table| ((*table).to_owned(), road.number(&format!("SELECT count(*) FROM {table}"))))
        .collect();
    counts.extend(road.query(
        "SELECT iso_code, (extract(epoch FROM processing_time) * 1000000)::bigint FROM country_aggregates ORDER BY 1",
    ));
    counts
}

#[test]
fn a_second_producer_run_changes_nothing() {
    let road = Road::embedded(3);
    let lines = world::world(SEED);
    road.produce(&lines);
    road.consume(2);
    let (tables, hash) = (written(&road), road.hash());
    let facts = i64::try_from(FACTS).unwrap();
    assert_eq!(tables[0].1, facts);
    road.produce(&lines);
    road.consume(1);
    assert_eq!((written(&road), road.hash()), (tables, hash));
    road.check_changelog();
    assert_eq!(road.number("SELECT sum(unchanged)::bigint FROM ingest_accounting"), facts);
}

#[test]
fn a_correction_computes_only_its_country_again() {
    let road = Road::embedded(3);
    let lines = world::world(SEED);
    road.produce(&lines);
    road.consume(1);
    let when = |road: &Road| -> Vec<(String, i64)> { written(road).split_off(5) };
    let before = when(&road);
    let mut corrected = lines.iter().find(|line| line.key() == "XAG" && line.year == 2000).unwrap().clone();
    corrected.figures[2] = Some(3.125);
    road.produce(&[corrected]);
    road.consume(1);
    let after = when(&road);
    let changed: Vec<&str> = before.iter().zip(&after).filter(|(b, a)| b != a).map(|(b, _)| &*b.0).collect();
    assert_eq!(changed, ["XAG"]);
    road.check_changelog();
    assert_eq!(road.number("SELECT sum(corrected)::bigint FROM ingest_accounting"), 1);
    // One run for each set of facts.
    assert_eq!(road.number("SELECT count(*) FROM cluster_runs"), 2);
}

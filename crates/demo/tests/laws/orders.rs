//! Same facts, same tables: whatever the order, the repetition, the partitions, the keys and the replicas.

use std::thread;

use crate::{
    datasets::Dataset,
    kafka::{self, Brokers, Outgoing},
    ledger,
    random::shuffled,
    report::saw,
    road::Road,
};

/// The world that the reference is of.
pub(crate) const SEED: u64 = 7;

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
pub(crate) fn reference<D: Dataset>() -> &'static str {
    D::reference().get_or_init(|| {
        let road = Road::<D>::new(1);
        let first = D::world(SEED);
        let later = D::corrections(&first, SEED);
        let stays = |line: &&D::Line| !later.iter().any(|other| D::same_key(line, other));
        let last: Vec<D::Line> = first.iter().filter(stays).chain(&later).cloned().collect();
        road.produce(&last);
        road.consume(1);
        road.check_changelog();
        road.hash()
    })
}

/// What is sent, in several goes: shuffled, repeated, corrected, and the corrections repeated.
pub(crate) fn sendings<D: Dataset>(seed: u64) -> Vec<Vec<D::Line>> {
    let first = D::world(SEED);
    let later = D::corrections(&first, SEED);
    let some: Vec<D::Line> = shuffled(&first, seed + 1).into_iter().take(first.len() / 3).collect();
    vec![shuffled(&first, seed), some, shuffled(&later, seed + 2), shuffled(&later, seed + 3)]
}

fn travel<D: Dataset>(road: &Road<D>, way: Way) {
    let mut timestamp_ms = 1_700_000_000_000;
    for (n, lines) in sendings::<D>(way.seed).iter().enumerate() {
        if let Keys::Ours = way.keys {
            road.produce(lines);
        } else {
            let record = |line: &D::Line| {
                timestamp_ms += 1;
                let key = matches!(way.keys, Keys::Others).then(|| D::message_key(line).into_bytes());
                Outgoing { partition: None, key, value: Some(D::message_value(line).into_bytes()), timestamp_ms }
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

fn check<D: Dataset>(brokers: Brokers, way: Way) {
    let road = Road::<D>::on(brokers, way.partitions);
    travel(&road, way);
    if let Keys::None = way.keys {
        road.check_books();
    } else {
        road.check_changelog();
    }
    assert_eq!(road.hash(), reference::<D>(), "{way:?}");
}

fn check_all<D: Dataset>(ways: &[Way], brokers: impl Fn() -> Brokers + Sync) {
    saw(format!("{} ways of partitions, keys, replicas and orders: one hash, books right", ways.len()));
    thread::scope(|scope| {
        for way in ways {
            let brokers = &brokers;
            scope.spawn(move || check::<D>(brokers(), *way));
        }
    });
}

pub(crate) fn every_way_leads_to_the_same_tables<D: Dataset>() {
    let ways = [
        way(1, 1, Keys::Ours, 10),
        way(3, 3, Keys::Ours, 21),
        way(12, 3, Keys::Others, 30),
        way(3, 1, Keys::None, 41),
        way(12, 1, Keys::None, 50),
    ];
    check_all::<D>(&ways, crate::embedded);
}

pub(crate) fn every_way_leads_to_the_same_tables_on_a_real_kafka<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("every way leads to the same tables") else { return };
    let ways = [
        way(1, 2, Keys::Ours, 11),
        way(3, 3, Keys::Others, 20),
        way(3, 1, Keys::Others, 22),
        way(12, 3, Keys::Ours, 31),
        way(12, 1, Keys::None, 41),
    ];
    check_all::<D>(&ways, || Brokers::Real(brokers.bootstrap().to_owned()));
}

/// How many rows there are of all that a run may write.
fn written<D: Dataset>(road: &Road<D>) -> Vec<i64> {
    [D::CHANGELOG, D::GROUPS].iter().chain(D::DERIVED).map(|table| road.rows(table)).collect()
}

/// The published rows by name, each with the time at which it was written.
fn changed_at<D: Dataset>(road: &Road<D>) -> Vec<(String, i64)> {
    road.query(D::CHANGED_AT)
}

pub(crate) fn a_second_producer_run_changes_nothing<D: Dataset>() {
    let road = Road::<D>::new(3);
    let lines = D::world(SEED);
    road.produce(&lines);
    road.consume(2);
    let (tables, changed, hash) = (written(&road), changed_at(&road), road.hash());
    let facts = i64::try_from(ledger::facts_in::<D>(&lines)).unwrap();
    // The changelog has the first word on every key.
    assert_eq!(tables[0], i64::try_from(ledger::keys_in::<D>(&lines)).unwrap());
    road.produce(&lines);
    road.consume(1);
    assert_eq!((written(&road), changed_at(&road), road.hash()), (tables, changed, hash));
    road.check_changelog();
    assert_eq!(road.number("SELECT sum(unchanged)::bigint FROM ingest_accounting"), facts);
    saw(format!("{facts} facts unchanged: no row written, no time moved, the same hash"));
}

pub(crate) fn a_correction_computes_only_its_group_again<D: Dataset>() {
    let road = Road::<D>::new(3);
    let lines = D::world(SEED);
    road.produce(&lines);
    road.consume(1);
    let before = changed_at(&road);
    let (corrected, expected) = D::correction(&lines);
    road.produce(&[corrected]);
    road.consume(1);
    let after = changed_at(&road);
    let changed: Vec<&str> = before.iter().zip(&after).filter(|(b, a)| b != a).map(|(b, _)| &*b.0).collect();
    assert_eq!(changed, expected);
    road.check_changelog();
    assert_eq!(road.number("SELECT sum(corrected)::bigint FROM ingest_accounting"), 1);
    // One publication for each set of facts.
    assert_eq!(road.number("SELECT value FROM counters WHERE name = 'batch_id'"), 2);
    saw(format!("only {} of {} rows written again", changed.join(" and "), after.len()));
}

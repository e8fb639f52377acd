//! Same facts, same tables: whatever the order, the repetition, the partitions, the keys and the replicas.

use std::thread;

use crate::{
    datasets::Dataset,
    env::Env,
    kafka::{self, Brokers, Outgoing},
    oracle,
    random::shuffled,
    report::saw,
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

/// One variant of a run that must lead to the same tables.
#[derive(Clone, Copy, Debug)]
struct Variant {
    partitions: i32,
    consumers: usize,
    keys: Keys,
    seed: u64,
}

const fn variant(partitions: i32, consumers: usize, keys: Keys, seed: u64) -> Variant {
    Variant { partitions, consumers, keys, seed }
}

/// The hash of the simplest variant: one partition, one consumer, every fact once, in order.
pub(crate) fn reference<D: Dataset>() -> &'static str {
    D::reference().get_or_init(|| {
        let env = Env::<D>::new(1);
        let first = D::world(SEED);
        let later = D::corrections(&first, SEED);
        let stays = |line: &&D::Line| !later.iter().any(|other| D::same_key(line, other));
        let last: Vec<D::Line> = first.iter().filter(stays).chain(&later).cloned().collect();
        env.produce(&last);
        env.consume(1);
        env.check_changelog();
        env.hash()
    })
}

/// What is sent, in several goes: shuffled, repeated, corrected, and the corrections repeated.
pub(crate) fn sendings<D: Dataset>(seed: u64) -> Vec<Vec<D::Line>> {
    let first = D::world(SEED);
    let later = D::corrections(&first, SEED);
    let some: Vec<D::Line> = shuffled(&first, seed + 1).into_iter().take(first.len() / 3).collect();
    vec![shuffled(&first, seed), some, shuffled(&later, seed + 2), shuffled(&later, seed + 3)]
}

fn send_and_consume<D: Dataset>(env: &Env<D>, variant: Variant) {
    let mut timestamp_ms = 1_700_000_000_000;
    for (n, lines) in sendings::<D>(variant.seed).iter().enumerate() {
        if let Keys::Ours = variant.keys {
            env.produce(lines);
        } else {
            let record = |line: &D::Line| {
                timestamp_ms += 1;
                let key = matches!(variant.keys, Keys::Others).then(|| D::message_key(line).into_bytes());
                Outgoing { partition: None, key, value: Some(D::message_value(line).into_bytes()), timestamp_ms }
            };
            env.send(&lines.iter().map(record).collect::<Vec<_>>());
        }
        // Half of the variants read everything at once, the others between the sendings.
        if n % 2 == 1 && variant.seed % 2 == 1 {
            env.consume(variant.consumers);
        }
    }
    env.consume(variant.consumers);
}

fn check<D: Dataset>(brokers: Brokers, variant: Variant) {
    let env = Env::<D>::on(brokers, variant.partitions);
    send_and_consume(&env, variant);
    if let Keys::None = variant.keys {
        env.check_accounting();
    } else {
        env.check_changelog();
    }
    assert_eq!(env.hash(), reference::<D>(), "{variant:?}");
}

fn check_all<D: Dataset>(variants: &[Variant], brokers: impl Fn() -> Brokers + Sync) {
    saw(format!("{} variants of partitions, keys, replicas and orders: one hash, accounting right", variants.len()));
    thread::scope(|scope| {
        for variant in variants {
            let brokers = &brokers;
            scope.spawn(move || check::<D>(brokers(), *variant));
        }
    });
}

pub(crate) fn every_variant_leads_to_the_same_tables<D: Dataset>() {
    let variants = [
        variant(1, 1, Keys::Ours, 10),
        variant(3, 3, Keys::Ours, 21),
        variant(12, 3, Keys::Others, 30),
        variant(3, 1, Keys::None, 41),
        variant(12, 1, Keys::None, 50),
    ];
    check_all::<D>(&variants, crate::embedded);
}

pub(crate) fn every_variant_leads_to_the_same_tables_on_a_real_kafka<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("every variant leads to the same tables") else { return };
    let variants = [
        variant(1, 2, Keys::Ours, 11),
        variant(3, 3, Keys::Others, 20),
        variant(3, 1, Keys::Others, 22),
        variant(12, 3, Keys::Ours, 31),
        variant(12, 1, Keys::None, 41),
    ];
    check_all::<D>(&variants, || Brokers::Real(brokers.bootstrap().to_owned()));
}

/// How many rows there are of all that a run may write.
fn written<D: Dataset>(env: &Env<D>) -> Vec<i64> {
    [D::SEGMENTS, D::GROUPS].iter().chain(D::DERIVED).map(|table| env.rows(table)).collect()
}

/// The refreshed rows by name, each with the time at which it was written.
fn changed_at<D: Dataset>(env: &Env<D>) -> Vec<(String, i64)> {
    env.query(D::CHANGED_AT)
}

pub(crate) fn a_second_producer_run_changes_nothing<D: Dataset>() {
    let env = Env::<D>::new(3);
    let lines = D::world(SEED);
    env.produce(&lines);
    env.consume(2);
    let (tables, changed, hash) = (written(&env), changed_at(&env), env.hash());
    let facts = i64::try_from(oracle::facts_in::<D>(&lines)).unwrap();
    // The changelog has the first word on every key.
    let stored = env.number(&format!("SELECT sum(facts)::bigint FROM {}", D::SEGMENTS));
    assert_eq!(stored, i64::try_from(oracle::keys_in::<D>(&lines)).unwrap());
    env.produce(&lines);
    env.consume(1);
    assert_eq!((written(&env), changed_at(&env), env.hash()), (tables, changed, hash));
    env.check_changelog();
    assert_eq!(env.number("SELECT sum(unchanged)::bigint FROM ingest_accounting"), facts);
    saw(format!("{facts} facts unchanged: no row written, no time moved, the same hash"));
}

pub(crate) fn a_correction_computes_only_its_group_again<D: Dataset>() {
    let env = Env::<D>::new(3);
    let lines = D::world(SEED);
    env.produce(&lines);
    env.consume(1);
    let before = changed_at(&env);
    let (corrected, expected) = D::correction(&lines);
    env.produce(&[corrected]);
    env.consume(1);
    let after = changed_at(&env);
    let changed: Vec<&str> = before.iter().zip(&after).filter(|(b, a)| b != a).map(|(b, _)| &*b.0).collect();
    assert_eq!(changed, expected);
    env.check_changelog();
    assert_eq!(env.number("SELECT sum(corrected)::bigint FROM ingest_accounting"), 1);
    // One refresh for each set of facts.
    assert_eq!(env.number(&format!("SELECT last_run::bigint FROM feeds WHERE feed = '{}'", D::PIPELINE)), 2);
    saw(format!("only {} of {} rows written again", changed.join(" and "), after.len()));
}

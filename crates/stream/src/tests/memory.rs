//! The facts in memory: any batching, repetition, order and assignment of records leaves the same facts, and
//! so does forgetting everything and reading it back.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    Decoded, Pipeline,
    copy::HEADER,
    core::{
        batch::{Changes, Counts, Outcome},
        group_loader::GroupLoader,
        groups::Groups,
        offsets::{Position, Version},
    },
    pipeline::Residency,
    simulation::postgres::{FactRow, read_segments, write_segment},
    tests::{
        consumer::key_rows,
        tiny::{Group, Row, Tiny, WHOLE, partition_key},
    },
};

/// A record as sent: group, key, value, to which partition, and how many milliseconds after the one before.
type Sent = (i16, i16, i64, u16, i64);

/// A record as it lies in its partition.
#[derive(Clone, Debug)]
pub(crate) struct Lying {
    pub(crate) at: Position,
    pub(crate) group: i16,
    pub(crate) key: i16,
    pub(crate) value: i64,
}

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    prop::collection::vec((0..4_i16, 0..4_i16, -1..3_i64, 0..3_u16, 0..3_i64), 1..60)
}

/// Each partition's records in their order. Keyed ones stay where their partition key sends them.
fn lay(sent: &[Sent], keyed: bool) -> Vec<Vec<Lying>> {
    let (mut partitions, mut now) = (vec![Vec::new(); 3], 1_000);
    for &(group, key, value, anywhere, later) in sent {
        now += later;
        let partition = if keyed { group.unsigned_abs() / 2 } else { anywhere };
        let log: &mut Vec<Lying> = &mut partitions[usize::from(partition)];
        let offset = i64::try_from(log.len()).unwrap();
        log.push(Lying { at: Position { version: Version::new(now, partition), offset }, group, key, value });
    }
    partitions
}

/// The records of all partitions as they may arrive: each partition in order, the partitions mixed by `picks`.
fn arrive(partitions: &[Vec<Lying>], picks: &[usize]) -> Vec<Lying> {
    let mut rest: Vec<std::slice::Iter<'_, Lying>> = partitions.iter().map(|log| log.iter()).collect();
    let mut arrived = Vec::new();
    let mut picks = picks.iter().cycle();
    while rest.iter().any(|log| !log.as_slice().is_empty()) {
        let from = picks.next().unwrap() % rest.len();
        let next = rest[from].next().or_else(|| rest.iter_mut().find_map(Iterator::next));
        arrived.extend(next.cloned());
    }
    arrived
}

/// The last record of each key, by time, partition and offset, unless it takes back what was known.
fn expected(partitions: &[Vec<Lying>]) -> Vec<Row> {
    let mut winners: BTreeMap<(i16, i16), &Lying> = BTreeMap::new();
    for lying in partitions.iter().flatten() {
        let winner = winners.entry((lying.group, lying.key)).or_insert(lying);
        if (winner.at.version, winner.at.offset) <= (lying.at.version, lying.at.offset) {
            *winner = lying;
        }
    }
    let mut rows: BTreeMap<i16, Vec<String>> = BTreeMap::new();
    for ((group, key), lying) in winners.into_iter().filter(|(_, lying)| lying.value >= 0) {
        rows.entry(group).or_default().push(format!("{key}={}", lying.value));
    }
    rows.into_iter().map(|(group, facts)| (format!("g{group}"), facts.join(" "))).collect()
}

/// A consumer's memory, and what it has stored.
pub(crate) struct Memory {
    groups: Groups<Tiny>,
    /// The segments of each batch, by the id of their first fact.
    stored: Vec<Vec<(i64, Vec<FactRow>)>>,
    owners: BTreeMap<String, i32>,
    batch: Changes,
    counts: Counts,
    /// How many records took back what was known.
    retracted: i64,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let batch = Changes::new(&Tiny::CHANGELOG);
        let counts = Counts::default();
        Self { groups: Groups::default(), stored: vec![], owners: BTreeMap::new(), batch, counts, retracted: 0 }
    }

    pub(crate) fn take(&mut self, lying: &Lying) -> Outcome {
        let message = format!("{} {} {}", lying.group, lying.key, lying.value);
        let Decoded::Record(record) = Tiny::default().read(None, message.as_bytes()) else { panic!("{message}") };
        self.owners.entry(Tiny::partition_key(&Tiny::group(&record))).or_insert(lying.at.version.partition().into());
        let outcome = self.groups.apply(&Tiny::default(), &record, lying.at, &mut self.batch);
        self.counts.add(outcome);
        self.retracted += i64::from(outcome == Outcome::Corrected && lying.value < 0);
        outcome
    }

    fn take_all<'a>(&mut self, records: impl IntoIterator<Item = &'a Lying>) {
        for lying in records {
            self.take(lying);
        }
    }

    fn commit(&mut self) {
        let mut batch = std::mem::replace(&mut self.batch, Changes::new(&Tiny::CHANGELOG));
        let number = i64::try_from(self.stored.len()).unwrap() + 1;
        batch.number(number, 0);
        self.stored.push(read_segments(batch.rows()));
    }

    /// How many facts are stored.
    fn stored(&self) -> usize {
        self.stored.iter().flatten().map(|(_, facts)| facts.len()).sum()
    }

    /// Forgets everything, and reads back what is stored, the owner partitions in an order that `order` decides.
    fn restart(&mut self, order: u64) {
        self.groups = self.load(order, &[vec![0, 1, 2]]).remove(0);
    }

    /// What is stored, as shards of these partitions load it.
    fn load(&self, order: u64, shards: &[Vec<i32>]) -> Vec<Groups<Tiny>> {
        let mut segments: Vec<_> = self.stored.iter().flatten().collect();
        let rank = |owner: i32| (u64::from(owner.unsigned_abs()) ^ order).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        segments.sort_by_key(|(id, facts)| (rank(facts[0].owner), *id));
        let mut loading = GroupLoader::new(Residency::Memory, shards, &[], &key_rows(self.owners.clone())).unwrap();
        loading.push(HEADER).unwrap();
        segments.into_iter().for_each(|(id, facts)| loading.push(&write_segment(*id, facts)).unwrap());
        loading.finish()
    }

    pub(crate) fn facts(&mut self) -> Vec<Row> {
        self.groups.rows(&Tiny::default()).into_iter().filter(|(_, facts)| !facts.is_empty()).collect()
    }

    /// As for a refresh that is then stored.
    fn refresh(&mut self) -> Vec<Row> {
        let rows = self.groups.begin_refresh(&Tiny::default());
        self.groups.refreshed();
        rows
    }
}

/// Whether a restart before `arrived[at]` may forget which of two partitions had the last record.
///
/// While all of a group's records came from its owner partition, a repeated one is not stored, and so its time is not
/// either. A record of another partition that lies between the two times and arrives after the restart then counts as
/// newer.
fn forgets_times(arrived: &[Lying], at: usize) -> bool {
    let spread = |lying: &Lying, others: &[Lying]| {
        others
            .iter()
            .any(|other| other.group == lying.group && other.at.version.partition() != lying.at.version.partition())
    };
    arrived[..at].iter().any(|lying| spread(lying, &arrived[at..]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_assignment_leaves_the_same_facts(sent in sent(), picks in prop::collection::vec(0..3_usize, 1..20)) {
        let partitions = lay(&sent, false);
        let mut memory = Memory::new();
        memory.take_all(&arrive(&partitions, &picks));
        let expected = expected(&partitions);
        let facts: usize = expected.iter().map(|(_, facts)| facts.split(' ').count()).sum();
        let groups: BTreeSet<i16> = sent.iter().map(|sent| sent.0).collect();
        prop_assert_eq!((memory.groups.facts(), memory.groups.len()), (facts, groups.len()));
        prop_assert_eq!(memory.counts.new - memory.retracted, i64::try_from(facts).unwrap());
        prop_assert_eq!(memory.counts.read(), i64::try_from(sent.len()).unwrap());
        prop_assert_eq!(memory.facts(), expected);
    }

    #[test]
    fn a_restart_anywhere_changes_nothing(
        sent in sent(),
        picks in prop::collection::vec(0..3_usize, 1..20),
        restarts in prop::collection::vec((0..60_usize, any::<u64>()), 0..4),
        keyed in any::<bool>(),
    ) {
        let partitions = lay(&sent, keyed);
        let arrived = arrive(&partitions, &picks);
        let (mut steady, mut restarted) = (Memory::new(), Memory::new());
        for (at, lying) in arrived.iter().enumerate() {
            for (_, order) in restarts.iter().filter(|(when, _)| *when == at && !forgets_times(&arrived, at)) {
                restarted.commit();
                restarted.restart(*order);
                prop_assert_eq!(restarted.facts(), steady.facts());
            }
            prop_assert_eq!(restarted.take(lying), steady.take(lying));
        }
        restarted.commit();
        restarted.restart(1);
        prop_assert_eq!(restarted.facts(), expected(&partitions));
        prop_assert_eq!(restarted.groups.facts(), steady.groups.facts());
    }

    #[test]
    fn a_group_that_is_known_to_be_spread_keeps_its_times(
        sent in sent(),
        picks in prop::collection::vec(0..3_usize, 1..20),
        (at, order) in (0..60_usize, any::<u64>()),
    ) {
        // Every group begins in one partition and goes on in another: from then on its times are stored.
        let begun = (0..4_i16).flat_map(|group| (0..4).flat_map(move |key| [(group, key, 9, 0, 0), (group, key, 9, 1, 0)]));
        let all: Vec<Sent> = begun.clone().chain(sent).collect();
        let partitions = lay(&all, false);
        let (first, then): (Vec<Lying>, Vec<Lying>) =
            partitions.iter().flatten().cloned().partition(|lying| lying.value == 9);
        let logs: Vec<Vec<Lying>> = (0..3)
            .map(|n| then.iter().filter(|lying| lying.at.version.partition() == n).cloned().collect())
            .collect();
        let mut memory = Memory::new();
        memory.take_all(&first);
        for (n, lying) in arrive(&logs, &picks).iter().enumerate() {
            if n == at {
                memory.commit();
                memory.restart(order);
            }
            memory.take(lying);
        }
        prop_assert_eq!(memory.facts(), expected(&partitions));
    }

    #[test]
    fn what_is_sent_twice_is_stored_once(sent in sent(), picks in prop::collection::vec(0..3_usize, 1..20)) {
        let once: BTreeMap<(i16, i16), &Sent> = sent.iter().map(|sent| ((sent.0, sent.1), sent)).collect();
        let once: Vec<Sent> = once.into_values().copied().collect();
        let partitions = lay(&[once.clone(), once.clone()].concat(), true);
        let mut memory = Memory::new();
        let twice = arrive(&partitions, &picks);
        memory.take_all(&twice);
        memory.commit();
        // A retraction of a fact that was never sent is filtered, however often it is sent, and stored once as well.
        let facts = once.iter().filter(|sent| sent.2 >= 0).count();
        let (filtered, stored) = (2 * (once.len() - facts), once.len());
        let counts = [facts, facts, 0, filtered, 0].map(|count| i64::try_from(count).unwrap());
        let Counts { new, unchanged, corrected, filtered, rejected } = memory.counts;
        prop_assert_eq!(([new, unchanged, corrected, filtered, rejected], memory.stored()), (counts, stored));
        memory.refresh();
        memory.take_all(&twice);
        prop_assert!(!memory.groups.has_changed());
    }

    #[test]
    fn a_retraction_of_an_unknown_fact_changes_no_group(sent in sent()) {
        let none: Vec<Sent> = sent.iter().map(|&(group, key, _, to, later)| (group, key, -1, to, later)).collect();
        let mut memory = Memory::new();
        memory.take_all(lay(&none, true).iter().flatten());
        memory.commit();
        prop_assert!(!memory.groups.has_changed());
        prop_assert_eq!((memory.groups.facts(), memory.counts.filtered), (0, i64::try_from(sent.len()).unwrap()));
        let keys: BTreeSet<(i16, i16)> = sent.iter().map(|sent| (sent.0, sent.1)).collect();
        prop_assert_eq!(memory.stored(), keys.len());
    }

    #[test]
    fn a_retraction_outlives_a_restart_though_what_it_takes_back_comes_later(order in any::<u64>(), older in 0..1_000_i64) {
        let at = |timestamp_ms, partition| Position { version: Version::new(timestamp_ms, partition), offset: 0 };
        let mut memory = Memory::new();
        memory.take(&Lying { group: 1, key: 1, value: -1, at: at(1_000, 0) });
        memory.commit();
        memory.restart(order);
        // The first consumer read it from the one partition; the next owner finds this in the other.
        prop_assert_eq!(memory.take(&Lying { group: 1, key: 1, value: 7, at: at(older, 1) }), Outcome::Unchanged);
        prop_assert_eq!(memory.groups.facts(), 0);
    }

    #[test]
    fn only_a_corrected_group_is_refreshed_again(sent in sent(), which in any::<prop::sample::Index>()) {
        let partitions = lay(&sent, true);
        let mut memory = Memory::new();
        memory.take_all(partitions.iter().flatten());
        memory.refresh();
        let records: Vec<&Lying> = partitions.iter().flatten().collect();
        let corrected = Lying { value: 77, at: Position { version: Version::new(9_999, 2), offset: 99 }, ..(*which.get(&records)).clone() };
        let retracted = !memory.facts().iter().any(|(group, facts)| {
            *group == format!("g{}", corrected.group) && facts.split(' ').any(|fact| fact.starts_with(&format!("{}=", corrected.key)))
        });
        prop_assert_eq!(memory.take(&corrected), if retracted { Outcome::New } else { Outcome::Corrected });
        let changed: Vec<String> = memory.refresh().into_iter().map(|(group, _)| group).collect();
        prop_assert_eq!(changed, [format!("g{}", corrected.group)]);
        prop_assert!(!memory.groups.has_changed());
    }

    #[test]
    fn each_shard_is_loaded_with_what_belongs_to_it_and_nothing_else(sent in sent(), order in any::<u64>()) {
        let partitions = lay(&sent, true);
        let mut memory = Memory::new();
        memory.take_all(partitions.iter().flatten());
        memory.commit();
        for (log, shard) in partitions.iter().zip(memory.load(order, &[vec![0], vec![1], vec![2]])) {
            let mut loaded = Memory { groups: shard, ..Memory::new() };
            prop_assert_eq!(loaded.facts(), expected(std::slice::from_ref(log)));
        }
    }

    #[test]
    fn a_retracted_fact_is_gone_and_sent_again_it_is_new(sent in sent(), which in any::<prop::sample::Index>()) {
        let partitions = lay(&sent, true);
        let mut memory = Memory::new();
        memory.take_all(partitions.iter().flatten());
        let records: Vec<&Lying> = partitions.iter().flatten().collect();
        let last = Position { version: Version::new(9_999, 2), offset: 99 };
        let fact = Lying { value: 7, at: last, ..(*which.get(&records)).clone() };
        memory.take(&fact);
        let with = (memory.groups.facts(), memory.facts());
        let retraction = Lying { value: -1, ..fact.clone() };
        let outcomes = [&retraction, &retraction, &fact].map(|lying| memory.take(lying));
        prop_assert_eq!(outcomes, [Outcome::Corrected, Outcome::Filtered, Outcome::New]);
        prop_assert_eq!((memory.groups.facts(), memory.facts()), with.clone());
        memory.take(&retraction);
        prop_assert_eq!(memory.groups.facts(), with.0 - 1);
        let overtaken = Lying { at: Position { version: Version::new(9_998, 1), offset: 98 }, ..fact };
        prop_assert_eq!(memory.take(&overtaken), Outcome::Unchanged);
        memory.commit();
        memory.restart(3);
        prop_assert_eq!((memory.take(&overtaken), memory.groups.facts()), (Outcome::Unchanged, with.0 - 1));
    }
}

/// Segments of a batch stand by partition, so that a record of another partition may be stored after one that overtook it.
#[test]
fn the_greatest_id_is_not_always_the_latest_fact() {
    let mut memory = Memory::new();
    for (timestamp_ms, partition, value) in [(5, 0, 5), (6, 1, 6), (7, 0, 7)] {
        let at = Position { version: Version::new(timestamp_ms, partition), offset: timestamp_ms };
        memory.take(&Lying { group: 0, key: 0, value, at });
    }
    memory.commit();
    let (id, facts) = memory.stored[0].last().unwrap();
    assert_eq!((facts[0].value, memory.stored[0].iter().all(|(other, _)| other <= id)), (6, true));
    memory.restart(0);
    assert_eq!(memory.facts(), [("g0".to_owned(), "0=7".to_owned())]);
}

/// As after a restart: a group whose facts came from another partition than its new owner is spread.
#[test]
fn a_group_that_was_moved_keeps_its_times() {
    let mut memory = Memory::new();
    let record = |timestamp_ms, partition, value| {
        let at = Position { version: Version::new(timestamp_ms, partition), offset: timestamp_ms };
        Lying { group: 0, key: 0, value, at }
    };
    memory.take(&record(10, 2, 1));
    memory.groups.change_owner(&Group(0), 0, &mut memory.batch);
    memory.owners.insert(Tiny::partition_key(&Group(0)), 0);
    assert_eq!(memory.take(&record(20, 0, 1)), Outcome::Unchanged);
    memory.commit();
    memory.restart(0);
    assert_eq!(memory.take(&record(15, 2, 5)), Outcome::Unchanged, "older than the repetition");
}

#[test]
fn what_was_stored_for_an_earlier_owner_hides_nothing_of_a_group_that_leaves_memory() {
    let fact = |owner: i32, value: i64| FactRow {
        owner,
        partition: owner,
        offset: 0,
        timestamp_ms: 1_000 + value,
        late: false,
        group: WHOLE,
        key: 0,
        value,
    };
    let keys = key_rows([(partition_key(WHOLE), 1)]);
    for shards in [vec![vec![0], vec![1]], vec![vec![0, 1]]] {
        let mut loading = GroupLoader::<Tiny>::new(Residency::Groups, &shards, &[], &keys).unwrap();
        loading.push(HEADER).unwrap();
        loading.push(&write_segment(1 << 20, &[fact(0, 5)])).unwrap();
        loading.push(&write_segment(2 << 20, &[fact(1, 7)])).unwrap();
        let rows: Vec<Row> =
            loading.finish().iter().flat_map(|groups| groups.rows(&Tiny { residency: Residency::Groups })).collect();
        assert_eq!(rows, [(format!("g{WHOLE}"), "0=7".to_owned())], "{shards:?}");
    }
}

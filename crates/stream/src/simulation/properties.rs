//! The invariants of every schedule.

use std::{collections::BTreeMap, env, thread};

use crate::simulation::{
    kafka::Record,
    postgres::{Accounted, Tables},
    world::World,
};

impl World {
    /// Checks what must be true once nothing is left to do.
    pub(super) fn check_at_rest(&mut self) {
        let database = self.server.database.borrow();
        let mut violations = Vec::new();
        self.check_accounting(&database.tables, &mut violations);
        self.check_facts(&database.tables, &mut violations);
        if database.tables.groups != database.tables.rows(|_| true) {
            violations.push(format!(
                "at rest the tables hold {:?}, and stored is {:?}",
                database.tables.groups,
                database.tables.rows(|_| true)
            ));
        }
        for replica in self.replicas() {
            let (memory, owned) = replica.core.memory();
            let memory: BTreeMap<String, String> = memory.into_iter().filter(|(_, facts)| !facts.is_empty()).collect();
            let stored = database.tables.rows(|owner| owned.contains(&owner));
            if memory != stored {
                violations.push(format!("memory of {owned:?} is {memory:?}, and stored is {stored:?}"));
            }
        }
        if self.plan.settings.repartition {
            check_owners(&database.tables, &mut violations);
        }
        let sent = self.sent + self.replicas().map(|replica| replica.sent).sum::<usize>();
        // `consumer repartition` draws within its transaction, at every try.
        if database.drawn > sent && !self.plan.settings.repartition {
            violations.push(format!("{} numbers were drawn for {sent} batches", database.drawn));
        }
        drop(database);
        self.violations.append(&mut violations);
    }

    /// Each record is accounted for once, in the batch that covers it; but for those that Kafka had removed before.
    fn check_accounting(&self, tables: &Tables, violations: &mut Vec<String>) {
        for (partition, log) in (0..).zip(&self.logs) {
            let next = tables.next_offset(partition);
            let mut ranges = ranges(tables, partition, topic(tables, partition));
            ranges.sort_unstable_by_key(|row| row.start);
            let (covered, missed): (Vec<&Record>, Vec<&Record>) = log
                .records
                .iter()
                .filter(|record| record.offset < next)
                .partition(|record| is_covered(&ranges, record));
            let read: i64 = ranges.iter().map(|row| row.read).sum();
            if read != i64::try_from(covered.len()).unwrap() {
                violations.push(format!(
                    "partition {partition}: {} records are covered, and {read} were read",
                    covered.len()
                ));
            }
            if let Some(missed) = missed.iter().find(|record| !log.is_lost(record.offset)) {
                violations.push(format!("partition {partition}: the record at {} was passed over", missed.offset));
            }
            if let Some(pair) = ranges.windows(2).find(|pair| pair[0].end > pair[1].start) {
                violations.push(format!("partition {partition}: two batches cover the same offsets: {pair:?}"));
            }
        }
    }

    /// The latest record of each key, of those that were read, is the fact that is stored.
    fn check_facts(&self, tables: &Tables, violations: &mut Vec<String>) {
        let mut latest: BTreeMap<(i16, i16), (Rank, i64)> = BTreeMap::new();
        let mut poison = 0;
        let old = self
            .old_logs
            .iter()
            .flat_map(|logs| (0..).zip(logs))
            .filter_map(|(partition, log)| Some((partition, topic(tables, partition).checked_sub(1)?, log)));
        let logs = (0..).zip(&self.logs).map(|(partition, log)| (partition, topic(tables, partition), log));
        let mut greatest: BTreeMap<i32, i64> = BTreeMap::new();
        for (partition, topic, log) in old.chain(logs) {
            let ranges = ranges(tables, partition, topic);
            for record in log.records.iter().filter(|record| is_covered(&ranges, record)) {
                let time = greatest.entry(partition).or_default();
                *time = record.timestamp_ms.max(*time);
                let rank = (*time, partition, topic, record.offset);
                let numbers: Vec<i64> = record.value.split(' ').filter_map(|word| word.parse().ok()).collect();
                let [group, key, value] = numbers[..] else {
                    poison += usize::from(record.value == "poison");
                    continue;
                };
                let small = |number: i64| i16::try_from(number).unwrap();
                let known = latest.entry((small(group), small(key))).or_default();
                *known = (*known).max((rank, value));
            }
        }
        let facts = tables.facts();
        for (key, (_, value)) in latest {
            let stored = facts.get(&key).map(|(_, row)| row.value);
            if stored != Some(value) {
                violations.push(format!("the latest record of {key:?} says {value}, and stored is {stored:?}"));
            }
        }
        if tables.rejects != poison {
            violations.push(format!("{poison} records are poison, and {} were rejected", tables.rejects));
        }
    }
}

/// A record's rank among all records: the greatest time of its partition so far, then the partition; within it the
/// later one wins.
type Rank = (i64, i32, usize, i64);

/// Each partition key belongs to the partition that its newest record came from.
fn check_owners(tables: &Tables, violations: &mut Vec<String>) {
    let mut newest: BTreeMap<String, (i64, i32)> = BTreeMap::new();
    for (_, row) in tables.facts().into_values() {
        let known = newest.entry(format!("r{}", row.group / 2)).or_default();
        *known = (*known).max((row.timestamp_ms, row.partition));
    }
    for (key, (_, partition)) in newest {
        let owner = tables.keys.get(&key);
        if owner != Some(&partition) {
            violations.push(format!("{key} belongs to {owner:?}, and its newest record came from {partition}"));
        }
    }
}

/// Which topic of that name a partition is stored of.
fn topic(tables: &Tables, partition: i32) -> usize {
    tables.partitions.get(&partition).map_or(0, |row| row.topic)
}

fn ranges(tables: &Tables, partition: i32, topic: usize) -> Vec<&Accounted> {
    tables.accounting.iter().filter(|row| (row.partition, row.topic) == (partition, topic)).collect()
}

fn is_covered(ranges: &[&Accounted], record: &Record) -> bool {
    ranges.iter().any(|row| (row.start..row.end).contains(&record.offset))
}

/// How many schedules are tried: as many as the environment asks for, or few enough for every run of the tests.
fn schedules() -> u64 {
    env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3_000)
}

/// Runs the schedule of a seed, and reports the violations.
pub(super) fn run(seed: u64) -> Result<(), String> {
    outcome(&World::new(seed).run()).map_err(|violations| format!("seed {seed}, {violations}"))
}

/// Reports the violations in a schedule.
pub(super) fn outcome(world: &World) -> Result<(), String> {
    if world.violations.is_empty() {
        return Ok(());
    }
    Err(format!("{:?}:\n  {}\n  {}", world.plan, world.trace.join(", "), world.violations.join("\n  ")))
}

#[test]
fn whatever_happens_each_record_counts_once_and_every_row_is_right() {
    let first = env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let threads = thread::available_parallelism().map_or(1, |threads| u64::try_from(threads.get()).unwrap());
    let tries = |thread| {
        (first + thread..first + schedules())
            .step_by(usize::try_from(threads).unwrap())
            .find_map(|seed| run(seed).err())
    };
    let found: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || tries(thread))).collect();
        running.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

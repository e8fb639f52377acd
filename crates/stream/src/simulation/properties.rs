//! The invariants of every schedule.

use std::{collections::BTreeMap, env, thread};

use crate::{
    pipeline::{Residency, Windows},
    simulation::{
        kafka::Record,
        postgres::{Accounted, Tables},
        world::World,
    },
    tests::{
        reference::{Reference, facts_of, without_late},
        tiny::{SIZE_MS, partition_key, slot},
    },
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
            let mut stored = database.tables.rows(|owner| owned.contains(&owner));
            if self.plan.residency != Residency::Memory {
                // What is not in memory is in the cold store.
                stored.retain(|group, _| memory.contains_key(group));
                let held = replica.core.held();
                if held.bytes > self.plan.settings.facts_memory {
                    violations.push(format!("{held:?} are more than memory may hold"));
                }
                // At the end of a run what was loaded is not refreshed once more.
                if held.of_final > self.plan.settings.facts_memory / 2 && !self.plan.settings.until_end {
                    violations.push(format!("{held:?}: final windows hold more than half of what memory may"));
                }
            }
            if memory != stored {
                violations.push(format!("memory of {owned:?} is {memory:?}, and stored is {stored:?}"));
            }
        }
        if let Residency::Windows(windows) = self.plan.residency
            && self.plan.keyed
            && self.old_logs.is_none()
        {
            self.check_windows(&database.tables, &windows, &mut violations);
        }
        if self.plan.settings.repartition {
            self.check_owners(&database.tables, &mut violations);
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
                poison += usize::from(record.value == "poison");
                for (group, key, value) in facts_of(&record.value) {
                    let known = latest.entry((group, key)).or_default();
                    // Of one record, what it says last counts.
                    if rank >= known.0 {
                        *known = (rank, value);
                    }
                }
            }
        }
        let has_horizon = matches!(self.plan.residency, Residency::Windows(Windows { keep_ms: Some(_), .. }));
        // What a repetition overtakes is not stored, and may be said by another partition after it.
        if has_horizon || self.plan.has_spread && self.plan.residency != Residency::Memory {
            latest.clear();
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

impl World {
    /// Each window is what its records say one after another.
    fn check_windows(&self, tables: &Tables, windows: &Windows, violations: &mut Vec<String>) {
        let mut reference = Reference::default();
        for (partition, log) in (0..).zip(&self.logs) {
            let ranges = ranges(tables, partition, topic(tables, partition));
            for record in log.records.iter().filter(|record| is_covered(&ranges, record)) {
                reference.apply(&record.value, windows);
            }
        }
        let (mut rows, mut held) = (reference.rows(), tables.groups.clone());
        if self.plan.lateness_changes {
            let plain = |row: &mut String| *row = without_late(row).to_owned();
            rows.values_mut().chain(held.values_mut()).for_each(plain);
        }
        if held != rows {
            violations.push(format!("the windows are {held:?}, and their records say {rows:?}"));
        }
        for (group, is_final) in reference.finality().filter(|_| !self.plan.lateness_changes) {
            let times = tables.times.get(&partition_key(group)).copied().unwrap_or_default();
            if times.is_final(slot(group) + SIZE_MS) != is_final {
                violations.push(format!("g{group} is final through {times:?}, and should be: {is_final}"));
            }
        }
        let stored: i64 = tables.accounting.iter().map(|row| row.filtered).sum();
        if stored != reference.filtered {
            violations.push(format!("{stored} records were filtered, and {} should have been", reference.filtered));
        }
    }
}

/// A record's rank among all records: the greatest time of its partition so far, then the partition; within it the
/// later one wins.
type Rank = (i64, i32, usize, i64);

impl World {
    /// Each partition key belongs to the partition that its newest record came from. Where groups leave memory, that may be one that
    /// has said again what was known: whether it counts depends on when it came.
    fn check_owners(&self, tables: &Tables, violations: &mut Vec<String>) {
        let mut newest: BTreeMap<String, (i64, i32)> = BTreeMap::new();
        for (_, row) in tables.facts().into_values() {
            let known = newest.entry(partition_key(row.group)).or_default();
            *known = (*known).max((row.timestamp_ms, row.partition));
        }
        let stored = |key: &String| tables.times.get(key).and_then(|times| times.newest);
        for (key, (_, partition)) in newest {
            let owner = tables.keys.get(&key);
            let said_again = stored(&key).map(|version| i32::from(version.partition()));
            if owner != Some(&partition) && (said_again.is_none() || owner != said_again.as_ref()) {
                violations.push(format!("{key} belongs to {owner:?}, and its newest record came from {partition}"));
            }
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

/// As [`run`], where groups leave memory.
pub(super) fn run_leaving(seed: u64) -> Result<(), String> {
    let windows = !seed.is_multiple_of(4);
    outcome(&World::leaving(seed, windows).run()).map_err(|violations| format!("seed {seed}, {violations}"))
}

#[test]
fn whatever_happens_each_record_counts_once_and_every_row_is_right() {
    try_all(run);
}

#[test]
fn whatever_leaves_memory_every_row_is_right() {
    try_all(run_leaving);
}

/// Runs as many schedules as are asked for.
fn try_all(run: impl Fn(u64) -> Result<(), String> + Sync) {
    let run = &run;
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

//! The server: transactions, their locks, and what they make of the tables.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use super::tables::{Accounted, FactRow, SimCold, SimPartition, Tables};
use crate::{
    core::{cold::ColdName, offsets::Gap, refresh::PartitionProgress, windows::KeyTimes},
    simulation::turns::Rng,
    tests::tiny::Row,
};

/// What is locked until a transaction ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lock {
    Partition(i32),
    Key(String),
    Feed,
    Refreshes,
}

#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) locks: BTreeSet<Lock>,
    /// What it has changed, in order; others see it once it is committed.
    pub(super) changes: Vec<Change>,
    /// What it sees, if that is one state only; taken by its first statement.
    pub(super) snapshot: Option<Option<Tables>>,
    /// The rows that it refreshed, if it is a refresh.
    pub(super) refresh: Option<(Vec<PartitionProgress>, Vec<Row>)>,
    /// Who has opened it.
    pub(super) by: String,
    /// The partitions whose offsets it moves.
    pub(super) advanced: Vec<i32>,
    /// The ends to which it calls the topic complete, if it does.
    pub(super) complete_to: Option<Vec<i64>>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Partition(Box<SimPartition>),
    Key(String, i32),
    Times(String, KeyTimes),
    Cold(ColdName, Option<SimCold>),
    Facts(Vec<(i64, Vec<FactRow>)>),
    /// The segment of that id is not stored any more.
    Removed(i64),
    Rejects(usize),
    Accounted(Vec<Accounted>),
    Gap(i32, Gap),
    Complete(bool),
    Spread(bool),
    Group(String, Option<String>),
    Run,
}

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Once in so many statements the connection is lost; 0 is never.
    pub(crate) lost: Cell<usize>,
    /// Whether the server is unavailable.
    pub(crate) down: Cell<bool>,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) tables: Tables,
    pub(super) transactions: BTreeMap<u64, Transaction>,
    /// Transactions whose client is gone, and whether they are about to commit.
    pub(super) orphans: BTreeMap<u64, bool>,
    pub(super) next_transaction: u64,
    pub(super) sequence: i64,
    /// Numbers that were drawn, and were returned to the client.
    pub(crate) drawn: usize,
    /// Whether it was restored: then claims are given again that somebody may still hold. Offsets decide between them.
    pub(crate) is_restored: bool,
    /// Where the topic ends now.
    pub(crate) ends: Vec<i64>,
    /// What must never happen and did.
    pub(crate) violations: Vec<String>,
}

impl Database {
    pub(super) fn new() -> Self {
        Self {
            tables: Tables::default(),
            transactions: BTreeMap::new(),
            orphans: BTreeMap::new(),
            next_transaction: 1,
            sequence: 0,
            drawn: 0,
            is_restored: false,
            ends: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub(super) fn view(&self, transaction: Option<u64>) -> Tables {
        let mut tables = self.tables.clone();
        let own = transaction.and_then(|id| self.transactions.get(&id));
        for change in own.into_iter().flat_map(|own| &own.changes) {
            apply(&mut tables, change.clone(), &mut Vec::new());
        }
        tables
    }

    /// Whether a lock is held by another transaction; takes it where it is not.
    pub(super) fn lock(&mut self, transaction: u64, lock: Lock) -> bool {
        let taken = self.transactions.iter().any(|(id, other)| *id != transaction && other.locks.contains(&lock));
        if !taken {
            self.transactions.entry(transaction).or_default().locks.insert(lock);
        }
        !taken
    }

    pub(super) fn commit(&mut self, transaction: u64) {
        let Some(ended) = self.transactions.remove(&transaction) else { return };
        for change in ended.changes.clone() {
            apply(&mut self.tables, change, &mut self.violations);
        }
        let owner = |partition: &i32| self.tables.partitions.get(partition).map_or("", |row| &*row.owner);
        let is_other = |partition: &&i32| owner(partition) != ended.by && !self.is_restored;
        if let Some(partition) = ended.advanced.iter().find(is_other) {
            self.violations.push(format!("a batch of partition {partition} was stored by an old owner of it"));
        }
        let facts =
            ended.changes.iter().filter_map(|change| if let Change::Facts(rows) = change { Some(rows) } else { None });
        let owners: BTreeSet<i32> = facts.flatten().map(|(_, facts)| facts[0].owner).collect();
        if let Some(partition) = owners.iter().find(is_other) {
            self.violations.push(format!("facts were stored for an owner partition of another, {partition}"));
        }
        if let Some((to, rows)) = ended.refresh {
            self.check_refresh(&to, &rows);
        }
        if !self.tables.cold.is_empty() {
            self.tables.check_cold(&mut self.violations);
        }
        let Some(ends) = ended.complete_to else { return };
        let behind = self.behind(&ends);
        self.violations.extend(behind.map(|behind| format!("a run is called complete, and {behind}")));
        // What has come since may be stored and not refreshed.
        if ends == self.ends && self.tables.groups != self.tables.rows(|_| true) {
            self.violations.push("a run is called complete while facts are owed".to_owned());
        }
    }

    /// Which partition is not refreshed up to one of these ends, in words.
    pub(crate) fn behind(&self, ends: &[i64]) -> Option<String> {
        let mut behind = (0..).zip(ends).filter_map(|(partition, end)| {
            let row = self.tables.partitions.get(&partition);
            let refreshed = row.and_then(|row| row.stored.refreshed_through).unwrap_or(0);
            (refreshed < *end).then(|| format!("partition {partition} is refreshed to {refreshed} of {end}"))
        });
        behind.next()
    }

    /// A refresh writes what is stored, no more and no less, and calls complete only what is.
    pub(super) fn check_refresh(&mut self, to: &[PartitionProgress], written: &[Row]) {
        let ours = |partition: i32| to.iter().any(|to| to.partition == partition);
        let stored = self.tables.rows(ours);
        for (group, facts) in written {
            let expected = stored.get(group).map_or("", String::as_str);
            if facts != expected {
                self.violations.push(format!("a refresh wrote {group}: `{facts}`, and stored is `{expected}`"));
            }
        }
        let expected = self.tables.rows(ours);
        let of = |(group, _): &(&String, &String)| self.tables.owner_of(group).is_some_and(ours);
        let held: BTreeMap<_, _> = self.tables.groups.iter().filter(of).map(|(g, f)| (g.clone(), f.clone())).collect();
        if held != expected {
            self.violations
                .push(format!("after a refresh of {to:?} the tables hold {held:?}, and stored is {expected:?}"));
        }
    }

    /// Transactions that have not ended, in words.
    pub(crate) fn open(&self) -> String {
        format!("{:?}, of clients that are gone {:?}", self.transactions, self.orphans)
    }

    /// Ends a transaction whose client is gone; returns whether there was one.
    pub(crate) fn end_orphan(&mut self, chance: &Rng) -> bool {
        let ids: Vec<u64> = self.orphans.keys().copied().collect();
        let Some(id) = chance.pick(&ids) else { return false };
        if self.orphans.remove(id) == Some(true) {
            self.commit(*id);
        }
        self.transactions.remove(id);
        true
    }

    /// Changes tables by hand, as maintenance does, where no transaction has locks.
    pub(crate) fn by_hand(&mut self, change: impl FnOnce(&mut Tables)) -> bool {
        let free = self.transactions.values().all(|open| open.locks.is_empty());
        if free {
            change(&mut self.tables);
        }
        free
    }
}

fn apply(tables: &mut Tables, change: Change, violations: &mut Vec<String>) {
    match change {
        Change::Partition(row) => drop(tables.partitions.insert(row.stored.partition, *row)),
        Change::Key(key, owner) => drop(tables.keys.insert(key, owner)),
        Change::Times(key, times) => {
            let known = tables.times.insert(key.clone(), times).unwrap_or_default();
            let pairs = [
                (known.clock_ms, times.clock_ms),
                (known.final_through_ms, times.final_through_ms),
                (known.horizon_ms, times.horizon_ms),
            ];
            if pairs.iter().any(|(before, after)| after < before) {
                violations.push(format!("the times of {key} go back: {known:?}, {times:?}"));
            }
        }
        Change::Cold(name, Some(cold)) => drop(tables.cold.insert(name, cold)),
        Change::Cold(name, None) => drop(tables.cold.remove(&name)),
        Change::Facts(rows) => {
            for (id, facts) in rows {
                if tables.segments.insert(id, facts).is_some() {
                    violations.push(format!("two segments have the id {id}"));
                }
            }
        }
        Change::Removed(id) => {
            let removed = tables.segments.remove(&id).map(|facts| (id, facts));
            tables.deleted.extend(removed);
        }
        Change::Rejects(rows) => tables.rejects += rows,
        Change::Accounted(rows) => {
            for row in rows {
                let same = |other: &Accounted| (other.batch, other.partition) == (row.batch, row.partition);
                if tables.accounting.iter().any(same) {
                    violations.push(format!("batch {} is accounted for twice", row.batch));
                }
                tables.accounting.push(row);
            }
        }
        Change::Gap(generation, gap) => {
            tables.gaps.entry((gap.partition, generation, gap.from_offset)).or_insert(gap);
        }
        Change::Complete(complete) => tables.complete = Some(complete),
        Change::Spread(spread) => tables.spread = spread,
        Change::Group(group, Some(facts)) => drop(tables.groups.insert(group, facts)),
        Change::Group(group, None) => drop(tables.groups.remove(&group)),
        Change::Run => tables.runs += 1,
    }
}

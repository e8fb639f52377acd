//! PostgreSQL, as our transactions see it: row locks, snapshots, unique keys, and a COMMIT that takes effect though the
//! client is gone.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::{Duration, Instant},
};

use crate::{
    Error,
    copy::{CopyBuffer, CopyReader, HEADER},
    core::{
        batch::{KeyOwner, OffsetRange},
        offsets::{Forget, Gap, PartitionRow, Position, Version},
        refresh::PartitionProgress,
        segments::{ID_SHIFT, SegmentReader, Segments},
    },
    pipeline::{Coverage, Pipeline},
    postgres::{
        database::SqlResult,
        state::RefreshReport,
        statements::{Server, Statements},
    },
    simulation::turns::{Clock, Rng, yield_once},
    tests::tiny::{Row, Tiny},
};

/// How long a lock is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// A fact of the changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FactRow {
    pub(crate) owner: i32,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) group: i16,
    pub(crate) key: i16,
    pub(crate) value: i64,
}

/// The stored state of a partition, with what the program does not read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SimPartition {
    pub(crate) stored: PartitionRow,
    /// Who has claimed it last.
    pub(crate) owner: String,
    /// How often the topic was found to be another one.
    pub(crate) topic: usize,
    resume_from: i64,
    generation: i32,
}

/// A row of `ingest_accounting`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accounted {
    pub(crate) batch: i64,
    pub(crate) partition: i32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) read: i64,
    /// Which topic of that name it was: see [`SimPartition::topic`].
    pub(crate) topic: usize,
}

/// What is committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tables {
    pub(crate) partitions: BTreeMap<i32, SimPartition>,
    pub(crate) keys: BTreeMap<String, i32>,
    /// The facts of each segment, by the id of its first.
    pub(crate) segments: BTreeMap<i64, Vec<FactRow>>,
    pub(crate) accounting: Vec<Accounted>,
    pub(crate) rejects: usize,
    /// By partition, which topic of that name it was, and first offset.
    pub(crate) gaps: BTreeMap<(i32, i32, i64), Gap>,
    pub(crate) complete: Option<bool>,
    pub(crate) spread: bool,
    pub(crate) groups: BTreeMap<String, String>,
    pub(crate) runs: usize,
}

impl Tables {
    /// All facts, by id.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (i64, &FactRow)> {
        self.segments.iter().flat_map(|(id, facts)| (*id..).zip(facts))
    }

    /// The latest value of each key of each group: the one of the greatest time, partition and id.
    pub(crate) fn facts(&self) -> BTreeMap<(i16, i16), (i64, &FactRow)> {
        let mut facts = BTreeMap::new();
        for (id, row) in self.stored() {
            // Older facts of a key that was given another owner.
            if self.keys.get(&format!("r{}", row.group / 2)) == Some(&row.owner) {
                let latest = facts.entry((row.group, row.key)).or_insert((id, row));
                if (latest.1.timestamp_ms, latest.1.partition) <= (row.timestamp_ms, row.partition) {
                    *latest = (id, row);
                }
            }
        }
        facts
    }

    /// What `consumer compact` does: facts that later ones have superseded go, and those after them in their segment move up.
    pub(crate) fn compact(&mut self) {
        let latest: BTreeSet<i64> = self.facts().into_values().map(|(id, _)| id).collect();
        let mut compacted = BTreeMap::new();
        for (id, facts) in &self.segments {
            let kept = (*id..).zip(facts).filter(|(id, _)| latest.contains(id));
            let kept: Vec<FactRow> = kept.map(|(_, row)| row.clone()).collect();
            if !kept.is_empty() {
                compacted.insert(*id, kept);
            }
        }
        self.segments = compacted;
    }

    /// What the state tables are to hold of some owner partitions' facts.
    pub(crate) fn rows(&self, of: impl Fn(i32) -> bool) -> BTreeMap<String, String> {
        let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((group, key), (_, row)) in self.facts().into_iter().filter(|(_, (_, row))| row.value >= 0 && of(row.owner))
        {
            rows.entry(format!("g{group}")).or_default().push(format!("{key}={}", row.value));
        }
        rows.into_iter().map(|(group, facts)| (group, facts.join(" "))).collect()
    }

    /// The next offset to read of a partition; 0 where none is stored.
    pub(crate) fn next_offset(&self, partition: i32) -> i64 {
        self.partitions.get(&partition).and_then(|row| row.stored.next_offset).unwrap_or(0)
    }

    /// The owner partition of a group, as in `g3`.
    pub(crate) fn owner_of(&self, group: &str) -> Option<i32> {
        let number: i16 = group.strip_prefix('g')?.parse().ok()?;
        self.keys.get(&format!("r{}", number / 2)).copied()
    }
}

/// What is locked until a transaction ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lock {
    Partition(i32),
    Key(String),
    Feed,
    Refreshes,
}

#[derive(Debug, Default)]
struct Transaction {
    locks: BTreeSet<Lock>,
    /// What it has changed, in order; others see it once it is committed.
    changes: Vec<Change>,
    /// What it sees, if that is one state only; taken by its first statement.
    snapshot: Option<Option<Tables>>,
    /// The rows that it refreshed, if it is a refresh.
    refresh: Option<(Vec<PartitionProgress>, Vec<Row>)>,
    /// Who has opened it.
    by: String,
    /// The partitions whose offsets it moves.
    advanced: Vec<i32>,
    /// The ends to which it calls the topic complete, if it does.
    complete_to: Option<Vec<i64>>,
}

#[derive(Clone, Debug)]
enum Change {
    Partition(Box<SimPartition>),
    Key(String, i32),
    Facts(Vec<(i64, Vec<FactRow>)>),
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
    transactions: BTreeMap<u64, Transaction>,
    /// Transactions whose client is gone, and whether they are about to commit.
    orphans: BTreeMap<u64, bool>,
    next_transaction: u64,
    sequence: i64,
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
    fn new() -> Self {
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

    fn view(&self, transaction: Option<u64>) -> Tables {
        let mut tables = self.tables.clone();
        let own = transaction.and_then(|id| self.transactions.get(&id));
        for change in own.into_iter().flat_map(|own| &own.changes) {
            apply(&mut tables, change.clone(), &mut Vec::new());
        }
        tables
    }

    /// Whether a lock is held by another transaction; takes it where it is not.
    fn lock(&mut self, transaction: u64, lock: Lock) -> bool {
        let taken = self.transactions.iter().any(|(id, other)| *id != transaction && other.locks.contains(&lock));
        if !taken {
            self.transactions.entry(transaction).or_default().locks.insert(lock);
        }
        !taken
    }

    fn commit(&mut self, transaction: u64) {
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
    fn check_refresh(&mut self, to: &[PartitionProgress], written: &[Row]) {
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
        Change::Facts(rows) => {
            for (id, facts) in rows {
                if tables.segments.insert(id, facts).is_some() {
                    violations.push(format!("two segments have the id {id}"));
                }
            }
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

/// Where sessions are opened.
#[derive(Clone)]
pub(crate) struct SimServer {
    pub(crate) database: Rc<RefCell<Database>>,
    pub(crate) chance: Rc<Rng>,
    pub(crate) clock: Rc<Clock>,
    pub(crate) faults: Rc<Faults>,
    /// Whose sessions they are.
    pub(crate) name: String,
    /// The ends of the topic that the consumer saw at its start.
    pub(crate) ends: Vec<i64>,
    /// Counts statements: as long as it grows, something happens.
    pub(crate) statements: Rc<Cell<u64>>,
}

impl SimServer {
    pub(crate) fn new(chance: Rc<Rng>, clock: Rc<Clock>) -> Self {
        let (faults, statements) = (Rc::default(), Rc::default());
        let database = Rc::new(RefCell::new(Database::new()));
        Self { database, chance, clock, faults, name: String::new(), ends: Vec::new(), statements }
    }
}

fn lost() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())
}

impl Server<Tiny> for SimServer {
    type Session = SimSession;

    async fn connect(&self) -> SqlResult<SimSession> {
        yield_once().await;
        self.statements.set(self.statements.get() + 1);
        if self.faults.down.get() {
            return Err(lost());
        }
        Ok(SimSession { server: self.clone(), transaction: None, is_lost: false })
    }

    async fn within<T>(&self, _limit: Duration, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        work.await
    }

    async fn pause(&self, wait: Duration) {
        // The real wait is drawn at random; here it only matters that time goes on meanwhile.
        let until = self.clock.now() + wait.min(Duration::from_millis(100));
        while self.clock.now() < until {
            yield_once().await;
        }
    }
}

/// A session; dropped, it leaves its transaction to the server.
pub(crate) struct SimSession {
    server: SimServer,
    transaction: Option<u64>,
    is_lost: bool,
}

impl Drop for SimSession {
    fn drop(&mut self) {
        let Some(id) = self.transaction else { return };
        // While the simulation unwinds after a failure, nothing needs to be cleaned up.
        if let Ok(mut database) = self.server.database.try_borrow_mut() {
            database.orphans.entry(id).or_insert(false);
        }
    }
}

/// What becomes of a COMMIT.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Done,
    /// It takes effect, and its response is lost.
    AnswerLost,
    /// It never reaches the server.
    NeverSent,
    /// Its response is lost before it takes effect, which it may do later.
    StillRuns,
}

impl SimSession {
    /// Executes a statement, once it is its turn.
    async fn statement<T>(&mut self, work: impl FnOnce(&mut Database, Option<u64>) -> T) -> SqlResult<T> {
        yield_once().await;
        self.begin_statement()?;
        Ok(work(&mut self.server.database.borrow_mut(), self.transaction))
    }

    fn begin_statement(&mut self) -> SqlResult<()> {
        let faults = &self.server.faults;
        self.server.statements.set(self.server.statements.get() + 1);
        let is_lost = faults.down.get() || (faults.lost.get() > 0 && self.server.chance.once_in(faults.lost.get()));
        self.is_lost |= is_lost;
        if self.is_lost { Err(lost()) } else { Ok(()) }
    }

    /// Waits for locks, in order, each for as long as the server allows.
    async fn lock(&mut self, locks: Vec<Lock>) -> SqlResult<()> {
        yield_once().await;
        self.begin_statement()?;
        for lock in locks {
            self.wait_while(|database, id| !database.lock(id, lock.clone())).await?;
        }
        Ok(())
    }

    /// Waits while another transaction blocks this one, for as long as the server allows.
    async fn wait_while(&mut self, mut is_held: impl FnMut(&mut Database, u64) -> bool) -> SqlResult<()> {
        let id = self.transaction.expect("locks are taken in a transaction");
        let since: Instant = self.server.clock.now();
        while is_held(&mut self.server.database.borrow_mut(), id) {
            if self.server.clock.now() - since > LOCK_TIMEOUT {
                return Err(sqlx::Error::PoolTimedOut);
            }
            yield_once().await;
            if self.server.faults.down.get() {
                self.is_lost = true;
                return Err(lost());
            }
        }
        Ok(())
    }

    /// Releases a lock that was only waited for.
    fn unlock_unless_changed(&mut self, lock: &Lock) {
        let mut database = self.server.database.borrow_mut();
        let own = self.transaction.and_then(|id| database.transactions.get_mut(&id));
        if let Some(own) = own {
            let changes = |change: &Change| matches!((change, lock), (Change::Key(key, _), Lock::Key(of)) if key == of);
            if !own.changes.iter().any(changes) {
                own.locks.remove(lock);
            }
        }
    }

    /// What it sees right now.
    async fn read<T>(&mut self, read: impl FnOnce(&Tables) -> T) -> SqlResult<T> {
        self.statement(|database, transaction| {
            let view = database.view(transaction);
            let own = transaction.and_then(|id| database.transactions.get_mut(&id));
            match own.and_then(|own| own.snapshot.as_mut()) {
                Some(snapshot) => read(snapshot.get_or_insert(view)),
                None => read(&view),
            }
        })
        .await
    }

    /// Changes what it sees right now.
    async fn write<T>(&mut self, write: impl FnOnce(&Tables) -> (T, Vec<Change>)) -> SqlResult<T> {
        self.statement(|database, transaction| {
            let (given, changes) = write(&database.view(transaction));
            let id = transaction.expect("tables are changed in a transaction");
            database.transactions.entry(id).or_default().changes.extend(changes);
            given
        })
        .await
    }

    async fn change_partitions(
        &mut self,
        partitions: impl IntoIterator<Item = i32>,
        mut change: impl FnMut(&mut SimPartition) -> bool,
    ) -> SqlResult<Vec<PartitionRow>> {
        let requested: BTreeSet<i32> = partitions.into_iter().collect();
        // Rows that are seen and meet the condition are locked, and checked once more.
        let partitions: Vec<i32> = self
            .read(|view| {
                let rows = requested.iter().filter_map(|partition| view.partitions.get(partition)).cloned();
                rows.filter_map(|mut row| change(&mut row).then_some(row.stored.partition)).collect()
            })
            .await?;
        self.lock(partitions.iter().copied().map(Lock::Partition).collect()).await?;
        self.write(|view| {
            let rows = partitions.iter().filter_map(|partition| view.partitions.get(partition)).cloned();
            let changed: Vec<SimPartition> = rows.filter_map(|mut row| change(&mut row).then_some(row)).collect();
            let stored = changed.iter().map(|row| row.stored.clone()).collect();
            (stored, changed.into_iter().map(|row| Change::Partition(Box::new(row))).collect())
        })
        .await
    }
}

impl Statements<Tiny> for SimSession {
    async fn begin(&mut self) -> SqlResult<()> {
        let by = self.server.name.clone();
        let id = self
            .statement(|database, _| {
                database.next_transaction += 1;
                let id = database.next_transaction;
                database.transactions.insert(id, Transaction { by, ..Transaction::default() });
                id
            })
            .await?;
        self.transaction = Some(id);
        Ok(())
    }

    async fn begin_snapshot(&mut self) -> SqlResult<()> {
        self.begin().await?;
        let id = self.transaction.expect("it has just begun");
        self.server.database.borrow_mut().transactions.entry(id).or_default().snapshot = Some(None);
        Ok(())
    }

    async fn commit(&mut self) -> SqlResult<()> {
        yield_once().await;
        let faults = &self.server.faults;
        let goes_wrong =
            faults.down.get() || (faults.lost.get() > 0 && self.server.chance.once_in(1 + faults.lost.get() / 4));
        let fates = [Fate::AnswerLost, Fate::NeverSent, Fate::StillRuns];
        let fate = if goes_wrong { fates[self.server.chance.below(3)] } else { Fate::Done };
        self.server.statements.set(self.server.statements.get() + 1);
        let Some(id) = self.transaction.take() else { return Ok(()) };
        let mut database = self.server.database.borrow_mut();
        match fate {
            Fate::Done | Fate::AnswerLost => database.commit(id),
            Fate::NeverSent => drop(database.orphans.insert(id, false)),
            Fate::StillRuns => drop(database.orphans.insert(id, true)),
        }
        self.is_lost |= fate != Fate::Done;
        if self.is_lost { Err(lost()) } else { Ok(()) }
    }

    async fn rollback(&mut self) -> SqlResult<()> {
        self.statement(|database, transaction| drop(transaction.and_then(|id| database.transactions.remove(&id))))
            .await?;
        self.transaction = None;
        Ok(())
    }

    async fn other_topic(&mut self) -> SqlResult<Option<String>> {
        self.read(|_| None).await
    }

    async fn add_partitions(&mut self, partitions: &[i32]) -> SqlResult<()> {
        for partition in partitions.iter().copied() {
            // A session that adds or changes the same row is waited for; one that only has it locked is not.
            self.wait_while(|database, id| {
                let others = database.transactions.iter().filter(|(other, _)| **other != id);
                let mut changes = others.flat_map(|(_, other)| &other.changes);
                changes.any(|change| matches!(change, Change::Partition(row) if row.stored.partition == partition))
            })
            .await?;
            let is_new = self.read(|view| !view.partitions.contains_key(&partition)).await?;
            if is_new {
                self.lock(vec![Lock::Partition(partition)]).await?;
                let stored = PartitionRow { partition, ..PartitionRow::default() };
                let row = Change::Partition(Box::new(SimPartition { stored, ..SimPartition::default() }));
                // Another may have been quicker.
                self.write(|view| ((), if view.partitions.contains_key(&partition) { vec![] } else { vec![row] }))
                    .await?;
            }
        }
        Ok(())
    }

    async fn lock_partitions(&mut self, partitions: &[i32]) -> SqlResult<Vec<PartitionRow>> {
        let requested: BTreeSet<i32> = partitions.iter().copied().collect();
        let seen: Vec<i32> = self
            .read(|view| requested.into_iter().filter(|partition| view.partitions.contains_key(partition)).collect())
            .await?;
        self.lock(seen.iter().copied().map(Lock::Partition).collect()).await?;
        self.read(|view| {
            seen.iter().filter_map(|partition| Some(view.partitions.get(partition)?.stored.clone())).collect()
        })
        .await
    }

    fn has_claimed(&self, partition: i32) -> bool {
        let database = self.server.database.borrow();
        database.tables.partitions.get(&partition).is_some_and(|row| row.owner == *self.server.name)
    }

    async fn forget_offsets(&mut self, partitions: &BTreeMap<i32, Forget>) -> SqlResult<()> {
        let change = |row: &mut SimPartition| {
            let Some(next) = row.stored.next_offset else { return false };
            row.resume_from = if partitions[&row.stored.partition] == Forget::Gap { next } else { 0 };
            row.generation += 1;
            row.topic += usize::from(partitions[&row.stored.partition] == Forget::OtherTopic);
            let stored = &mut row.stored;
            (stored.next_offset, stored.refreshed_through, stored.last, stored.cluster_id) = (None, None, None, None);
            stored.catching_up = true;
            true
        };
        self.change_partitions(partitions.keys().copied(), change).await.map(drop)
    }

    async fn raise_epochs(&mut self, partitions: &[i32], owner: &str) -> SqlResult<Vec<PartitionRow>> {
        let raise = |row: &mut SimPartition| {
            row.stored.epoch += 1;
            owner.clone_into(&mut row.owner);
            true
        };
        self.change_partitions(partitions.iter().copied(), raise).await
    }

    async fn partitions(&mut self) -> SqlResult<Vec<PartitionRow>> {
        self.read(|view| view.partitions.values().map(|row| row.stored.clone()).collect()).await
    }

    async fn advance(&mut self, ranges: &[OffsetRange]) -> SqlResult<u64> {
        let advance = |row: &mut SimPartition| {
            let stored = &mut row.stored;
            let range = ranges.iter().find(|range| range.partition == stored.partition).expect("it was asked for");
            if (stored.epoch, stored.next_offset) != (range.epoch, range.expected) {
                return false;
            }
            (stored.next_offset, stored.last) = (Some(range.end), range.last);
            stored.max_timestamp_ms = range.max_timestamp_ms;
            stored.cluster_id = Some("cluster".to_owned());
            true
        };
        let moved = self.change_partitions(ranges.iter().map(|range| range.partition), advance).await?;
        let id = self.transaction.expect("offsets are moved in a transaction");
        if let Some(own) = self.server.database.borrow_mut().transactions.get_mut(&id) {
            own.advanced = moved.iter().map(|stored| stored.partition).collect();
        }
        Ok(moved.len() as u64)
    }

    async fn raise_last_ids(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()> {
        let raise = |row: &mut SimPartition| {
            row.stored.last_id = row.stored.last_id.max(ids[&row.stored.partition]);
            true
        };
        self.change_partitions(ids.keys().copied(), raise).await.map(drop)
    }

    async fn raise_refreshed_ids(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()> {
        let raise = |row: &mut SimPartition| {
            let is_refreshed = row.stored.refreshed_id == row.stored.last_id;
            if is_refreshed {
                row.stored.refreshed_id = ids[&row.stored.partition];
            }
            is_refreshed
        };
        self.change_partitions(ids.keys().copied(), raise).await.map(drop)
    }

    async fn mark_refreshed(&mut self, to: &[PartitionProgress]) -> SqlResult<()> {
        let mark = |row: &mut SimPartition| {
            let stored = &mut row.stored;
            let to = to.iter().find(|to| to.partition == stored.partition).expect("it was asked for");
            let is_current = stored.refreshed_through == to.next_offset
                && stored.refreshed_id == stored.last_id
                && !stored.catching_up;
            stored.refreshed_through = to.next_offset;
            (stored.refreshed_id, stored.catching_up) = (stored.last_id, false);
            !is_current
        };
        self.change_partitions(to.iter().map(|to| to.partition), mark).await?;
        let id = self.transaction.expect("a refresh is a transaction");
        if let Some(own) = self.server.database.borrow_mut().transactions.get_mut(&id) {
            own.refresh.get_or_insert_default().0 = to.to_vec();
        }
        Ok(())
    }

    async fn note_gaps(&mut self, first: &[OffsetRange]) -> SqlResult<()> {
        self.write(|view| {
            let gap = |range: &OffsetRange| {
                let row = view.partitions.get(&range.partition)?;
                let gap = Gap { partition: range.partition, from_offset: row.resume_from, to_offset: range.start };
                (row.resume_from < range.start).then_some(Change::Gap(row.generation, gap))
            };
            ((), first.iter().filter_map(gap).collect())
        })
        .await
    }

    async fn gaps(&mut self) -> SqlResult<Vec<Gap>> {
        self.read(|view| view.gaps.values().cloned().collect()).await
    }

    async fn note_coverage(&mut self, coverage: &Coverage) -> SqlResult<()> {
        self.write(|_| ((), vec![Change::Complete(coverage.complete)])).await
    }

    async fn register_keys(&mut self, keys: &[KeyOwner]) -> SqlResult<u64> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        let mut registered = 0;
        for (key, owner) in keys {
            // A session that registers or moves the same key is waited for.
            self.lock(vec![Lock::Key(key.clone())]).await?;
            registered += self
                .write(|view| match view.keys.contains_key(&key) {
                    true => (0, Vec::new()),
                    false => (1, vec![Change::Key(key.clone(), owner)]),
                })
                .await?;
            self.unlock_unless_changed(&Lock::Key(key));
        }
        Ok(registered)
    }

    async fn owners(&mut self, keys: &[&str]) -> SqlResult<Vec<KeyOwner>> {
        let of = |(key, owner): (&String, &i32)| keys.contains(&&**key).then(|| (key.clone(), *owner));
        self.read(|view| view.keys.iter().filter_map(of).collect()).await
    }

    async fn is_spread(&mut self) -> SqlResult<bool> {
        self.read(|view| view.spread).await
    }

    async fn set_spread(&mut self, spread: bool) -> SqlResult<()> {
        if self.read(|view| view.spread != spread).await? {
            self.lock(vec![Lock::Feed]).await?;
            let changed = |view: &Tables| (view.spread != spread).then_some(Change::Spread(spread));
            self.write(|view| ((), changed(view).into_iter().collect())).await?;
        }
        Ok(())
    }

    async fn move_keys(&mut self, keys: &[KeyOwner]) -> SqlResult<u64> {
        let elsewhere = |view: &Tables| -> Vec<KeyOwner> {
            let other = |(key, owner): &&KeyOwner| view.keys.get(key).is_some_and(|stored| stored != owner);
            keys.iter().filter(other).cloned().collect()
        };
        let seen: Vec<KeyOwner> = self.read(elsewhere).await?;
        self.lock(seen.iter().map(|(key, _)| Lock::Key(key.clone())).collect()).await?;
        self.write(|view| {
            let moved = elsewhere(view).into_iter().filter(|key| seen.contains(key));
            let changes: Vec<Change> = moved.map(|(key, owner)| Change::Key(key, owner)).collect();
            (changes.len() as u64, changes)
        })
        .await
    }

    async fn keys(&mut self, owners: &[i32]) -> SqlResult<Vec<KeyOwner>> {
        self.read(|view| {
            let of = view.keys.iter().filter(|(_, owner)| owners.contains(owner));
            of.map(|(key, owner)| (key.clone(), *owner)).collect()
        })
        .await
    }

    async fn draw_numbers(&mut self, count: usize) -> SqlResult<Vec<i64>> {
        self.statement(|database, _| {
            let first = database.sequence + 1;
            database.sequence += i64::try_from(count).expect("it is small");
            database.drawn += count;
            (first..=database.sequence).collect()
        })
        .await
    }

    async fn append_facts(&mut self, rows: &[&CopyBuffer]) -> SqlResult<()> {
        let rows = rows.iter().flat_map(|buffer| read_segments(buffer)).collect();
        self.write(|_| ((), vec![Change::Facts(rows)])).await
    }

    async fn append_rejects(&mut self, rows: &[&CopyBuffer]) -> SqlResult<()> {
        let rows = rows.iter().map(|buffer| buffer.rows()).sum();
        self.write(|_| ((), vec![Change::Rejects(rows)])).await
    }

    async fn account(&mut self, ranges: &[(i64, &OffsetRange)]) -> SqlResult<()> {
        self.write(|view| {
            let row = |(batch, range): &(i64, &OffsetRange)| Accounted {
                batch: *batch,
                partition: range.partition,
                start: range.start,
                end: range.end,
                read: range.counts.read(),
                topic: view.partitions.get(&range.partition).map_or(0, |row| row.topic),
            };
            ((), vec![Change::Accounted(ranges.iter().map(row).collect())])
        })
        .await
    }

    async fn facts(&mut self, owners: &[i32], take: &mut impl FnMut(&[u8]) -> Result<(), Error>) -> anyhow::Result<()> {
        let of = |facts: &Vec<FactRow>| owners.contains(&facts[0].owner);
        let mut segments: Vec<(i64, Vec<FactRow>)> = self
            .read(|view| {
                view.segments.iter().filter(|(_, facts)| of(facts)).map(|(id, facts)| (*id, facts.clone())).collect()
            })
            .await?;
        segments.sort_by_key(|(_, facts)| facts[0].owner);
        take(HEADER)?;
        for segments in segments.chunks(3) {
            self.statement(|database, transaction| {
                let locks = transaction.and_then(|id| database.transactions.get(&id)).map_or(0, |own| own.locks.len());
                if locks > 0 {
                    database.violations.push("rows are locked for as long as facts are loaded".to_owned());
                }
            })
            .await?;
            segments.iter().try_for_each(|(id, facts)| take(&write_segment(*id, facts)))?;
        }
        Ok(())
    }

    async fn try_lock_refreshes(&mut self) -> SqlResult<bool> {
        self.statement(|database, id| database.lock(id.expect("a lock is taken in a transaction"), Lock::Refreshes))
            .await
    }

    async fn upsert(&mut self, rows: &[Row]) -> SqlResult<u64> {
        let changes: Vec<Change> = rows
            .iter()
            .map(|(group, facts)| Change::Group(group.clone(), (!facts.is_empty()).then(|| facts.clone())))
            .collect();
        self.write(|_| ((), changes)).await?;
        let id = self.transaction.expect("a refresh is a transaction");
        if let Some(own) = self.server.database.borrow_mut().transactions.get_mut(&id) {
            own.refresh.get_or_insert_default().1.extend_from_slice(rows);
        }
        Ok(rows.len() as u64)
    }

    async fn refresh_global(&mut self, _rows_written: u64, coverage: &Coverage) -> anyhow::Result<RefreshReport> {
        self.write(|_| ((), vec![Change::Run])).await?;
        let id = self.transaction.expect("a refresh is a transaction");
        let database = &mut *self.server.database.borrow_mut();
        if let Some(own) = database.transactions.get_mut(&id) {
            own.complete_to = coverage.complete.then(|| self.server.ends.clone());
        }
        Ok(RefreshReport::default())
    }
}

/// The segments of a finished buffer, by the id of their first fact.
pub(crate) fn read_segments(buffer: &CopyBuffer) -> Vec<(i64, Vec<FactRow>)> {
    let mut reader = CopyReader::default();
    reader.push(buffer.bytes());
    let mut segments = Vec::new();
    while let Some(mut row) = reader.next_row() {
        let mut segment = SegmentReader::new(&mut row, Tiny::CHANGELOG.columns).unwrap();
        let mut facts = Vec::new();
        while let Some(stored) = segment.next_fact().unwrap() {
            facts.push(FactRow {
                owner: segment.owner.into(),
                partition: stored.at.version.partition().into(),
                offset: stored.at.offset,
                timestamp_ms: stored.at.version.timestamp_ms(),
                group: segment.values.i16().unwrap(),
                key: segment.values.i16().unwrap(),
                value: segment.values.i64().unwrap(),
            });
        }
        segments.push((segment.id, facts));
    }
    segments
}

/// A segment as a load brings it.
pub(crate) fn write_segment(id: i64, facts: &[FactRow]) -> Vec<u8> {
    let mut segments = Segments::new(Tiny::CHANGELOG.columns);
    let short = |number: i32| u16::try_from(number).unwrap();
    for fact in facts {
        let version = Version::new(fact.timestamp_ms, short(fact.partition));
        let mut values = segments.fact(short(fact.owner), Position { version, offset: fact.offset });
        values.i16(fact.group);
        values.i16(fact.key);
        values.i64(fact.value);
    }
    let mut rows = segments.take_rows();
    rows.number(id >> ID_SHIFT, usize::try_from(id & ((1 << ID_SHIFT) - 1)).unwrap());
    rows.rows().body().to_vec()
}

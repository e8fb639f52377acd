//! PostgreSQL, as our transactions see it: row locks, snapshots, unique keys, and a COMMIT that takes effect though the
//! client is gone.

mod database;
mod statements;
mod tables;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::{Duration, Instant},
};

use self::database::{Change, Database, Faults, Lock};
pub(crate) use self::tables::{Accounted, FactRow, SimPartition, Tables, read_cold, read_segments, write_segment};
use crate::{
    core::offsets::PartitionRow,
    postgres::{database::SqlResult, statements::Server},
    simulation::turns::{Clock, Rng, yield_once},
    tests::tiny::Tiny,
};

/// How long a lock is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

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

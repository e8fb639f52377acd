//! The statements that transactions are made of: PostgreSQL does them, and so does the simulation of it.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Error,
    copy::CopyBuffer,
    core::{
        batch::{KeyOwner, OffsetRange},
        offsets::{Forget, Gap, Stored},
        refresh::RefreshedTo,
    },
    pipeline::{Coverage, Pipeline, Published},
};

/// What a statement gives, unless PostgreSQL does not answer or refuses.
pub(crate) type Answer<T> = Result<T, sqlx::Error>;

/// Where sessions are opened, and what time is while they wait.
pub(crate) trait Server<P: Pipeline> {
    type Session: Statements<P>;

    /// Opens a session.
    async fn connect(&self) -> Answer<Self::Session>;

    /// What `work` gives, where it does within `limit`.
    async fn within<T>(&self, limit: Duration, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T>;

    /// Waits before another try.
    async fn pause(&self, wait: Duration);
}

/// A session, one statement a method. What locks a row does so in the order of partitions, so that sessions never deadlock.
pub(crate) trait Statements<P: Pipeline> {
    /// Begins a transaction whose every statement sees what is committed by then: READ COMMITTED.
    async fn begin(&mut self) -> Answer<()>;
    /// Begins a transaction that sees one state only, and for which a statement may take an hour: REPEATABLE READ, READ ONLY.
    async fn begin_snapshot(&mut self) -> Answer<()>;
    /// Commits. Whether it took effect is not known after an error.
    async fn commit(&mut self) -> Answer<()>;
    /// Rolls back, which releases the locks.
    async fn rollback(&mut self) -> Answer<()>;

    /// Whether partition keys are spread over the topic's partitions, as was noted.
    async fn is_spread(&mut self) -> Answer<bool>;
    /// Notes whether they are.
    async fn set_spread(&mut self, spread: bool) -> Answer<()>;
    /// Finds another topic that the pipeline's facts came from.
    async fn other_topic(&mut self) -> Answer<Option<String>>;
    /// Adds rows for partitions that have none.
    async fn add_partitions(&mut self, partitions: &[i32]) -> Answer<()>;
    /// Locks the rows of partitions until the transaction ends, and gives them in order.
    async fn lock_partitions(&mut self, partitions: &[i32]) -> Answer<Vec<Stored>>;
    /// Whether the last claim of a partition is by the consumer of this session; what a fault made on purpose asks.
    fn has_claimed(&self, _partition: i32) -> bool {
        false
    }
    /// Forgets the offsets of partitions that have any: the facts stay.
    async fn forget_offsets(&mut self, partitions: &BTreeMap<i32, Forget>) -> Answer<()>;
    /// Raises the epoch of partitions, and gives their rows in order.
    async fn raise_epochs(&mut self, partitions: &[i32], owner: &str) -> Answer<Vec<Stored>>;
    /// The rows of all partitions, in order.
    async fn partitions(&mut self) -> Answer<Vec<Stored>>;
    /// Moves offsets, where epoch and offset are the expected ones; gives how many moved.
    async fn advance(&mut self, ranges: &[OffsetRange]) -> Answer<u64>;
    /// Raises the greatest id of a fact, by owner partition.
    async fn raise_last_ids(&mut self, ids: &BTreeMap<i32, i64>) -> Answer<()>;
    /// Gives owner partitions of which nothing is owed to a refresh these greatest ids as told.
    async fn raise_refreshed_ids(&mut self, ids: &BTreeMap<i32, i64>) -> Answer<()>;
    /// Notes how far a refresh goes, with all facts that are stored.
    async fn mark_refreshed(&mut self, to: &[RefreshedTo]) -> Answer<()>;

    /// Notes what is missing before the first batch of partitions of which nothing is stored.
    async fn note_gaps(&mut self, first: &[OffsetRange]) -> Answer<()>;
    /// What was never read, in order.
    async fn gaps(&mut self) -> Answer<Vec<Gap>>;
    /// Stores whether all is there; unchanged, nothing is written.
    async fn note_coverage(&mut self, coverage: &Coverage) -> Answer<()>;

    /// Gives partition keys that have no owner partition one; gives how many had none. Waits for whoever gives one of them one.
    async fn register_keys(&mut self, keys: &[KeyOwner]) -> Answer<u64>;
    /// The owner partitions of these partition keys, where they have any, in order.
    async fn owners(&mut self, keys: &[&str]) -> Answer<Vec<KeyOwner>>;
    /// Gives partition keys another owner partition; gives how many had another.
    async fn move_keys(&mut self, keys: &[KeyOwner]) -> Answer<u64>;
    /// The partition keys of owner partitions.
    async fn keys(&mut self, owners: &[i32]) -> Answer<Vec<KeyOwner>>;

    /// Draws batch numbers; they are never drawn again, whatever becomes of the transaction.
    async fn draw_numbers(&mut self, count: usize) -> Answer<Vec<i64>>;
    /// Appends the rows of finished buffers to the changelog.
    async fn append_facts(&mut self, rows: &[&CopyBuffer]) -> Answer<()>;
    /// Appends the rows of finished buffers to the rejects.
    async fn append_rejects(&mut self, rows: &[&CopyBuffer]) -> Answer<()>;
    /// Accounts for what was read, by batch number.
    async fn account(&mut self, ranges: &[(i64, &OffsetRange)]) -> Answer<()>;
    /// Reads the changelog rows of owner partitions, as pieces of a binary COPY: see [`crate::core::groups::Loading::push`].
    async fn facts(&mut self, owners: &[i32], take: &mut impl FnMut(&[u8]) -> Result<(), Error>) -> anyhow::Result<()>;

    /// Keeps other replicas from refreshing until the transaction ends; whether none does already.
    async fn try_lock_refreshes(&mut self) -> Answer<bool>;
    /// Writes changed groups: see [`Pipeline::upsert`].
    async fn upsert(&mut self, rows: &[P::Row]) -> Answer<u64>;
    /// Writes what needs all groups: see [`Pipeline::conclude`].
    async fn conclude(&mut self, coverage: &Coverage) -> anyhow::Result<Published>;
}

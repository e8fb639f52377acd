//! The statements that transactions are made of: PostgreSQL executes them, and so does the simulation of it.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Error,
    copy::CopyBuffer,
    core::{
        batch::{KeyOwner, OffsetRange},
        cold::{ColdHead, ColdName, ColdRows},
        keys::KeyRow,
        offsets::{Forget, Gap, PartitionRow},
        refresh::PartitionProgress,
        windows::KeyTimes,
    },
    pipeline::{Coverage, Pipeline},
    postgres::{database::SqlResult, state::RefreshReport},
};

/// Where sessions are opened, and what time is while they wait.
pub(crate) trait Server<P: Pipeline> {
    type Session: Statements<P>;

    /// Opens a session.
    async fn connect(&self) -> SqlResult<Self::Session>;

    /// What `work` gives, where it does within `limit`.
    async fn within<T>(&self, limit: Duration, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T>;

    /// Waits before another try.
    async fn pause(&self, wait: Duration);
}

/// A session, one statement a method. What locks a row does so in the order of partitions, so that sessions never deadlock.
pub(crate) trait Statements<P: Pipeline> {
    /// Begins a transaction whose every statement sees what is committed by then: READ COMMITTED.
    async fn begin(&mut self) -> SqlResult<()>;
    /// Begins a transaction that sees one state only, and for which a statement may take an hour: REPEATABLE READ, READ ONLY.
    async fn begin_snapshot(&mut self) -> SqlResult<()>;
    /// Commits. Whether it took effect is not known after an error.
    async fn commit(&mut self) -> SqlResult<()>;
    /// Rolls back, which releases the locks.
    async fn rollback(&mut self) -> SqlResult<()>;

    /// Whether partition keys are spread over the topic's partitions, as was noted.
    async fn is_spread(&mut self) -> SqlResult<bool>;
    /// Notes whether they are.
    async fn set_spread(&mut self, spread: bool) -> SqlResult<()>;
    /// Finds another topic that the pipeline's facts came from.
    async fn other_topic(&mut self) -> SqlResult<Option<String>>;
    /// Adds rows for partitions that have none.
    async fn add_partitions(&mut self, partitions: &[i32]) -> SqlResult<()>;
    /// Locks the rows of partitions until the transaction ends, and gives them in order.
    async fn lock_partitions(&mut self, partitions: &[i32]) -> SqlResult<Vec<PartitionRow>>;
    /// Whether this session's consumer has the last claim of a partition; only a fault made on purpose uses it.
    fn has_claimed(&self, _partition: i32) -> bool {
        false
    }
    /// Forgets the offsets of partitions that have any: the facts stay.
    async fn forget_offsets(&mut self, partitions: &BTreeMap<i32, Forget>) -> SqlResult<()>;
    /// Raises the epoch of partitions, and gives their rows in order.
    async fn raise_epochs(&mut self, partitions: &[i32], owner: &str) -> SqlResult<Vec<PartitionRow>>;
    /// The rows of all partitions, in order.
    async fn partitions(&mut self) -> SqlResult<Vec<PartitionRow>>;
    /// Moves offsets, where epoch and offset are the expected ones; gives how many moved.
    async fn advance(&mut self, ranges: &[OffsetRange]) -> SqlResult<u64>;
    /// Raises the greatest id of a fact, by owner partition.
    async fn raise_last_ids(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()>;
    /// Marks these greatest ids as refreshed, for owner partitions that owe no refresh.
    async fn raise_refreshed_ids(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()>;
    /// Notes how far a refresh goes, with all facts that are stored.
    async fn mark_refreshed(&mut self, to: &[PartitionProgress]) -> SqlResult<()>;

    /// Notes what is missing before the first batch of partitions of which nothing is stored.
    async fn note_gaps(&mut self, first: &[OffsetRange]) -> SqlResult<()>;
    /// What was never read, in order.
    async fn gaps(&mut self) -> SqlResult<Vec<Gap>>;
    /// Stores whether the topic is complete; unchanged, nothing is written.
    async fn note_coverage(&mut self, coverage: &Coverage) -> SqlResult<()>;

    /// Gives an owner partition to keys without one; returns how many. Waits for sessions that register the same key.
    async fn register_keys(&mut self, keys: &[KeyOwner]) -> SqlResult<u64>;
    /// The owner partitions of these partition keys, where they have any, in order.
    async fn owners(&mut self, keys: &[&str]) -> SqlResult<Vec<KeyOwner>>;
    /// Gives partition keys another owner partition; returns how many had another.
    async fn move_keys(&mut self, keys: &[KeyOwner]) -> SqlResult<u64>;
    /// The partition keys of owner partitions.
    async fn keys(&mut self, owners: &[i32]) -> SqlResult<Vec<KeyRow>>;
    /// Stores the times of keys.
    async fn store_times(&mut self, times: &[(String, KeyTimes)]) -> SqlResult<()>;

    /// What the cold store has of keys of owner partitions: the rows that go through an id beyond the one that is given for the
    /// partition, and those of windows of this size, in milliseconds, that end after what is stored as final.
    async fn cold_heads(&mut self, owners: &[(i32, i64)], size_ms: Option<i64>) -> SqlResult<Vec<ColdHead>>;
    /// The rows of the cold store of groups that have one, as a COPY stream: see [`crate::core::cold::ColdReader`].
    async fn cold_rows(&mut self, groups: &[ColdName]) -> SqlResult<Vec<u8>>;
    /// Whether any of these groups has a row in the cold store that goes through an earlier id than the one given with it.
    async fn has_cold_rows(&mut self, groups: &[(ColdName, i64)]) -> SqlResult<bool>;
    /// Writes rows of the cold store, in place of those of the same groups.
    async fn write_cold_rows(&mut self, rows: &ColdRows) -> SqlResult<()>;
    /// Removes the rows of the cold store of keys that are behind the stored horizon, of windows of this size, in milliseconds.
    async fn remove_cold_rows(&mut self, keys: &[&str], size_ms: i64) -> SqlResult<()>;
    /// Stores the ids up to which all facts of owner partitions are in the cold store.
    async fn set_redo_from(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()>;
    /// Removes segments of owner partitions that no load reads, and whose records are older than that, in milliseconds, than the
    /// newest of their partition; so many at most that it takes no time.
    async fn remove_history(&mut self, owners: &[i32], history_ms: i64) -> SqlResult<()>;
    /// Stores settings that give the feed's groups their meaning, where they are not; returns those that are stored with another
    /// value: their names, and the values.
    async fn fix_settings(&mut self, settings: &[(&'static str, String)]) -> SqlResult<Vec<(String, String)>>;
    /// Stores settings that views need, in place of what is stored.
    async fn note_settings(&mut self, settings: &[(&'static str, String)]) -> SqlResult<()>;

    /// Draws batch numbers; they are never drawn again, whatever becomes of the transaction.
    async fn draw_numbers(&mut self, count: usize) -> SqlResult<Vec<i64>>;
    /// Appends the rows of finished buffers to the changelog.
    async fn append_facts(&mut self, rows: &[&CopyBuffer]) -> SqlResult<()>;
    /// Appends the rows of finished buffers to the rejects.
    async fn append_rejects(&mut self, rows: &[&CopyBuffer]) -> SqlResult<()>;
    /// Accounts for what was read, by batch number.
    async fn account(&mut self, ranges: &[(i64, &OffsetRange)]) -> SqlResult<()>;
    /// Reads the changelog rows of owner partitions that have a fact with an id beyond the one that is given with the partition, as
    /// pieces of a binary COPY: see [`crate::core::group_loader::GroupLoader::push`].
    async fn facts(
        &mut self,
        owners: &[(i32, i64)],
        take: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> anyhow::Result<()>;

    /// Keeps other replicas from refreshing until the transaction ends; returns whether no other refreshes now.
    async fn try_lock_refreshes(&mut self) -> SqlResult<bool>;
    /// Makes what a refresh of these rows needs, outside of a transaction: see [`Pipeline::prepare_refresh`].
    async fn prepare_refresh(&mut self, rows: &[P::Row]) -> anyhow::Result<()>;
    /// Writes changed groups; returns how many rows were not so already.
    async fn upsert(&mut self, rows: &[P::Row]) -> SqlResult<u64>;
    /// Writes what needs all groups, after so many of their rows: see [`Pipeline::refresh_global`].
    async fn refresh_global(&mut self, rows_written: u64, coverage: &Coverage) -> anyhow::Result<RefreshReport>;
}

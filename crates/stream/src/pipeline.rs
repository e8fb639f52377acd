//! What a pipeline defines about its data, for `stream`.
//!
//! A pipeline is a name, a record type, its groups, and how a group becomes a row. Everything
//! about Kafka, offsets and transactions is done here, the same for all of them.

use std::{borrow::Cow, fmt, hash::Hash};

use sqlx::PgConnection;

use crate::columns::{Column, ColumnError, RowReader, RowWriter};
pub use crate::core::windows::Windows;

/// One fact: what is known under one natural key of a group.
///
/// Facts are kept in memory, many millions of them; keep the type small and without pointers.
pub trait Fact: Clone + Send + 'static {
    /// The natural key inside the group: a year, a minute.
    type Key: Ord + Copy + Send;

    /// The fact's natural key.
    fn key(&self) -> Self::Key;

    /// Whether both facts say the same, bit for bit.
    fn same(&self, other: &Self) -> bool;

    /// Whether it retracts what was known under its key, and says nothing else.
    ///
    /// Such a record counts as corrected where it retracts something, and as filtered where there is nothing to
    /// retract. It is kept, so that a record it has overtaken cannot bring back what was retracted.
    fn is_retraction(&self) -> bool {
        false
    }
}

/// What a message turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<R> {
    /// A valid record.
    Record(R),
    /// A valid record that this pipeline does not keep.
    Filtered,
    /// A record that cannot be used, and why.
    Rejected(Cow<'static, str>),
}

impl<R> Decoded<R> {
    /// The same, with something made of a valid record.
    pub fn map<T>(self, make: impl FnOnce(R) -> T) -> Decoded<T> {
        match self {
            Self::Record(record) => Decoded::Record(make(record)),
            Self::Filtered => Decoded::Filtered,
            Self::Rejected(reason) => Decoded::Rejected(reason),
        }
    }
}

/// Where a pipeline's facts are stored: an append-only table of its database, a row for what a batch brings from one
/// partition to one owner partition, with an array a column.
///
/// The function `create_changelog` of the database makes the table, and a view with a row a fact.
#[derive(Clone, Copy, Debug)]
pub struct Changelog {
    /// The table's name.
    pub table: &'static str,
    /// The pipeline's columns, in the order in which a fact is encoded: first those of its group.
    pub columns: &'static [Column],
}

/// A table with a row a group. Besides its columns it has `processing_time`, which says when a row last changed.
#[derive(Clone, Copy, Debug)]
pub struct StateTable {
    /// Its name.
    pub name: &'static str,
    /// The columns that are written of a group, in the order in which its row is encoded; those that name the group are its primary
    /// key.
    pub columns: &'static [Column],
}

/// Which groups leave memory, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residency {
    /// None: all facts are in memory.
    #[default]
    Memory,
    /// Those that were not used for the longest time, where there are too many. Each partition key is that of one group.
    Groups,
    /// As [`Residency::Groups`], and windows that are final. A group is a window of its partition key.
    Windows(Windows),
}

impl Residency {
    /// What a pipeline says; without a cold store none of its groups leave memory.
    pub(crate) fn of<P: Pipeline>(pipeline: &P) -> Self {
        if P::TABLES.cold.is_some() { pipeline.residency() } else { Self::Memory }
    }
}

/// Takes what a record tells.
pub trait Say<P: Pipeline> {
    /// One fact of a group, and when what it tells happened, in milliseconds since 1970 UTC; that counts only where there are windows.
    fn fact(&mut self, group: P::Group, event_ms: i64, fact: impl FnOnce(&mut P::Interner) -> P::Fact);
}

/// What is known of a group besides its facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// How many of its facts came after its window was final; 0 where there are no windows.
    pub late: u32,
}

/// What a pipeline keeps in its database, besides what `stream` keeps for all.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Where its facts are.
    pub changelog: Changelog,
    /// Where the facts of groups are that are not in memory: a table with a row a group. The function `create_cold_store` of the
    /// database makes it. `None` where no group leaves memory.
    pub cold: Option<&'static str>,
    /// Where its groups are.
    pub state: StateTable,
    /// The tables that [`Pipeline::refresh_global`] writes.
    pub derived: &'static [&'static str],
    /// Those of them that `consumer hash` covers, besides the groups.
    pub hashed: &'static [Hashed],
    /// Tables and views that an earlier program left in schema `public` under names of ours.
    pub legacy: &'static [&'static str],
}

/// A feed: its name and its tables. A pipeline has one, or several in one database.
#[derive(Clone, Copy, Debug)]
pub struct FeedTables {
    /// The feed's name.
    pub feed: &'static str,
    /// What it keeps.
    pub tables: Tables,
}

impl FeedTables {
    /// Those of a feed.
    pub const fn of<P: Pipeline>() -> Self {
        Self { feed: P::NAME, tables: P::TABLES }
    }
}

/// Rows that are a function of the facts, apart from the columns `batch_id` and `processing_time`.
#[derive(Clone, Copy, Debug)]
pub struct Hashed {
    /// Their table's name.
    pub table: &'static str,
    /// Which of its rows, as an SQL condition.
    pub rows: &'static str,
}

impl Hashed {
    /// All rows of a table.
    pub const fn all(table: &'static str) -> Self {
        Self { table, rows: "true" }
    }
}

/// What a refresh is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// `(partition, the offset up to which it is refreshed)`, for every partition of the topic, in order.
    pub refreshed: Vec<(i32, i64)>,
    /// Whether every partition of the topic is refreshed to the end seen at start, and nothing is known to be missing.
    pub complete: bool,
    /// What is known to be missing, in words; `None` when nothing is.
    pub missing: Option<String>,
}

/// A refresh under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number, if it turns out to change anything: greater than any before, even after `consumer reset`.
    pub batch_id: i32,
    /// The groups' rows that it has written or removed.
    pub rows_written: u64,
    /// What it is part of.
    pub coverage: Coverage,
}

/// What [`Pipeline::refresh_global`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Rows that were written because they differ from what was stored.
    pub rows_written: u64,
    /// Whether the run is recorded; where it would repeat the last one, its number is free for the next.
    pub is_recorded: bool,
    /// What a person wants to know, for the end of the log line: `156/5/3; largest of 2: China`.
    pub summary: String,
}

/// A feed of a dataset: how the messages of a topic are read, grouped, stored and refreshed. Most pipelines have one.
pub trait Pipeline: Send + Sync + 'static {
    /// The feed's name: that of the pipeline, as given to `--pipeline`; of a further feed, one that begins with it.
    const NAME: &'static str;
    /// The topic, unless `--topic` names another, or [`Pipeline::topic`].
    const TOPIC: &'static str;
    /// The database, unless the URL names another.
    const DATABASE: &'static str;
    /// Its tables.
    const TABLES: Tables;
    /// Where its facts are stored.
    const CHANGELOG: Changelog = Self::TABLES.changelog;

    /// A record that is valid; borrows from the message.
    type Record<'a>;
    /// What facts are grouped by: a country, a day.
    type Group: Copy + Eq + Hash + Ord + Send + Sync + fmt::Display + fmt::Debug + 'static;
    /// What is kept of a record.
    type Fact: Fact;
    /// What the facts of a group share, so that each of them stays small: names, for instance.
    type Interner: Default + Send + 'static;
    /// A group's row in the state table.
    type Row: Send + Sync + 'static;

    /// The topic that the pipeline's own options name. For a further feed, since `--topic` names the first one's.
    fn topic(&self) -> Option<&str> {
        None
    }

    /// Reads a message; pure. A message without a value never gets here: it is rejected before.
    fn read<'a>(&self, key: Option<&'a [u8]>, value: &'a [u8]) -> Decoded<Self::Record<'a>>;

    /// Tells the facts of a record, of which `timestamp_ms` is the Kafka timestamp, −1 where it has none; pure. Usually that is one
    /// fact. A record that changes where something belongs tells two: one retracted, one applied.
    fn apply(&self, record: &Self::Record<'_>, _timestamp_ms: i64, say: &mut impl Say<Self>)
    where
        Self: Sized,
    {
        let fact = |interner: &mut Self::Interner| Self::fact(record, interner);
        say.fact(Self::group(record), Self::event_ms_of(record), fact);
    }

    /// Which groups leave memory. Those of a feed without a cold store never do.
    fn residency(&self) -> Residency {
        Residency::Memory
    }

    /// Settings that views of the database need: stored under these names, in `feed_settings`, whenever a consumer starts.
    fn noted_settings(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// How many rejected records of a key and day are kept with their bytes; the others are only counted. `None`: all are kept.
    fn rejects_per_day(&self) -> Option<u64> {
        None
    }

    /// When what a record tells happened, in milliseconds since 1970 UTC; asked only where there are windows.
    fn event_ms_of(_record: &Self::Record<'_>) -> i64 {
        0
    }

    /// The same of a fact that is loaded.
    fn event_ms(_group: &Self::Group, _fact: &Self::Fact) -> i64 {
        0
    }

    /// When a group's window begins, in milliseconds since 1970 UTC; asked only where there are windows. Partition key and this name
    /// exactly one group.
    fn slot(_group: &Self::Group) -> i64 {
        0
    }

    /// The group a record belongs to.
    fn group(record: &Self::Record<'_>) -> Self::Group;

    /// What the message key of a group's records is made of; two groups may share a partition key.
    fn partition_key(group: &Self::Group) -> String;

    /// What is kept of a record.
    fn fact(record: &Self::Record<'_>, interner: &mut Self::Interner) -> Self::Fact;

    /// Writes a fact's values, in the order of [`Changelog::columns`]: first those of its group.
    fn encode(group: &Self::Group, fact: &Self::Fact, interner: &Self::Interner, row: &mut RowWriter<'_>);

    /// Reads the group [`Pipeline::encode`] wrote first.
    ///
    /// # Errors
    /// When a column does not hold what it should.
    fn decode_group(row: &mut RowReader<'_>) -> Result<Self::Group, ColumnError>;

    /// Reads the fact it wrote after that.
    ///
    /// # Errors
    /// When a column does not hold what it should.
    fn decode_fact(row: &mut RowReader<'_>, interner: &mut Self::Interner) -> Result<Self::Fact, ColumnError>;

    /// Computes a group's row from its facts, which come in key order; pure. There are none when all were retracted.
    fn aggregate<'a>(
        &self,
        group: &Self::Group,
        facts: impl Iterator<Item = &'a Self::Fact>,
        about: &About,
        interner: &Self::Interner,
    ) -> Self::Row;

    /// Writes a group's row, in the order of [`StateTable::columns`].
    fn encode_row(row: &Self::Row, to: &mut RowWriter<'_>);

    /// Whether a group has nothing left to show: its row is removed.
    fn is_empty(_row: &Self::Row) -> bool {
        false
    }

    /// Makes what a refresh of these rows will need, such as tables of its days. Runs before the refresh's transaction, outside of any;
    /// a refresh that is tried again does it again.
    fn prepare_refresh(
        &self,
        _connection: &mut PgConnection,
        _rows: &[Self::Row],
    ) -> impl Future<Output = anyhow::Result<()>> {
        async { Ok(()) }
    }

    /// Writes what needs all groups: clusters, quarters. Runs in the refresh's transaction, after the changed groups were
    /// written, and sees all that other replicas have refreshed. A run that would repeat the last one writes nothing.
    fn refresh_global(&self, tx: &mut PgConnection, run: &Run) -> impl Future<Output = anyhow::Result<RunReport>>;
}

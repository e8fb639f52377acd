//! What a pipeline defines about its data, for `stream`.
//!
//! A pipeline is a name, a record type, its groups, and how a group becomes a row. Everything
//! about Kafka, offsets and transactions is done here, the same for all of them.

use std::{borrow::Cow, fmt, hash::Hash};

use sqlx::PgConnection;

use crate::columns::{Column, ColumnError, FactReader, FactWriter};

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

/// What a pipeline keeps in its database, besides what `stream` keeps for all.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Where its facts are.
    pub changelog: Changelog,
    /// The tables computed from them.
    pub derived: &'static [&'static str],
    /// What `consumer hash` covers.
    pub hashed: &'static [Hashed],
    /// Tables and views that an earlier program left in schema `public` under names of ours.
    pub legacy: &'static [&'static str],
}

/// A table that is a function of the facts, and the query that shows so.
#[derive(Clone, Copy, Debug)]
pub struct Hashed {
    /// The table's name.
    pub table: &'static str,
    /// Its rows as one text column, in an order that depends on nothing else.
    pub query: &'static str,
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

/// What a refresh did, in words for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshReport {
    /// State rows that were written because they differ from what was stored; what [`Pipeline::refresh_global`] gives
    /// is added to what [`Pipeline::upsert`] has written.
    pub rows_written: u64,
    /// The number of the run this refresh recorded, or `None` when it would repeat the last one.
    pub batch_id: Option<i32>,
    /// What a person wants to know, for the end of the log line: `156/5/3; largest of 2: China`.
    pub summary: String,
}

/// A dataset: how its messages are read, grouped, stored and refreshed.
pub trait Pipeline: Send + Sync + 'static {
    /// The pipeline's name, as given to `--pipeline`.
    const NAME: &'static str;
    /// The topic, unless `--topic` names another.
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

    /// Reads a message; pure. A message without a value never gets here: it is rejected before.
    fn read<'a>(&self, key: Option<&'a [u8]>, value: &'a [u8]) -> Decoded<Self::Record<'a>>;

    /// The group a record belongs to.
    fn group(record: &Self::Record<'_>) -> Self::Group;

    /// What the message key of a group's records is made of; two groups may share a partition key.
    fn partition_key(group: &Self::Group) -> String;

    /// What is kept of a record.
    fn fact(record: &Self::Record<'_>, interner: &mut Self::Interner) -> Self::Fact;

    /// Writes a fact's values, in the order of [`Changelog::columns`]: first those of its group.
    fn encode(group: &Self::Group, fact: &Self::Fact, interner: &Self::Interner, row: &mut FactWriter<'_>);

    /// Reads the group [`Pipeline::encode`] wrote first.
    ///
    /// # Errors
    /// When a column does not hold what it should.
    fn decode_group(row: &mut FactReader<'_>) -> Result<Self::Group, ColumnError>;

    /// Reads the fact it wrote after that.
    ///
    /// # Errors
    /// When a column does not hold what it should.
    fn decode_fact(row: &mut FactReader<'_>, interner: &mut Self::Interner) -> Result<Self::Fact, ColumnError>;

    /// Computes a group's row from its facts, which come in key order; pure. There are none when all were retracted.
    fn aggregate<'a>(
        &self,
        group: &Self::Group,
        facts: impl Iterator<Item = &'a Self::Fact>,
        interner: &Self::Interner,
    ) -> Self::Row;

    /// Writes changed groups where they differ from what is stored. Runs inside the refresh's
    /// transaction, and sees all that other replicas have refreshed.
    fn upsert(&self, tx: &mut PgConnection, rows: &[Self::Row]) -> impl Future<Output = Result<u64, sqlx::Error>>;

    /// Writes what needs all groups: clusters, quarters. Runs in the same transaction, after
    /// [`Pipeline::upsert`]; a run that would repeat the last one writes nothing.
    fn refresh_global(
        &self,
        tx: &mut PgConnection,
        coverage: &Coverage,
    ) -> impl Future<Output = anyhow::Result<RefreshReport>>;
}

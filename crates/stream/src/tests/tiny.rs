//! The smallest pipeline there can be: `group key value`, three words a message. A negative value takes back what was
//! known under the key; two words more are the group and key that the value was known under before.
//!
//! Groups from [`WINDOWS`] on are windows of ten milliseconds, [`OF_A_KEY`] of each key, in which a fact's key is its time; those
//! from [`WHOLE`] on have a partition key each.

use std::fmt;

use crate::{
    About, Changelog, Decoded, Fact, Pipeline, Residency, Run, RunReport, Say, StateTable, Tables,
    columns::{Column, ColumnError, Kind, RowReader, RowWriter},
};
use sqlx::PgConnection;

/// Keeps numbers. Its feeds differ in their names and tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers<const FEED: usize> {
    pub(crate) residency: Residency,
}

/// The first group that is a window.
pub(crate) const WINDOWS: i16 = 100;
/// How many windows a key has.
pub(crate) const OF_A_KEY: i16 = 64;
/// The first group that is the only one of its partition key.
pub(crate) const WHOLE: i16 = 10_000;
/// How long a window is, in milliseconds.
pub(crate) const SIZE_MS: i64 = 10;
/// When the first window of a key begins: in 2001.
const BEGIN_MS: i64 = 1_000_000_000_000;

/// The partition key of a group.
pub(crate) fn partition_key(group: i16) -> String {
    match group {
        ..WINDOWS => format!("r{}", group / 2),
        WINDOWS..WHOLE => format!("w{}", (group - WINDOWS) / OF_A_KEY),
        WHOLE.. => format!("d{group}"),
    }
}

/// When the window of a group begins; 0 for those that are no windows.
pub(crate) fn slot(group: i16) -> i64 {
    match group {
        WINDOWS..WHOLE => BEGIN_MS + i64::from((group - WINDOWS) % OF_A_KEY) * SIZE_MS,
        _ => 0,
    }
}

/// The first feed.
pub(crate) type Tiny = Numbers<0>;
/// The second one.
pub(crate) type Second = Numbers<1>;

/// A group: two of them, such as 4 and 5, share a partition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Group(pub(crate) i16);

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

/// A number under a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) key: i16,
    pub(crate) value: i64,
}

impl Fact for Number {
    type Key = i16;

    fn key(&self) -> i16 {
        self.key
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }

    fn is_retraction(&self) -> bool {
        self.value < 0
    }
}

/// A valid message: a fact, and the group and key that it was known under before.
pub(crate) type Record = (Group, Number, Option<(Group, i16)>);
/// A group and its facts in key order: `g1`, `0=5 3=7`.
pub(crate) type Row = (String, String);

/// The columns and tables besides those that `stream` has.
pub(crate) const SCHEMA: &str = r#"
    CREATE TYPE tiny_fact AS (grp smallint, key smallint, value bigint);
    SELECT create_changelog('tiny');
    CREATE TABLE tiny_groups (grp text PRIMARY KEY, facts text NOT NULL, processing_time timestamptz DEFAULT now());
    SELECT create_cold_store('tiny', 'grp');
    CREATE TYPE tiny_second_fact AS (grp smallint, key smallint, value bigint);
    SELECT create_changelog('tiny_second');
    CREATE TABLE tiny_second_groups (LIKE tiny_groups INCLUDING ALL);
    CREATE TABLE tiny_runs (id bigint GENERATED ALWAYS AS IDENTITY, complete boolean NOT NULL, facts text NOT NULL);
"#;

impl<const FEED: usize> Pipeline for Numbers<FEED> {
    const NAME: &'static str = ["tiny", "tiny-second"][FEED];
    const TOPIC: &'static str = ["t", "t2"][FEED];
    const DATABASE: &'static str = "tiny";
    const TABLES: Tables = Tables {
        changelog: Changelog {
            table: ["tiny_segments", "tiny_second_segments"][FEED],
            columns: &[
                Column::group("grp", Kind::Int2),
                Column::key("key", Kind::Int2),
                Column::value("value", Kind::Int8),
            ],
        },
        state: StateTable {
            name: ["tiny_groups", "tiny_second_groups"][FEED],
            columns: &[Column::group("grp", Kind::Text), Column::value("facts", Kind::Text)],
        },
        cold: [Some("tiny_cold"), None][FEED],
        derived: [&["tiny_runs"], &[] as &[&str]][FEED],
        hashed: &[],
        legacy: &[],
    };

    type Record<'a> = Record;
    type Group = Group;
    type Fact = Number;
    type Interner = ();
    type Row = Row;

    fn read<'a>(&self, _key: Option<&'a [u8]>, value: &'a [u8]) -> Decoded<Record> {
        let Ok(text) = std::str::from_utf8(value) else { return Decoded::Rejected("not UTF-8".into()) };
        if text == "aggregate" {
            return Decoded::Filtered;
        }
        let numbers: Vec<i64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let small = |number: i64| i16::try_from(number).unwrap_or(0);
        let (group, key, value, from) = match numbers[..] {
            [group, key, value] => (group, key, value, None),
            [group, key, value, from, its] => (group, key, value, Some((Group(small(from)), small(its)))),
            _ => return Decoded::Rejected(format!("not three numbers: {text}").into()),
        };
        Decoded::Record((Group(small(group)), Number { key: small(key), value }, from))
    }

    fn apply(&self, record: &Record, _timestamp_ms: i64, say: &mut impl Say<Self>) {
        if let Some((group, key)) = record.2 {
            let retraction = Number { key, value: -1 };
            say.fact(group, Self::event_ms(&group, &retraction), |()| retraction);
        }
        say.fact(record.0, Self::event_ms_of(record), |()| record.1.clone());
    }

    fn residency(&self) -> Residency {
        self.residency
    }

    fn slot(group: &Group) -> i64 {
        slot(group.0)
    }

    fn event_ms_of(record: &Record) -> i64 {
        Self::event_ms(&record.0, &record.1)
    }

    fn event_ms(group: &Group, fact: &Number) -> i64 {
        slot(group.0) + i64::from(fact.key)
    }

    fn group(record: &Record) -> Group {
        record.0
    }

    fn partition_key(group: &Group) -> String {
        partition_key(group.0)
    }

    fn fact(record: &Record, _interner: &mut ()) -> Number {
        record.1.clone()
    }

    fn encode(group: &Group, fact: &Number, _interner: &(), row: &mut RowWriter<'_>) {
        row.i16(group.0);
        row.i16(fact.key);
        row.i64(fact.value);
    }

    fn decode_group(row: &mut RowReader<'_>) -> Result<Group, ColumnError> {
        Ok(Group(row.i16()?))
    }

    fn decode_fact(row: &mut RowReader<'_>, _interner: &mut ()) -> Result<Number, ColumnError> {
        Ok(Number { key: row.i16()?, value: row.i64()? })
    }

    fn aggregate<'a>(
        &self,
        group: &Group,
        facts: impl Iterator<Item = &'a Number>,
        about: &About,
        _interner: &(),
    ) -> Row {
        let facts = facts.map(|fact| format!("{}={}", fact.key, fact.value));
        let late = (about.late > 0).then(|| format!("late {}", about.late));
        (group.to_string(), facts.chain(late).collect::<Vec<_>>().join(" "))
    }

    fn encode_row((group, facts): &Row, to: &mut RowWriter<'_>) {
        to.text(group);
        to.text(facts);
    }

    fn is_empty((_, facts): &Row) -> bool {
        facts.is_empty()
    }

    async fn refresh_global(&self, tx: &mut PgConnection, run: &Run) -> anyhow::Result<RunReport> {
        if FEED > 0 {
            return Ok(RunReport::default());
        }
        sqlx::query(
            "INSERT INTO tiny_runs (complete, facts)
             SELECT $1, coalesce(string_agg(grp || ': ' || facts, ', ' ORDER BY grp), '') FROM tiny_groups",
        )
        .bind(run.coverage.complete)
        .execute(tx)
        .await?;
        Ok(RunReport::default())
    }
}

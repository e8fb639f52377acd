//! The smallest pipeline there can be: `group key value`, three words a message. A negative value takes back what was
//! known under the key.

use std::fmt;

use crate::{
    Changelog, Coverage, Decoded, Fact, Pipeline, RefreshReport, Tables,
    columns::{Column, ColumnError, FactReader, FactWriter, Kind},
};
use sqlx::PgConnection;

/// Keeps numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tiny;

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
    key: i16,
    value: i64,
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

/// A valid message.
pub(crate) type Record = (Group, Number);
/// A group and its facts in key order: `g1`, `0=5 3=7`.
pub(crate) type Row = (String, String);

/// The columns and tables besides those that `stream` has.
pub(crate) const SCHEMA: &str = r#"
    CREATE TYPE tiny_fact AS (grp smallint, key smallint, value bigint);
    SELECT create_changelog('tiny');
    CREATE TABLE tiny_groups (grp text PRIMARY KEY, facts text NOT NULL);
    CREATE TABLE tiny_runs (id bigint GENERATED ALWAYS AS IDENTITY, complete boolean NOT NULL, facts text NOT NULL);
"#;

impl Pipeline for Tiny {
    const NAME: &'static str = "tiny";
    const TOPIC: &'static str = "t";
    const DATABASE: &'static str = "tiny";
    const TABLES: Tables = Tables {
        changelog: Changelog {
            table: "tiny_segments",
            columns: &[
                Column::key("grp", Kind::Int2),
                Column::key("key", Kind::Int2),
                Column::value("value", Kind::Int8),
            ],
        },
        derived: &["tiny_groups", "tiny_runs"],
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
        let [group, key, value] = numbers[..] else {
            return Decoded::Rejected(format!("not three numbers: {text}").into());
        };
        let small = |number: i64| i16::try_from(number).unwrap_or(0);
        Decoded::Record((Group(small(group)), Number { key: small(key), value }))
    }

    fn group(record: &Record) -> Group {
        record.0
    }

    fn partition_key(group: &Group) -> String {
        format!("r{}", group.0 / 2)
    }

    fn fact(record: &Record, _interner: &mut ()) -> Number {
        record.1.clone()
    }

    fn encode(group: &Group, fact: &Number, _interner: &(), row: &mut FactWriter<'_>) {
        row.i16(group.0);
        row.i16(fact.key);
        row.i64(fact.value);
    }

    fn decode_group(row: &mut FactReader<'_>) -> Result<Group, ColumnError> {
        Ok(Group(row.i16()?))
    }

    fn decode_fact(row: &mut FactReader<'_>, _interner: &mut ()) -> Result<Number, ColumnError> {
        Ok(Number { key: row.i16()?, value: row.i64()? })
    }

    fn aggregate<'a>(&self, group: &Group, facts: impl Iterator<Item = &'a Number>, _interner: &()) -> Row {
        let facts: Vec<String> = facts.map(|fact| format!("{}={}", fact.key, fact.value)).collect();
        (group.to_string(), facts.join(" "))
    }

    async fn upsert(&self, tx: &mut PgConnection, rows: &[Row]) -> Result<u64, sqlx::Error> {
        let (removed, kept): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|(_, facts)| facts.is_empty());
        let removed: Vec<&str> = removed.into_iter().map(|(group, _)| group.as_str()).collect();
        sqlx::query("DELETE FROM tiny_groups WHERE grp = ANY ($1)").bind(removed).execute(&mut *tx).await?;
        let (groups, facts): (Vec<&str>, Vec<&str>) = kept.iter().map(|(g, f)| (g.as_str(), f.as_str())).unzip();
        let done = sqlx::query(
            "INSERT INTO tiny_groups AS stored SELECT * FROM unnest($1::text[], $2::text[])
             ON CONFLICT (grp) DO UPDATE SET facts = excluded.facts WHERE stored.facts <> excluded.facts",
        )
        .bind(groups)
        .bind(facts)
        .execute(tx)
        .await?;
        Ok(done.rows_affected())
    }

    async fn refresh_global(&self, tx: &mut PgConnection, coverage: &Coverage) -> anyhow::Result<RefreshReport> {
        sqlx::query(
            "INSERT INTO tiny_runs (complete, facts)
             SELECT $1, coalesce(string_agg(grp || ': ' || facts, ', ' ORDER BY grp), '') FROM tiny_groups",
        )
        .bind(coverage.complete)
        .execute(tx)
        .await?;
        Ok(RefreshReport::default())
    }
}

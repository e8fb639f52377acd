//! `consumer hash`: the same facts give the same hash.

use sqlx::{Connection, PgConnection};

use crate::{
    pipeline::{FeedTables, Hashed},
    postgres::database::sql,
};

/// What stands for all tables together.
pub const ALL: &str = "all of them";

/// A table's rows in one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHash {
    /// The table's name.
    pub table: &'static str,
    /// The number of its rows.
    pub rows: i64,
    /// SHA-256 of its rows as text, each ended by a line feed; hexadecimal.
    pub sha256: String,
}

/// Hashes the tables of a pipeline's feeds as they are at one moment, by primary key. The last hash stands for all of them together.
///
/// Left out are the number and the times of a run, what PostgreSQL generates from other columns, and what depends on how records came:
/// `late_count`, and `sum_latency_ms`.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn hash(connection: &mut PgConnection, feeds: &[FeedTables]) -> Result<Vec<TableHash>, sqlx::Error> {
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut hashes = Vec::new();
    let hashed = feeds.iter().flat_map(|FeedTables { tables, .. }| {
        std::iter::once(Hashed::all(tables.state.name)).chain(tables.hashed.iter().copied())
    });
    for Hashed { table, rows: condition } in hashed {
        let (columns, key): (String, String) = sqlx::query_as(COLUMNS).bind(table).fetch_one(&mut *tx).await?;
        let (rows, sha256) = sqlx::query_as(sql(format!(
            "WITH lines AS (SELECT ({columns})::text AS line, row_number() OVER (ORDER BY {key}) AS n FROM {table} WHERE {condition})
             SELECT count(*), encode(sha256(convert_to(coalesce(string_agg(line || chr(10), '' ORDER BY n), ''), 'UTF8')), 'hex')
             FROM lines"
        )))
        .fetch_one(&mut *tx)
        .await?;
        hashes.push(TableHash { table, rows, sha256 });
    }
    let together: Vec<&str> = hashes.iter().map(|hash| hash.sha256.as_str()).collect();
    let sha256 = sqlx::query_scalar("SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')")
        .bind(together.join(" "))
        .fetch_one(&mut *tx)
        .await?;
    hashes.push(TableHash { table: ALL, rows: hashes.iter().map(|hash| hash.rows).sum(), sha256 });
    Ok(hashes)
}

/// A table's columns that are hashed, and those of its primary key.
const COLUMNS: &str = "
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FILTER (WHERE attgenerated = '' AND attname NOT IN ('batch_id', 'created_at', 'processing_time', 'late_count', 'sum_latency_ms')),
           string_agg(quote_ident(attname), ', ' ORDER BY array_position(indkey::int2[], attnum)) FILTER (WHERE attnum = ANY (indkey))
    FROM pg_attribute JOIN pg_index ON indrelid = attrelid AND indisprimary
    WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped";

//! `consumer reset`: start with empty tables.

use sqlx::{Connection, PgConnection};

use super::Tables;
use crate::postgres::database::sql;

/// What `stream` keeps that a reset empties; offsets are kept as rows, so that epochs go on counting.
const OURS: [&str; 5] = ["ingest_accounting", "rejects", "key_partitions", "stream_gaps", "stream_completeness"];

/// How many rows a table has, or had.
pub type Rows = (&'static str, i64);

/// Counts what a reset would remove.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn count(connection: &mut PgConnection, tables: &Tables) -> Result<Vec<Rows>, sqlx::Error> {
    let mut counts = Vec::new();
    for table in names(tables) {
        let rows = sqlx::query_scalar(sql(format!("SELECT count(*) FROM {table}"))).fetch_one(&mut *connection).await?;
        counts.push((table, rows));
    }
    Ok(counts)
}

/// Empties facts, results and offsets in one transaction.
///
/// Every claim is void afterwards: a consumer that runs is refused at its next commit, claims again
/// and begins at the earliest offset.
///
/// # Errors
/// When Postgres does not answer or refuses; then nothing was removed.
pub async fn reset(connection: &mut PgConnection, pipeline: &str, tables: &Tables) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *tx).await?;
    sqlx::query(
        "UPDATE stream_offsets SET epoch = epoch + 1, owner = NULL, next_offset = NULL, refreshed_through = NULL,
                cluster_id = NULL, last_offset = NULL, last_timestamp_ms = NULL, last_crc32 = NULL,
                max_timestamp_ms = 0, catching_up = false, last_id = 0, refreshed_id = 0, resume_from = 0
         WHERE pipeline = $1",
    )
    .bind(pipeline)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE feeds SET spread = false WHERE feed = $1").bind(pipeline).execute(&mut *tx).await?;
    for table in names(tables) {
        sqlx::query(sql(format!("DELETE FROM {table}"))).execute(&mut *tx).await?;
    }
    tx.commit().await
}

fn names(tables: &Tables) -> impl Iterator<Item = &'static str> {
    [tables.changelog.table].into_iter().chain(tables.derived.iter().copied()).chain(OURS)
}

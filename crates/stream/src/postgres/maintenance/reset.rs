//! `consumer reset`: start with empty tables.

use sqlx::{Connection, PgConnection};

use super::lock;
use crate::{pipeline::FeedTables, postgres::database::sql};

/// What `stream` keeps that a reset empties; offsets are kept as rows, so that epochs go on counting.
const OURS: [&str; 6] =
    ["ingest_accounting", "rejects", "key_partitions", "stream_gaps", "stream_completeness", "feed_settings"];

/// How much a table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The table's name.
    pub table: &'static str,
    /// How many there are.
    pub count: i64,
    /// Of what: of facts, where the table has many in a row.
    pub of: &'static str,
}

/// Counts what a reset would remove.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn count(connection: &mut PgConnection, feeds: &[FeedTables]) -> Result<Vec<Count>, sqlx::Error> {
    let mut counts = Vec::new();
    for table in names(feeds) {
        let has_facts =
            |feed: &FeedTables| [Some(feed.tables.changelog.table), feed.tables.cold].contains(&Some(table));
        let (expression, of) = match feeds.iter().any(has_facts) {
            true => ("coalesce(sum(facts), 0)::bigint", "facts"),
            false => ("count(*)", "rows"),
        };
        let query = format!("SELECT {expression} FROM {table}");
        let count = sqlx::query_scalar(sql(query)).fetch_one(&mut *connection).await?;
        counts.push(Count { table, count, of });
    }
    Ok(counts)
}

/// Empties facts, results and offsets of all feeds of a database in one transaction.
///
/// Every claim is void afterwards: a consumer that runs is refused at its next commit, claims again
/// and begins at the earliest offset.
///
/// # Errors
/// When Postgres does not answer or refuses; then nothing was removed.
pub async fn reset(connection: &mut PgConnection, feeds: &[FeedTables]) -> Result<(), sqlx::Error> {
    let feed_names: Vec<&str> = feeds.iter().map(|feed| feed.feed).collect();
    let mut tx = connection.begin().await?;
    sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *tx).await?;
    for feed in feeds {
        lock(&mut tx, &feed.tables.changelog).await?;
    }
    sqlx::query(
        "UPDATE stream_offsets SET epoch = epoch + 1, owner = NULL, next_offset = NULL, refreshed_through = NULL,
                cluster_id = NULL, last_offset = NULL, last_timestamp_ms = NULL, last_crc32 = NULL,
                max_timestamp_ms = 0, catching_up = false, last_id = 0, refreshed_id = 0, redo_from = 0,
                resume_from = 0
         WHERE feed = ANY ($1)",
    )
    .bind(&feed_names)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE feeds SET spread = false WHERE feed = ANY ($1)").bind(&feed_names).execute(&mut *tx).await?;
    for table in names(feeds) {
        sqlx::query(sql(format!("DELETE FROM {table}"))).execute(&mut *tx).await?;
    }
    tx.commit().await
}

fn names(feeds: &[FeedTables]) -> impl Iterator<Item = &'static str> {
    let of_feeds = feeds.iter().flat_map(|FeedTables { tables, .. }| {
        let facts = [tables.changelog.table, tables.state.name].into_iter().chain(tables.cold);
        facts.chain(tables.derived.iter().copied())
    });
    of_feeds.chain(OURS)
}

//! Reading facts back from the changelog.

use futures::{Stream, StreamExt, TryStreamExt};
use sqlx::PgConnection;

use crate::offsets::Feed;

/// Reads the routes that live in the partitions, each with its home.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn homes(
    connection: &mut PgConnection,
    feed: &Feed,
    partitions: &[i32],
) -> Result<Vec<(String, i32)>, sqlx::Error> {
    sqlx::query_as("SELECT route, home FROM group_homes WHERE topic = $1 AND home = ANY ($2)")
        .bind(&feed.topic)
        .bind(partitions)
        .fetch_all(connection)
        .await
}

/// Streams the changelog rows that live in the partitions, as pieces of a binary COPY: `id`,
/// `home`, `timestamp_ms`, `partition`, then the pipeline's columns. In no particular order.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn facts<'c>(
    connection: &'c mut PgConnection,
    feed: &Feed,
    partitions: &[i32],
) -> Result<impl Stream<Item = Result<Vec<u8>, sqlx::Error>> + 'c, sqlx::Error> {
    // Many facts take longer than a statement may otherwise; the wire notices a server that is gone.
    sqlx::query("SET statement_timeout = '1h'").execute(&mut *connection).await?;
    let homes: Vec<String> = partitions.iter().map(i32::to_string).collect();
    let pieces = connection
        .copy_out_raw(&format!(
            "COPY (SELECT id, home, timestamp_ms, partition, {} FROM {} WHERE home IN ({})) TO STDOUT (FORMAT binary)",
            feed.changelog.columns.join(", "),
            feed.changelog.table,
            homes.join(", "),
        ))
        .await?;
    // A piece is one row; handing them over by the thousand saves the hand-over's cost.
    Ok(pieces.try_ready_chunks(PIECES).map(|pieces| match pieces {
        Ok(pieces) => Ok(pieces.concat()),
        Err(error) => Err(error.1),
    }))
}

/// Rows handed over at once: enough to make the hand-over cheap, little enough to stay in the cache.
const PIECES: usize = 4096;

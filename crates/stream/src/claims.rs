//! Claiming partitions: after a claim no older owner can commit.

use sqlx::{Connection, PgConnection};

use crate::{
    database::sql,
    offsets::{Feed, STORED_COLUMNS, Stored},
};

/// Claims partitions for `owner` and tells where each stands.
///
/// Waits for a commit under way (its row lock); afterwards every older epoch is refused.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn claim(
    connection: &mut PgConnection,
    feed: &Feed,
    (owner, partitions): (&str, &[i32]),
) -> Result<Vec<Stored>, sqlx::Error> {
    let mut tx = connection.begin().await?;
    sqlx::query(
        "INSERT INTO stream_offsets (pipeline, topic, partition)
         SELECT $1, $2, partition FROM unnest($3::integer[]) AS partition ORDER BY partition
         ON CONFLICT DO NOTHING",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(partitions)
    .execute(&mut *tx)
    .await?;
    // In order, so that two consumers that claim at once wait for one another and never deadlock.
    sqlx::query(
        "SELECT FROM stream_offsets WHERE pipeline = $1 AND topic = $2 AND partition = ANY ($3)
         ORDER BY partition FOR UPDATE",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(partitions)
    .execute(&mut *tx)
    .await?;
    let mut stored: Vec<Stored> = sqlx::query_as(sql(format!(
        "UPDATE stream_offsets SET epoch = epoch + 1, owner = $4, claimed_at = now()
         WHERE pipeline = $1 AND topic = $2 AND partition = ANY ($3)
         RETURNING {STORED_COLUMNS}"
    )))
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(partitions)
    .bind(owner)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    stored.sort_unstable_by_key(|stored| stored.partition);
    Ok(stored)
}

/// Finds another topic that the pipeline's facts came from; a changelog holds those of one topic only.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn other_topic(connection: &mut PgConnection, feed: &Feed) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT topic FROM stream_offsets WHERE pipeline = $1 AND topic <> $2 AND next_offset IS NOT NULL LIMIT 1",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .fetch_optional(connection)
    .await
}

/// Tells where every partition of the topic stands that anyone has claimed, in order.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn survey(connection: &mut PgConnection, feed: &Feed) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as(sql(format!(
        "SELECT {STORED_COLUMNS} FROM stream_offsets WHERE pipeline = $1 AND topic = $2 ORDER BY partition"
    )))
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .fetch_all(connection)
    .await
}

/// Locks the rows of claimed partitions until the transaction ends, and tells where each stands, in order.
pub(crate) async fn lock(tx: &mut PgConnection, feed: &Feed, partitions: &[i32]) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as(sql(format!(
        "SELECT {STORED_COLUMNS} FROM stream_offsets WHERE pipeline = $1 AND topic = $2 AND partition = ANY ($3)
         ORDER BY partition FOR UPDATE"
    )))
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(partitions)
    .fetch_all(tx)
    .await
}

/// Begins a partition anew after its topic was made again: the facts stay, the offsets do not.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn forget_offsets(
    connection: &mut PgConnection,
    feed: &Feed,
    (partition, epoch): (i32, i64),
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE stream_offsets SET next_offset = NULL, published_through = NULL, last_offset = NULL,
                last_timestamp_ms = NULL, last_crc32 = NULL, cluster_id = NULL,
                generation = generation + 1, catching_up = true
         WHERE pipeline = $1 AND topic = $2 AND partition = $3 AND epoch = $4",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(partition)
    .bind(epoch)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

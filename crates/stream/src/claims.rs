//! Claiming partitions: after a claim no older owner can commit.

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection};

use crate::{
    database::sql,
    offsets::{Feed, STORED_COLUMNS, Stored},
};

/// What is to be claimed, and for whom.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// Who claims: host and process.
    pub owner: String,
    /// The partitions.
    pub partitions: Vec<i32>,
    /// Those of them that begin anew, and why: the facts stay, the offsets do not.
    pub forget: BTreeMap<i32, Forget>,
}

/// Why stored offsets are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// The topic is another one: it is to be read from its first offset.
    OtherTopic,
    /// The topic has lost records that were not read: they are missing from where reading had come to.
    Gap,
}

/// Claims partitions and tells where each stands, in order.
///
/// Waits for a commit under way (its row lock); afterwards every older epoch is refused. Doing it again after an error is
/// safe: offsets that are forgotten are not forgotten twice.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn claim(connection: &mut PgConnection, feed: &Feed, claim: &Claim) -> Result<Vec<Stored>, sqlx::Error> {
    let mut tx = connection.begin().await?;
    sqlx::query(
        "INSERT INTO stream_offsets (pipeline, topic, partition)
         SELECT $1, $2, partition FROM unnest($3::integer[]) AS partition ORDER BY partition
         ON CONFLICT DO NOTHING",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(&claim.partitions)
    .execute(&mut *tx)
    .await?;
    // In order, so that two consumers that claim at once wait for one another and never deadlock.
    lock(&mut tx, feed, &claim.partitions).await?;
    if !claim.forget.is_empty() {
        forget_offsets(&mut tx, feed, &claim.forget).await?;
    }
    let mut stored: Vec<Stored> = sqlx::query_as(sql(format!(
        "UPDATE stream_offsets SET epoch = epoch + 1, owner = $4, claimed_at = now()
         WHERE pipeline = $1 AND topic = $2 AND partition = ANY ($3)
         RETURNING {STORED_COLUMNS}"
    )))
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(&claim.partitions)
    .bind(&claim.owner)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    stored.sort_unstable_by_key(|stored| stored.partition);
    Ok(stored)
}

async fn forget_offsets(tx: &mut PgConnection, feed: &Feed, forget: &BTreeMap<i32, Forget>) -> Result<(), sqlx::Error> {
    let gaps = forget.iter().filter(|(_, why)| **why == Forget::Gap).map(|(partition, _)| *partition);
    sqlx::query(
        "UPDATE stream_offsets SET resume_from = CASE WHEN partition = ANY ($4) THEN next_offset ELSE 0 END,
                next_offset = NULL, published_through = NULL, last_offset = NULL,
                last_timestamp_ms = NULL, last_crc32 = NULL, cluster_id = NULL,
                generation = generation + 1, catching_up = true
         WHERE pipeline = $1 AND topic = $2 AND partition = ANY ($3) AND next_offset IS NOT NULL",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(forget.keys().copied().collect::<Vec<i32>>())
    .bind(gaps.collect::<Vec<i32>>())
    .execute(tx)
    .await?;
    Ok(())
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

/// A range of offsets that was never read, because Kafka had removed it before.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Gap {
    /// The Kafka partition.
    pub partition: i32,
    /// The first offset that was not read.
    pub from_offset: i64,
    /// The offset after the last that was not read.
    pub to_offset: i64,
}

/// Lists what was never read of the topic, in order.
pub(crate) async fn gaps(connection: &mut PgConnection, feed: &Feed) -> Result<Vec<Gap>, sqlx::Error> {
    sqlx::query_as(
        "SELECT partition, from_offset, to_offset FROM stream_gaps WHERE pipeline = $1 AND topic = $2
         ORDER BY partition, generation, from_offset",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .fetch_all(connection)
    .await
}

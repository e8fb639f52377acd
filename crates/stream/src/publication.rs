//! One Postgres transaction a publication: the state tables, and how far they go.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};

use crate::{
    changelog::Standing,
    claims,
    offsets::{Feed, Stored},
    pipeline::{Coverage, Pipeline, Published},
};

/// What is to be published: changed groups, computed from all facts below `through`.
#[derive(Debug)]
pub struct Publication<P: Pipeline> {
    /// The rows of the groups that changed, in group order.
    pub rows: Vec<P::Row>,
    /// How far each owned partition goes.
    pub through: Vec<Through>,
    /// The end of every partition of the topic, as seen at start.
    pub ends: BTreeMap<i32, i64>,
}

/// How far a partition goes in a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Through {
    /// The Kafka partition.
    pub partition: i32,
    /// The claim under which it was read.
    pub epoch: i64,
    /// The next offset to read; `None` when nothing was.
    pub next_offset: Option<i64>,
}

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there, all at once.
    Published {
        /// What the pipeline says of it.
        report: Published,
        /// How far all partitions go.
        coverage: Coverage,
        /// How long the changed groups took; the rest is what needs all groups, and the commit.
        groups_took: Duration,
    },
    /// It is not there, and must not be.
    Refused(Standing),
}

/// Publishes in one transaction. Doing it again after an error is safe: what is there already is not written again.
///
/// # Errors
/// When Postgres does not answer or refuses, or when the pipeline cannot conclude.
pub async fn publish<P: Pipeline>(
    connection: &mut PgConnection,
    (pipeline, feed): (&P, &Feed),
    publication: &Publication<P>,
) -> anyhow::Result<Outcome> {
    // READ COMMITTED, Postgres' default: what follows the lock sees all that its last holder wrote.
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('publish ' || $1, 0))")
        .bind(feed.pipeline)
        .execute(&mut *tx)
        .await?;
    let partitions: Vec<i32> = publication.through.iter().map(|through| through.partition).collect();
    let stored = claims::lock(&mut tx, feed, &partitions).await?;
    if let Some(refused) = refused(&publication.through, &stored) {
        // One that is only dropped keeps its locks until the connection is used again.
        tx.rollback().await?;
        return Ok(Outcome::Refused(refused));
    }
    let began = Instant::now();
    let rows_written = pipeline.upsert(&mut tx, &publication.rows).await?;
    let groups_took = began.elapsed();
    mark(&mut tx, feed, &publication.through).await?;
    let coverage = coverage(&claims::survey(&mut tx, feed).await?, &publication.ends);
    let report = pipeline.conclude(&mut tx, &coverage).await?;
    tx.commit().await?;
    let rows_written = rows_written + report.rows_written;
    Ok(Outcome::Published { report: Published { rows_written, ..report }, coverage, groups_took })
}

/// Says why a publication must not be; the offsets must be exactly those its facts go to. Pure.
pub(crate) fn refused(through: &[Through], stored: &[Stored]) -> Option<Standing> {
    through.iter().find_map(|ours| {
        let partition = ours.partition;
        match stored.iter().find(|row| row.partition == partition) {
            Some(row) if row.epoch == ours.epoch && row.next_offset == ours.next_offset => None,
            Some(row) if row.epoch > ours.epoch => Some(Standing::Fenced { partition, epoch: row.epoch }),
            row => Some(Standing::Lost { partition, stored: row.and_then(|row| row.next_offset) }),
        }
    })
}

/// Says how far all partitions are published, and whether that is to the end seen at start. Pure.
pub fn coverage(stored: &[Stored], ends: &BTreeMap<i32, i64>) -> Coverage {
    let published: Vec<(i32, i64)> =
        stored.iter().map(|row| (row.partition, row.published_through.unwrap_or(0))).collect();
    let reached: BTreeMap<i32, i64> = published.iter().copied().collect();
    let complete = ends.iter().all(|(partition, end)| *end == 0 || reached.get(partition).is_some_and(|at| at >= end));
    Coverage { published, complete: complete && stored.iter().all(|row| !row.catching_up) }
}

async fn mark(tx: &mut PgConnection, feed: &Feed, through: &[Through]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE stream_offsets o SET published_through = s.through, catching_up = false
         FROM unnest($3::integer[], $4::bigint[]) AS s (partition, through)
         WHERE o.pipeline = $1 AND o.topic = $2 AND o.partition = s.partition
           AND (o.published_through IS DISTINCT FROM s.through OR o.catching_up)",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(through.iter().map(|through| through.partition).collect::<Vec<i32>>())
    .bind(through.iter().map(|through| through.next_offset).collect::<Vec<Option<i64>>>())
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(partition: i32, published_through: Option<i64>) -> Stored {
        Stored {
            partition,
            epoch: 1,
            next_offset: published_through,
            published_through,
            cluster_id: None,
            last: None,
            max_timestamp_ms: 0,
            catching_up: false,
        }
    }

    #[test]
    fn complete_means_every_partition_to_its_end() {
        let ends = BTreeMap::from([(0, 10), (1, 0), (2, 5)]);
        let check = |stored: &[Stored], expected| assert_eq!(coverage(stored, &ends).complete, expected, "{stored:?}");
        check(&[row(0, Some(10)), row(2, Some(5))], true);
        check(&[row(0, Some(12)), row(1, None), row(2, Some(5))], true);
        check(&[row(0, Some(10)), row(2, Some(4))], false);
        check(&[row(0, Some(10))], false);
        check(&[row(0, Some(10)), row(2, None)], false);
    }
}

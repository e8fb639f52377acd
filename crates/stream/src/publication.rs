//! One Postgres transaction a publication: the state tables, and how far they go.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};

use crate::{
    changelog::Standing,
    claims::{self, Gap},
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
    /// How far the run is to go.
    pub target: Target,
}

/// How far a run is to go before it may be called complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The end of every partition of the topic, as seen at start.
    pub ends: BTreeMap<i32, i64>,
    /// What was stored when those ends were reached first: the greatest id of a fact, by owner partition. A replica that goes on
    /// storing facts does not move it.
    pub last_ids: Option<BTreeMap<i32, i64>>,
    /// Whether Kafka compacts the topic, so that nobody knows which records it has had.
    pub compacted: bool,
}

impl Target {
    /// Notes what is stored, the first time that every partition is stored to its end. Pure.
    pub fn note(&mut self, stored: &[Stored]) {
        let reaches = |(partition, end): (&i32, &i64)| {
            let next = stored.iter().find(|row| row.partition == *partition).and_then(|row| row.next_offset);
            next.unwrap_or(0) >= *end
        };
        if self.last_ids.is_none() && self.ends.iter().all(reaches) {
            self.last_ids = Some(stored.iter().map(|row| (row.partition, row.last_id)).collect());
        }
    }

    /// Whether every partition of the topic is published to the end seen at start, with every fact that was stored by then. Pure.
    pub fn is_reached(&self, stored: &[Stored]) -> bool {
        let mut target = self.clone();
        target.note(stored);
        let reached = |partition: &i32| stored.iter().find(|row| row.partition == *partition)?.published_through;
        let at_end = |(partition, end): (&i32, &i64)| *end == 0 || reached(partition).is_some_and(|at| at >= *end);
        let last_id =
            |partition: &i32| target.last_ids.as_ref().and_then(|ids| ids.get(partition)).copied().unwrap_or(0);
        let is_told = |row: &Stored| row.refreshed_id >= last_id(&row.partition) && !row.catching_up;
        target.last_ids.is_some() && target.ends.iter().all(at_end) && stored.iter().all(is_told)
    }
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
        /// Whether the topic is published to the end seen at start, whether or not anything is missing before.
        at_end: bool,
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
    let published = claims::survey(&mut tx, feed).await?;
    let at_end = publication.target.is_reached(&published);
    let missing = missing(&claims::gaps(&mut tx, feed).await?, publication.target.compacted);
    let coverage = coverage(&published, at_end, missing);
    note_coverage(&mut tx, feed, &coverage).await?;
    let report = pipeline.conclude(&mut tx, &coverage).await?;
    tx.commit().await?;
    let rows_written = rows_written + report.rows_written;
    Ok(Outcome::Published { report: Published { rows_written, ..report }, at_end, coverage, groups_took })
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

/// Says how far all partitions are published, and whether that is all there was. Pure.
fn coverage(stored: &[Stored], at_end: bool, missing: Option<String>) -> Coverage {
    let published = stored.iter().map(|row| (row.partition, row.published_through.unwrap_or(0))).collect();
    Coverage { published, complete: at_end && missing.is_none(), missing }
}

/// Says which records the topic has had that were never read. Pure.
fn missing(gaps: &[Gap], compacted: bool) -> Option<String> {
    let gap =
        |gap: &Gap| format!("offsets {} to {} of partition {}", gap.from_offset, gap.to_offset - 1, gap.partition);
    let gaps: Vec<String> = gaps.iter().map(gap).collect();
    let removed =
        (!gaps.is_empty()).then(|| format!("{} were removed by kafka before they were read", gaps.join(", ")));
    let superseded =
        compacted.then(|| "records with a later one of the same key: cleanup.policy is compact".to_owned());
    let reasons: Vec<String> = removed.into_iter().chain(superseded).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

async fn mark(tx: &mut PgConnection, feed: &Feed, through: &[Through]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE stream_offsets o SET published_through = s.through, refreshed_id = o.last_id, catching_up = false
         FROM unnest($3::integer[], $4::bigint[]) AS s (partition, through)
         WHERE o.pipeline = $1 AND o.topic = $2 AND o.partition = s.partition
           AND (o.published_through IS DISTINCT FROM s.through OR o.refreshed_id <> o.last_id OR o.catching_up)",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(through.iter().map(|through| through.partition).collect::<Vec<i32>>())
    .bind(through.iter().map(|through| through.next_offset).collect::<Vec<Option<i64>>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores whether all is there, for who reads the tables; unchanged, nothing is written.
async fn note_coverage(tx: &mut PgConnection, feed: &Feed, coverage: &Coverage) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO stream_completeness AS kept (pipeline, topic, complete, missing) VALUES ($1, $2, $3, $4)
         ON CONFLICT (pipeline, topic) DO UPDATE
         SET complete = EXCLUDED.complete, missing = EXCLUDED.missing, changed_at = EXCLUDED.changed_at
         WHERE (kept.complete, kept.missing) IS DISTINCT FROM (EXCLUDED.complete, EXCLUDED.missing)",
    )
    .bind(feed.pipeline)
    .bind(&feed.topic)
    .bind(coverage.complete)
    .bind(&coverage.missing)
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
            last_id: 0,
            refreshed_id: 0,
        }
    }

    #[test]
    fn complete_means_every_partition_to_its_end() {
        let target = Target { ends: BTreeMap::from([(0, 10), (1, 0), (2, 5)]), last_ids: None, compacted: false };
        let check = |stored: &[Stored], expected| assert_eq!(target.is_reached(stored), expected, "{stored:?}");
        check(&[row(0, Some(10)), row(2, Some(5))], true);
        check(&[row(0, Some(12)), row(1, None), row(2, Some(5))], true);
        check(&[row(0, Some(10)), row(2, Some(4))], false);
        check(&[row(0, Some(10))], false);
        check(&[row(0, Some(10)), row(2, None)], false);
    }
    #[test]
    fn complete_means_that_every_fact_stored_by_then_is_told_and_no_later_one() {
        let mut target = Target { ends: BTreeMap::from([(0, 10), (1, 5)]), last_ids: None, compacted: false };
        let rows = |refreshed: [i64; 2], last: [i64; 2]| {
            let with = |row: Stored, at: usize| Stored { refreshed_id: refreshed[at], last_id: last[at], ..row };
            [with(row(0, Some(10)), 0), with(row(1, Some(5)), 1)]
        };
        assert!(!target.is_reached(&rows([7, 3], [7, 4])), "a fact of partition 1 waits for a refresh");
        target.note(&[row(0, Some(9)), row(1, Some(5))]);
        assert_eq!(target.last_ids, None, "partition 0 is not stored to its end");
        target.note(&rows([7, 3], [7, 4]));
        target.note(&rows([9, 3], [9, 9]));
        assert!(target.is_reached(&rows([9, 4], [9, 9])), "later facts do not count");
        assert!(!target.is_reached(&rows([9, 3], [9, 9])));
    }

    #[test]
    fn a_run_with_a_gap_is_not_complete_and_says_what_is_missing() {
        let gaps =
            [Gap { partition: 0, from_offset: 0, to_offset: 28 }, Gap { partition: 2, from_offset: 5, to_offset: 6 }];
        let removed =
            "offsets 0 to 27 of partition 0, offsets 5 to 5 of partition 2 were removed by kafka before they were read";
        let superseded = "records with a later one of the same key: cleanup.policy is compact";
        assert_eq!(missing(&[], false), None);
        assert_eq!(missing(&gaps, false).as_deref(), Some(removed));
        assert_eq!(missing(&[], true).as_deref(), Some(superseded));
        assert_eq!(missing(&gaps, true), Some(format!("{removed}; {superseded}")));
        let stored = [row(0, Some(40))];
        assert!(coverage(&stored, true, None).complete && !coverage(&stored, false, None).complete);
        assert!(!coverage(&stored, true, missing(&gaps, false)).complete);
    }
}

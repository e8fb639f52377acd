//! One PostgreSQL transaction a refresh: the state tables, and how far they go.

use std::time::{Duration, Instant};

use crate::{
    core::{
        check::{Refusal, check_refresh},
        refresh::{Refresh, coverage, missing},
    },
    pipeline::{Coverage, Pipeline, Published},
    postgres::statements::Statements,
};

/// What became of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refreshed {
    /// It is there, all at once.
    Done {
        /// What the pipeline says of it.
        report: Published,
        /// Whether the topic is told to the end seen at start, whether or not anything is missing before.
        at_end: bool,
        /// How far all partitions go.
        coverage: Coverage,
        /// How long the changed groups took; the rest is what needs all groups, and the commit.
        groups_took: Duration,
    },
    /// It is not there, and must not be.
    Refused(Refusal),
}

/// Refreshes in one transaction. Doing it again after an error is safe: what is there already is not written again.
///
/// # Errors
/// When PostgreSQL does not answer or refuses, or when the pipeline cannot conclude.
pub(crate) async fn refresh<P: Pipeline>(
    session: &mut impl Statements<P>,
    refresh: &Refresh<P>,
) -> anyhow::Result<Refreshed> {
    // READ COMMITTED: what follows the lock sees all that its last holder wrote.
    session.begin().await?;
    session.lock_refreshes().await?;
    let partitions: Vec<i32> = refresh.to.iter().map(|to| to.partition).collect();
    let stored = session.lock_partitions(&partitions).await?;
    if let Some(refusal) = check_refresh(&refresh.to, &stored) {
        session.rollback().await?;
        return Ok(Refreshed::Refused(refusal));
    }
    let began = Instant::now();
    let rows_written = session.upsert(&refresh.rows).await?;
    let groups_took = began.elapsed();
    session.mark_refreshed(&refresh.to).await?;
    let stored = session.partitions().await?;
    let at_end = refresh.target.is_reached_now(&stored);
    let missing = missing(&session.gaps().await?, refresh.target.compacted);
    let coverage = coverage(&stored, at_end, missing);
    session.note_coverage(&coverage).await?;
    let report = session.conclude(&coverage).await?;
    session.commit().await?;
    let rows_written = rows_written + report.rows_written;
    Ok(Refreshed::Done { report: Published { rows_written, ..report }, at_end, coverage, groups_took })
}

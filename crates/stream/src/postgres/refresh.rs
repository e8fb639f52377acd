//! One PostgreSQL transaction a refresh: the state tables, and how far they go.

use std::time::{Duration, Instant};

use crate::{
    core::{
        check::check_refresh,
        jobs::{JobOutcome, ShardOutcome},
        mutation::{self, Mutation},
        refresh::{PartitionProgress, Refresh, coverage, missing},
    },
    pipeline::{Coverage, Pipeline},
    postgres::{state::RefreshReport, statements::Statements},
};

/// What became of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refreshed {
    /// What became of each shard's part, by its number: those that are not refused are stored, all at once.
    pub shards: Vec<ShardOutcome<PartitionProgress>>,
    /// What the refresh did; `None` where all is refused.
    pub done: Option<Done>,
}

/// A refresh that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// What the pipeline says of it.
    pub report: RefreshReport,
    /// Whether the topic is refreshed to the end seen at start, whether or not anything is missing before.
    pub at_end: bool,
    /// How far all partitions go.
    pub coverage: Coverage,
    /// How long the changed groups took; the rest is what needs all groups, and the commit.
    pub groups_took: Duration,
}

/// Refreshes in one transaction, without the parts of shards that are not ours any more; not at all while another replica does.
/// Doing it again after an error is safe: what is stored already is not written again.
///
/// # Errors
/// When PostgreSQL does not answer or refuses, or when the pipeline cannot finish the global results.
pub(crate) async fn refresh<P: Pipeline>(
    session: &mut impl Statements<P>,
    refresh: &Refresh<P>,
) -> anyhow::Result<Refreshed> {
    // READ COMMITTED: statements after the lock see all that its last holder wrote. Nobody waits for the lock: batches
    // wait for this session.
    session.begin().await?;
    if !session.try_lock_refreshes().await? {
        session.rollback().await?;
        return Ok(Refreshed {
            shards: refresh.parts.iter().map(|part| (part.shard, JobOutcome::Void)).collect(),
            done: None,
        });
    }
    let partitions: Vec<i32> = refresh.parts.iter().flat_map(|part| &part.to).map(|to| to.partition).collect();
    let stored = session.lock_partitions(&partitions).await?;
    let (mut shards, mut accepted) = (Vec::with_capacity(refresh.parts.len()), Vec::new());
    for part in &refresh.parts {
        shards.push(match check_refresh(&part.to, &stored) {
            Some(refusal) => (part.shard, JobOutcome::Refused(refusal)),
            None => {
                accepted.push(part);
                (part.shard, JobOutcome::Stored(part.to.clone()))
            }
        });
    }
    if accepted.is_empty() && !shards.is_empty() {
        session.rollback().await?;
        return Ok(Refreshed { shards, done: None });
    }
    let began = Instant::now();
    let mut rows_written = 0;
    if accepted.iter().map(|part| part.rows.len()).sum::<usize>() == refresh.rows.len() {
        rows_written += session.upsert(&refresh.rows).await?;
    } else if !mutation::is(Mutation::OthersNotRefreshed) {
        for part in &accepted {
            rows_written += session.upsert(&refresh.rows[part.rows.clone()]).await?;
        }
    }
    let groups_took = began.elapsed();
    let to: Vec<PartitionProgress> = accepted.iter().flat_map(|part| &part.to).copied().collect();
    session.mark_refreshed(&to).await?;
    let stored = session.partitions().await?;
    let at_end = refresh.target.is_reached_now(&stored);
    let missing = missing(&session.gaps().await?, refresh.target.compacted);
    let coverage = coverage(&stored, at_end, missing);
    session.note_coverage(&coverage).await?;
    let report = session.refresh_global(rows_written, &coverage).await?;
    session.commit().await?;
    Ok(Refreshed { shards, done: Some(Done { report, at_end, coverage, groups_took }) })
}

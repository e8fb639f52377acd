//! One PostgreSQL transaction a refresh: the state tables, and how far they go.

use std::time::{Duration, Instant};

use crate::{
    Error,
    core::{
        check::check_refresh,
        cold::ColdName,
        flush::last_id,
        jobs::{JobOutcome, ShardOutcome},
        mutation::{self, Mutation},
        offsets::PartitionRow,
        refresh::{PartitionProgress, Refresh, RefreshPart, coverage, missing},
        segments::ID_SHIFT,
    },
    pipeline::{Coverage, Pipeline},
    postgres::{database::SqlResult, state::RefreshReport, statements::Statements},
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
    refresh: &mut Refresh<P>,
) -> anyhow::Result<Refreshed> {
    session.prepare_refresh(&refresh.rows).await?;
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
    for part in &mut refresh.parts {
        let refusal = check_refresh(&part.to, &stored);
        let outcome = refusal.map_or_else(|| JobOutcome::Stored(part.to.clone()), JobOutcome::Refused);
        let is_accepted = matches!(outcome, JobOutcome::Stored(_));
        shards.push((part.shard, outcome));
        if is_accepted {
            accepted.push(part);
        }
    }
    if accepted.is_empty() && !shards.is_empty() {
        session.rollback().await?;
        return Ok(Refreshed { shards, done: None });
    }
    let began = Instant::now();
    check_new(session, &accepted, &stored).await?;
    let forgets_rows = mutation::is(Mutation::FlushWithoutRows) && accepted.iter().any(|part| part.writes_cold_rows());
    let mut rows_written = 0;
    if accepted.iter().map(|part| part.rows.len()).sum::<usize>() == refresh.rows.len() && !forgets_rows {
        rows_written += session.upsert(&refresh.rows).await?;
    } else if !mutation::is(Mutation::OthersNotRefreshed) && !forgets_rows {
        for part in &accepted {
            rows_written += session.upsert(&refresh.rows[part.rows.clone()]).await?;
        }
    }
    for part in &mut accepted {
        flush(session, part, &stored).await?;
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

/// Checks that groups which are about to get their first row have none in the cold store. One that goes through the last id was
/// written by an earlier try.
async fn check_new<P: Pipeline>(
    session: &mut impl Statements<P>,
    parts: &[&mut RefreshPart],
    stored: &[PartitionRow],
) -> anyhow::Result<()> {
    let flushes = parts.iter().filter_map(|part| part.flush.as_ref());
    let new = flushes.flat_map(|flush| &flush.first).map(|(owner, name)| (name.clone(), last_id(stored, *owner)));
    let new: Vec<(ColdName, i64)> = new.collect();
    if !new.is_empty() && session.has_cold_rows(&new).await? {
        return Err(Error::GroupForgotten.into());
    }
    Ok(())
}

/// Writes what a shard has for the cold store.
async fn flush<P: Pipeline>(
    session: &mut impl Statements<P>,
    part: &mut RefreshPart,
    stored: &[PartitionRow],
) -> SqlResult<()> {
    let Some(flush) = &mut part.flush else { return Ok(()) };
    if flush.rows.len() > 0 {
        let beyond = if mutation::is(Mutation::ThroughTooFar) { 1 << (ID_SHIFT + 1) } else { 0 };
        flush.rows.finish(|owner| last_id(stored, owner) + beyond);
        session.write_cold_rows(&flush.rows).await?;
    }
    if !flush.times.is_empty() {
        session.store_times(&flush.times).await?;
    }
    if let Some(size_ms) = flush.size_ms.filter(|_| !flush.times.is_empty()) {
        // Nothing can come for them any more: what does is filtered.
        let keys: Vec<&str> = flush.times.iter().map(|(key, _)| &**key).collect();
        session.remove_cold_rows(&keys, size_ms).await?;
    }
    session.set_redo_from(&flush.redo_from(stored)).await?;
    if let Some(history_ms) = flush.history_ms {
        let owners: Vec<i32> = flush.needed.keys().copied().collect();
        session.remove_history(&owners, history_ms).await?;
    }
    Ok(())
}

//! The thread that talks to PostgreSQL: batches and refreshes, one after another, in order; each gets exactly one
//! answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Once,
    time::{Duration, Instant},
};

use ::metrics::{counter, gauge, histogram};
use service::telemetry::millis;

use crate::{
    Error, Pipeline,
    core::{
        batch::{Batch, Counts, Part},
        jobs::{Answer, Job, JobOutcome},
        refresh::Refresh,
        repartition::Moves,
    },
    metrics,
    postgres::{
        commit::{self, Committed},
        refresh::{self, Done},
        repartition,
        retry::{Postgres, Work},
        statements::{Server, Statements},
    },
};

/// A batch takes milliseconds, and less than this on any disk that is well.
const SAVING: Work = Work { doing: "saving a batch", limit: Duration::from_secs(30) };
/// No statement of a refresh takes longer than a minute; what is computed between them may.
const REFRESHING: Work = Work { doing: "refreshing", limit: Duration::from_secs(300) };
const READING: Work = Work { doing: "reading how far each partition is", limit: Duration::from_secs(15) };
const MOVING: Work = Work { doing: "moving groups to other partitions", limit: Duration::from_secs(600) };

/// What the writer needs to know.
pub(crate) struct Writer<D, F> {
    postgres: Postgres<D>,
    /// Takes the answers; `false` when nobody receives them any more.
    answer: F,
    /// Whether the log says where the rejects are; a topic of rubbish does not flood the log.
    rejects_named: Once,
    /// Whether the log says what is missing.
    gaps_named: Once,
}

impl<D, F: Fn(Answer) -> bool> Writer<D, F> {
    /// Stores where `postgres` is, and hands each answer to `answer`.
    pub(crate) fn new(postgres: Postgres<D>, answer: F) -> Self {
        Self { postgres, answer, rejects_named: Once::new(), gaps_named: Once::new() }
    }

    /// Does jobs until there are no more to come.
    pub(crate) async fn run<P: Pipeline>(self, mut jobs: tokio::sync::mpsc::Receiver<Job<P>>)
    where
        D: Server<P>,
    {
        let mut session = None;
        // What was sent of a shard after something of it was refused builds on what is not stored.
        let mut refused = BTreeSet::new();
        let mut next = None;
        loop {
            let Some(job) = (match next.take() {
                Some(job) => Some(job),
                None => jobs.recv().await,
            }) else {
                return;
            };
            let answer = match job {
                Job::Commit(batch) => {
                    let mut batches = vec![*batch];
                    next = join(&mut batches, &mut jobs);
                    self.commit(&mut session, &refused, batches).await
                }
                Job::Refresh(refresh) => self.refresh(&mut session, &refused, *refresh).await,
                Job::ReadProgress { number, keys } => self.read_progress(&mut session, number, keys).await,
                Job::Repartition { shard, .. } if refused.contains(&shard) => Ok(Answer::Repartition(JobOutcome::Void)),
                Job::Repartition { mut moves, .. } => self.repartition(&mut session, &mut moves).await,
            };
            match &answer {
                Ok(Answer::Batches { shards, .. }) => refused.extend(refused_of(shards)),
                Ok(Answer::Refresh { shards, .. }) => refused.extend(refused_of(shards)),
                _ => {}
            }
            let ends = answer.is_err();
            if !(self.answer)(answer.unwrap_or_else(Answer::Failed)) || ends {
                return;
            }
        }
    }

    async fn commit<P: Pipeline>(
        &self,
        session: &mut Option<D::Session>,
        refused: &BTreeSet<u64>,
        mut batches: Vec<Batch>,
    ) -> Result<Answer, Error>
    where
        D: Server<P>,
    {
        let (began, count) = (Instant::now(), batches.len());
        let is_void = |part: &mut Part| refused.contains(&part.shard);
        let void = batches.iter_mut().flat_map(|batch| batch.parts.extract_if(.., is_void)).map(|part| part.shard);
        let void: BTreeSet<u64> = void.collect();
        let mut shards: Vec<_> = void.into_iter().map(|shard| (shard, JobOutcome::Void)).collect();
        batches.retain(|batch| !batch.parts.is_empty());
        if !batches.is_empty() {
            let committing = self
                .postgres
                .retrying(SAVING, session, async |session| Ok(commit::commit(session, &mut batches).await?));
            let committed = committing.await?;
            self.report(P::NAME, &batches, &committed, began);
            shards.extend(committed);
        }
        Ok(Answer::Batches { count, shards })
    }

    /// Logs what is stored of batches.
    fn report(&self, feed: &'static str, batches: &[Batch], committed: &Committed, began: Instant) {
        let is_stored = |part: &&Part| {
            committed.iter().any(|(shard, outcome)| *shard == part.shard && matches!(outcome, JobOutcome::Stored(_)))
        };
        for batch in batches {
            let stored: Vec<&Part> = batch.parts.iter().filter(is_stored).collect();
            let counts = stored.iter().fold(Counts::default(), |sum, part| sum.plus(part.counts()));
            let number = batch.number.unwrap_or_default();
            if !stored.is_empty() {
                report_batch(feed, number, stored.iter().map(|part| part.records()).sum(), counts, began);
            }
            if counts.rejected > 0 {
                self.rejects_named.call_once(|| name_rejects(number, counts.rejected));
            }
        }
    }

    async fn refresh<P: Pipeline>(
        &self,
        session: &mut Option<D::Session>,
        refused: &BTreeSet<u64>,
        mut refresh: Refresh<P>,
    ) -> Result<Answer, Error>
    where
        D: Server<P>,
    {
        let began = Instant::now();
        let void = refresh.parts.extract_if(.., |part| refused.contains(&part.shard));
        let mut shards: Vec<_> = void.map(|part| (part.shard, JobOutcome::Void)).collect();
        if refresh.parts.is_empty() {
            return Ok(Answer::Refresh { shards, complete: false });
        }
        let refreshing =
            self.postgres.retrying(REFRESHING, session, async |session| refresh::refresh(session, &mut refresh).await);
        let refreshed = refreshing.await?;
        shards.extend(refreshed.shards);
        let complete = refreshed.done.as_ref().is_some_and(|done| done.at_end);
        if let Some(done) = refreshed.done {
            report_refresh(P::NAME, &done, began);
            if let Some(missing) = done.coverage.missing {
                self.gaps_named.call_once(|| tracing::warn!("no run is complete: {missing}"));
            }
        }
        Ok(Answer::Refresh { shards, complete })
    }

    async fn read_progress<P: Pipeline>(
        &self,
        session: &mut Option<D::Session>,
        number: u64,
        keys: Vec<String>,
    ) -> Result<Answer, Error>
    where
        D: Server<P>,
    {
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        let reading = self.postgres.retrying(READING, session, async |session| {
            let owners = if names.is_empty() { Vec::new() } else { session.owners(&names).await? };
            Ok((session.partitions().await?, owners))
        });
        let (stored, owned) = reading.await?;
        let mut owners: BTreeMap<String, Option<i32>> = keys.into_iter().map(|key| (key, None)).collect();
        owners.extend(owned.into_iter().map(|(key, owner)| (key, Some(owner))));
        Ok(Answer::Progress { number, stored, owners })
    }

    async fn repartition<P: Pipeline>(
        &self,
        session: &mut Option<D::Session>,
        moves: &mut Moves,
    ) -> Result<Answer, Error>
    where
        D: Server<P>,
    {
        let moving =
            self.postgres.retrying(MOVING, session, async |session| repartition::repartition(session, moves).await);
        // Not within the line: what is not logged is not done.
        let groups = moving.await?;
        tracing::info!(groups, "moved to the partitions their records come from");
        Ok(Answer::Repartition(JobOutcome::Stored(())))
    }
}

/// The shards of which something was refused.
fn refused_of<T>(shards: &[(u64, JobOutcome<T>)]) -> impl Iterator<Item = u64> {
    shards.iter().filter(|(_, outcome)| matches!(outcome, JobOutcome::Refused(_))).map(|(shard, _)| *shard)
}

/// Takes batches that wait already, to be stored in the same transaction: while one is made durable, others are ready.
/// Returns a job that is not such a batch.
fn join<P: Pipeline>(batches: &mut Vec<Batch>, jobs: &mut tokio::sync::mpsc::Receiver<Job<P>>) -> Option<Job<P>> {
    while let Ok(job) = jobs.try_recv() {
        match job {
            Job::Commit(batch) if batch.joins(batches) => batches.push(*batch),
            job => return Some(job),
        }
    }
    None
}

fn report_batch(feed: &'static str, number: i64, records: usize, counts: Counts, began: Instant) {
    let Counts { new, unchanged, corrected, filtered, rejected } = counts;
    histogram!(metrics::BATCH, "feed" => feed).record(began.elapsed().as_secs_f64());
    let by_outcome = [new, unchanged, corrected, filtered, rejected];
    for (outcome, records) in metrics::OUTCOMES.into_iter().zip(by_outcome) {
        counter!(metrics::RECORDS, "feed" => feed, "outcome" => outcome).increment(records.unsigned_abs());
    }
    counter!(metrics::REJECTS, "feed" => feed).increment(rejected.unsigned_abs());
    if records == 0 {
        return;
    }
    let commit_ms = millis(began.elapsed());
    tracing::info!(
        batch = number,
        records,
        new,
        unchanged,
        corrected,
        filtered,
        rejected,
        commit_ms,
        "batch {number} with {records} records saved to PostgreSQL"
    );
}

/// Says where the records are that the counts call rejected.
fn name_rejects(number: i64, rejected: i64) {
    tracing::warn!(
        batch = number,
        rejected,
        "the first records that cannot be used; table rejects keeps each of them, and its reason"
    );
}

fn report_refresh(feed: &'static str, Done { report, coverage, groups_took, .. }: &Done, began: Instant) {
    let ms = millis(began.elapsed());
    histogram!(metrics::REFRESH, "feed" => feed).record(began.elapsed().as_secs_f64());
    gauge!(metrics::LAST_REFRESH, "feed" => feed).set(metrics::unix_time());
    let (rows_written, groups_ms) = (report.rows_written, millis(*groups_took));
    match report.batch_id {
        Some(batch_id) => {
            gauge!(metrics::LAST_BATCH_ID, "feed" => feed).set(f64::from(batch_id));
            tracing::info!(
                batch_id,
                rows_written,
                groups_ms,
                refresh_ms = ms,
                "refreshed batch_id {batch_id} in {ms} ms: {}{}",
                report.summary,
                if coverage.complete { "" } else { ", so far" }
            );
        }
        None => {
            tracing::info!(rows_written, groups_ms, refresh_ms = ms, "nothing new to refresh: {}", report.summary);
        }
    }
}

//! The thread that talks to PostgreSQL: batches and refreshes, one after another, in order; each is answered exactly once.

use std::{
    sync::Once,
    time::{Duration, Instant},
};

use metrics::{counter, gauge, histogram};
use service::telemetry::millis;

use crate::{
    Error, Pipeline,
    core::{
        batch::{Batch, Counts, joined_ranges},
        jobs::{Answer, Job, Outcome, Task},
        refresh::Refresh,
        repartition::Moves,
    },
    measures,
    postgres::{
        commit::{self, Commit},
        refresh::{self, Refreshed},
        repartition,
        retry::{Postgres, Work},
        statements::{Server, Statements},
    },
};

/// A batch takes milliseconds, and less than this on any disk that is well.
const SAVING: Work = Work { doing: "saving a batch", limit: Duration::from_secs(30) };
/// No statement of a refresh takes longer than a minute; what is computed between them may.
const REFRESHING: Work = Work { doing: "publishing", limit: Duration::from_secs(300) };
const READING: Work = Work { doing: "reading how far each partition is", limit: Duration::from_secs(15) };
const MOVING: Work = Work { doing: "moving groups to other partitions", limit: Duration::from_secs(600) };

/// What the writer needs to know.
pub(crate) struct Writer<D, F> {
    postgres: Postgres<D>,
    /// Takes the answers; `false` when nobody hears them any more.
    answer: F,
    /// Whether it was said where the rejects are; a topic of rubbish does not flood the log.
    rejects_named: Once,
    /// Whether it was said what is missing.
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
        // The shard of which batches were refused last: what was sent of it afterwards builds on what is not stored.
        let mut refused = None;
        let mut next = None;
        loop {
            let Some(Job { shard, task }) = (match next.take() {
                Some(job) => Some(job),
                None => jobs.recv().await,
            }) else {
                return;
            };
            let is_void = refused == Some(shard);
            let answer = match task {
                Task::Commit(_) if is_void => Ok(Answer::Batches { shard, count: 1, outcome: Outcome::Void }),
                Task::Refresh(_) if is_void => Ok(Answer::Refresh { shard, outcome: Outcome::Void }),
                Task::Repartition(_) if is_void => Ok(Answer::Repartition { shard, outcome: Outcome::Void }),
                Task::Commit(batch) => {
                    let mut batches = vec![*batch];
                    next = join(&mut batches, shard, &mut jobs);
                    self.commit(&mut session, shard, batches).await
                }
                Task::Refresh(refresh) => self.refresh(&mut session, shard, &refresh).await,
                Task::ReadPartitions { number } => self.read_partitions(&mut session, number).await,
                Task::Repartition(mut moves) => self.repartition(&mut session, shard, &mut moves).await,
            };
            if let Ok(Answer::Batches { outcome: Outcome::Refused(_), .. }) = &answer {
                refused = Some(shard);
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
        shard: u64,
        mut batches: Vec<Batch>,
    ) -> Result<Answer, Error>
    where
        D: Server<P>,
    {
        let began = Instant::now();
        let committing =
            self.postgres.retrying(SAVING, session, async |session| Ok(commit::commit(session, &mut batches).await?));
        let outcome = match committing.await? {
            Commit::Stored => {
                batches.iter().for_each(|batch| report_batch(batch, began));
                if let Some(batch) = batches.iter().find(|batch| batch.counts().rejected > 0) {
                    self.rejects_named.call_once(|| name_rejects(batch));
                }
                Outcome::Stored(joined_ranges(&batches).iter().map(|range| (range.partition, range.end)).collect())
            }
            Commit::Refused(refusal) => Outcome::Refused(refusal),
        };
        Ok(Answer::Batches { shard, count: batches.len(), outcome })
    }

    async fn refresh<P: Pipeline>(
        &self,
        session: &mut Option<D::Session>,
        shard: u64,
        refresh: &Refresh<P>,
    ) -> Result<Answer, Error>
    where
        D: Server<P>,
    {
        let began = Instant::now();
        let refreshing =
            self.postgres.retrying(REFRESHING, session, async |session| refresh::refresh(session, refresh).await);
        let outcome = match refreshing.await? {
            Refreshed::Done { report, at_end, coverage, groups_took } => {
                report_refresh(&report, groups_took, began);
                if let Some(missing) = coverage.missing {
                    self.gaps_named.call_once(|| tracing::warn!("no run is complete: {missing}"));
                }
                Outcome::Stored((refresh.to.clone(), at_end))
            }
            Refreshed::Refused(refusal) => Outcome::Refused(refusal),
        };
        Ok(Answer::Refresh { shard, outcome })
    }

    async fn read_partitions<P: Pipeline>(&self, session: &mut Option<D::Session>, number: u64) -> Result<Answer, Error>
    where
        D: Server<P>,
    {
        let reading = self.postgres.retrying(READING, session, async |session| Ok(session.partitions().await?));
        Ok(Answer::Partitions { number, stored: reading.await? })
    }

    async fn repartition<P: Pipeline>(
        &self,
        session: &mut Option<D::Session>,
        shard: u64,
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
        Ok(Answer::Repartition { shard, outcome: Outcome::Stored(()) })
    }
}

/// Takes batches that wait already, to be stored in the same transaction: while one is made durable, others are ready.
/// Gives back a job that is no such batch.
fn join<P: Pipeline>(
    batches: &mut Vec<Batch>,
    shard: u64,
    jobs: &mut tokio::sync::mpsc::Receiver<Job<P>>,
) -> Option<Job<P>> {
    while let Ok(job) = jobs.try_recv() {
        match job.task {
            Task::Commit(batch) if job.shard == shard && batch.joins(batches) => batches.push(*batch),
            task => return Some(Job { shard: job.shard, task }),
        }
    }
    None
}

fn report_batch(batch: &Batch, began: Instant) {
    let Counts { new, unchanged, corrected, filtered, rejected } = batch.counts();
    histogram!(measures::BATCH).record(began.elapsed().as_secs_f64());
    let counts = [new, unchanged, corrected, filtered, rejected];
    for (outcome, records) in measures::OUTCOMES.into_iter().zip(counts) {
        counter!(measures::RECORDS, "outcome" => outcome).increment(records.unsigned_abs());
    }
    counter!(measures::REJECTS).increment(rejected.unsigned_abs());
    if batch.records() == 0 {
        return;
    }
    let number = batch.number.unwrap_or_default();
    let commit_ms = millis(began.elapsed());
    let records = batch.records();
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
fn name_rejects(batch: &Batch) {
    let number = batch.number.unwrap_or_default();
    let rejected = batch.counts().rejected;
    tracing::warn!(
        batch = number,
        rejected,
        "the first records that cannot be used; table rejects keeps each of them, and its reason"
    );
}

fn report_refresh(report: &crate::Published, groups_took: Duration, began: Instant) {
    let ms = millis(began.elapsed());
    histogram!(measures::PUBLISH).record(began.elapsed().as_secs_f64());
    gauge!(measures::LAST_PUBLICATION).set(measures::unix_time());
    let (rows_written, groups_ms) = (report.rows_written, millis(groups_took));
    match report.batch_id {
        Some(batch_id) => {
            gauge!(measures::LAST_BATCH_ID).set(f64::from(batch_id));
            tracing::info!(
                batch_id,
                rows_written,
                groups_ms,
                publish_ms = ms,
                "published batch_id {batch_id} in {ms} ms: {}",
                report.summary
            );
        }
        None => {
            tracing::info!(rows_written, groups_ms, publish_ms = ms, "nothing new to publish: {}", report.summary);
        }
    }
}

//! The thread that talks to Postgres: batches and publications, one after another, in order.

use std::{
    sync::{Arc, Once, mpsc},
    time::{Duration, Instant},
};

use metrics::{counter, gauge, histogram};
use service::telemetry::millis;
use sqlx::PgConnection;

use crate::{
    Error, Pipeline,
    batch::{self, Batch, Counts},
    changelog::{self, Commit, Standing},
    claims, measures,
    offsets::{Feed, Stored},
    publication::{self, Outcome, Publication, Through},
    rehome::{self, Moves},
    retry::{Postgres, Work},
};

/// A batch takes milliseconds, and less than this on any disk that is well.
const SAVING: Work = Work { doing: "saving a batch", limit: Duration::from_secs(30) };
/// No statement of a refresh takes longer than a minute; what is computed between them may.
const PUBLISHING: Work = Work { doing: "publishing", limit: Duration::from_secs(300) };
const SURVEYING: Work = Work { doing: "reading how far each partition is", limit: Duration::from_secs(15) };
const MOVING: Work = Work { doing: "moving groups to other partitions", limit: Duration::from_secs(600) };

/// What the reading thread asks for. Jobs of a term that was refused are dropped unread: they
/// build on memory that is void.
pub struct Job<P: Pipeline> {
    /// Counts how often the reading thread began anew.
    pub term: u64,
    /// What is to be done.
    pub task: Task<P>,
}

/// One thing to do.
pub enum Task<P: Pipeline> {
    /// Store a batch.
    Commit(Box<Batch>),
    /// Publish.
    Publish(Box<Publication<P>>),
    /// Tell where every partition of the topic stands.
    Survey {
        /// Names it, for the answer.
        number: u64,
    },
    /// Move groups to the partitions their records come from.
    Rehome(Box<Moves>),
}

/// What the reading thread hears back.
#[derive(Debug)]
pub enum Event {
    /// Batches are stored.
    Committed {
        /// How many.
        batches: usize,
        /// `(partition, next offset)`.
        offsets: Vec<(i32, i64)>,
    },
    /// A publication is there.
    Published {
        /// How far it goes.
        through: Vec<Through>,
        /// Whether every partition of the topic is published to the end seen at start.
        complete: bool,
    },
    /// Where every partition stands.
    Surveyed {
        /// The survey's number.
        number: u64,
        /// The rows, in order.
        stored: Vec<Stored>,
    },
    /// The groups are moved.
    Rehomed,
    /// What was asked for in this term must not be done; memory has to be loaded again.
    Refused {
        /// The term.
        term: u64,
        /// Why.
        standing: Standing,
    },
    /// A route's home is owned by another consumer; the term is over.
    Homeless {
        /// The term.
        term: u64,
        /// The error to show.
        error: Error,
    },
    /// The end: retries are used up, or there is nothing to retry.
    Failed(Error),
}

/// What the writer needs to know.
pub struct Writer<P: Pipeline> {
    /// The dataset.
    pub pipeline: Arc<P>,
    /// Topic and changelog.
    pub feed: Arc<Feed>,
    /// Where and how it is stored.
    pub postgres: Postgres,
    /// The id of the Kafka cluster, stored with the offsets.
    pub cluster_id: Option<String>,
    /// Where answers go.
    pub events: mpsc::Sender<Event>,
    /// Whether it was said where the rejects are; a topic of rubbish does not flood the log.
    pub rejects_named: Once,
    /// Whether it was said what is missing.
    pub gaps_named: Once,
}

impl<P: Pipeline> Writer<P> {
    /// Does jobs until there are no more to come.
    pub async fn run(self, mut jobs: tokio::sync::mpsc::Receiver<Job<P>>) {
        let mut session = None;
        let mut void = None;
        let mut next = None;
        loop {
            let Some(Job { term, task }) = (match next.take() {
                Some(job) => Some(job),
                None => jobs.recv().await,
            }) else {
                return;
            };
            if void == Some(term) {
                continue;
            }
            let event = match task {
                Task::Commit(batch) => {
                    let mut batches = vec![*batch];
                    next = join(&mut batches, term, &mut jobs);
                    self.commit(&mut session, term, batches).await
                }
                Task::Publish(publication) => self.publish(&mut session, term, &publication).await,
                Task::Survey { number } => self.survey(&mut session, number).await,
                Task::Rehome(mut moves) => self.rehome(&mut session, &mut moves).await,
            };
            let event = event.unwrap_or_else(Event::Failed);
            if matches!(event, Event::Refused { .. } | Event::Homeless { .. } | Event::Failed(_)) {
                void = Some(term);
            }
            if self.events.send(event).is_err() {
                return;
            }
        }
    }

    async fn commit(
        &self,
        session: &mut Option<PgConnection>,
        term: u64,
        mut batches: Vec<Batch>,
    ) -> Result<Event, Error> {
        let began = Instant::now();
        let feed = (&*self.feed, self.cluster_id.as_deref());
        let commit = self
            .postgres
            .retrying(SAVING, session, async |connection| Ok(changelog::commit(connection, feed, &mut batches).await?));
        let commit = commit.await?;
        Ok(match commit {
            Commit::Stored => {
                batches.iter().for_each(|batch| report_batch(batch, began));
                if let Some(batch) = batches.iter().find(|batch| batch.counts().rejected > 0) {
                    self.rejects_named.call_once(|| name_rejects(batch));
                }
                let offsets = batch::whole(&batches).iter().map(|span| (span.partition, span.to)).collect();
                Event::Committed { batches: batches.len(), offsets }
            }
            Commit::Refused(standing) => Event::Refused { term, standing },
            Commit::Homeless { route, home, partition } => {
                Event::Homeless { term, error: Error::Homeless { route, home, partition } }
            }
        })
    }

    async fn publish(
        &self,
        session: &mut Option<PgConnection>,
        term: u64,
        publication: &Publication<P>,
    ) -> Result<Event, Error> {
        let began = Instant::now();
        let what = (&*self.pipeline, &*self.feed);
        let publishing = self.postgres.retrying(PUBLISHING, session, async |connection| {
            publication::publish(connection, what, publication).await
        });
        let outcome = publishing.await?;
        Ok(match outcome {
            Outcome::Published { report, at_end, coverage, groups_took } => {
                report_publication(&report, groups_took, began);
                if let Some(missing) = coverage.missing {
                    self.gaps_named.call_once(|| tracing::warn!("no run is complete: {missing}"));
                }
                Event::Published { through: publication.through.clone(), complete: at_end }
            }
            Outcome::Refused(standing) => Event::Refused { term, standing },
        })
    }

    async fn survey(&self, session: &mut Option<PgConnection>, number: u64) -> Result<Event, Error> {
        let surveying = self
            .postgres
            .retrying(SURVEYING, session, async |connection| Ok(claims::survey(connection, &self.feed).await?));
        Ok(Event::Surveyed { number, stored: surveying.await? })
    }

    async fn rehome(&self, session: &mut Option<PgConnection>, moves: &mut Moves) -> Result<Event, Error> {
        let moving = self
            .postgres
            .retrying(MOVING, session, async |connection| rehome::store(connection, &self.feed, moves).await);
        moving.await?;
        Ok(Event::Rehomed)
    }
}

/// Takes batches that wait already, to be stored in the same transaction: while one is made durable, others are ready.
/// Gives back a job that is no such batch.
fn join<P: Pipeline>(
    batches: &mut Vec<Batch>,
    term: u64,
    jobs: &mut tokio::sync::mpsc::Receiver<Job<P>>,
) -> Option<Job<P>> {
    while let Ok(job) = jobs.try_recv() {
        match job.task {
            Task::Commit(batch) if job.term == term && batch.joins(batches) => batches.push(*batch),
            task => return Some(Job { term: job.term, task }),
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

fn report_publication(report: &crate::Published, groups_took: Duration, began: Instant) {
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

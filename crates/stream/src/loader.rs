//! Claiming partitions and reading their facts back, beside the reading thread.

use std::sync::Arc;

use futures::TryStreamExt;
use service::{
    backoff::Backoff,
    postgres::{is_transient, plain},
    telemetry::millis,
};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    Error, claims,
    database::Database,
    load,
    offsets::{Feed, Stored},
    settings::ConsumeSettings,
};

/// Pieces on their way to the reading thread: enough to keep both sides busy, few enough to bound memory.
const QUEUE: usize = 4;

/// What a load brings, in this order; `Begin` again after a connection was lost.
#[derive(Debug)]
pub enum Loaded {
    /// Whatever was loaded before is void.
    Begin,
    /// Routes and the partitions they live in.
    Homes(Vec<(String, i32)>),
    /// Bytes of a binary COPY of changelog rows.
    Piece(Vec<u8>),
    /// All is there; this is where each partition stands.
    Ready(Vec<Stored>),
    /// It cannot be done.
    Failed(Error),
}

/// What every load needs to know.
#[derive(Clone, Debug)]
pub struct Loader {
    /// Where the facts are.
    pub database: Database,
    /// Which facts.
    pub feed: Arc<Feed>,
    /// Who claims.
    pub owner: String,
    /// How long Postgres may be away.
    pub settings: Arc<ConsumeSettings>,
}

/// A load under way; dropping it ends it.
#[derive(Debug)]
pub struct Load {
    /// The partitions that are loaded.
    pub partitions: Vec<i32>,
    /// What it brings.
    pub loaded: mpsc::Receiver<Loaded>,
    task: JoinHandle<()>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Loader {
    /// Begins to claim and load partitions.
    pub fn load(&self, runtime: &tokio::runtime::Handle, partitions: Vec<i32>) -> Load {
        let (sender, loaded) = mpsc::channel(QUEUE);
        let (loader, numbers) = (self.clone(), partitions.clone());
        let task = runtime.spawn(async move {
            let last = match loader.persist(&numbers, &sender).await {
                Ok(stored) => Loaded::Ready(stored),
                Err(error) => Loaded::Failed(error),
            };
            // When nobody listens any more the load was given up.
            let _ = sender.send(last).await;
        });
        Load { partitions, loaded, task }
    }

    async fn persist(&self, partitions: &[i32], sender: &mpsc::Sender<Loaded>) -> Result<Vec<Stored>, Error> {
        let doing = "claiming partitions and loading their facts";
        let mut backoff = Backoff::new(self.settings.away);
        loop {
            let source = match self.once(partitions, sender).await {
                Ok(Once::Done(stored)) => return Ok(stored),
                Ok(Once::OtherTopic(other)) => {
                    return Err(Error::OtherTopic { topic: self.feed.topic.clone(), other });
                }
                Err(error) if is_transient(&error) => error,
                Err(source) => return Err(Error::Postgres { doing, source }),
            };
            match backoff.wait() {
                Some(wait) => {
                    tracing::warn!(
                        error = plain(&source),
                        retry_in_ms = millis(wait),
                        "{doing} failed and will be retried"
                    );
                    tokio::time::sleep(wait).await;
                }
                None => return Err(Error::PostgresAway { doing, waited: backoff.elapsed(), source }),
            }
        }
    }

    async fn once(&self, partitions: &[i32], sender: &mpsc::Sender<Loaded>) -> Result<Once, sqlx::Error> {
        let connection = &mut self.database.connect().await?;
        if let Some(other) = claims::other_topic(connection, &self.feed).await? {
            return Ok(Once::OtherTopic(other));
        }
        let stored = claims::claim(connection, &self.feed, (&self.owner, partitions)).await?;
        hand_over(sender, Loaded::Begin).await?;
        hand_over(sender, Loaded::Homes(load::homes(connection, &self.feed, partitions).await?)).await?;
        let mut pieces = std::pin::pin!(load::facts(connection, &self.feed, partitions).await?);
        while let Some(piece) = pieces.try_next().await? {
            hand_over(sender, Loaded::Piece(piece)).await?;
        }
        Ok(Once::Done(stored))
    }
}

/// What one try came to.
enum Once {
    /// All was handed over; this is where each partition stands.
    Done(Vec<Stored>),
    /// The database holds facts of this topic.
    OtherTopic(String),
}

async fn hand_over(sender: &mpsc::Sender<Loaded>, loaded: Loaded) -> Result<(), sqlx::Error> {
    // The receiver is gone only when this task is about to be aborted.
    sender.send(loaded).await.map_err(|_| sqlx::Error::WorkerCrashed)
}

//! Claiming partitions and reading their facts back, beside the reading thread.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::TryStreamExt;
use sqlx::PgConnection;
use tokio::sync::mpsc;

use crate::{
    Error, claims,
    claims::{Claim, Forget},
    database::answered,
    load,
    offsets::{Feed, Stored},
    retry::{Postgres, Work},
};

/// Pieces on their way to the reading thread: enough to keep both sides busy, few enough to bound memory.
const QUEUE: usize = 4;

/// As long as the server may take for the facts; what is sent meanwhile is bounded by [`PIECE`].
const LOADING: Work =
    Work { doing: "claiming partitions and loading their facts", limit: Duration::from_secs(2 * 60 * 60) };
/// How long the claim, and each next answer of a load, may take: a minute is the server's own limit.
const PIECE: Duration = Duration::from_secs(75);

/// What a load brings, in this order; `Begin` again after a connection was lost.
#[derive(Debug)]
pub enum Loaded {
    /// The partitions are claimed, and this is where each stands. Whatever was loaded before is void.
    Begin(Vec<Stored>),
    /// Routes and the partitions they live in.
    Homes(Vec<(String, i32)>),
    /// Bytes of a binary COPY of changelog rows.
    Piece(Vec<u8>),
    /// All is there.
    Ready,
    /// It cannot be done.
    Failed(Error),
}

/// What every load needs to know.
#[derive(Clone, Debug)]
pub struct Loader {
    /// Where the facts are.
    pub postgres: Postgres,
    /// Which facts.
    pub feed: Arc<Feed>,
    /// Who claims.
    pub owner: String,
}

/// A load under way; dropping it ends it.
#[derive(Debug)]
pub struct Load {
    /// The partitions that are loaded.
    pub partitions: Vec<i32>,
    /// What it brings.
    pub loaded: mpsc::Receiver<Loaded>,
}

impl Loader {
    /// Begins to claim and load partitions, on a thread of its own. The offsets of those in `forget` are forgotten with the
    /// claim, see [`claims::claim`].
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn load(
        &self,
        runtime: &tokio::runtime::Handle,
        partitions: Vec<i32>,
        forget: &BTreeMap<i32, Forget>,
    ) -> Result<Load, Error> {
        let (sender, loaded) = mpsc::channel(QUEUE);
        let (loader, runtime) = (self.clone(), runtime.clone());
        let claim = Claim { owner: self.owner.clone(), partitions: partitions.clone(), forget: forget.clone() };
        let work = move || {
            runtime.block_on(async {
                let last = loader.run(&claim, &sender).await.map_or_else(Loaded::Failed, |()| Loaded::Ready);
                // When nobody listens any more the load was given up.
                let _ = sender.send(last).await;
            });
        };
        let started = std::thread::Builder::new().name("loader".to_owned()).spawn(work).map(drop);
        started.map_err(|source| Error::Thread { name: "loader", source })?;
        Ok(Load { partitions, loaded })
    }

    /// Loads until all is handed over, or nobody listens any more.
    async fn run(&self, claim: &Claim, sender: &mpsc::Sender<Loaded>) -> Result<(), Error> {
        let mut session = None;
        let loading = self
            .postgres
            .retrying(LOADING, &mut session, async |connection| self.load_once(connection, claim, sender).await);
        tokio::select! {
            loaded = loading => loaded,
            () = sender.closed() => Ok(()),
        }
    }

    async fn load_once(
        &self,
        connection: &mut PgConnection,
        claim: &Claim,
        sender: &mpsc::Sender<Loaded>,
    ) -> anyhow::Result<()> {
        if let Some(other) = claims::other_topic(connection, &self.feed).await? {
            return Err(Error::OtherTopic { topic: self.feed.topic.clone(), other }.into());
        }
        sender.send(Loaded::Begin(answered(PIECE, claims::claim(connection, &self.feed, claim)).await?)).await?;
        let homes = answered(PIECE, load::homes(connection, &self.feed, &claim.partitions)).await?;
        sender.send(Loaded::Homes(homes)).await?;
        let mut pieces = std::pin::pin!(answered(PIECE, load::facts(connection, &self.feed, &claim.partitions)).await?);
        while let Some(piece) = answered(PIECE, pieces.try_next()).await? {
            sender.send(Loaded::Piece(piece)).await?;
        }
        Ok(())
    }
}

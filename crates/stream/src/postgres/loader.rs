//! Claiming partitions and reading their facts back, next to the thread that polls Kafka: a thread and a connection a
//! load.

use std::time::Duration;

use crate::{
    Error, Pipeline,
    core::{
        jobs::{Load, Loaded, LoadedShard},
        offsets::{Feed, PartitionRow},
    },
    memory_limit,
    pipeline::{Residency, Windows},
    postgres::{
        claims, load,
        retry::{Postgres, Work},
        statements::{Server, Statements},
    },
};

/// What is done, in words.
const DOING: &str = "claiming partitions and loading their facts";
/// A claim waits for commits under way at most.
const CLAIMING: Work = Work { doing: DOING, limit: Duration::from_secs(75) };
/// As long as the server may take for the facts; how long each of its messages may take is bounded as well.
const LOADING: Work = Work { doing: DOING, limit: Duration::from_secs(2 * 60 * 60) };

/// What every load needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Loader<D> {
    postgres: Postgres<D>,
    /// Who claims: host and process.
    owner: String,
    topic: String,
    /// Which groups leave memory.
    residency: Residency,
    /// What views need of the settings.
    noted: Vec<(&'static str, String)>,
    /// The most memory the process may use.
    memory_limit_mib: Option<u64>,
}

impl<D> Loader<D> {
    /// Loads from where `postgres` is, for `owner`.
    pub(crate) fn new(
        postgres: Postgres<D>,
        owner: String,
        feed: &Feed,
        residency: Residency,
        noted: Vec<(&'static str, String)>,
        memory_limit_mib: Option<u64>,
    ) -> Self {
        Self { postgres, owner, topic: feed.topic.clone(), residency, noted, memory_limit_mib }
    }

    /// Claims partitions and, once that is committed and `claimed` was called, loads what belongs to them.
    ///
    /// # Errors
    /// See [`Postgres::retrying`].
    pub(crate) async fn run<P: Pipeline>(&self, load: &Load, claimed: impl FnOnce()) -> Result<Loaded<P>, Error>
    where
        D: Server<P>,
    {
        let mut session = None;
        let claiming = self.postgres.retrying(CLAIMING, &mut session, async |session| {
            if let Some(other) = session.other_topic().await? {
                return Err(Error::OtherTopic { topic: self.topic.clone(), other }.into());
            }
            if let Residency::Windows(windows) = self.residency {
                fix_windows(session, &windows).await?;
            }
            if !self.noted.is_empty() {
                session.note_settings(&self.noted).await?;
            }
            Ok(claims::claim(session, &load.claim, &self.owner).await?)
        });
        let (stored, spread) = claiming.await?;
        claimed();
        if spread && !load.claim.as_one {
            return Ok(Loaded::Spread);
        }
        let check = || memory_limit::check(self.memory_limit_mib);
        let loading = self.postgres.retrying(LOADING, &mut session, async |session| {
            load::load(session, self.residency, &load.shards, &stored, check).await
        });
        let shards = load.shards.iter().zip(loading.await?).map(|(partitions, groups)| {
            let is_of = |stored: &&PartitionRow| partitions.contains(&stored.partition);
            LoadedShard {
                partitions: partitions.clone(),
                stored: stored.iter().filter(is_of).cloned().collect(),
                groups,
            }
        });
        Ok(Loaded::Shards(shards.collect()))
    }
}

/// Stores the size of the windows, the first time: it gives groups their meaning.
async fn fix_windows<P: Pipeline>(session: &mut impl Statements<P>, windows: &Windows) -> anyhow::Result<()> {
    let settings = [("window_size_ms", windows.size_ms.to_string())];
    match session.fix_settings(&settings).await?.pop() {
        Some((name, stored)) => Err(Error::SettingFixed { name, stored, given: settings[0].1.clone() }.into()),
        None => Ok(()),
    }
}

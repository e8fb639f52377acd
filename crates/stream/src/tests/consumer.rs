//! A consumer without Kafka: it claims, loads, folds and stores as the real one does, one step at a time.

use std::{slice, sync::Arc};

use sqlx::{Connection, FromRow, PgConnection, postgres::PgRow};
use testkit::TestDatabase;

use crate::{
    Pipeline,
    core::{
        Message,
        batch::{Batch, Part},
        check::Refusal,
        cursor::{Cursor, Cursors, Start, Verdict},
        jobs::{Claim, JobOutcome, StoredParts},
        keys::KeyRow,
        offsets::Feed,
        refresh::{PartitionProgress, Refresh, Target},
        shard::Memory,
        windows::KeyTimes,
    },
    database::Database,
    pipeline::Residency,
    postgres::{
        claims, commit, load, refresh,
        session::{PgServer, PgSession},
        statements::Server,
    },
    tests::tiny::{SCHEMA, Tiny},
};

pub(crate) const TOPIC: &str = "t";

/// A database with the tables of `stream` and of the tiny pipeline.
pub(crate) struct Tables {
    pub(crate) database: TestDatabase,
}

impl Tables {
    pub(crate) async fn create() -> Self {
        let tables = Self { database: TestDatabase::create_with(&["stream"]).await.unwrap() };
        let mut connection = tables.connect().await;
        let feeds = "INSERT INTO feeds (feed, identity, database_oid)
                     SELECT feed, gen_random_uuid(), 0 FROM unnest('{tiny,tiny-second}'::text[]) AS feed";
        sqlx::raw_sql(feeds).execute(&mut connection).await.unwrap();
        sqlx::raw_sql(SCHEMA).execute(&mut connection).await.unwrap();
        tables
    }

    /// The server as the real consumer sees it.
    pub(crate) fn server(&self) -> PgServer<Tiny> {
        let database = Database::new(self.database.url().parse().unwrap());
        PgServer { database, pipeline: Arc::new(Tiny::default()), feed: Arc::new(feed()) }
    }

    /// A connection with the session settings of the real consumer.
    pub(crate) async fn connect(&self) -> PgConnection {
        Database::new(self.database.url().parse().unwrap()).connect().await.unwrap()
    }

    pub(crate) async fn query<R>(&self, sql: &'static str) -> Vec<R>
    where
        R: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        let mut connection = PgConnection::connect(&self.database.url()).await.unwrap();
        sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap()
    }

    /// The changelog in the order in which facts were learnt: owner partition, partition, offset, and the fact as it
    /// was sent.
    pub(crate) async fn changelog(&self) -> Vec<(i32, i32, i64, String)> {
        self.query(
            r#"SELECT owner_partition, partition, "offset", concat_ws(' ', grp, key, value) FROM tiny_changelog ORDER BY id"#,
        )
        .await
    }

    /// Per partition: the next offset, and the records accounted for.
    pub(crate) async fn accounting(&self) -> Vec<(i32, i64, i64)> {
        self.query(
            "SELECT partition, next_offset, sum(read)::bigint FROM stream_offsets JOIN ingest_accounting USING (partition)
             GROUP BY partition, next_offset ORDER BY partition",
        )
        .await
    }

    pub(crate) async fn groups(&self) -> Vec<(String, String)> {
        self.query("SELECT grp, facts FROM tiny_groups ORDER BY grp").await
    }
}

pub(crate) fn feed() -> Feed {
    let cluster_id = Some("cluster".to_owned());
    Feed { name: Tiny::NAME, topic: TOPIC.to_owned(), cluster_id }
}

/// The number of the only fetch.
const FETCH: u64 = 1;

/// A message of the topic.
pub(crate) fn message(partition: i32, offset: i64, value: Option<&[u8]>) -> Message<'_> {
    Message { partition, offset, timestamp_ms: 1_000 + offset, key: Some(b"key"), value }
}

/// One replica, which reads all of its partitions as one shard.
pub(crate) struct Consumer {
    pub(crate) session: PgSession<Tiny>,
    pub(crate) memory: Memory<Tiny>,
}

/// Keys and their owners, as they are stored.
pub(crate) fn key_rows(owners: impl IntoIterator<Item = (String, i32)>) -> Vec<KeyRow> {
    owners.into_iter().map(|(key, owner)| KeyRow { key, owner, times: KeyTimes::default() }).collect()
}

/// Of a batch with the number 1, what of a shard is stored in it.
pub(crate) fn stored(offsets: Vec<(i32, i64)>) -> JobOutcome<StoredParts> {
    JobOutcome::Stored(StoredParts { offsets, numbers: vec![1] })
}

/// The number of its shard.
pub(crate) const SHARD: u64 = 1;

impl Consumer {
    /// Claims partitions and loads what belongs to them.
    pub(crate) async fn start(tables: &Tables, partitions: &[i32]) -> Self {
        let mut session = tables.server().connect().await.unwrap();
        let claim = Claim { partitions: partitions.to_vec(), ..Claim::default() };
        let (stored, _) = claims::claim(&mut session, &claim, "a test").await.unwrap();
        let mut loaded =
            load::load(&mut session, Residency::Memory, &[partitions.to_vec()], &stored, || Ok(())).await.unwrap();
        let mut cursors = Cursors::default();
        for stored in stored {
            let start = Start { offset: stored.next_offset.unwrap_or(0), checked: false, stable: 0 };
            cursors.insert(stored.partition, Cursor::new(&stored, start, FETCH).unwrap());
        }
        let memory = Memory { cursors, groups: loaded.remove(0), open: Part::new(SHARD, &Tiny::CHANGELOG) };
        Self { session, memory }
    }

    /// Takes a message in.
    pub(crate) fn take(&mut self, message: &Message<'_>) -> Verdict {
        self.memory.take(&Tiny::default(), TOPIC, FETCH, message, |_| true)
    }

    /// What was read since the last one.
    pub(crate) fn take_batch(&mut self) -> Batch {
        Batch { number: None, parts: vec![self.memory.take_part().unwrap()] }
    }

    /// Reads values from a partition, the first of them at `offset`, into a batch.
    pub(crate) fn batch(&mut self, partition: i32, offset: i64, values: &[&str]) -> Batch {
        for (offset, value) in (offset..).zip(values) {
            let verdict = self.take(&message(partition, offset, Some(value.as_bytes())));
            assert!(matches!(verdict, Verdict::Apply(_)), "{verdict:?}");
        }
        self.take_batch()
    }

    /// Stores a batch; else why it must not be.
    pub(crate) async fn commit(&mut self, batch: &mut Batch) -> Result<(), Refusal> {
        let committed = commit::commit(&mut self.session, slice::from_mut(batch)).await.unwrap();
        only(committed).map(drop)
    }

    /// Reads and stores.
    pub(crate) async fn carry(&mut self, partition: i32, offset: i64, values: &[&str]) -> Result<(), Refusal> {
        let mut batch = self.batch(partition, offset, values);
        self.commit(&mut batch).await
    }

    /// The refresh of all that was sent.
    pub(crate) fn next_refresh(&mut self) -> Refresh<Tiny> {
        let mut refresh = Refresh::new(Target::default());
        refresh.add(
            SHARD,
            self.memory.groups.begin_refresh(&Tiny::default()),
            self.memory.cursors.refreshed_to(),
            None,
        );
        refresh
    }

    /// Executes a refresh; returns what becomes of each shard's part.
    pub(crate) async fn refresh_parts(
        &mut self,
        refresh: &mut Refresh<Tiny>,
    ) -> Vec<(u64, JobOutcome<Vec<PartitionProgress>>)> {
        refresh::refresh(&mut self.session, refresh).await.unwrap().shards
    }

    /// Refreshes; else returns why that must not be.
    pub(crate) async fn refresh(&mut self) -> Result<(), Refusal> {
        let mut refresh = self.next_refresh();
        only(self.refresh_parts(&mut refresh).await).map(drop)
    }
}

/// What became of the only shard's.
fn only<T>(shards: Vec<(u64, JobOutcome<T>)>) -> Result<T, Refusal> {
    match <[_; 1]>::try_from(shards) {
        Ok([(SHARD, JobOutcome::Stored(stored))]) => Ok(stored),
        Ok([(SHARD, JobOutcome::Refused(refusal))]) => Err(refusal),
        _ => panic!("of one shard something is stored or refused"),
    }
}

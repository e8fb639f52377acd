//! A consumer without Kafka: it claims, loads, folds and stores as the real one does, one step at a time.

use std::{slice, sync::Arc};

use demo::TestDatabase;
use sqlx::{Connection, FromRow, PgConnection, postgres::PgRow};

use crate::{
    Pipeline,
    core::{
        Message,
        batch::Batch,
        cursor::{Cursor, Start, Verdict},
        jobs::Claim,
        offsets::{Feed, short},
        refresh::{Refresh, Target},
        shard::Shard,
    },
    database::Database,
    postgres::{
        claims,
        commit::{self, Commit},
        load,
        refresh::{self, Refreshed},
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
        let tables = Self { database: TestDatabase::create().await.unwrap() };
        let mut connection = tables.connect().await;
        for migration in [
            include_str!("../../../../postgres/migrations/stream/0001_ledger.sql"),
            include_str!("../../../../postgres/migrations/stream/0003_refreshed.sql"),
            include_str!("../../../../postgres/migrations/stream/0004_gaps.sql"),
            include_str!("../../../../postgres/migrations/stream/0005_completeness.sql"),
        ] {
            sqlx::raw_sql(migration).execute(&mut connection).await.unwrap();
        }
        sqlx::raw_sql(SCHEMA).execute(&mut connection).await.unwrap();
        tables
    }

    /// The server as the real consumer sees it.
    pub(crate) fn server(&self) -> PgServer<Tiny> {
        let database = Database::new(self.database.url().parse().unwrap());
        PgServer { database, pipeline: Arc::new(Tiny), feed: Arc::new(feed()) }
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

    /// The changelog in the order in which facts were learnt: home, partition, offset, and the fact as it was told.
    pub(crate) async fn changelog(&self) -> Vec<(i32, i32, i64, String)> {
        self.query(
            r#"SELECT home, partition, "offset", concat_ws(' ', grp, key, value) FROM tiny_changelog ORDER BY id"#,
        )
        .await
    }

    /// Per partition: the next offset, and the records in the books.
    pub(crate) async fn books(&self) -> Vec<(i32, i64, i64)> {
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
    Feed { pipeline: Tiny::NAME, topic: TOPIC.to_owned(), cluster_id, changelog: Tiny.changelog() }
}

/// The number of the only fetch.
const FETCH: u64 = 1;

/// A message of the topic.
pub(crate) fn message(partition: i32, offset: i64, value: Option<&[u8]>) -> Message<'_> {
    Message { partition, offset, timestamp_ms: 1_000 + offset, key: Some(b"key"), value }
}

/// One replica.
pub(crate) struct Consumer {
    pub(crate) session: PgSession<Tiny>,
    pub(crate) shard: Shard<Tiny>,
}

impl Consumer {
    /// Claims partitions and loads what belongs to them.
    pub(crate) async fn start(tables: &Tables, partitions: &[i32]) -> Self {
        let session = tables.server().connect().await.unwrap();
        let mut consumer = Self { session, shard: Shard::new(1, Arc::new(Tiny), Arc::new(feed())) };
        consumer.claim(partitions).await;
        consumer
    }

    pub(crate) async fn claim(&mut self, partitions: &[i32]) {
        let claim = Claim { partitions: partitions.to_vec(), ..Claim::default() };
        let stored = claims::claim(&mut self.session, &claim, "a test").await.unwrap();
        partitions.iter().for_each(|partition| self.shard.groups.forget(short(*partition).unwrap()));
        self.shard.groups.absorb(load::load(&mut self.session, &stored, || Ok(())).await.unwrap());
        for stored in stored {
            let start = Start { offset: stored.next_offset.unwrap_or(0), checked: false, stable: 0 };
            self.shard.cursors.insert(stored.partition, Cursor::new(&stored, start, FETCH).unwrap());
        }
    }

    /// Gives a partition back, as on a revocation.
    pub(crate) fn give_back(&mut self, partition: i32) {
        self.shard.remove(&[partition].into()).unwrap();
    }

    /// Takes a message in.
    pub(crate) fn take(&mut self, message: &Message<'_>) -> Verdict {
        self.shard.take(std::time::Instant::now(), FETCH, message)
    }

    /// Reads values from a partition, the first of them at `offset`, into a batch.
    pub(crate) fn batch(&mut self, partition: i32, offset: i64, values: &[&str]) -> Batch {
        for (offset, value) in (offset..).zip(values) {
            let verdict = self.take(&message(partition, offset, Some(value.as_bytes())));
            assert!(matches!(verdict, Verdict::Apply(_)), "{verdict:?}");
        }
        self.shard.take_batch().unwrap()
    }

    pub(crate) async fn commit(&mut self, batch: &mut Batch) -> Commit {
        commit::commit(&mut self.session, slice::from_mut(batch)).await.unwrap()
    }

    /// Reads and stores.
    pub(crate) async fn carry(&mut self, partition: i32, offset: i64, values: &[&str]) -> Commit {
        let mut batch = self.batch(partition, offset, values);
        self.commit(&mut batch).await
    }

    /// What would be told of all that was sent.
    pub(crate) fn next_refresh(&mut self) -> Refresh<Tiny> {
        let rows = self.shard.groups.begin_refresh(&Tiny);
        Refresh { rows, to: self.shard.cursors.refreshed_to(), target: Target::default() }
    }

    pub(crate) async fn refresh(&mut self) -> Refreshed {
        let refresh = self.next_refresh();
        refresh::refresh(&mut self.session, &refresh).await.unwrap()
    }
}

//! A consumer without Kafka: it claims, loads, folds and stores as the real one does, one step at a time.

use std::{slice, sync::Arc};

use demo::TestDatabase;
use futures::TryStreamExt;
use rdkafka::{Timestamp, message::OwnedMessage};
use sqlx::{Connection, FromRow, PgConnection, postgres::PgRow};
use stream::{
    Pipeline,
    batch::Batch,
    changelog::{self, Commit},
    claims::{self, Claim},
    copy::CopyReader,
    database::Database,
    intake::Intake,
    load,
    offsets::{Feed, short},
    partitions::{Progress, Start, Verdict},
    publication::{self, Outcome, Publication, Target},
    state::LoadedIds,
};

use crate::tiny::{SCHEMA, Tiny};

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
    Feed { pipeline: Tiny::NAME, topic: TOPIC.to_owned(), changelog: Tiny.changelog() }
}

/// A message of the topic.
pub(crate) fn message(partition: i32, offset: i64, value: Option<&[u8]>) -> OwnedMessage {
    let timestamp = Timestamp::CreateTime(1_000 + offset);
    OwnedMessage::new(
        value.map(<[u8]>::to_vec),
        Some(b"key".to_vec()),
        TOPIC.to_owned(),
        timestamp,
        partition,
        offset,
        None,
    )
}

/// One replica.
pub(crate) struct Consumer {
    pub(crate) connection: PgConnection,
    pub(crate) intake: Intake<Tiny>,
}

impl Consumer {
    /// Claims partitions and loads what lives there.
    pub(crate) async fn start(tables: &Tables, partitions: &[i32]) -> Self {
        let intake = Intake::new(Arc::new(Tiny), Arc::new(feed()));
        let mut consumer = Self { connection: tables.connect().await, intake };
        consumer.claim(partitions).await;
        consumer
    }

    pub(crate) async fn claim(&mut self, partitions: &[i32]) {
        let (connection, intake) = (&mut self.connection, &mut self.intake);
        let claim = Claim { owner: "a test".to_owned(), partitions: partitions.to_vec(), ..Claim::default() };
        let stored = claims::claim(connection, &feed(), &claim).await.unwrap();
        partitions.iter().for_each(|partition| intake.state.forget(short(*partition).unwrap()));
        for (route, home) in load::homes(connection, &feed(), partitions).await.unwrap() {
            intake.state.load_home(route, short(home).unwrap());
        }
        let (mut ids, mut reader) = (LoadedIds::new(&stored).unwrap(), CopyReader::default());
        let mut pieces = std::pin::pin!(load::facts(connection, &feed(), partitions).await.unwrap());
        while let Some(piece) = pieces.try_next().await.unwrap() {
            reader.push(&piece);
            while let Some(row) = reader.next_row() {
                intake.state.load_row(row, &mut ids).unwrap();
            }
        }
        for stored in stored {
            let start = Start { offset: stored.next_offset.unwrap_or(0), checked: false, stable: 0 };
            intake.partitions.insert(stored.partition, Progress::new(&stored, start).unwrap());
        }
    }

    /// Gives a partition back, as on a revocation.
    pub(crate) fn give_back(&mut self, partition: i32) {
        self.intake.partitions.remove(partition);
        self.intake.state.forget(short(partition).unwrap());
    }

    /// Reads values from a partition, the first of them at `offset`, into a batch.
    pub(crate) fn batch(&mut self, partition: i32, offset: i64, values: &[&str]) -> Batch {
        for (offset, value) in (offset..).zip(values) {
            let verdict = self.intake.take(&message(partition, offset, Some(value.as_bytes())));
            assert!(matches!(verdict, Verdict::Fold(_)), "{verdict:?}");
        }
        self.intake.seal()
    }

    pub(crate) async fn commit(&mut self, batch: &mut Batch) -> Commit {
        changelog::commit(&mut self.connection, (&feed(), Some("cluster")), slice::from_mut(batch)).await.unwrap()
    }

    /// Reads and stores.
    pub(crate) async fn carry(&mut self, partition: i32, offset: i64, values: &[&str]) -> Commit {
        let mut batch = self.batch(partition, offset, values);
        self.commit(&mut batch).await
    }

    /// What would be published of all that was sealed.
    pub(crate) fn publication(&mut self) -> Publication<Tiny> {
        let rows = self.intake.state.take_changed(&Tiny);
        Publication { rows, through: self.intake.partitions.through(), target: Target::default() }
    }

    pub(crate) async fn publish(&mut self) -> Outcome {
        let publication = self.publication();
        publication::publish(&mut self.connection, (&Tiny, &feed()), &publication).await.unwrap()
    }
}

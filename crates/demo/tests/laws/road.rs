//! One topic, one database, and the three real binaries between them.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use demo::{
    TestDatabase,
    broker::{EmbeddedBroker, ends},
    process::{Ended, Program, Running},
};
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, postgres::PgRow};
use tokio::runtime::Runtime;

use crate::{
    kafka::{self, Brokers, Held},
    ledger::{self, Change, Facts},
    world::{Line, csv},
};

/// No program of a test runs for longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// The number of records read so far.
pub(crate) const READ: &str = "SELECT coalesce(sum(read), 0)::bigint FROM ingest_accounting";

const PASSWORD: &str = "made-for-tests";

/// A road of a test's own.
pub(crate) struct Road {
    pub(crate) brokers: Brokers,
    pub(crate) topic: String,
    database: TestDatabase,
    runtime: Runtime,
}

impl Road {
    /// On an embedded broker of its own.
    pub(crate) fn embedded(partitions: i32) -> Self {
        Self::on(Brokers::Embedded(EmbeddedBroker::start().unwrap()), partitions)
    }

    /// On a broker; the topic is made, and the database migrated.
    pub(crate) fn on(brokers: Brokers, partitions: i32) -> Self {
        let road = Self::without_topic(brokers);
        road.brokers.create_topic(&road.topic, partitions, &[]);
        road
    }

    pub(crate) fn without_topic(brokers: Brokers) -> Self {
        let road = Self::bare(brokers);
        road.migrate();
        road
    }

    /// With neither topic nor schema.
    pub(crate) fn bare(brokers: Brokers) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let database = runtime.block_on(TestDatabase::create()).unwrap();
        Self { brokers, topic: database.name().replace("tributary_test", "laws"), database, runtime }
    }

    /// Makes the schema and the roles.
    pub(crate) fn migrate(&self) {
        let program = Program::new("migrate").unwrap().args(["--pipeline", "emissions", "up"]);
        let program = program.env("DATABASE_URL", self.database.url()).env("ROLE_PREFIX", "laws");
        program.env("WRITER_PASSWORD", PASSWORD).run(LIMIT).unwrap().expect_code(0).unwrap();
    }

    /// The URL of the role the consumer has in the field.
    fn writer_url(&self) -> String {
        let url = self.database.url();
        let (scheme, rest) = url.split_once("://").unwrap();
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        format!("{scheme}://laws_writer:{PASSWORD}@{host}")
    }

    /// Carries rows into the topic with the producer.
    pub(crate) fn produce(&self, lines: &[Line]) -> Ended {
        self.producer(lines, &[]).run(LIMIT).unwrap().expect_code(0).unwrap()
    }

    /// The producer, with a file of its own.
    pub(crate) fn producer(&self, lines: &[Line], args: &[&str]) -> Program {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}_{}.csv", self.topic, FILES.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, csv(lines)).unwrap();
        let program = Program::new("producer").unwrap().args(["--topic", &self.topic, "--input"]).args([path]);
        program.args(args).env("KAFKA_BROKERS", self.brokers.bootstrap())
    }

    /// Sends records as any other client may.
    pub(crate) fn send(&self, records: &[kafka::Outgoing]) {
        kafka::send(&kafka::client(self.brokers.bootstrap()), &self.topic, records);
    }

    /// The consumer, its group named for the topic.
    pub(crate) fn consumer(&self, args: &[&str]) -> Program {
        self.consumer_in(&self.topic, args)
    }

    /// The consumer in a group of another name.
    pub(crate) fn consumer_in(&self, group: &str, args: &[&str]) -> Program {
        let program = Program::new("consumer").unwrap().args(["--topic", &self.topic, "--group-id", group]);
        let program = program.env("KAFKA_BROKERS", self.brokers.bootstrap()).env("DATABASE_URL", self.writer_url());
        program.args(args)
    }

    /// Consumes to the end, with so many consumers.
    pub(crate) fn consume(&self, consumers: usize) {
        let start = |_| self.consumer(&["--until-end", "--batch-size", "100"]).start().unwrap();
        let running: Vec<Running> = (0..consumers).map(start).collect();
        running.into_iter().for_each(|running| drop(running.wait(LIMIT).unwrap().expect_code(0).unwrap()));
    }

    /// A consumer that follows the topic, and publishes as often as it can.
    pub(crate) fn follow(&self, args: &[&str]) -> Running {
        self.consumer(&["--publish-every", "10ms"]).args(args).start().unwrap()
    }

    /// What `consumer hash` prints.
    pub(crate) fn hash(&self) -> String {
        let ended = self.consumer(&["hash"]).run(LIMIT).unwrap().expect_code(0).unwrap();
        assert_eq!(ended.stdout.len(), 4, "three tables, and all of them: {:?}", ended.stdout);
        ended.stdout.join("\n")
    }

    /// Asks the database, as its superuser.
    pub(crate) fn query<R>(&self, sql: &str) -> Vec<R>
    where
        R: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        self.runtime.block_on(async {
            let mut connection = self.connect().await;
            sqlx::query_as(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap()
        })
    }

    /// Has the database do something, as its superuser.
    pub(crate) fn execute(&self, sql: &str) {
        self.runtime.block_on(async {
            let mut connection = self.connect().await;
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        });
    }

    /// The single number a query gives.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.query::<(i64,)>(sql)[0].0
    }

    /// Waits until a query's number is at least `least`.
    pub(crate) fn wait_for(&self, sql: &str, least: i64) {
        let deadline = Instant::now() + LIMIT;
        while self.number(sql) < least {
            assert!(Instant::now() < deadline, "{sql} stays below {least}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs statements while `work` is done, and rolls them back after it.
    pub(crate) fn while_locked<T>(&self, statement: &'static str, work: impl FnOnce() -> T) -> T {
        let mut connection = self.runtime.block_on(self.connect());
        self.runtime.block_on(sqlx::raw_sql("BEGIN").execute(&mut connection)).unwrap();
        self.runtime.block_on(sqlx::raw_sql(statement).execute(&mut connection)).unwrap();
        let done = work();
        self.runtime.block_on(sqlx::raw_sql("ROLLBACK").execute(&mut connection)).unwrap();
        done
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.database.url()).await.unwrap()
    }

    /// All records of the topic.
    pub(crate) fn held(&self) -> Vec<Held> {
        kafka::held(self.brokers.bootstrap(), &self.topic)
    }

    /// The changelog, in the topic's order.
    pub(crate) fn changelog(&self) -> Vec<Change> {
        type Row = (i32, i64, String, String, i32, Option<f64>, Option<f64>, Option<f64>, Option<f64>);
        let rows: Vec<Row> = self.query(
            r#"SELECT partition, "offset", iso_code, country, year::integer, population, gdp, co2, co2_per_capita
               FROM emissions_changelog ORDER BY partition, "offset", id"#,
        );
        let change = |(partition, offset, code, country, year, a, b, c, d): Row| {
            (partition, offset, code, country, year, [a, b, c, d].map(|value| value.map(f64::to_bits)))
        };
        rows.into_iter().map(change).collect()
    }

    /// The facts that are known now.
    pub(crate) fn facts(&self) -> Facts {
        type Row = (String, i32, String, Option<f64>, Option<f64>, Option<f64>, Option<f64>);
        let rows: Vec<Row> = self.query(
            "SELECT iso_code, year::integer, country, population, gdp, co2, co2_per_capita FROM emissions_facts",
        );
        let fact = |(code, year, country, a, b, c, d): Row| {
            ((code, year), (country, [a, b, c, d].map(|value| value.map(f64::to_bits))))
        };
        rows.into_iter().map(fact).collect()
    }

    /// Asserts that every record is in the books once, and every fact is the one its last record told.
    pub(crate) fn check_books(&self) {
        let held = self.held();
        self.check_counts(&held);
        assert_eq!(self.facts(), ledger::facts(&held), "facts");
    }

    /// Asserts that every record is in the books once.
    pub(crate) fn check_counts(&self, held: &[Held]) {
        let read: Vec<(i32, i64)> = self
            .query("SELECT partition, sum(read)::bigint FROM ingest_accounting GROUP BY partition ORDER BY partition");
        let mut expected = std::collections::BTreeMap::new();
        held.iter().for_each(|record| *expected.entry(record.partition).or_insert(0_i64) += 1);
        assert_eq!(read, Vec::from_iter(expected), "records read, by partition");
        let next: Vec<(i64,)> = self.query("SELECT coalesce(next_offset, 0) FROM stream_offsets ORDER BY partition");
        let ends: Vec<(i64,)> =
            ends(self.brokers.bootstrap(), &self.topic).unwrap().into_iter().map(|(_, end)| (end,)).collect();
        assert_eq!(next, ends, "next offsets");
        let rejected = self.number("SELECT coalesce(sum(rejected), 0)::bigint FROM ingest_accounting");
        assert_eq!(self.number("SELECT count(*) FROM rejects"), rejected, "rejects");
    }

    /// Asserts in addition that the changelog is what the topic says, record by record; for topics with keys.
    pub(crate) fn check_changelog(&self) {
        self.check_books();
        assert_eq!(self.changelog(), ledger::changes(&self.held()), "changelog");
    }
}

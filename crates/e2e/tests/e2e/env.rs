//! One topic, one database, and the three real binaries between them.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    marker::PhantomData,
    net::{SocketAddr, ToSocketAddrs as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, postgres::PgRow};
use testkit::{
    TestDatabase,
    broker::ends,
    process::{Ended, Program, Running},
};
use tokio::runtime::Runtime;

use crate::{
    datasets::{Change, Dataset, Facts},
    kafka::{self, Brokers, Held},
    oracle,
};

/// No program of a test runs for longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// The number of records read so far.
pub(crate) const READ: &str = "SELECT coalesce(sum(read), 0)::bigint FROM ingest_accounting";

/// The number of records refreshed so far.
pub(crate) const REFRESHED: &str = "SELECT coalesce(sum(refreshed_through), 0)::bigint FROM stream_offsets";

pub(crate) const PASSWORD: &str = "made-for-tests";

/// The statement that locks everybody else out of a table.
pub(crate) fn lock(table: &str) -> String {
    format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
}

/// A test's own environment, for the data of one pipeline.
pub(crate) struct Env<D> {
    pub(crate) brokers: Brokers,
    pub(crate) topic: String,
    /// Where our programs reach Kafka, if not at the broker's own address.
    kafka_address: Option<String>,
    files: Files,
    database: TestDatabase,
    runtime: Runtime,
    dataset: PhantomData<D>,
}

/// The files that were made for an environment; deleted with it, unless its test failed.
#[derive(Default)]
struct Files(RefCell<Vec<PathBuf>>);

impl Files {
    /// Makes a file of these bytes.
    fn make(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, bytes).unwrap();
        self.0.borrow_mut().push(path.clone());
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // A file that stays harms nobody.
            self.0.get_mut().iter().for_each(|path| drop(std::fs::remove_file(path)));
        }
    }
}

impl<D: Dataset> Env<D> {
    /// On any broker.
    pub(crate) fn new(partitions: i32) -> Self {
        Self::on(kafka::any(), partitions)
    }

    /// On a broker; the topic is made, and the database migrated.
    pub(crate) fn on(brokers: Brokers, partitions: i32) -> Self {
        let env = Self::without_topic(brokers);
        env.brokers.create_topic(&env.topic, partitions, &[]);
        env
    }

    pub(crate) fn without_topic(brokers: Brokers) -> Self {
        let env = Self::bare(brokers);
        env.migrate();
        env
    }

    /// On another PostgreSQL, given by its superuser's URL.
    pub(crate) fn at(brokers: Brokers, server_url: &str, partitions: i32) -> Self {
        let env = Self::over(brokers, TestDatabase::create_on(server_url));
        env.migrate();
        env.brokers.create_topic(&env.topic, partitions, &[]);
        env
    }

    /// With neither topic nor schema.
    pub(crate) fn bare(brokers: Brokers) -> Self {
        Self::over(brokers, TestDatabase::create())
    }

    /// The same topic of a real broker, with another database.
    pub(crate) fn with_another_database(&self) -> Self {
        let env = Self::without_topic(Brokers::Real(self.brokers.bootstrap().to_owned()));
        Self { topic: self.topic.clone(), ..env }
    }

    fn over(brokers: Brokers, database: impl Future<Output = anyhow::Result<TestDatabase>>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let database = runtime.block_on(database).unwrap();
        let topic = database.name().replace("tributary_test", "e2e");
        Self { brokers, topic, kafka_address: None, files: Files::default(), database, runtime, dataset: PhantomData }
    }

    /// Makes the schema and the roles.
    pub(crate) fn migrate(&self) {
        self.migrator().run(LIMIT).unwrap().expect_code(0).unwrap();
    }

    /// What makes them.
    pub(crate) fn migrator(&self) -> Program {
        let program = Self::program("migrate").args(["up"]);
        let program = program.env("DATABASE_URL", self.database.url()).env("ROLE_PREFIX", "e2e");
        program.env("WRITER_PASSWORD", PASSWORD)
    }

    /// One of the binaries, with the name of the pipeline that it serves.
    pub(crate) fn program(name: &str) -> Program {
        let program = Program::new(name).unwrap().args(["--pipeline", D::PIPELINE]).secret(PASSWORD);
        D::SETTINGS.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    /// The URL of the role that the consumer has in production.
    pub(crate) fn writer_url(&self) -> String {
        self.writer_url_at(self.postgres_address())
    }

    /// The same, at another address of the server.
    pub(crate) fn writer_url_at(&self, address: SocketAddr) -> String {
        format!("postgres://e2e_writer:{PASSWORD}@{address}/{}", self.database.name())
    }

    /// The same, with another password.
    pub(crate) fn writer_url_with(&self, password: &str) -> String {
        self.writer_url().replace(PASSWORD, password)
    }

    /// Where the PostgreSQL listens.
    pub(crate) fn postgres_address(&self) -> SocketAddr {
        let url = self.database.url();
        let (_, rest) = url.split_once("://").unwrap();
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host).split('/').next().unwrap();
        host.to_socket_addrs().unwrap().next().unwrap()
    }

    /// Sends rows to the topic with the producer.
    pub(crate) fn produce(&self, lines: &[D::Line]) -> Ended {
        self.producer(lines, &[]).run(LIMIT).unwrap().expect_code(0).unwrap()
    }

    /// The producer, with a file of these rows.
    pub(crate) fn producer(&self, lines: &[D::Line], args: &[&str]) -> Program {
        self.producer_of(D::file(lines).as_bytes(), "csv", args)
    }

    /// The producer, with a file of these bytes.
    pub(crate) fn producer_of(&self, bytes: &[u8], extension: &str, args: &[&str]) -> Program {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}_{}.{extension}", self.topic, FILES.fetch_add(1, Ordering::Relaxed));
        self.producer_from(&self.files.make(&name, bytes)).args(args)
    }

    /// The producer, with somebody else's file.
    pub(crate) fn producer_from(&self, path: &Path) -> Program {
        let program = Self::program("producer").args(["--topic", &self.topic, "--input"]).args([path]);
        program.env("KAFKA_BROKERS", self.bootstrap())
    }

    /// Where our programs reach Kafka.
    fn bootstrap(&self) -> &str {
        self.kafka_address.as_deref().unwrap_or_else(|| self.brokers.bootstrap())
    }

    /// Has our programs reach Kafka at another address than the tests do.
    pub(crate) fn through(self, address: SocketAddr) -> Self {
        Self { kafka_address: Some(address.to_string()), ..self }
    }

    /// Sends records as any other client may.
    pub(crate) fn send(&self, records: &[kafka::Outgoing]) {
        kafka::send(&kafka::client(self.brokers.bootstrap()), &self.topic, records);
    }

    /// The consumer, its group named for the topic.
    pub(crate) fn consumer(&self, args: &[&str]) -> Program {
        self.consumer_in(Some(&self.topic), args)
    }

    /// The consumer in a group of another name, or in that of its database.
    pub(crate) fn consumer_in(&self, group: Option<&str>, args: &[&str]) -> Program {
        let program = Self::program("consumer").args(["--topic", &self.topic]);
        let program = program.args(group.iter().flat_map(|group| ["--group-id", group]));
        let program = program.env("KAFKA_BROKERS", self.bootstrap()).env("DATABASE_URL", self.writer_url());
        program.args(args)
    }

    /// Consumes to the end, with so many consumers.
    pub(crate) fn consume(&self, consumers: usize) {
        let start = |_| self.consumer(&["--until-end", "--batch-size", "100"]).start().unwrap();
        let running: Vec<Running> = (0..consumers).map(start).collect();
        running.into_iter().for_each(|running| drop(running.wait(LIMIT).unwrap().expect_code(0).unwrap()));
    }

    /// A consumer that follows the topic, and refreshes as often as it can.
    pub(crate) fn follow(&self, args: &[&str]) -> Running {
        self.consumer(&["--refresh-every", "10ms"]).args(args).start().unwrap()
    }

    /// What `consumer hash` prints.
    pub(crate) fn hash(&self) -> String {
        let ended = self.consumer(&["hash"]).run(LIMIT).unwrap().expect_code(0).unwrap();
        assert_eq!(ended.stdout.len(), D::HASHED + 1, "each table, and all of them: {:?}", ended.stdout);
        ended.stdout.join("\n")
    }

    /// Queries the database, as its superuser.
    pub(crate) fn query<R>(&self, sql: &str) -> Vec<R>
    where
        R: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        self.runtime.block_on(async {
            let mut connection = self.connect().await;
            sqlx::query_as(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap()
        })
    }

    /// Runs statements in the database, as its superuser.
    pub(crate) fn execute(&self, sql: &str) {
        self.try_execute(sql).unwrap();
    }

    /// The same, where it may fail.
    pub(crate) fn try_execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        self.runtime.block_on(async {
            let mut connection = self.connect().await;
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.map(drop)
        })
    }

    /// The single number a query returns.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.query::<(i64,)>(sql)[0].0
    }

    /// Waits until a query's number is at least `least`.
    pub(crate) fn wait_for(&self, sql: &str, least: i64) {
        self.wait_within(LIMIT, sql, least, String::new);
    }

    /// The same for a number that a program is to bring about; if it does not, the failure shows its last lines.
    pub(crate) fn wait_for_or_say(&self, sql: &str, least: i64, running: &Running) {
        self.wait_for_or_explain(sql, least, std::slice::from_ref(running));
    }

    /// The same for one that several are to bring about; the failure shows the state of each partition too.
    pub(crate) fn wait_for_or_explain(&self, sql: &str, least: i64, running: &[Running]) {
        // A lost connection is missed after a minute, and what waited behind it comes then.
        self.wait_within(2 * LIMIT, sql, least, || {
            let stored: Vec<(i32, Option<i64>, i64, Option<String>)> =
                self.query("SELECT partition, next_offset, epoch, owner FROM stream_offsets ORDER BY partition");
            let ends = ends(self.brokers.bootstrap(), &self.topic).unwrap();
            let said = |one: &Running| {
                let said = one.stderr();
                said[said.len().saturating_sub(60)..].join("\n")
            };
            let said: Vec<String> = running.iter().map(said).collect();
            format!("; stored {stored:?}; the topic ends at {ends:?}; they said\n{}", said.join("\n--\n"))
        });
    }

    fn wait_within(&self, limit: Duration, sql: &str, least: i64, more: impl Fn() -> String) {
        let deadline = Instant::now() + limit;
        loop {
            let number = self.number(sql);
            if number >= least {
                return;
            }
            assert!(Instant::now() < deadline, "{sql} stays at {number} below {least}{}", more());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs statements while `work` is done, and rolls them back after it.
    pub(crate) fn while_locked<T>(&self, statement: &str, work: impl FnOnce() -> T) -> T {
        let mut connection = self.runtime.block_on(self.connect());
        self.runtime.block_on(sqlx::raw_sql("BEGIN").execute(&mut connection)).unwrap();
        self.runtime.block_on(sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection)).unwrap();
        let done = work();
        // The work may have been to end the server, and the transaction with it.
        drop(self.runtime.block_on(sqlx::raw_sql("ROLLBACK").execute(&mut connection)));
        done
    }

    /// Makes the user that the server runs as the owner of a folder.
    pub(crate) fn own_by_server(&self, folder: &Path) {
        let data: Vec<(String,)> = self.query("SELECT current_setting('data_directory')");
        let owner = std::fs::metadata(&data[0].0).unwrap();
        std::os::unix::fs::chown(folder, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.database.url()).await.unwrap()
    }

    /// All records of the topic.
    pub(crate) fn held(&self) -> Vec<Held> {
        kafka::held(self.brokers.bootstrap(), &self.topic)
    }

    /// The changelog, in the topic's order.
    pub(crate) fn changelog(&self) -> Vec<Change<D>> {
        D::changelog(self)
    }

    /// The facts that are known now.
    pub(crate) fn facts(&self) -> Facts<D> {
        D::facts(self)
    }

    /// How many rows a table or a view has.
    pub(crate) fn rows(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}"))
    }

    /// Asserts that the accounting has every record once, that every fact is the one of its last record, and that the
    /// refreshed rows are counted from the facts.
    pub(crate) fn check_accounting(&self) {
        let held = self.held();
        self.check_counts(&held);
        let facts = oracle::facts::<D>(&held);
        assert_eq!(self.facts(), facts, "facts");
        D::check_rows(self, &facts);
    }

    /// Asserts that the refreshed rows are counted from the records up to the offsets that the database says, and from
    /// no others. Records may still come, but nothing may be refreshed meanwhile.
    pub(crate) fn check_rows_so_far(&self) {
        let through: Vec<(i32, i64)> =
            self.query("SELECT partition, refreshed_through FROM stream_offsets WHERE refreshed_through IS NOT NULL");
        let through = BTreeMap::from_iter(through);
        let mut held = self.held();
        held.retain(|record| through.get(&record.partition).is_some_and(|through| record.offset < *through));
        D::check_rows(self, &oracle::facts::<D>(&held));
    }

    /// Asserts that the accounting has every record once.
    pub(crate) fn check_counts(&self, held: &[Held]) {
        let read: Vec<(i32, i64)> = self
            .query("SELECT partition, sum(read)::bigint FROM ingest_accounting GROUP BY partition ORDER BY partition");
        let mut expected = BTreeMap::new();
        held.iter().for_each(|record| *expected.entry(record.partition).or_insert(0_i64) += 1);
        assert_eq!(read, Vec::from_iter(expected), "records read, by partition");
        let next: Vec<(i64,)> = self.query("SELECT coalesce(next_offset, 0) FROM stream_offsets ORDER BY partition");
        let ends: Vec<(i64,)> =
            ends(self.brokers.bootstrap(), &self.topic).unwrap().into_iter().map(|(_, end)| (end,)).collect();
        assert_eq!(next, ends, "next offsets");
        assert_eq!(self.rows("rejects"), self.counts()[4], "rejects");
    }

    /// Asserts in addition that changelog and accounting match the topic, record by record; for topics with keys.
    pub(crate) fn check_changelog(&self) {
        self.check_accounting();
        let (changes, counts) = oracle::changes::<D>(&self.held());
        assert_eq!(self.changelog(), changes, "changelog");
        assert_eq!(self.counts(), counts, "new, unchanged, corrected, filtered, rejected");
    }

    /// The accounting, over all batches.
    fn counts(&self) -> oracle::Counts {
        let sum = |outcome: &str| format!("coalesce(sum({outcome}), 0)::bigint");
        let sums = ["new", "unchanged", "corrected", "filtered", "rejected"].map(sum).join(", ");
        let rows: Vec<(Vec<i64>,)> = self.query(&format!("SELECT ARRAY[{sums}] FROM ingest_accounting"));
        rows[0].0.clone().try_into().unwrap()
    }
}

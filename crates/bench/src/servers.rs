//! The private PostgreSQL and Kafka that everything is measured on.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::{
    kafka::Kafka,
    postgres::{Postgres, with_database},
    repository,
};

/// The settings that decide how long a commit takes; every figure depends on them.
const SHOWN: [&str; 8] = [
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
];

/// Both servers; dropping this stops them and deletes their data.
#[derive(Debug)]
pub(crate) struct Servers {
    postgres: Postgres,
    kafka: Kafka,
}

/// The folder of all files of the bench.
pub(crate) fn folder() -> PathBuf {
    repository().join("target/bench")
}

/// Starts both.
///
/// # Errors
/// When one cannot be started, which says what to do; and when PostgreSQL does not wait for the disk at a commit.
pub(crate) async fn start() -> anyhow::Result<Servers> {
    eprintln!("starting PostgreSQL and Apache Kafka");
    let work = tokio::task::spawn_blocking(|| {
        let postgres = Postgres::start(&folder().join("postgres"))?;
        let kafka = Kafka::start(&folder().join("kafka"))?;
        anyhow::Ok(Servers { postgres, kafka })
    });
    let servers = work.await??;
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value = servers.text(&format!("SELECT current_setting('{setting}')")).await?;
        ensure!(value == "on", "{setting} is {value}: figures would be of a database that may lose commits");
    }
    Ok(servers)
}

impl Servers {
    /// Kafka's bootstrap server.
    pub(crate) fn brokers(&self) -> &str {
        self.kafka.bootstrap()
    }

    /// A database's URL, for the superuser.
    pub(crate) fn database(&self, name: &str) -> String {
        with_database(self.postgres.url(), name)
    }

    /// A database's URL for the role that has only the consumer's rights.
    pub(crate) fn writer(&self, database: &str) -> String {
        self.database(database).replacen("://postgres:", "://tributary_writer:", 1)
    }

    /// The password of both.
    pub(crate) fn password(&self) -> &str {
        let login = self.postgres.url().split('@').next().unwrap_or_default();
        login.rsplit(':').next().unwrap_or_default()
    }

    /// PostgreSQL's settings, `name = value` each.
    pub(crate) async fn settings(&self) -> anyhow::Result<Vec<String>> {
        let mut settings = Vec::new();
        for name in SHOWN {
            let value = self.text(&format!("SELECT current_setting('{name}')")).await?;
            settings.push(format!("{name} = {value}"));
        }
        Ok(settings)
    }

    /// Has PostgreSQL write out what earlier steps left, so that a step pays for its own writes only.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        self.execute("CHECKPOINT".to_owned()).await
    }

    /// Creates an empty database.
    pub(crate) async fn make_database(&self, name: &str) -> anyhow::Result<()> {
        self.execute(format!("CREATE DATABASE {name}")).await
    }

    /// Drops a database, if it exists, and disconnects its clients.
    pub(crate) async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        self.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    async fn execute(&self, statement: String) -> anyhow::Result<()> {
        let mut connection = connect(self.postgres.url()).await?;
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Reads one count from a database.
    pub(crate) async fn count(&self, database: &str, query: &str) -> anyhow::Result<u32> {
        let mut connection = connect(&self.database(database)).await?;
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(u32::try_from(count)?)
    }

    /// Runs the statements of a text in a database.
    pub(crate) async fn run_in(&self, database: &str, statements: String) -> anyhow::Result<()> {
        let mut connection = connect(&self.database(database)).await?;
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    async fn text(&self, query: &str) -> anyhow::Result<String> {
        let mut connection = connect(self.postgres.url()).await?;
        let value = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(value)
    }
}

async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    PgConnection::connect(url).await.context("the private PostgreSQL does not answer")
}

/// A script of the repository.
pub(crate) fn script(name: &str) -> PathBuf {
    repository().join(Path::new("scripts").join(name))
}

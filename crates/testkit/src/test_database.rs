//! A fresh database for one test.

use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{postgres::with_database, script::repository};

/// What the names of test databases begin with; the time at which they were made follows, in seconds since 1970.
const PREFIX: &str = "tributary_test_";

/// No test lives as long as this. Shorter would drop databases of tests that still run next to ours; longer would
/// leave more of those that were killed.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// An empty database with its own name, on the server of `TEST_DATABASE_URL`.
///
/// It stays when the test ends, so that a failure can be examined; it goes with its server, or when a test an hour
/// later makes another.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    server_url: String,
    name: String,
}

impl TestDatabase {
    /// Makes the database.
    ///
    /// # Errors
    /// When `TEST_DATABASE_URL` is not set, or that server does not let us make a database.
    pub async fn create() -> anyhow::Result<Self> {
        Self::named_only()?.make().await
    }

    /// Makes the database on another server, given by its superuser's URL.
    ///
    /// # Errors
    /// When that server does not let us make a database.
    pub async fn create_on(server_url: &str) -> anyhow::Result<Self> {
        Self::named_on(server_url.to_owned()).make().await
    }

    /// Makes the database, and executes the files of these folders of `postgres/migrations/` in it, without roles and records.
    ///
    /// # Errors
    /// As [`TestDatabase::create`]; when a file cannot be read or executed.
    pub async fn create_with(folders: &[&str]) -> anyhow::Result<Self> {
        let database = Self::create().await?;
        let mut connection = PgConnection::connect(&database.url()).await?;
        for folder in folders {
            let folder = repository().join("postgres/migrations").join(folder);
            let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
            let mut files = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
            files.sort_unstable();
            for file in files {
                let statements = std::fs::read_to_string(&file)?;
                let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await;
                done.with_context(|| format!("cannot execute {}", file.display()))?;
            }
        }
        connection.close().await?;
        Ok(database)
    }

    async fn make(self) -> anyhow::Result<Self> {
        let mut server = self.connect_to_server().await?;
        drop_abandoned(&mut server).await?;
        let create = format!("CREATE DATABASE {}", self.name);
        sqlx::query(AssertSqlSafe(create)).execute(&mut server).await.context("cannot make a test database")?;
        server.close().await?;
        Ok(self)
    }

    /// Chooses a name and makes nothing, for tests of what makes databases itself.
    ///
    /// # Errors
    /// When `TEST_DATABASE_URL` is not set.
    pub fn named_only() -> anyhow::Result<Self> {
        let server_url = std::env::var("TEST_DATABASE_URL").context(
            "there is no PostgreSQL to test on: run make test, or set TEST_DATABASE_URL to a superuser's URL",
        )?;
        Ok(Self::named_on(server_url))
    }

    fn named_on(server_url: String) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}_{}_{number}", now().as_secs(), process::id());
        Self { server_url, name }
    }

    /// The database's URL, as the server's superuser.
    pub fn url(&self) -> String {
        with_database(&self.server_url, &self.name)
    }

    /// The URL of `TEST_DATABASE_URL`: the server's superuser in its own database.
    pub fn server_url(&self) -> &str {
        &self.server_url
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn connect_to_server(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect(&self.server_url).await.context("the PostgreSQL of TEST_DATABASE_URL does not answer")
    }
}

/// Drops databases of tests that are long over.
async fn drop_abandoned(server: &mut PgConnection) -> anyhow::Result<()> {
    let names: Vec<String> = sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE starts_with(datname, $1)")
        .bind(PREFIX)
        .fetch_all(&mut *server)
        .await?;
    for name in names.iter().filter(|name| is_abandoned(name, now())) {
        let drop = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
        // Another test may be dropping it at this moment; the second one has nothing left to do.
        if let Err(error) = sqlx::query(AssertSqlSafe(drop)).execute(&mut *server).await {
            eprintln!("database {name} was not dropped: {error}");
        }
    }
    Ok(())
}

fn is_abandoned(name: &str, now: Duration) -> bool {
    let made = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()?.parse().ok());
    made.is_some_and(|made| Duration::from_secs(made) + ABANDONED_AFTER < now)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_test_databases_are_abandoned() {
        let now = Duration::from_secs(10_000);
        assert!(is_abandoned("tributary_test_6399_77_0", now));
        for name in ["tributary_test_6400_77_0", "tributary_test_9000_77_0", "tributary_test_x", "co2_emissions"] {
            assert!(!is_abandoned(name, now), "{name}");
        }
    }

    #[tokio::test]
    async fn each_test_gets_its_own_empty_database() {
        let (a, b) = (TestDatabase::create().await.unwrap(), TestDatabase::create().await.unwrap());
        assert_ne!(a.name(), b.name());
        let mut connection = PgConnection::connect(&a.url()).await.unwrap();
        let (name, tables): (String, i64) = sqlx::query_as(
            "SELECT current_database()::text, (SELECT count(*) FROM pg_tables WHERE schemaname = 'public')",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!((name.as_str(), tables), (a.name(), 0));
    }
}

//! Databases and roles of a test's own, and the binary that works on them.

use std::{
    process::{Output, Stdio},
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::process::{Child, Command};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Names that nothing else on the server has.
pub(crate) struct Fixture {
    /// The database's name, which is also what the roles' names begin with.
    pub(crate) name: String,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// What it printed to stdout.
    pub(crate) stdout: String,
    /// What it logged.
    pub(crate) stderr: String,
}

impl Fixture {
    /// Names of a test's own; nothing is created.
    pub(crate) fn new() -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("migrate_{}_{count}", std::process::id()) }
    }

    /// A superuser's connection options for a database.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::from_str(&server_url()).expect("TEST_DATABASE_URL is a URL").database(database)
    }

    /// A URL of the test's database, as a login without a password.
    pub(crate) fn url(&self, login: &str) -> String {
        let options = self.options(&self.name);
        format!("postgres://{login}@{}:{}/{}", options.get_host(), options.get_port(), self.name)
    }

    /// A superuser's connection to the test's database.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.options(&self.name)).await.expect("the test's database exists")
    }

    /// A connection to the test's database as one of its roles.
    pub(crate) async fn connect_as(&self, role: &str) -> PgConnection {
        let options = self.options(&self.name).username(&self.role(role));
        PgConnection::connect_with(&options).await.expect("the role may connect")
    }

    /// A superuser's connection to database `postgres`.
    pub(crate) async fn server(&self) -> PgConnection {
        PgConnection::connect_with(&self.options("postgres")).await.expect("TEST_DATABASE_URL is reachable")
    }

    /// A role's name.
    pub(crate) fn role(&self, what: &str) -> String {
        format!("{}_{what}", self.name)
    }

    /// Creates the database as somebody else would have.
    pub(crate) async fn create_database(&self) -> PgConnection {
        self.server().await.execute(AssertSqlSafe(format!("CREATE DATABASE {}", self.name))).await.unwrap();
        self.connect().await
    }

    /// The binary, set to the test's database and roles; no other setting comes from outside.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let url = self.url(self.options("postgres").get_username());
        let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
        command
            .env_clear()
            .env("DATABASE_URL", url)
            .env("PIPELINE", "emissions")
            .env("ROLE_PREFIX", &self.name)
            .env("SUPERSET_DATABASE", self.role("superset"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts the binary.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("the binary starts")
    }

    /// Runs the binary to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().await.expect("the binary starts").into()
    }

    /// Runs the binary to its end, which must be a good one.
    pub(crate) async fn up(&self) -> Ended {
        let ended = self.run(&["up"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    /// Drops the databases and the roles.
    pub(crate) async fn finish(self) {
        let mut server = self.server().await;
        for database in [&self.name, &self.role("superset")] {
            let drop = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
            server.execute(AssertSqlSafe(drop)).await.unwrap();
        }
        for role in ["owner", "writer", "reader", "superset", "admin"] {
            server.execute(AssertSqlSafe(format!("DROP ROLE IF EXISTS {}", self.role(role)))).await.unwrap();
        }
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the binary prints UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn server_url() -> String {
    std::env::var("TEST_DATABASE_URL")
        .expect("TEST_DATABASE_URL names no PostgreSQL with a superuser's login; `make test` starts one")
}

/// Asserts that a run ended with a code and a log that names everything in `named`.
pub(crate) fn check(ended: &Ended, code: i32, named: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for name in named {
        assert!(ended.stderr.contains(name), "no {name:?} in {}", ended.stderr);
    }
}

/// The only value of the only row of a query.
pub(crate) async fn scalar<T>(connection: &mut PgConnection, query: &'static str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

/// The SQLSTATE with which Postgres refuses a statement.
pub(crate) async fn refusal(connection: &mut PgConnection, statement: &'static str) -> String {
    let error = connection.execute(statement).await.expect_err("the statement is refused");
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned()).unwrap_or_default()
}

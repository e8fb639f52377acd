//! Connections to Postgres, and which of its errors are worth another try.

use std::time::Duration;

use service::Exit;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tracing::log::LevelFilter;

use crate::wire;

/// Connecting takes milliseconds; a host that drops packets would hold us up for minutes.
const CONNECT: Duration = Duration::from_secs(10);
/// Session settings, on every connection. The server notices a client that vanished within 15 s
/// (as [`wire`] notices a server that did), and no statement or lock is waited for without end.
const SESSION: [(&str, &str); 6] = [
    ("statement_timeout", "60s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "2"),
];

/// Where Postgres is, and how we talk to it.
#[derive(Clone, Debug)]
pub struct Database {
    options: PgConnectOptions,
}

impl Database {
    /// The database behind `options`, with the session settings every connection of ours has.
    pub fn new(options: PgConnectOptions) -> Self {
        let options = options.application_name("tributary").options(SESSION).log_statements(LevelFilter::Trace);
        // A slow statement is part of a batch or a publication, whose time is logged.
        let options = options.log_slow_statements(LevelFilter::Debug, Duration::from_secs(1));
        Self { options }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When Postgres does not answer within 10 s, or refuses.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        match tokio::time::timeout(CONNECT, wire::connect(&self.options)).await {
            Ok(connected) => connected,
            Err(_) => Err(timed_out("connecting took more than 10 s")),
        }
    }
}

fn timed_out(why: &str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why))
}

/// A statement put together from names that a pipeline declares, never from input.
pub(crate) fn sql(statement: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(statement)
}

/// Whether another try may succeed without anyone's doing.
///
/// Classes of PostgreSQL's error codes (appendix A): 08 connection, 53 resources (disk full, too
/// many connections), 57 operator (shutdown, timeouts), 58 system, 40 rolled back (serialization,
/// deadlock), 55 lock not available, 25006 read-only while a standby takes over, 25P03 and 25P04
/// the server ended a transaction of ours that had stood still, as after the machine was asleep.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        // A server that ends in mid-message leaves the protocol in an unknown state.
        sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "40", "53", "55", "57", "58", "25006", "25P03", "25P04"].iter().any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

/// What Postgres says, without the place in its own source that sqlx adds.
pub fn plain(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// The exit code an error deserves where it is not tried again.
pub fn exit(error: &sqlx::Error) -> Exit {
    match error {
        error if is_refused(error) => Exit::Usage,
        error if is_transient(error) || is_unmigrated(error) => Exit::Unavailable,
        _ => Exit::Bug,
    }
}

/// Whether the database or its schema are not there yet, which `migrate` mends.
pub fn is_unmigrated(error: &sqlx::Error) -> bool {
    has_code(error, &["3D000", "42P01", "42703"])
}

/// Whether the login is refused, or may not do what it has to.
pub fn is_refused(error: &sqlx::Error) -> bool {
    has_code(error, &["28P01", "28000", "42501"])
}

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| codes.contains(&&*code))
}

//! Connections to Postgres.

use std::time::Duration;

use service::postgres;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tracing::log::LevelFilter;

use crate::postgres::pg_socket;

/// Connecting takes milliseconds; a host that drops packets would block us for minutes.
const CONNECT: Duration = Duration::from_secs(10);
/// Session settings, on every connection, besides those of [`postgres::session`]. The server notices a client that
/// vanished within 15 s (as [`pg_socket`] notices a server that did), and no statement or lock is waited for without
/// end.
const SESSION: [(&str, &str); 6] = [
    ("statement_timeout", "60s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "2"),
];

/// How long a response, or the next piece of a COPY, may take: a minute is the server's own limit.
pub(crate) const PIECE: Duration = Duration::from_secs(75);

/// What a statement gives, unless PostgreSQL does not answer or refuses.
pub(crate) type SqlResult<T> = Result<T, sqlx::Error>;

/// Where Postgres is, and how we talk to it.
#[derive(Clone, Debug)]
pub struct Database {
    options: PgConnectOptions,
}

impl Database {
    /// The database behind `options`, with the session settings every connection of ours has.
    pub fn new(options: PgConnectOptions) -> Self {
        let options = postgres::session(options, "tributary").options(SESSION).log_statements(LevelFilter::Trace);
        // A slow statement is part of a batch or a refresh, whose time is logged.
        let options = options.log_slow_statements(LevelFilter::Debug, Duration::from_secs(1));
        Self { options }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When Postgres does not answer within 10 s, refuses, or is not a server or database that we can use.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        match tokio::time::timeout(CONNECT, self.checked()).await {
            Ok(connected) => connected,
            Err(_) => Err(timed_out("connecting took more than 10 s")),
        }
    }

    async fn checked(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = pg_socket::connect(&self.options).await?;
        postgres::check_session(&mut connection).await?;
        postgres::check_encoding(&mut connection).await?;
        Ok(connection)
    }
}

/// What the server answers, where it does within `limit`.
pub(crate) async fn answered<T, E: From<sqlx::Error>>(
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(timed_out(&format!("no answer for {} s", limit.as_secs())).into()),
    }
}

fn timed_out(why: &str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why))
}

/// A statement put together from names that a pipeline declares, never from input.
pub(crate) fn sql(statement: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(statement)
}

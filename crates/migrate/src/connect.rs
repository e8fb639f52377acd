//! Connecting to Postgres, and waiting until it is available.

use std::time::Duration;

use service::{
    Exit, Failure,
    backoff::Backoff,
    postgres::{self, code, exit, plain},
    settings::address,
    telemetry::millis,
};
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::{sleep, timeout};

use crate::sql_errors::OrFailure;

/// The longest one try may take: a host that drops packets would block it for minutes; a server that is only
/// busy responds well within it.
const ONE_TRY: Duration = Duration::from_secs(10);

/// Session settings, besides those of [`postgres::session`]. A migration may build an index for hours, but must not
/// queue behind a reader for long: everyone else would queue behind it.
const SESSION: [(&str, &str); 2] = [("lock_timeout", "10s"), ("statement_timeout", "0")];

/// The database that every server has, from which what belongs to the whole server is done.
pub(crate) const MAINTENANCE: &str = "postgres";

/// Connects, and waits up to `wait` for Postgres to be available.
///
/// # Errors
/// Exit 64 when Postgres refuses the login, 69 when it stays unavailable.
pub(crate) async fn connect(options: PgConnectOptions, wait: Duration) -> anyhow::Result<PgConnection> {
    let target = target(&options);
    let help = match options.get_database() {
        Some(MAINTENANCE) => "migrate works from it; create it",
        _ => "`migrate up` creates it",
    };
    connect_if_exists(options, wait)
        .await?
        .ok_or_else(|| Failure::new(Exit::Usage, format!("{target}: there is no such database; {help}")).into())
}

/// Connects like [`connect`]; `None` when the server is available and the database does not exist.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn connect_if_exists(
    options: PgConnectOptions,
    wait: Duration,
) -> anyhow::Result<Option<PgConnection>> {
    let target = target(&options);
    // Statements may carry verifiers; what matters is logged by name.
    let options = postgres::session(options, "tributary migrate").options(SESSION).disable_statement_logging();
    let mut backoff = Backoff::new(wait);
    loop {
        let error = match timeout(ONE_TRY, PgConnection::connect_with(&options)).await {
            Ok(Ok(mut connection)) => {
                let checked = postgres::check_session(&mut connection).await;
                checked.or_failure(|| format!("{target}: cannot set up a session"))?;
                return Ok(Some(connection));
            }
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
        };
        if code(&error).as_deref() == Some("3D000") {
            return Ok(None);
        }
        if exit(&error) != Exit::Unavailable {
            return Err(error).or_failure(|| format!("{target}: cannot log in; check DATABASE_URL"));
        }
        let Some(pause) = backoff.wait() else {
            let message =
                format!("{target} does not answer after {wait:.0?}; check DATABASE_URL, or give a longer --wait");
            return Err(anyhow::anyhow!(plain(&error)).context(Failure::new(Exit::Unavailable, message)));
        };
        tracing::warn!(error = plain(&error), waited_ms = millis(backoff.elapsed()), "waiting for {target}");
        sleep(pause).await;
    }
}

/// Where a connection leads, for messages: without the password.
pub(crate) fn target(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or("postgres");
    format!("postgres at {}, database {database}", address(options))
}

//! Connecting to Postgres, and waiting until it is there.

use std::time::Duration;

use service::{
    Exit, Failure,
    backoff::Backoff,
    postgres::{code, plain},
    settings::address,
    telemetry::millis,
};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::time::{sleep, timeout};

use crate::judge::{Judge, exit_of};

/// The longest one try may take: a host that swallows packets would hold it for minutes; a server that is merely
/// busy answers well within it.
const ONE_TRY: Duration = Duration::from_secs(10);

/// What every session of ours is set to. A migration may build an index for hours, but must not queue behind a
/// reader for long: everyone else would queue behind it.
const SESSION: &str = "SET search_path = public; SET lock_timeout = '10s'; SET statement_timeout = 0";

/// Connects, and waits up to `wait` for Postgres to be there.
///
/// # Errors
/// Exit 64 when Postgres refuses the login, 69 when it stays away.
pub(crate) async fn connect(options: PgConnectOptions, wait: Duration) -> anyhow::Result<PgConnection> {
    let place = place(&options);
    connect_if_there(options, wait).await?.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{place}: there is no such database; `migrate up` creates it")).into()
    })
}

/// Connects like [`connect`]; `None` when the server is there, and the database is not.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn connect_if_there(
    options: PgConnectOptions,
    wait: Duration,
) -> anyhow::Result<Option<PgConnection>> {
    let place = place(&options);
    // Statements may carry verifiers; what matters is logged by name.
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("tributary migrate"),
    };
    let options = options.disable_statement_logging();
    let mut backoff = Backoff::new(wait);
    loop {
        let error = match timeout(ONE_TRY, PgConnection::connect_with(&options)).await {
            Ok(Ok(mut connection)) => {
                connection.execute(SESSION).await.or_judge(|| format!("{place}: cannot set up a session"))?;
                return Ok(Some(connection));
            }
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
        };
        if code(&error).as_deref() == Some("3D000") {
            return Ok(None);
        }
        if exit_of(&error) != Exit::Unavailable {
            return Err(error).or_judge(|| format!("{place}: cannot log in; check DATABASE_URL"));
        }
        let Some(pause) = backoff.wait() else {
            let message =
                format!("{place} does not answer after {wait:.0?}; check DATABASE_URL, or give a longer --wait");
            return Err(anyhow::anyhow!(plain(&error)).context(Failure::new(Exit::Unavailable, message)));
        };
        tracing::warn!(error = plain(&error), waited_ms = millis(backoff.elapsed()), "waiting for {place}");
        sleep(pause).await;
    }
}

/// A connection's place for people, without the password.
pub(crate) fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or("postgres");
    format!("postgres at {}, database {database}", address(options))
}

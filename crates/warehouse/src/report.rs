//! `warehouse report`: the daily reports of sensors.

use anyhow::anyhow;
use sensors::{
    pipeline::Sensors,
    report::{ReportError, Reported, report},
};
use service::{
    Exit, Failure,
    backoff::Backoff,
    postgres::{failure, is_transient},
};
use sqlx::{PgConnection, postgres::PgConnectOptions};
use stream::{Pipeline as _, database::Database};

use crate::settings::{Report, Settings};

/// Stores the reports, and says what changed.
pub(crate) async fn run(settings: &Settings, options: &Report) -> anyhow::Result<()> {
    let database = settings.postgres.database_url.options(Sensors::DATABASE);
    let mut connection = connect(settings, database).await?;
    let Reported { days, changed } =
        report(&mut connection, &options.timezone, options.dry_run).await.map_err(|error| match error {
            ReportError::Postgres(error) => failure(&error, "cannot store the reports; nothing was stored"),
            refused => Failure::new(Exit::Usage, refused.to_string()).into(),
        })?;
    let done = if options.dry_run { "nothing was stored: a run would store" } else { "stored" };
    tracing::info!(days, changed, timezone = options.timezone, "{done} {changed} of {days} reports that were computed");
    Ok(())
}

async fn connect(settings: &Settings, options: PgConnectOptions) -> anyhow::Result<PgConnection> {
    let (database, mut backoff) = (Database::new(options), Backoff::new(settings.wait));
    loop {
        match database.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) => {
                let url = &settings.postgres.database_url;
                let wait = if is_transient(&error) { backoff.wait() } else { None };
                let Some(wait) = wait else { return Err(failure(&error, format!("cannot connect to {url}"))) };
                tracing::debug!(error = %anyhow!(error), "waiting for postgres");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

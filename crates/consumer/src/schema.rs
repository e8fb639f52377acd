//! Waiting for the database and its schema, which `migrate` makes.

use registry::{
    databases::{self, SchemaState},
    feeds::{self, Standing},
};
use service::{
    Exit, Failure,
    backoff::Backoff,
    health::Health,
    postgres::{failure, is_refused, is_transient, is_unmigrated, plain},
};
use sqlx::PgConnection;
use stream::{Identity, database::Database};

use crate::settings::Job;

/// Waits until the schema is the one this program knows, and gives the database's identity.
///
/// # Errors
/// Exit 65 when the schema is newer or was edited, 64 when it is another pipeline's, the database is a copy, the login is
/// refused or the database is none that we can work with, 69 when it is not there in time.
pub(crate) async fn wait(job: &Job, health: &Health) -> anyhow::Result<Identity> {
    let database = Database::new(job.database());
    let mut backoff = Backoff::new(job.settings.consume.wait);
    let mut said = false;
    loop {
        health.turn();
        let (exit, missing) = match look(job, &database).await {
            Ok(Found::Identity(Standing::Own(uuid))) => return Ok(Identity::new(job.pipeline.name, &uuid)),
            Ok(Found::Identity(Standing::Missing)) => (Exit::Unavailable, "the database has no identity".to_owned()),
            Ok(Found::Identity(Standing::Copy)) => return Err(copy(job).into()),
            Ok(Found::Schema(SchemaState::Newer(files))) => {
                let why = format!("the database is newer than this consumer: it has {}", files.join(", "));
                return Err(Failure::new(Exit::Input, format!("{why}; run a newer consumer")).into());
            }
            Ok(Found::Schema(SchemaState::Edited(files))) => {
                let why = format!("migrations were edited after they had been applied: {}", files.join(", "));
                return Err(Failure::new(Exit::Input, format!("{why}; restore them")).into());
            }
            Ok(Found::Schema(SchemaState::OfAnother(other))) => {
                return Err(of_another(job, other).into());
            }
            Ok(Found::Schema(SchemaState::Missing | SchemaState::Good)) => {
                (Exit::Unavailable, "the schema is missing".to_owned())
            }
            Ok(Found::Schema(SchemaState::Older(files))) => {
                (Exit::Unavailable, format!("the schema lacks {}", files.join(", ")))
            }
            // The role may be about to be made; when it is not, the settings are wrong.
            Err(error) if is_refused(&error) => (Exit::Usage, plain(&error)),
            Err(error) if is_transient(&error) || is_unmigrated(&error) => (Exit::Unavailable, plain(&error)),
            Err(error) => return Err(failure(&error, format!("cannot use {}", place(job)))),
        };
        if !std::mem::replace(&mut said, true) {
            tracing::info!(why = missing, "waiting for postgres and the schema");
        }
        match backoff.wait() {
            Some(wait) => tokio::time::sleep(wait).await,
            None => {
                let waited = backoff.elapsed().as_secs();
                let known = missing.contains("run `migrate up`");
                let advice = if known { "" } else { "; run `migrate up`, or check DATABASE_URL" };
                let message = format!("{} is not usable after {waited} s: {missing}{advice}", place(job));
                return Err(Failure::new(exit, message).into());
            }
        }
    }
}

/// What a look at the database finds.
enum Found {
    /// A schema that cannot be used, or not yet.
    Schema(SchemaState),
    /// The schema is good; this is the identity.
    Identity(Standing),
}

async fn look(job: &Job, database: &Database) -> Result<Found, sqlx::Error> {
    let mut connection = database.connect().await?;
    let Some(known) = databases::find(job.pipeline.name) else { return Ok(Found::Schema(SchemaState::Missing)) };
    match databases::check_schema(&mut connection, known).await? {
        SchemaState::Good => feeds::standing(&mut connection, job.pipeline.name).await.map(Found::Identity),
        other => Ok(Found::Schema(other)),
    }
}

/// Refuses a database of another pipeline.
fn of_another(job: &Job, other: &str) -> Failure {
    let advice = format!("give {} another database with DATABASE_URL", job.pipeline.name);
    Failure::new(Exit::Usage, format!("{} holds the pipeline {other}; {advice}", place(job)))
}

/// Refuses, before anything is done to its tables, a database of another pipeline.
pub(crate) async fn check_pipeline(job: &Job, connection: &mut PgConnection) -> anyhow::Result<()> {
    let Some(known) = databases::find(job.pipeline.name) else { return Ok(()) };
    let state = databases::check_schema(connection, known).await;
    match state.map_err(|error| failure(&error, format!("cannot use {}", place(job))))? {
        SchemaState::OfAnother(other) => Err(of_another(job, other).into()),
        _ => Ok(()),
    }
}

/// Refuses a database that would take the place of the one it was copied from, in its consumer group.
fn copy(job: &Job) -> Failure {
    let message = format!(
        "{} is a copy of another database (a dump, or a template): run `migrate up`, which gives it an identity of its own",
        place(job)
    );
    Failure::new(Exit::Usage, message)
}

fn place(job: &Job) -> String {
    job.settings.postgres.database_url.to_string()
}

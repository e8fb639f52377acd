//! Waiting for the database and its schema, which `migrate` makes.

use registry::{
    databases::{self, SchemaState},
    feeds::{self, Identification},
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

/// Waits until the schema is the one this program knows, and gives the database's identity, one a feed.
///
/// # Errors
/// Exit 65 when the schema is newer, was edited or is that of a build before 0.1.0. Exit 64 when it is another
/// pipeline's, when the database is a copy or cannot be used, or when the login is refused. Exit 69 after the wait.
pub(crate) async fn wait(job: &Job, health: &Health) -> anyhow::Result<Vec<Identity>> {
    let database = Database::new(job.database());
    let mut backoff = Backoff::new(job.settings.consume.wait);
    let mut said = false;
    loop {
        health.turn();
        let (exit, missing) = match check(job, &database).await {
            Ok(Found::Identities(identities)) => return Ok(identities),
            Ok(Found::NoIdentity) => (Exit::Unavailable, "the database has no identity".to_owned()),
            Ok(Found::Copy) => return Err(copy(job).into()),
            Ok(Found::Schema(SchemaState::Newer(files))) => {
                let why = format!("the database is newer than this consumer: it has {}", files.join(", "));
                return Err(Failure::new(Exit::Input, format!("{why}; run a newer consumer")).into());
            }
            Ok(Found::Schema(SchemaState::Edited(files))) => {
                let why = format!("migrations were edited after they had been applied: {}", files.join(", "));
                return Err(Failure::new(Exit::Input, format!("{why}; restore them")).into());
            }
            Ok(Found::Schema(SchemaState::Replaced(files))) => return Err(replaced(job, &files).into()),
            Ok(Found::Schema(SchemaState::OfAnother(other))) => return Err(of_another(job, other).into()),
            Ok(Found::Schema(SchemaState::Missing | SchemaState::Good)) => {
                (Exit::Unavailable, "the schema is missing".to_owned())
            }
            Ok(Found::Schema(SchemaState::Older(files))) => {
                (Exit::Unavailable, format!("the schema lacks {}", files.join(", ")))
            }
            // `migrate` may be about to create the role; when it does not, the settings are wrong.
            Err(error) if is_refused(&error) => (Exit::Usage, plain(&error)),
            Err(error) if is_transient(&error) || is_unmigrated(&error) => (Exit::Unavailable, plain(&error)),
            Err(error) => return Err(failure(&error, format!("cannot use {}", target(job)))),
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
                let message = format!("{} is not usable after {waited} s: {missing}{advice}", target(job));
                return Err(Failure::new(exit, message).into());
            }
        }
    }
}

/// What a check of the database finds.
enum Found {
    /// A schema that cannot be used, or not yet.
    Schema(SchemaState),
    /// The schema is good; these are the identities of the feeds.
    Identities(Vec<Identity>),
    /// The schema is good; a feed has no identity yet.
    NoIdentity,
    /// The identities are those of another database.
    Copy,
}

async fn check(job: &Job, database: &Database) -> Result<Found, sqlx::Error> {
    let mut connection = database.connect().await?;
    let Some(known) = databases::find(job.pipeline.name) else { return Ok(Found::Schema(SchemaState::Missing)) };
    match databases::check_schema(&mut connection, known).await? {
        SchemaState::Good => identities(job, &mut connection).await,
        other => Ok(Found::Schema(other)),
    }
}

async fn identities(job: &Job, connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
    let mut identities = Vec::new();
    for feed in job.pipeline.feed_names() {
        match feeds::identification(connection, feed).await? {
            Identification::Own(uuid) => identities.push(Identity::new(feed, &uuid)),
            Identification::Missing => return Ok(Found::NoIdentity),
            Identification::Copy => return Ok(Found::Copy),
        }
    }
    Ok(Found::Identities(identities))
}

/// Refuses a database of another pipeline.
fn of_another(job: &Job, other: &str) -> Failure {
    let advice = format!("give {} another database with DATABASE_URL", job.pipeline.name);
    Failure::new(Exit::Usage, format!("{} holds the pipeline {other}; {advice}", target(job)))
}

/// Refuses a database that a build before 0.1.0 made.
fn replaced(job: &Job, files: &[String]) -> Failure {
    let why = format!("a build before 0.1.0 made {} ({})", target(job), files.join(", "));
    Failure::new(Exit::Input, format!("{why}, and its tables cannot be upgraded; `migrate up` says what helps"))
}

/// Refuses, before anything is done to its tables, a database of another pipeline or of a build before 0.1.0.
pub(crate) async fn check_pipeline(job: &Job, connection: &mut PgConnection) -> anyhow::Result<()> {
    let Some(known) = databases::find(job.pipeline.name) else { return Ok(()) };
    let state = databases::check_schema(connection, known).await;
    match state.map_err(|error| failure(&error, format!("cannot use {}", target(job))))? {
        SchemaState::OfAnother(other) => Err(of_another(job, other).into()),
        SchemaState::Replaced(files) => Err(replaced(job, &files).into()),
        _ => Ok(()),
    }
}

/// Refuses a database that would join the consumer group of the database it was copied from.
fn copy(job: &Job) -> Failure {
    let message = format!(
        "{} is a copy of another database (a dump, or a template): run `migrate up`, which gives it its own identity",
        target(job)
    );
    Failure::new(Exit::Usage, message)
}

fn target(job: &Job) -> String {
    job.settings.postgres.database_url.to_string()
}

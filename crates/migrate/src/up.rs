//! `migrate up`: all steps from an empty server to a database the consumer can use.

use anyhow::Context;
use registry::{
    databases::Database,
    feeds::{self, Ensured},
};
use service::postgres::check_encoding;
use sqlx::{Connection, PgConnection};

use crate::{
    connect::{connect, target},
    legacy_tables::{self, LegacyTables},
    lock, migrations, privileges,
    roles::{self, Roles},
    server,
    settings::Settings,
    sql_errors::OrFailure,
    superset,
};

/// Brings every database that is meant up to date.
///
/// # Errors
/// See the exit codes of [`Settings`]; what was done before stays, and running again goes on from there.
pub(crate) async fn run(settings: &Settings, legacy_tables: LegacyTables) -> anyhow::Result<()> {
    tracing::info!(version = service::version!(), "migrate starts");
    for database in settings.databases()? {
        prepare_server(settings, database).await?;
        let options = settings.options(database);
        upgrade(settings, database, legacy_tables).await.with_context(|| target(&options))?;
    }
    Ok(())
}

/// Roles and database, one `migrate` at a time on the whole server.
async fn prepare_server(settings: &Settings, database: &Database) -> anyhow::Result<()> {
    let name = settings.options(database).get_database().unwrap_or(database.name).to_owned();
    let mut connection = connect(settings.maintenance(), settings.wait).await?;
    lock::take(&mut connection, settings.wait).await?;
    server::ensure(&mut connection, &settings.roles, &name).await?;
    superset::ensure(&mut connection, &settings.roles, &name).await?;
    connection.close().await.or_failure(|| "cannot close the connection".to_owned())
}

/// Tables and privileges, one `migrate` at a time in this database.
async fn upgrade(settings: &Settings, database: &Database, legacy_tables: LegacyTables) -> anyhow::Result<()> {
    let options = settings.options(database);
    let roles = Roles::new(&settings.roles);
    let mut connection = connect(options.clone(), settings.wait).await?;
    check_encoding(&mut connection).await.or_failure(|| "the database cannot be used".to_owned())?;
    lock::take(&mut connection, settings.wait).await?;
    migrations::refuse_foreign(&mut connection, database).await?;
    legacy_tables::move_aside(&mut connection, database, legacy_tables).await?;
    privileges::prepare(&mut connection, &roles, &options).await?;
    roles::act_as(&mut connection, &roles.owner).await?;
    let applied = migrations::apply(&mut connection, database).await?;
    identify(&mut connection, database).await?;
    privileges::grant(&mut connection, &roles).await?;
    connection.close().await.or_failure(|| "cannot close the connection".to_owned())?;
    tracing::info!(pipeline = database.pipeline, applied, "the schema is up to date");
    Ok(())
}

/// Gives the database its own identity, where it has none or that of the database it was copied from.
async fn identify(connection: &mut PgConnection, database: &Database) -> anyhow::Result<()> {
    for feed in &database.feeds {
        let ensured = feeds::ensure(connection, feed).await;
        let Ensured { identity, drawn } = ensured.or_failure(|| "cannot give the database an identity".to_owned())?;
        if drawn {
            tracing::info!(feed, identity, "gave the database an identity");
        }
    }
    Ok(())
}

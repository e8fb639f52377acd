//! What belongs to the whole server: the roles and the database.

use sqlx::PgConnection;

use crate::{
    roles::{self, Roles},
    settings::RoleSettings,
    sql_errors::OrFailure,
    statements::{ident, racing},
};

/// Makes the roles and the database where they are missing.
///
/// # Errors
/// Exit 64 when the login may not do this.
pub(crate) async fn ensure(
    connection: &mut PgConnection,
    settings: &RoleSettings,
    database: &str,
) -> anyhow::Result<()> {
    roles::ensure(connection, settings).await?;
    create_database(connection, &Roles::new(settings).owner, database).await
}

/// Makes the database where it is missing.
///
/// # Errors
/// Exit 64 when the login may not do this.
pub(crate) async fn create_database(connection: &mut PgConnection, owner: &str, database: &str) -> anyhow::Result<()> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(&mut *connection)
        .await
        .or_failure(|| "cannot read the server's databases".to_owned())?;
    if !exists {
        // From template0, so that a site's additions to template1, or sessions in it, do no harm.
        let create =
            format!("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0", ident(database), ident(owner));
        racing(connection, &create).await.or_failure(|| format!("cannot create database {database}"))?;
        tracing::info!(database, owner, "created the database");
    }
    Ok(())
}

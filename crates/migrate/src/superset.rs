//! The role and the database of Superset's own metadata, created when a password is given for them.
//!
//! They hold no fact: Superset keeps its users and dashboards there, and reads our tables as the reader.

use service::{Exit, Failure};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{roles, server, settings::RoleSettings, sql_errors::OrFailure, statements::ident};

/// The role's name.
pub(crate) fn role(settings: &RoleSettings) -> String {
    format!("{}_superset", settings.role_prefix)
}

/// Makes the role and its database where they are missing, sets the password, and lets nobody else in.
///
/// Without a password it does nothing: not everyone who has the tables has Superset.
///
/// # Errors
/// Exit 64 when the login may not do this, or when Superset is to share the database of `pipeline`; 65 when somebody
/// else's database has the name.
pub(crate) async fn ensure(
    connection: &mut PgConnection,
    settings: &RoleSettings,
    pipeline: &str,
) -> anyhow::Result<()> {
    let Some(password) = &settings.superset_password else { return Ok(()) };
    let (role, database) = (role(settings), settings.superset_database.as_str());
    if database == pipeline {
        let message =
            format!("database {database} holds the pipeline's tables; give Superset another SUPERSET_DATABASE");
        return Err(Failure::new(Exit::Usage, message).into());
    }
    roles::create(connection, &role).await?;
    roles::set_password(connection, &role, password).await?;
    roles::become_member(connection, &role).await?;
    server::create_database(connection, &role, database).await?;
    refuse_foreign(connection, &role, database).await?;
    close_to_others(connection, &role, database).await
}

/// What `migrate status` says of the role and its database.
///
/// # Errors
/// When Postgres cannot be queried.
pub(crate) async fn state(connection: &mut PgConnection, settings: &RoleSettings) -> anyhow::Result<String> {
    let (role, database) = (role(settings), &settings.superset_database);
    if !roles::exists(connection, &role).await? {
        return Ok("missing; `up` makes it when SUPERSET_PASSWORD is set".to_owned());
    }
    Ok(match owner(connection, database).await? {
        None => format!("exists; database {database} is missing"),
        Some(owner) if owner == role => format!("exists; owns database {database}"),
        Some(owner) => format!("exists; database {database} belongs to {owner}"),
    })
}

async fn refuse_foreign(connection: &mut PgConnection, role: &str, database: &str) -> anyhow::Result<()> {
    match owner(connection, database).await? {
        Some(owner) if owner != role => {
            let message = format!(
                "database {database} belongs to {owner}, and Superset's metadata needs one of {role}'s own; \
                 give another SUPERSET_DATABASE"
            );
            Err(Failure::new(Exit::Input, message).into())
        }
        _ => Ok(()),
    }
}

async fn owner(connection: &mut PgConnection, database: &str) -> anyhow::Result<Option<String>> {
    sqlx::query_scalar("SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1")
        .bind(database)
        .fetch_optional(connection)
        .await
        .or_failure(|| "cannot read the server's databases".to_owned())
}

/// Superset's metadata holds the keys to its data sources.
async fn close_to_others(connection: &mut PgConnection, role: &str, database: &str) -> anyhow::Result<()> {
    // One transaction, as a simple query is; the role is ours again after it.
    let statements = format!("SET LOCAL ROLE {}; REVOKE ALL ON DATABASE {} FROM PUBLIC", ident(role), ident(database));
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(connection)
        .await
        .or_failure(|| format!("cannot close database {database} to others"))?;
    Ok(())
}

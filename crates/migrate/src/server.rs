//! What belongs to the whole server: the roles and the database.

use std::time::Duration;

use service::postgres::code;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::sleep;

use crate::{
    judge::Judge,
    roles::{self, Roles},
    settings::RoleSettings,
};

/// How often a statement that lost a race is tried. Our lock keeps out other `migrate`s, not people and other
/// tools; a race is over in milliseconds, and what fails this often is something else.
const TRIES: u32 = 20;
/// The pause after the first lost race; the n-th is n times as long.
const PAUSE: Duration = Duration::from_millis(25);

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
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(&mut *connection)
        .await
        .or_judge(|| "cannot read the server's databases".to_owned())?;
    if !there {
        // From template0, so that a site's additions to template1, or sessions in it, are not in the way.
        let create =
            format!("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0", ident(database), ident(owner));
        racing(connection, &create).await.or_judge(|| format!("cannot create database {database}"))?;
        tracing::info!(database, owner, "created the database");
    }
    Ok(())
}

/// Executes a statement on the server's shared catalogues, and again when it loses a race.
///
/// A role or database that someone else has made meanwhile (42710, 42P04) is as good as made.
pub(crate) async fn racing(connection: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    for attempt in 1.. {
        let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await else {
            return Ok(());
        };
        match code(&error).as_deref() {
            Some("42710" | "42P04") => return Ok(()),
            // The same row inserted at the same time; tuple concurrently updated; the template is in use.
            Some("23505" | "XX000" | "55006") if attempt < TRIES => sleep(PAUSE * attempt).await,
            _ => return Err(error),
        }
    }
    Ok(())
}

/// A name as SQL writes it, in quotes.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(ident("co2_emissions"), "\"co2_emissions\"");
        assert_eq!(ident("a\"; DROP"), "\"a\"\"; DROP\"");
    }
}

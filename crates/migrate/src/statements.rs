//! Statements on what the whole server shares: names in them, and races for the same rows.

use std::time::Duration;

use service::postgres::code;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::sleep;

/// How often a statement that lost a race is tried. Our lock excludes other `migrate`s, not people and other
/// tools; a race is over in milliseconds, and what fails this often is something else.
const TRIES: u32 = 20;
/// The pause after the first lost race; the n-th is n times as long.
const PAUSE: Duration = Duration::from_millis(25);

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

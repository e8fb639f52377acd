//! What was written to a database, as PostgreSQL itself counts it: rows inserted, updated and deleted, by table.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{Connection, PgConnection};

use crate::env::Env;

/// A session's counts are complete when it has ended, which its client does not wait for.
pub(crate) const SESSIONS_END: Duration = Duration::from_millis(500);

const QUERY: &str =
    "SELECT relname::text, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE schemaname = 'public'";

/// Rows written, by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writes(pub(crate) BTreeMap<String, i64>);

impl Writes {
    /// All since the database was made.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub(crate) async fn so_far(env: Env<'_>) -> anyhow::Result<Self> {
        tokio::time::sleep(SESSIONS_END).await;
        let mut connection = PgConnection::connect(&env.servers.database(env.name)).await?;
        let rows: Vec<(String, i64)> = sqlx::query_as(QUERY).fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok(Self(rows.into_iter().collect()))
    }

    /// What came after `before`, where anything did.
    pub(crate) fn since(self, before: &Self) -> Self {
        let rows = |table: &str| before.0.get(table).copied().unwrap_or(0);
        let grown = self.0.into_iter().map(|(table, now)| (table.clone(), now - rows(&table)));
        Self(grown.filter(|(_, rows)| *rows != 0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_is_left() {
        let writes =
            |rows: &[(&str, i64)]| Writes(rows.iter().map(|(table, rows)| ((*table).to_owned(), *rows)).collect());
        let after = writes(&[("changelog", 9), ("offsets", 8), ("new", 1)]);
        assert_eq!(after.since(&writes(&[("changelog", 9), ("offsets", 2)])), writes(&[("new", 1), ("offsets", 6)]));
    }
}

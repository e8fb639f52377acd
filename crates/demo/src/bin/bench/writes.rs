//! What was written to a database, as PostgreSQL itself counts it: rows inserted, updated and deleted, by table.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{Connection, PgConnection};

use crate::place::Place;

/// A session's counts are there when it has ended, which its client does not wait for.
const SESSIONS_END: Duration = Duration::from_millis(500);

const QUERY: &str =
    "SELECT relname::text, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE schemaname = 'public'";

/// What every batch writes, whatever it tells: accounting and offsets.
const BOOKS: [&str; 2] = ["ingest_accounting", "stream_offsets"];

/// Rows written, by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writes(pub(crate) BTreeMap<String, i64>);

impl Writes {
    /// All since the database was made.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub(crate) async fn so_far(place: Place<'_>) -> anyhow::Result<Self> {
        tokio::time::sleep(SESSIONS_END).await;
        let mut connection = PgConnection::connect(&place.servers.database(place.name)).await?;
        let rows: Vec<(String, i64)> = sqlx::query_as(QUERY).fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok(Self(rows.into_iter().collect()))
    }

    /// Rows of all tables but those of accounting and offsets.
    pub(crate) fn beside_books(&self) -> f64 {
        let others = self.0.iter().filter(|(table, _)| !BOOKS.contains(&table.as_str()));
        u32::try_from(others.map(|(_, rows)| rows).sum::<i64>()).map_or(f64::INFINITY, f64::from)
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
        let rows = writes(&[("ingest_accounting", 9), ("stream_offsets", 8), ("changelog", 2), ("new", 1)]);
        assert!((rows.beside_books() - 3.0).abs() < 0.5);
    }
}

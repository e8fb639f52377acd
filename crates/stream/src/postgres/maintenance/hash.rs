//! `consumer hash`: the same facts give the same hash.

use sqlx::{Connection, PgConnection};

use crate::{pipeline::Hashed, postgres::database::sql};

/// What stands for all tables together.
pub const ALL: &str = "all of them";

/// A table's rows in one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHash {
    /// The table's name.
    pub table: &'static str,
    /// The number of its rows.
    pub rows: i64,
    /// SHA-256 of its rows as text, each ended by a line feed; hexadecimal.
    pub sha256: String,
}

/// Hashes tables as they are at one moment; the last one stands for all of them together.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn hash(connection: &mut PgConnection, tables: &[Hashed]) -> Result<Vec<TableHash>, sqlx::Error> {
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut hashes = Vec::with_capacity(tables.len());
    for Hashed { table, query } in tables {
        let (rows, sha256) = sqlx::query_as(sql(format!(
            "WITH lines AS (SELECT line, row_number() OVER () AS n FROM ({query}) AS ordered (line))
             SELECT count(*), encode(sha256(convert_to(coalesce(string_agg(line || chr(10), '' ORDER BY n), ''), 'UTF8')), 'hex')
             FROM lines"
        )))
        .fetch_one(&mut *tx)
        .await?;
        hashes.push(TableHash { table, rows, sha256 });
    }
    let together: Vec<&str> = hashes.iter().map(|hash| hash.sha256.as_str()).collect();
    let sha256 = sqlx::query_scalar("SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')")
        .bind(together.join(" "))
        .fetch_one(&mut *tx)
        .await?;
    hashes.push(TableHash { table: ALL, rows: hashes.iter().map(|hash| hash.rows).sum(), sha256 });
    Ok(hashes)
}

//! `consumer compact`: drop what has been corrected since.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::{core::batch::ID_SHIFT, pipeline::Changelog, postgres::database::sql};

/// Deletes changelog rows that a later row of the same key has superseded, and that were stored longer ago than `keep`.
///
/// Facts and results stay as they are; only the history of corrections is deleted. Returns how many rows were deleted.
///
/// # Errors
/// When Postgres does not answer or refuses; then nothing was deleted.
pub async fn compact(connection: &mut PgConnection, changelog: &Changelog, keep: Duration) -> Result<u64, sqlx::Error> {
    let (table, key) = (changelog.table, changelog.key.join(", "));
    let mut tx = connection.begin().await?;
    sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *tx).await?;
    let deleted = sqlx::query(sql(format!(
        "WITH newest AS (SELECT {key}, max(id) AS id FROM {table} GROUP BY {key}),
              recent AS (SELECT min(batch) AS batch FROM ingest_accounting
                         WHERE committed_at >= now() - make_interval(secs => $1))
         DELETE FROM {table} old USING newest, recent
         WHERE ({old_key}) = ({newest_key}) AND old.id < newest.id
           AND (recent.batch IS NULL OR old.id < recent.batch << {ID_SHIFT})",
        old_key = qualified("old", changelog),
        newest_key = qualified("newest", changelog),
    )))
    .bind(keep.as_secs_f64())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}

fn qualified(table: &str, changelog: &Changelog) -> String {
    changelog.key.iter().map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", ")
}

//! What is done to a pipeline's tables besides ingestion: hashing, emptying, compacting.

pub mod compact;
pub mod hash;
pub mod reset;

use sqlx::PgConnection;

use crate::{pipeline::Changelog, postgres::database::sql};

/// Keeps others from removing or rewriting segments until the transaction ends. Consumers may append.
async fn lock(tx: &mut PgConnection, changelog: &Changelog) -> Result<(), sqlx::Error> {
    let lock = format!("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE", changelog.table);
    sqlx::raw_sql(sql(lock)).execute(tx).await.map(drop)
}

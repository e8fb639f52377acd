//! What is done to a pipeline's tables besides ingestion: hashing, emptying, compacting.

pub mod compact;
pub mod hash;
pub mod reset;

use sqlx::PgConnection;

use crate::{pipeline::Changelog, postgres::database::sql};

/// What a pipeline keeps in its database, besides what `stream` keeps for all.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Where its facts are.
    pub changelog: Changelog,
    /// The tables computed from them.
    pub derived: &'static [&'static str],
    /// What `consumer hash` covers.
    pub hashed: &'static [Hashed],
    /// Tables and views that an earlier program left in schema `public` under names of ours.
    pub legacy: &'static [&'static str],
}

/// Keeps others from removing or rewriting segments until the transaction ends. Consumers may append.
async fn lock(tx: &mut PgConnection, changelog: &Changelog) -> Result<(), sqlx::Error> {
    let lock = format!("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE", changelog.table);
    sqlx::raw_sql(sql(lock)).execute(tx).await.map(drop)
}

/// A table that is a function of the facts, and the query that shows so.
#[derive(Clone, Copy, Debug)]
pub struct Hashed {
    /// The table's name.
    pub table: &'static str,
    /// Its rows as one text column, in an order that depends on nothing else.
    pub query: &'static str,
}

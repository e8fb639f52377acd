//! What the consumer left in Postgres.

use anyhow::Context;
use sqlx::{Connection, PgConnection};

use crate::{accounting::Accounting, pipeline::Pipeline, servers::Servers, transfer::Transfer};

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    /// The outcomes of the records.
    pub(crate) accounting: Accounting,
    /// The pipeline's own tables.
    pub(crate) tables: T,
}

/// Reads it all in one snapshot.
pub(crate) async fn read<P: Pipeline>(servers: &Servers, transfer: &Transfer) -> anyhow::Result<Outcome<P::Tables>> {
    let mut database = PgConnection::connect(&servers.database_url).await.context("the database does not answer")?;
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut database).await?;
    let accounting = Accounting::since(transfer.batches_before, &mut database).await?;
    let tables = P::read(&mut database).await?;
    database.close().await?;
    Ok(Outcome { accounting, tables })
}

//! What the consumer left in PostgreSQL.

use anyhow::Context;
use sqlx::{AssertSqlSafe, Column as _, Connection, PgConnection, Row as _, TypeInfo as _};

use crate::{accounting::Accounting, pipeline::Pipeline, servers::Servers, transfer::Transfer};

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The outcomes of the records.
    pub(crate) accounting: Accounting,
    /// Those of the records that were sent once more.
    pub(crate) again: Option<Accounting>,
    /// The tables of the pipeline, each with its heading.
    pub(crate) tables: Vec<(&'static str, Table)>,
}

/// What a query gives, as text.
#[derive(Debug)]
pub(crate) struct Table {
    /// The columns' names, and whether they hold numbers.
    pub(crate) columns: Vec<(String, bool)>,
    /// The rows; a NULL is empty.
    pub(crate) rows: Vec<Vec<String>>,
}

/// Reads it all in one snapshot.
pub(crate) async fn read(pipeline: &Pipeline, servers: &Servers, transfer: &Transfer) -> anyhow::Result<Outcome> {
    let mut database = PgConnection::connect(&servers.database_url).await.context("the database does not answer")?;
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut database).await?;
    let accounting = Accounting::of(transfer.batches, &mut database).await?;
    let mut again = None;
    if let Some(batches) = transfer.again {
        again = Some(Accounting::of(batches, &mut database).await?);
    }
    let mut tables = Vec::new();
    for (heading, query) in pipeline.shown {
        tables.push((*heading, table(&mut database, query).await?));
    }
    database.close().await?;
    Ok(Outcome { accounting, again, tables })
}

/// The simple protocol gives every value as text.
async fn table(database: &mut PgConnection, query: &'static str) -> anyhow::Result<Table> {
    let rows = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(database).await?;
    let columns = rows.first().map_or(&[][..], |row| row.columns()).iter();
    let columns: Vec<(String, bool)> = columns
        .map(|column| (column.name().to_owned(), !matches!(column.type_info().name(), "TEXT" | "VARCHAR" | "DATE")))
        .collect();
    let text = |row: &sqlx::postgres::PgRow, at: usize| {
        let value = row.try_get_raw(at)?;
        value.as_str().map(str::to_owned).or_else(|_| Ok::<_, sqlx::Error>(String::new()))
    };
    let rows = rows.iter().map(|row| (0..columns.len()).map(|at| text(row, at)).collect::<Result<_, _>>());
    Ok(Table { rows: rows.collect::<Result<_, _>>()?, columns })
}

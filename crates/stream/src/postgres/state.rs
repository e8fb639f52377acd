//! State tables: written and read as columns.

use sqlx::{
    Encode, PgConnection, Postgres, Row, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, types::Oid},
};

use crate::{
    columns::{Array, Column, ColumnError, Role, RowReader, RowWriter},
    pipeline::{Coverage, Pipeline, Run, RunReport, StateTable},
    postgres::database::{SqlResult, sql},
};

/// What a refresh did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshReport {
    /// State rows that were written because they differ from what was stored.
    pub rows_written: u64,
    /// The number of the run that it recorded, or `None` when it would repeat the last one.
    pub batch_id: Option<i32>,
    /// What a person wants to know, for the end of the log line.
    pub summary: String,
}

/// Writes groups where they differ from what is stored, removes those that are empty, and does what needs all groups, as a
/// consumer does within a transaction.
///
/// # Errors
/// When PostgreSQL does not answer or refuses, or when the pipeline cannot finish the global results.
pub async fn refresh<P: Pipeline>(
    pipeline: &P,
    tx: &mut PgConnection,
    rows: &[P::Row],
    coverage: &Coverage,
) -> anyhow::Result<RefreshReport> {
    let rows_written = upsert::<P>(tx, rows).await?;
    refresh_global(pipeline, tx, rows_written, coverage).await
}

/// Writes groups where they differ from what is stored, and removes those that are empty; returns how many rows that were.
pub(crate) async fn upsert<P: Pipeline>(tx: &mut PgConnection, rows: &[P::Row]) -> SqlResult<u64> {
    let StateTable { name, columns } = P::TABLES.state;
    let arrays = |is_empty: bool| {
        let (mut arrays, mut size) = (vec![Array::default(); columns.len()], 0);
        for row in rows.iter().filter(|row| P::is_empty(row) == is_empty) {
            P::encode_row(row, &mut RowWriter::new(&mut arrays, &mut size));
        }
        arrays
    };
    let mut affected = 0;
    let kept = arrays(false);
    if kept[0].len() > 0 {
        let upsert = Bound::all(columns, &kept)
            .fold(sqlx::query(sql(upsert_of(name, columns))), |query, bound| query.bind(bound));
        affected += upsert.execute(&mut *tx).await?.rows_affected();
    }
    let removed = arrays(true);
    if removed[0].len() > 0 {
        let keys = Bound::all(columns, &removed).filter(|bound| is_key(bound.column));
        let delete = keys.fold(sqlx::query(sql(delete_of(name, columns))), |query, bound| query.bind(bound));
        affected += delete.execute(tx).await?.rows_affected();
    }
    Ok(affected)
}

/// Does what needs all groups, and draws the run's number where it is recorded. Refreshes take turns.
pub(crate) async fn refresh_global<P: Pipeline>(
    pipeline: &P,
    tx: &mut PgConnection,
    rows_written: u64,
    coverage: &Coverage,
) -> anyhow::Result<RefreshReport> {
    let batch_id =
        sqlx::query_scalar("SELECT last_run + 1 FROM feeds WHERE feed = $1").bind(P::NAME).fetch_one(&mut *tx).await?;
    let run = Run { batch_id, rows_written, coverage: coverage.clone() };
    let RunReport { rows_written: globally, is_recorded, summary } = pipeline.refresh_global(tx, &run).await?;
    if is_recorded {
        sqlx::query("UPDATE feeds SET last_run = $2, last_run_at = now() WHERE feed = $1")
            .bind(P::NAME)
            .bind(batch_id)
            .execute(tx)
            .await?;
    }
    Ok(RefreshReport { rows_written: rows_written + globally, batch_id: is_recorded.then_some(batch_id), summary })
}

/// Reads rows, as columns, from a table, or from what else may follow `FROM`.
///
/// # Errors
/// When PostgreSQL does not answer or refuses, or when `read` cannot read a row.
pub async fn read<R>(
    tx: &mut PgConnection,
    columns: &'static [Column],
    from: &str,
    mut read: impl FnMut(&mut RowReader<'_>) -> Result<R, ColumnError>,
) -> SqlResult<Vec<R>> {
    let names = names(columns, |_| true);
    let arrays = columns
        .iter()
        .map(|column| format!(", array_agg({}::{})", column.name, column.kind.name()))
        .collect::<String>();
    let query = format!("SELECT count(*){arrays} FROM (SELECT {names} FROM {from}) AS stored");
    let all: PgRow = sqlx::query(sql(query)).fetch_one(tx).await?;
    let count = usize::try_from(all.try_get::<i64, _>(0)?).unwrap_or(0);
    let mut rows = Vec::with_capacity(count);
    if count == 0 {
        return Ok(rows);
    }
    let mut at = 0;
    let next = |name| {
        at += 1;
        let array = all.try_get_raw(at).map_err(|error| ColumnError::new(name, error.to_string()))?;
        array.as_bytes().map(Some).map_err(|error| ColumnError::new(name, error.to_string()))
    };
    let mut reader = RowReader::new(columns, count, next)?;
    for _ in 0..count {
        reader.next_row()?;
        rows.push(read(&mut reader)?);
    }
    Ok(rows)
}

/// The values of a column, as an argument of a statement.
struct Bound<'a> {
    column: &'a Column,
    values: &'a Array,
}

impl<'a> Bound<'a> {
    fn all(columns: &'a [Column], arrays: &'a [Array]) -> impl Iterator<Item = Self> {
        columns.iter().zip(arrays).map(|(column, values)| Self { column, values })
    }
}

impl Type<Postgres> for Bound<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("anyarray")
    }
}

impl Encode<'_, Postgres> for Bound<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let (header, values) = self.values.parts(self.column.kind);
        buffer.extend_from_slice(&header);
        buffer.extend_from_slice(values);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.column.kind.array_oid())))
    }
}

/// The names of some columns, each as `shown` has it.
fn listed(columns: &[Column], is_listed: impl Fn(&Column) -> bool, shown: impl Fn(&Column) -> String) -> String {
    columns.iter().filter(|column| is_listed(column)).map(shown).collect::<Vec<_>>().join(", ")
}

fn names(columns: &[Column], is_listed: impl Fn(&Column) -> bool) -> String {
    listed(columns, is_listed, |column| column.name.to_owned())
}

/// The placeholders of so many arguments.
fn placeholders(count: usize) -> String {
    (1..=count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

fn is_key(column: &Column) -> bool {
    column.role == Role::Group
}

fn upsert_of(table: &str, columns: &[Column]) -> String {
    let is_value = |column: &Column| !is_key(column);
    let (all, keys) = (names(columns, |_| true), names(columns, is_key));
    // A list comes as text.
    let given = listed(columns, |_| true, |column| format!("{}::{}", column.name, column.kind.name()));
    let arguments = placeholders(columns.len());
    let of = |row: &'static str| listed(columns, is_value, move |column| format!("{row}.{}", column.name));
    let set = listed(columns, is_value, |column| format!("{0} = excluded.{0}", column.name));
    format!(
        "INSERT INTO {table} AS stored ({all}) SELECT {given} FROM unnest({arguments}) AS given ({all})
         ON CONFLICT ({keys}) DO UPDATE SET {set}, processing_time = now()
         WHERE ({}) IS DISTINCT FROM ({})",
        of("stored"),
        of("excluded")
    )
}

fn delete_of(table: &str, columns: &[Column]) -> String {
    let keys = names(columns, is_key);
    let arguments = placeholders(columns.iter().filter(|column| is_key(column)).count());
    format!("DELETE FROM {table} WHERE ({keys}) IN (SELECT * FROM unnest({arguments}))")
}

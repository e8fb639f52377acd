//! Legacy tables: tables that an earlier program left under names we use. They are named, and moved on request.

use registry::databases::Database;
use service::{Exit, Failure};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{sql_errors::OrFailure, statements::ident};

/// What to do about legacy tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegacyTables {
    /// Stop, and name them.
    Refuse,
    /// Move them to a new schema.
    Move,
}

impl From<bool> for LegacyTables {
    fn from(move_legacy_tables: bool) -> Self {
        if move_legacy_tables { Self::Move } else { Self::Refuse }
    }
}

/// The legacy tables and views, and the views of schema `public` that are built on them.
const FOUND: &str = "\
WITH RECURSIVE found AS (
    SELECT oid FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') AND relname = ANY($1)
  UNION
    SELECT rule.ev_class
    FROM found
    JOIN pg_depend AS use ON use.refclassid = 'pg_class'::regclass AND use.refobjid = found.oid
                         AND use.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS rule ON rule.oid = use.objid
)
SELECT relname::text FROM found JOIN pg_class USING (oid)
WHERE relnamespace = 'public'::regnamespace ORDER BY relkind, relname";

/// Names the legacy tables; none once the pipeline's own migrations have begun.
///
/// # Errors
/// When Postgres cannot be queried.
pub(crate) async fn find(connection: &mut PgConnection, database: &Database) -> anyhow::Result<Vec<String>> {
    let failed = || "cannot search for legacy tables".to_owned();
    if let Some(own) = database.folders.last() {
        let diff = own.diff(&mut *connection).await.or_failure(failed)?;
        if diff.has_begun() {
            return Ok(Vec::new());
        }
    }
    sqlx::query_scalar(FOUND).bind(database.legacy_tables).fetch_all(connection).await.or_failure(failed)
}

/// Moves legacy tables to a new schema, deleting nothing; one transaction, so it can be repeated.
///
/// Indexes, constraints and sequences go with their tables, and every right to them stays.
///
/// # Errors
/// Exit 65, naming them, when there are such tables and they are not to be moved.
pub(crate) async fn move_aside(
    connection: &mut PgConnection,
    database: &Database,
    legacy_tables: LegacyTables,
) -> anyhow::Result<()> {
    let found = find(connection, database).await?;
    if found.is_empty() {
        return Ok(());
    }
    let names = found.join(", ");
    if legacy_tables == LegacyTables::Refuse {
        let message = format!(
            "the database already has {names}, which migrate did not make; \
             `migrate up --move-legacy-tables` moves them to a new schema and deletes nothing"
        );
        return Err(Failure::new(Exit::Input, message).into());
    }
    let schema = free_schema(connection).await?;
    let moves: String =
        found.iter().map(|name| format!("ALTER TABLE public.{} SET SCHEMA {schema};", ident(name))).collect();
    let comment = "legacy tables that were in schema public; moved by `migrate up --move-legacy-tables`";
    let statements = format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{comment}'; {moves}");
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(connection)
        .await
        .or_failure(|| format!("cannot move {names} to schema {schema}"))?;
    tracing::info!(schema, moved = names, "moved the legacy tables");
    Ok(())
}

/// The first of `legacy_1`, `legacy_2`, … that is not taken.
async fn free_schema(connection: &mut PgConnection) -> anyhow::Result<String> {
    let taken: Vec<String> = sqlx::query_scalar("SELECT nspname::text FROM pg_namespace")
        .fetch_all(connection)
        .await
        .or_failure(|| "cannot read the database's schemas".to_owned())?;
    let mut names = (1..).map(|number| format!("legacy_{number}"));
    Ok(names.find(|name| !taken.contains(name)).expect("there are more numbers than schemas"))
}

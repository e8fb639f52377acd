//! Tables that an earlier program left under names we use: named, and moved out of the way if that is wanted.

use registry::databases::Database;
use service::{Exit, Failure};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{judge::Judge, statements::ident};

/// What to do about an earlier program's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Predecessor {
    /// Stop, and name them.
    Refuse,
    /// Move them to a schema of their own.
    Adopt,
}

impl From<bool> for Predecessor {
    fn from(adopt: bool) -> Self {
        if adopt { Self::Adopt } else { Self::Refuse }
    }
}

/// The earlier program's tables and views, and the views of schema `public` that are built on them.
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

/// Names what an earlier program left; nothing once the pipeline's own migrations have begun.
///
/// # Errors
/// When Postgres cannot be asked.
pub(crate) async fn find(connection: &mut PgConnection, database: &Database) -> anyhow::Result<Vec<String>> {
    let failed = || "cannot look for an earlier program's tables".to_owned();
    if let Some(own) = database.folders.last() {
        let standing = own.standing(&mut *connection).await.or_judge(failed)?;
        if !standing.applied.is_empty() {
            return Ok(Vec::new());
        }
    }
    sqlx::query_scalar(FOUND).bind(database.predecessor).fetch_all(connection).await.or_judge(failed)
}

/// Clears the way for our tables, deleting nothing; done in one transaction, so it can be repeated.
///
/// Indexes, constraints and sequences go with their tables, and every right to them stays.
///
/// # Errors
/// Exit 65, naming them, when there are such tables and they are not to be moved.
pub(crate) async fn make_way(
    connection: &mut PgConnection,
    database: &Database,
    predecessor: Predecessor,
) -> anyhow::Result<()> {
    let found = find(connection, database).await?;
    if found.is_empty() {
        return Ok(());
    }
    let names = found.join(", ");
    if predecessor == Predecessor::Refuse {
        let message = format!(
            "the database already has {names}, which migrate did not make; \
             `migrate up --adopt` moves them to a schema of their own and deletes nothing"
        );
        return Err(Failure::new(Exit::Input, message).into());
    }
    let schema = free_schema(connection).await?;
    let moves: String =
        found.iter().map(|name| format!("ALTER TABLE public.{} SET SCHEMA {schema};", ident(name))).collect();
    let comment = "what an earlier program had left in schema public; moved by `migrate up --adopt`";
    let statements = format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{comment}'; {moves}");
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(connection)
        .await
        .or_judge(|| format!("cannot move {names} to schema {schema}"))?;
    tracing::info!(schema, moved = names, "adopted an earlier program's tables");
    Ok(())
}

/// The first of `adopted_1`, `adopted_2`, … that is not taken.
async fn free_schema(connection: &mut PgConnection) -> anyhow::Result<String> {
    let taken: Vec<String> = sqlx::query_scalar("SELECT nspname::text FROM pg_namespace")
        .fetch_all(connection)
        .await
        .or_judge(|| "cannot read the database's schemas".to_owned())?;
    let mut names = (1..).map(|number| format!("adopted_{number}"));
    Ok(names.find(|name| !taken.contains(name)).expect("there are more numbers than schemas"))
}

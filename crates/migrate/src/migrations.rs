//! Applying what is pending; refusing what was edited, is newer than this binary, or was made before 0.1.0.

use registry::databases::{Database, Folder, SchemaState, check_schema};
use service::{Exit, Failure, telemetry::millis};
use sqlx::{
    AssertSqlSafe, PgConnection,
    migrate::{Migrate, MigrateError, Migration},
};

use crate::sql_errors::OrFailure;

/// Refuses a schema that this binary must not touch.
///
/// # Errors
/// Exit 65, naming the migrations, when one was edited after it had been applied, or when a newer binary or a build
/// before 0.1.0 applied one; exit 64 when the schema is another pipeline's.
pub(crate) async fn refuse_foreign(connection: &mut PgConnection, database: &Database) -> anyhow::Result<()> {
    let state =
        check_schema(connection, database).await.or_failure(|| "cannot read the migrations tables".to_owned())?;
    let (exit, message) = match state {
        SchemaState::Good | SchemaState::Missing | SchemaState::Older(_) => return Ok(()),
        SchemaState::OfAnother(other) => (
            Exit::Usage,
            format!(
                "the database holds the pipeline {other}; give {} another one with DATABASE_URL",
                database.pipeline
            ),
        ),
        SchemaState::Edited(files) => (
            Exit::Input,
            format!(
                "{} was edited after it had been applied; restore the file, and put the change into a new migration",
                files.join(", ")
            ),
        ),
        SchemaState::Replaced(files) => (
            Exit::Input,
            format!(
                "a build before 0.1.0 made this database ({}), and its tables cannot be upgraded; rename or drop the \
                 database, or name another one in DATABASE_URL, and run `migrate up` again: its consumer reads the topic \
                 from the beginning; send the file again if Kafka no longer has all of it",
                files.join(", ")
            ),
        ),
        SchemaState::Newer(files) => (
            Exit::Input,
            format!(
                "the database is newer than this migrate, which does not know {}; use the newer version",
                files.join(", ")
            ),
        ),
    };
    Err(Failure::new(exit, message).into())
}

/// Applies the pending migrations, each in a transaction with its row in the migrations table; returns how many there were.
///
/// # Errors
/// Names the migration that failed; those before it stay.
pub(crate) async fn apply(connection: &mut PgConnection, database: &Database) -> anyhow::Result<usize> {
    let mut applied = 0;
    for folder in &database.folders {
        ensure_table(connection, folder).await?;
        let diff = folder.diff(connection).await.or_failure(|| format!("cannot read {}", folder.table))?;
        for migration in folder.migrations() {
            let path = folder.path(migration.version, &migration.description);
            if diff.pending.contains(&path) {
                apply_one(connection, folder, migration).await.or_failure(|| format!("cannot apply {path}"))?;
                applied += 1;
            }
        }
    }
    Ok(applied)
}

async fn apply_one(connection: &mut PgConnection, folder: &Folder, migration: &Migration) -> Result<(), sqlx::Error> {
    let took = connection.apply(&folder.table, migration).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        other => sqlx::Error::Migrate(Box::new(other)),
    })?;
    let migration = folder.path(migration.version, &migration.description);
    tracing::info!(migration, duration_ms = millis(took), "applied a migration");
    Ok(())
}

/// Creates the migrations table where it is missing.
async fn ensure_table(connection: &mut PgConnection, folder: &Folder) -> anyhow::Result<()> {
    let failed = || format!("cannot create {}", folder.table);
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(&folder.table)
        .fetch_one(&mut *connection)
        .await
        .or_failure(failed)?;
    if exists {
        return Ok(());
    }
    connection
        .ensure_migrations_table(&folder.table)
        .await
        .map_err(|error| match error {
            MigrateError::Execute(error) => error,
            other => sqlx::Error::Migrate(Box::new(other)),
        })
        .or_failure(failed)?;
    sqlx::raw_sql(AssertSqlSafe(comments(folder))).execute(connection).await.or_failure(failed)?;
    Ok(())
}

fn comments(folder: &Folder) -> String {
    let Folder { name, table, .. } = folder;
    format!(
        "COMMENT ON TABLE {table} IS 'Which migrations of postgres/migrations/{name} the database has';
         COMMENT ON COLUMN {table}.version IS 'the migration''s number';
         COMMENT ON COLUMN {table}.description IS 'its name';
         COMMENT ON COLUMN {table}.installed_on IS 'when it was applied';
         COMMENT ON COLUMN {table}.success IS 'always true: a failed one leaves no row';
         COMMENT ON COLUMN {table}.checksum IS 'SHA-384 of the file as it was then';
         COMMENT ON COLUMN {table}.execution_time IS 'how long it took, nanoseconds; −1: unknown';"
    )
}

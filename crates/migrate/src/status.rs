//! `migrate status`: what each database has, as a table on stdout.

use std::io::Write;

use registry::{
    databases::{Database, Folder, MigrationDiff, SchemaState, check_schema},
    feeds,
};
use sqlx::PgConnection;

use crate::{
    connect::{connect, connect_if_exists},
    legacy_tables,
    roles::{self, Roles},
    settings::Settings,
    sql_errors::OrFailure,
    superset,
};

/// Prints the state of every database that is meant, and of the roles.
///
/// # Errors
/// When Postgres cannot be queried.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let mut rows = vec![["PIPELINE", "DATABASE", "MIGRATIONS", "APPLIED", "PENDING", "STATE"].map(str::to_owned)];
    for database in settings.databases()? {
        rows.extend(database_rows(settings, database).await?);
    }
    let mut text = table(&rows);
    text.push('\n');
    let mut server = connect(settings.maintenance(), settings.wait).await?;
    let mut rows = vec![["ROLE", "STATE"].map(str::to_owned)];
    for role in Roles::new(&settings.roles).names() {
        let state = if roles::exists(&mut server, role).await? { "exists" } else { "missing" };
        rows.push([role.to_owned(), state.to_owned()]);
    }
    rows.push([superset::role(&settings.roles), superset::state(&mut server, &settings.roles).await?]);
    text.push_str(&table(&rows));
    // A reader that has closed the pipe has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

async fn database_rows(settings: &Settings, database: &Database) -> anyhow::Result<Vec<[String; 6]>> {
    let options = settings.options(database);
    let name = options.get_database().unwrap_or(database.name).to_owned();
    let row = |folder: &Folder, diff: &MigrationDiff, state: String| {
        let [applied, pending] = [&diff.applied, &diff.pending].map(|files| files.len().to_string());
        [database.pipeline.to_owned(), name.clone(), folder.name.to_owned(), applied, pending, state]
    };
    let Some(mut connection) = connect_if_exists(options, settings.wait).await? else {
        let missing = |folder: &Folder| row(folder, &folder.compare(&[]), "no database; run `up`".to_owned());
        return Ok(database.folders.iter().map(missing).collect());
    };
    let mut rows = Vec::new();
    for folder in &database.folders {
        let diff = folder.diff(&mut connection).await.or_failure(|| format!("{name}: cannot read {}", folder.table))?;
        rows.push(row(folder, &diff, state(&diff)));
    }
    if let (Some(obstacle), Some(last)) = (obstacle(&mut connection, database).await?, rows.last_mut()) {
        last[5] = obstacle;
    }
    Ok(rows)
}

/// Why `up` would stop although nothing is wrong with what the database has of the pipeline.
async fn obstacle(connection: &mut PgConnection, database: &Database) -> anyhow::Result<Option<String>> {
    let state =
        check_schema(connection, database).await.or_failure(|| "cannot read the migrations tables".to_owned())?;
    match state {
        SchemaState::OfAnother(other) => Ok(Some(format!("the database of the pipeline {other}"))),
        SchemaState::Good => unidentified(connection, database).await,
        _ => legacy(connection, database).await,
    }
}

async fn unidentified(connection: &mut PgConnection, database: &Database) -> anyhow::Result<Option<String>> {
    for feed in &database.feeds {
        let identification = feeds::identification(connection, feed).await;
        match identification.or_failure(|| "cannot read the database's identity".to_owned())? {
            feeds::Identification::Own(_) => {}
            feeds::Identification::Missing => return Ok(Some("no identity; run `up`".to_owned())),
            feeds::Identification::Copy => return Ok(Some("a copy of another database; run `up`".to_owned())),
        }
    }
    Ok(None)
}

async fn legacy(connection: &mut PgConnection, database: &Database) -> anyhow::Result<Option<String>> {
    let found = legacy_tables::find(connection, database).await?;
    Ok((!found.is_empty()).then(|| format!("legacy tables: {}; run `up --move-legacy-tables`", found.join(", "))))
}

fn state(diff: &MigrationDiff) -> String {
    match diff {
        MigrationDiff { replaced, .. } if !replaced.is_empty() => {
            format!("made by a build before 0.1.0: {}", replaced.join(", "))
        }
        MigrationDiff { edited, .. } if !edited.is_empty() => format!("edited: {}", edited.join(", ")),
        MigrationDiff { unknown, .. } if !unknown.is_empty() => {
            format!("newer than this binary: {}", unknown.join(", "))
        }
        MigrationDiff { pending, .. } if !pending.is_empty() => "run `up`".to_owned(),
        MigrationDiff { .. } => "good".to_owned(),
    }
}

/// Columns as wide as their widest cell, two blanks between them.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let line = |row: &[String; COLUMNS]| {
        let cells: Vec<String> =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let rows = [["ROLE", "STATE"], ["tributary_owner", "exists"], ["é", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "ROLE             STATE\ntributary_owner  exists\né\n");
    }

    #[test]
    fn the_worst_is_said_first() {
        let files = |name: &str| vec![name.to_owned()];
        let mut diff = MigrationDiff { pending: files("c"), ..MigrationDiff::default() };
        assert_eq!(state(&diff), "run `up`");
        diff.unknown = files("b");
        assert_eq!(state(&diff), "newer than this binary: b");
        diff.edited = files("a");
        assert_eq!(state(&diff), "edited: a");
        diff.replaced = files("z");
        assert_eq!(state(&diff), "made by a build before 0.1.0: z");
        assert_eq!(state(&MigrationDiff::default()), "good");
    }
}

//! `migrate status`: what each database has, as a table on stdout.

use std::io::Write;

use registry::{
    databases::{Database, Folder, SchemaState, Standing, check_schema},
    feeds,
};
use sqlx::PgConnection;

use crate::{
    adopt,
    connect::{connect, connect_if_there},
    judge::Judge,
    roles::{self, Roles},
    settings::Settings,
    superset,
};

/// Prints the state of every database that is meant, and of the roles.
///
/// # Errors
/// When Postgres cannot be asked.
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
    // A reader that has gone away has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

async fn database_rows(settings: &Settings, database: &Database) -> anyhow::Result<Vec<[String; 6]>> {
    let options = settings.options(database);
    let name = options.get_database().unwrap_or(database.name).to_owned();
    let row = |folder: &Folder, standing: &Standing, state: String| {
        let [applied, pending] = [&standing.applied, &standing.pending].map(|files| files.len().to_string());
        [database.pipeline.to_owned(), name.clone(), folder.name.to_owned(), applied, pending, state]
    };
    let Some(mut connection) = connect_if_there(options, settings.wait).await? else {
        let missing = |folder: &&Folder| row(folder, &folder.compare(&[]), "no database; run `up`".to_owned());
        return Ok(database.folders.iter().map(missing).collect());
    };
    let mut rows = Vec::new();
    for folder in database.folders {
        let standing =
            folder.standing(&mut connection).await.or_judge(|| format!("{name}: cannot read {}", folder.table))?;
        rows.push(row(folder, &standing, state(&standing)));
    }
    if let (Some(way), Some(last)) = (in_the_way(&mut connection, database).await?, rows.last_mut()) {
        last[5] = way;
    }
    Ok(rows)
}

/// Why `up` would stop although nothing is wrong with what the database has of the pipeline.
async fn in_the_way(connection: &mut PgConnection, database: &Database) -> anyhow::Result<Option<String>> {
    let state = check_schema(connection, database).await.or_judge(|| "cannot read the bookkeeping".to_owned())?;
    match state {
        SchemaState::OfAnother(other) => Ok(Some(format!("the database of the pipeline {other}"))),
        SchemaState::Good => unidentified(connection, database).await,
        _ => left_behind(connection, database).await,
    }
}

async fn unidentified(connection: &mut PgConnection, database: &Database) -> anyhow::Result<Option<String>> {
    let standing = feeds::standing(connection, database.pipeline).await;
    Ok(match standing.or_judge(|| "cannot read the database's identity".to_owned())? {
        feeds::Standing::Own(_) => None,
        feeds::Standing::Missing => Some("no identity; run `up`".to_owned()),
        feeds::Standing::Copy => Some("a copy of another database; run `up`".to_owned()),
    })
}

async fn left_behind(connection: &mut PgConnection, database: &Database) -> anyhow::Result<Option<String>> {
    let found = adopt::find(connection, database).await?;
    Ok((!found.is_empty()).then(|| format!("in the way: {}; run `up --adopt`", found.join(", "))))
}

fn state(standing: &Standing) -> String {
    match standing {
        Standing { edited, .. } if !edited.is_empty() => format!("edited: {}", edited.join(", ")),
        Standing { unknown, .. } if !unknown.is_empty() => format!("newer than this binary: {}", unknown.join(", ")),
        Standing { pending, .. } if !pending.is_empty() => "run `up`".to_owned(),
        Standing { .. } => "good".to_owned(),
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
        let mut standing = Standing { pending: files("c"), ..Standing::default() };
        assert_eq!(state(&standing), "run `up`");
        standing.unknown = files("b");
        assert_eq!(state(&standing), "newer than this binary: b");
        standing.edited = files("a");
        assert_eq!(state(&standing), "edited: a");
        assert_eq!(state(&Standing::default()), "good");
    }
}

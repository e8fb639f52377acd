//! Each pipeline's database: its name, its migrations, and whether a schema is one this binary knows.
//!
//! The migrations are embedded in the binary. A database holds those of `stream` and those of its
//! pipeline; each folder has its own migrations table, so that both can grow independently.

use std::sync::LazyLock;

use clap::Args;
use sqlx::{
    AssertSqlSafe, PgConnection, Row, migrate,
    migrate::{Migration, Migrator},
};
use stream::{Pipeline, ReadError, Source};

use crate::list::{self, Input, OfPipeline};

/// Every pipeline's database.
pub static DATABASES: LazyLock<Vec<Database>> = LazyLock::new(list::all);

/// A pipeline's database.
#[derive(Debug)]
pub struct Database {
    /// The pipeline's name, as given to `--pipeline`.
    pub pipeline: &'static str,
    /// The names of the pipeline's feeds.
    pub feeds: Vec<&'static str>,
    /// The database's name, unless the URL names another.
    pub name: &'static str,
    /// Its migrations, in the order in which the folders are applied; the pipeline's own come last.
    pub folders: [Folder; 2],
    /// Tables and views that an earlier program left in schema `public` under names we use.
    pub legacy_tables: &'static [&'static str],
}

/// A folder of migrations and the table that records which of them a database has.
#[derive(Debug)]
pub struct Folder {
    /// The folder's name under `postgres/migrations`.
    pub name: &'static str,
    /// The migrations table, with its schema.
    pub table: String,
    /// The embedded migrations.
    pub migrator: Migrator,
}

/// A row of a migrations table.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The migration's number.
    pub version: i64,
    /// Its name, with blanks between the words.
    pub description: String,
    /// The digest of the file as it was when applied.
    pub checksum: Vec<u8>,
}

/// How a database's migrations table compares with a folder; every migration by its file name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationDiff {
    /// Applied, and the file is the same.
    pub applied: Vec<String>,
    /// Not applied yet.
    pub pending: Vec<String>,
    /// Applied, but the file was edited since.
    pub edited: Vec<String>,
    /// Applied by a newer binary: this one has no such file.
    pub unknown: Vec<String>,
    /// Applied by a build before 0.1.0, whose migrations had other names under the same numbers.
    pub replaced: Vec<String>,
}

/// Whether a database's schema is the one this binary works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// No migration was applied yet.
    Missing,
    /// These migrations are pending; `migrate up` applies them.
    Older(Vec<String>),
    /// It is this binary's.
    Good,
    /// A newer binary applied these migrations; this one must not touch the database.
    Newer(Vec<String>),
    /// These migrations were edited after they had been applied.
    Edited(Vec<String>),
    /// A build before 0.1.0 applied these migrations; its tables cannot be upgraded.
    Replaced(Vec<String>),
    /// It is the schema of this other pipeline; two do not fit into one database.
    OfAnother(&'static str),
}

impl OfPipeline for Database {
    fn of_pipeline<P, O, S, I>(
        _build: fn(O) -> P,
        _open: fn(Input, &I) -> Result<S, ReadError>,
        migrations: Migrator,
    ) -> Self
    where
        P: Pipeline,
        O: Args + 'static,
        S: Source + 'static,
        I: Args + 'static,
    {
        let stream = Folder::new("stream", migrate!("../../../postgres/migrations/stream"));
        Self {
            pipeline: P::NAME,
            feeds: vec![P::NAME],
            name: P::DATABASE,
            folders: [stream, Folder::new(P::NAME, migrations)],
            legacy_tables: P::TABLES.legacy,
        }
    }

    fn with_feed<P: Pipeline, O: Args + 'static>(mut self, _build: fn(O) -> Option<P>) -> Self {
        self.feeds.push(P::NAME);
        self
    }

    fn with_simulator<S: Source + 'static, I: Args + 'static>(self, _open: fn(&I) -> Result<S, ReadError>) -> Self {
        self
    }
}

/// The database of `pipeline`.
pub fn find(pipeline: &str) -> Option<&'static Database> {
    DATABASES.iter().find(|database| database.pipeline == pipeline)
}

/// Compares the schema of the connected database with this binary's migrations.
///
/// Needs to read the migrations tables only; reader and writer may.
///
/// # Errors
/// When Postgres cannot be queried.
pub async fn check_schema(connection: &mut PgConnection, database: &Database) -> Result<SchemaState, sqlx::Error> {
    let mut whole = MigrationDiff::default();
    for folder in &database.folders {
        whole.add(folder.diff(connection).await?);
    }
    let state = whole.schema_state();
    // A schema that is whole needs nothing more; what is to be built must not be built on another pipeline's.
    if matches!(state, SchemaState::Missing | SchemaState::Older(_))
        && let Some(other) = other_pipeline(connection, database).await?
    {
        return Ok(SchemaState::OfAnother(other));
    }
    Ok(state)
}

/// The pipeline, another than `database`'s, whose migrations the connected database has.
///
/// # Errors
/// When Postgres cannot be queried.
pub async fn other_pipeline(
    connection: &mut PgConnection,
    database: &Database,
) -> Result<Option<&'static str>, sqlx::Error> {
    for other in DATABASES.iter().filter(|other| other.pipeline != database.pipeline) {
        for folder in other.folders.iter().filter(|folder| database.folders.iter().all(|own| own.name != folder.name)) {
            if folder.diff(connection).await?.has_begun() {
                return Ok(Some(other.pipeline));
            }
        }
    }
    Ok(None)
}

impl Folder {
    fn new(name: &'static str, migrator: Migrator) -> Self {
        Self { name, table: format!("public.migrations_{name}"), migrator }
    }

    /// The migrations that build the schema up, in order.
    pub fn migrations(&self) -> impl Iterator<Item = &Migration> {
        self.migrator.iter().filter(|migration| !migration.migration_type.is_down_migration())
    }

    /// A migration's path below `postgres/migrations`.
    pub fn path(&self, version: i64, description: &str) -> String {
        format!("{}/{version:04}_{}.sql", self.name, description.replace(' ', "_"))
    }

    /// Compares the connected database's migrations table with the folder.
    ///
    /// # Errors
    /// When Postgres cannot be queried.
    pub async fn diff(&self, connection: &mut PgConnection) -> Result<MigrationDiff, sqlx::Error> {
        let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(&self.table)
            .fetch_one(&mut *connection)
            .await?;
        if !exists {
            return Ok(self.compare(&[]));
        }
        let query = format!("SELECT version, description, checksum FROM {} ORDER BY version", self.table);
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(connection).await?;
        let applied: Result<Vec<Applied>, sqlx::Error> = rows
            .iter()
            .map(|row| {
                Ok(Applied {
                    version: row.try_get("version")?,
                    description: row.try_get("description")?,
                    checksum: row.try_get("checksum")?,
                })
            })
            .collect();
        Ok(self.compare(&applied?))
    }

    /// Compares rows of the migrations table with the folder.
    pub fn compare(&self, applied: &[Applied]) -> MigrationDiff {
        let mut diff = MigrationDiff::default();
        for migration in self.migrations() {
            let path = self.path(migration.version, &migration.description);
            match applied.iter().find(|row| row.version == migration.version) {
                None => diff.pending.push(path),
                Some(row) if row.description != migration.description => {
                    diff.replaced.push(self.path(row.version, &row.description));
                }
                Some(row) if row.checksum == *migration.checksum => diff.applied.push(path),
                Some(_) => diff.edited.push(path),
            }
        }
        diff.unknown = applied
            .iter()
            .filter(|row| !self.migrator.version_exists(row.version))
            .map(|row| self.path(row.version, &row.description))
            .collect();
        diff
    }
}

impl MigrationDiff {
    /// Adds another folder's diff.
    pub fn add(&mut self, other: Self) {
        self.applied.extend(other.applied);
        self.pending.extend(other.pending);
        self.edited.extend(other.edited);
        self.unknown.extend(other.unknown);
        self.replaced.extend(other.replaced);
    }

    /// Whether the database has any migration of the folder, whatever became of its file.
    pub fn has_begun(&self) -> bool {
        [&self.applied, &self.edited, &self.unknown, &self.replaced].iter().any(|files| !files.is_empty())
    }

    /// What the comparison means for this binary; what forbids going on comes first.
    pub fn schema_state(self) -> SchemaState {
        match self {
            Self { replaced, .. } if !replaced.is_empty() => SchemaState::Replaced(replaced),
            Self { edited, .. } if !edited.is_empty() => SchemaState::Edited(edited),
            Self { unknown, .. } if !unknown.is_empty() => SchemaState::Newer(unknown),
            Self { pending, .. } if pending.is_empty() => SchemaState::Good,
            Self { applied, .. } if applied.is_empty() => SchemaState::Missing,
            Self { pending, .. } => SchemaState::Older(pending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The folder of `stream`, and that of emissions.
    fn folders() -> &'static [Folder; 2] {
        &find("emissions").unwrap().folders
    }

    fn rows(folder: &Folder) -> Vec<Applied> {
        folder
            .migrations()
            .map(|migration| Applied {
                version: migration.version,
                description: migration.description.to_string(),
                checksum: migration.checksum.to_vec(),
            })
            .collect()
    }

    fn check(change: impl FnOnce(&mut Vec<Applied>), expected: SchemaState) {
        let mut applied = rows(&folders()[1]);
        change(&mut applied);
        assert_eq!(folders()[1].compare(&applied).schema_state(), expected);
    }

    #[test]
    fn a_schema_is_classified_by_its_migrations_table() {
        let all: Vec<String> =
            folders()[1].migrations().map(|m| folders()[1].path(m.version, &m.description)).collect();
        assert_eq!(all[0], "emissions/0001_schema.sql");
        check(|_| (), SchemaState::Good);
        check(|rows| rows.clear(), SchemaState::Missing);
        check(|rows| rows[0].checksum[0] ^= 1, SchemaState::Edited(vec![all[0].clone()]));
        let newer = Applied { version: 9000, description: "later still".to_owned(), checksum: vec![] };
        check(|rows| rows.push(newer.clone()), SchemaState::Newer(vec!["emissions/9000_later_still.sql".to_owned()]));
    }

    #[test]
    fn an_edited_migration_is_worse_than_a_newer_one() {
        let newer = Applied { version: 9000, description: "later".to_owned(), checksum: vec![] };
        check(
            |rows| {
                rows.push(newer);
                rows[0].checksum.clear();
            },
            SchemaState::Edited(vec!["emissions/0001_schema.sql".to_owned()]),
        );
    }

    #[test]
    fn the_migrations_of_a_build_before_the_baseline_are_named() {
        let second = Applied { version: 2, description: "clusters".to_owned(), checksum: vec![] };
        check(
            |rows| {
                rows[0] = Applied { version: 1, description: "facts".to_owned(), checksum: vec![] };
                rows.push(second);
            },
            SchemaState::Replaced(vec!["emissions/0001_facts.sql".to_owned()]),
        );
    }

    #[test]
    fn a_schema_that_lacks_a_folder_is_older() {
        let mut whole = folders()[1].compare(&rows(&folders()[1]));
        whole.add(folders()[0].compare(&[]));
        assert_eq!(whole.schema_state(), SchemaState::Older(vec!["stream/0001_schema.sql".to_owned()]));
    }

    #[test]
    fn each_pipeline_and_migrations_table_is_listed_once() {
        for database in DATABASES.iter() {
            assert_eq!(DATABASES.iter().filter(|other| other.pipeline == database.pipeline).count(), 1);
            let mut tables: Vec<&str> = database.folders.iter().map(|folder| &*folder.table).collect();
            tables.dedup();
            assert_eq!(tables.len(), database.folders.len());
        }
    }
}

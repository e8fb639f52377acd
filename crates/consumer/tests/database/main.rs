//! The real binary against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod copies;
mod rejects;
mod schema;

use std::time::Duration;

use registry::{databases, feeds};
use sqlx::{Connection, PgConnection, migrate::Migrate};
use testkit::TestDatabase;

/// No program of a test runs for longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A database with the schema of a pipeline, as `migrate up` leaves it.
async fn database_of(pipeline: &str) -> TestDatabase {
    let database = TestDatabase::create().await.unwrap();
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    for folder in &databases::find(pipeline).unwrap().folders {
        connection.ensure_migrations_table(&folder.table).await.unwrap();
        for migration in folder.migrations() {
            connection.apply(&folder.table, migration).await.unwrap();
        }
    }
    feeds::ensure(&mut connection, pipeline).await.unwrap();
    // A database in use is no template.
    connection.close().await.unwrap();
    database
}

//! Databases that are copies of others, and those without an identity.

use registry::feeds;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::{TestDatabase, process::Program};

use crate::{LIMIT, database_of};

fn consumer(database: &TestDatabase) -> Program {
    let consumer = Program::new("consumer").unwrap().args(["--wait", "1s"]);
    consumer.env("DATABASE_URL", database.url()).env("KAFKA_BROKERS", "127.0.0.1:9")
}

#[tokio::test]
async fn a_copy_is_refused_until_migrate_has_run() {
    let (original, copy) = (database_of("emissions").await, TestDatabase::named_only().unwrap());
    let mut server = PgConnection::connect(copy.server_url()).await.unwrap();
    let make = format!("CREATE DATABASE {} TEMPLATE {}", copy.name(), original.name());
    server.execute(AssertSqlSafe(make)).await.unwrap();
    let ended = consumer(&copy).run(LIMIT).unwrap().expect_code(64).unwrap();
    assert!(ended.said("is a copy of another database (a dump, or a template): run `migrate up`"), "{ended}");
    let mut connection = PgConnection::connect(&copy.url()).await.unwrap();
    assert!(feeds::ensure(&mut connection, "emissions").await.unwrap().drawn);
    // What is missing now is Kafka.
    for database in [&copy, &original] {
        consumer(database).run(LIMIT).unwrap().expect_code(69).unwrap();
    }
}

#[tokio::test]
async fn an_identity_that_is_missing_is_waited_for() {
    let database = database_of("emissions").await;
    PgConnection::connect(&database.url()).await.unwrap().execute("DELETE FROM feeds").await.unwrap();
    let ended = consumer(&database).run(LIMIT).unwrap().expect_code(69).unwrap();
    assert!(ended.said("the database has no identity; run `migrate up`"), "{ended}");
}

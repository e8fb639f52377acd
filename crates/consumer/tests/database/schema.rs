//! Databases that are not the pipeline's.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::{TestDatabase, process::Program};

use crate::{LIMIT, database_of};

#[tokio::test]
async fn another_pipelines_database_is_refused_at_once() {
    for (holds, wanted) in [("energy", "emissions"), ("emissions", "energy")] {
        let database = database_of(holds).await;
        let consumer = Program::new("consumer").unwrap().args(["--pipeline", wanted, "--wait", "1h"]);
        let consumer = consumer.env("DATABASE_URL", database.url()).env("KAFKA_BROKERS", "127.0.0.1:9");
        let ended = consumer.run(LIMIT).unwrap().expect_code(64).unwrap();
        let words = format!("holds the pipeline {holds}; give {wanted} another database");
        assert!(ended.said(&words), "{ended}");
        for task in [&["hash"][..], &["compact"], &["reset", "--yes"]] {
            let consumer = Program::new("consumer").unwrap().args(["--pipeline", wanted]).args(task);
            let ended = consumer.env("DATABASE_URL", database.url()).run(LIMIT).unwrap().expect_code(64).unwrap();
            assert!(ended.said(&words), "{ended}");
        }
    }
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused_at_once() {
    let database = TestDatabase::named_only().unwrap();
    let mut server = PgConnection::connect(database.server_url()).await.unwrap();
    let create = format!("CREATE DATABASE {} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0", database.name());
    server.execute(AssertSqlSafe(create)).await.unwrap();
    for args in [&["--wait", "1h"][..], &["hash"]] {
        let consumer = Program::new("consumer").unwrap().args(args);
        let consumer = consumer.env("DATABASE_URL", database.url()).env("KAFKA_BROKERS", "127.0.0.1:9");
        let ended = consumer.run(LIMIT).unwrap().expect_code(64).unwrap();
        assert!(ended.said("encoded in LATIN1") && ended.said("ENCODING 'UTF8'"), "{ended}");
    }
}

#[tokio::test]
async fn the_databases_own_search_path_does_not_hide_the_tables() {
    let database = database_of("emissions").await;
    let mut server = PgConnection::connect(database.server_url()).await.unwrap();
    let alter = format!("ALTER DATABASE {} SET search_path = elsewhere", database.name());
    server.execute(AssertSqlSafe(alter)).await.unwrap();
    let hash = Program::new("consumer").unwrap().args(["hash"]).env("DATABASE_URL", database.url());
    hash.run(LIMIT).unwrap().expect_code(0).unwrap();
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_makes_it() {
    let database = TestDatabase::create().await.unwrap();
    let hash = |url: String| Program::new("consumer").unwrap().args(["hash"]).env("DATABASE_URL", url);
    for url in [database.url(), format!("{}_that_is_missing", database.url())] {
        let ended = hash(url).run(LIMIT).unwrap().expect_code(64).unwrap();
        assert!(ended.said("run `migrate up`"), "{ended}");
    }
}

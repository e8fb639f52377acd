//! Databases and servers with their own settings.

use sqlx::{AssertSqlSafe, Executor};

use crate::fixture::{Fixture, check, scalar};

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_a_setting_to_mend() {
    let fixture = Fixture::new();
    let create = format!("CREATE DATABASE {} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0", fixture.name);
    fixture.server().await.execute(AssertSqlSafe(create)).await.unwrap();
    check(&fixture.run(&["up"]).await, 64, &["encoded in LATIN1", "ENCODING 'UTF8'"]);
    let mut connection = fixture.connect().await;
    assert!(scalar::<bool>(&mut connection, "SELECT to_regclass('migrations_stream') IS NULL").await);
    fixture.finish().await;
}

#[tokio::test]
async fn a_database_without_schema_public_is_a_setting_to_mend() {
    let fixture = Fixture::new();
    let mut connection = fixture.create_database().await;
    connection.execute("DROP SCHEMA public").await.unwrap();
    check(&fixture.run(&["up"]).await, 64, &["SQLSTATE 3F000", "CREATE SCHEMA public"]);
    connection.execute("CREATE SCHEMA public").await.unwrap();
    check(&fixture.run(&["up"]).await, 0, &["the schema is up to date"]);
    fixture.finish().await;
}

#[tokio::test]
async fn settings_of_the_database_do_not_reach_our_sessions() {
    let fixture = Fixture::new();
    let mut connection = fixture.create_database().await;
    for setting in [
        "search_path = elsewhere",
        "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'",
        "idle_session_timeout = '1ms'",
        "standard_conforming_strings = off",
    ] {
        let alter = format!("ALTER DATABASE {} SET {setting}", fixture.name);
        connection.execute(AssertSqlSafe(alter)).await.unwrap();
    }
    for _ in 0..2 {
        check(&fixture.run(&["up"]).await, 0, &["the schema is up to date"]);
    }
    assert!(scalar::<bool>(&mut connection, "SELECT to_regclass('public.co2_clusters') IS NOT NULL").await);
    fixture.finish().await;
}

//! Who may do what, and passwords.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::fixture::{Fixture, check, refusal, scalar};

/// SQLSTATE of "permission denied".
const DENIED: &str = "42501";

#[tokio::test]
async fn the_reader_reads_and_nothing_else() {
    let fixture = Fixture::new();
    fixture.up().await;
    let mut reader = fixture.connect_as("reader").await;
    for query in ["SELECT FROM co2_clusters", "SELECT FROM cluster_analysis", "SELECT FROM migrations_stream"] {
        reader.execute(query).await.unwrap();
    }
    for statement in [
        "INSERT INTO key_partitions VALUES ('t', 'x', 1)",
        "UPDATE stream_offsets SET epoch = 1",
        "DELETE FROM co2_clusters",
        "TRUNCATE co2_clusters",
        "SELECT nextval('ingest_batch_numbers')",
        "CREATE TABLE mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "CREATE SCHEMA mine",
    ] {
        assert_eq!(refusal(&mut reader, statement).await, DENIED, "{statement}");
    }
    fixture.finish().await;
}

#[tokio::test]
async fn the_writer_writes_rows_and_makes_nothing() {
    let fixture = Fixture::new();
    fixture.up().await;
    let mut writer = fixture.connect_as("writer").await;
    for statement in [
        "INSERT INTO key_partitions VALUES ('t', 'x', nextval('ingest_batch_numbers'))",
        "UPDATE key_partitions SET partition = 2",
        "SELECT FROM key_partitions FOR UPDATE",
        "DELETE FROM key_partitions",
        "COPY rejects (batch, topic, partition, \"offset\", timestamp_ms, reason) FROM PROGRAM 'true'",
        "SELECT FROM migrations_emissions",
    ] {
        match statement.contains("PROGRAM") {
            true => assert_eq!(refusal(&mut writer, statement).await, DENIED, "{statement}"),
            false => drop(writer.execute(statement).await.unwrap()),
        }
    }
    for statement in [
        "CREATE TABLE mine ()",
        "CREATE SCHEMA mine",
        "TRUNCATE key_partitions",
        "DROP TABLE key_partitions",
        "ALTER TABLE key_partitions ADD mine text",
        "DELETE FROM migrations_stream",
        "UPDATE migrations_emissions SET checksum = ''",
        "CREATE ROLE mine",
    ] {
        assert_eq!(refusal(&mut writer, statement).await, DENIED, "{statement}");
    }
    fixture.finish().await;
}

#[tokio::test]
async fn strangers_stay_outside() {
    let fixture = Fixture::new();
    fixture.up().await;
    let mut server = fixture.server().await;
    let stranger = fixture.role("admin");
    server.execute(AssertSqlSafe(format!("CREATE ROLE {stranger} LOGIN"))).await.unwrap();
    let error = PgConnection::connect_with(&fixture.options(&fixture.name).username(&stranger)).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some(DENIED));
    fixture.finish().await;
}

#[tokio::test]
async fn a_recreated_role_gets_its_rights_back() {
    let fixture = Fixture::new();
    fixture.up().await;
    let mut connection = fixture.connect().await;
    let reader = fixture.role("reader");
    connection.execute(AssertSqlSafe(format!("DROP OWNED BY {reader}; DROP ROLE {reader}"))).await.unwrap();
    fixture.up().await;
    fixture.connect_as("reader").await.execute("SELECT FROM co2_clusters").await.unwrap();
    fixture.finish().await;
}

#[tokio::test]
async fn a_login_without_superpowers_is_enough() {
    let fixture = Fixture::new();
    let admin = fixture.role("admin");
    let create = format!("CREATE ROLE {admin} LOGIN CREATEROLE CREATEDB");
    fixture.server().await.execute(AssertSqlSafe(create)).await.unwrap();
    for _ in 0..2 {
        let mut command = fixture.command(&["up"]);
        let ended =
            command.env("DATABASE_URL", fixture.url(&admin)).env("READER_PASSWORD", "r").output().await.unwrap();
        check(&ended.into(), 0, &["the schema is up to date"]);
    }
    let mut connection = fixture.connect().await;
    let foreign = format!(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner <> '{}_owner'",
        fixture.name
    );
    let foreign: i64 = sqlx::query_scalar(AssertSqlSafe(foreign)).fetch_one(&mut connection).await.unwrap();
    assert_eq!(foreign, 0);
    connection.close().await.unwrap();
    fixture.finish().await;
}

#[tokio::test]
async fn the_owner_may_upgrade_what_exists() {
    let fixture = Fixture::new();
    fixture.up().await;
    let owner = fixture.url(&fixture.role("owner"));
    let ended = fixture.command(&["up"]).env("DATABASE_URL", owner).output().await.unwrap();
    check(&ended.into(), 0, &["the schema is up to date"]);
    fixture.finish().await;
}

#[tokio::test]
async fn a_password_is_rotated_and_never_seen() {
    let fixture = Fixture::new();
    fixture.up().await;
    let mut connection = fixture.connect().await;
    let stored = "SELECT coalesce((SELECT rolpassword FROM pg_authid \
                  WHERE rolname = current_database() || '_writer'), 'none')";
    assert_eq!(scalar::<String>(&mut connection, stored).await, "none");

    let mut seen = Vec::new();
    for password in ["first-s3cret", "second-s3cret"] {
        let mut command = fixture.command(&["up"]);
        let output = command.env("LOG_LEVEL", "trace").env("WRITER_PASSWORD", password).output().await.unwrap();
        let ended = output.into();
        check(&ended, 0, &["set the role's password"]);
        let verifier: String = scalar(&mut connection, stored).await;
        assert!(verifier.starts_with("SCRAM-SHA-256$4096:"), "{verifier}");
        assert!(!ended.stderr.contains("s3cret") && !ended.stderr.contains("SCRAM"), "{}", ended.stderr);
        seen.push(verifier);
    }
    fixture.up().await;
    assert_eq!(scalar::<String>(&mut connection, stored).await, seen[1], "without a password it stays");
    assert_ne!(seen[0], seen[1]);
    fixture.finish().await;
}

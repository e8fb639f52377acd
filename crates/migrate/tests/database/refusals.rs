//! Databases that must not be touched.

use sqlx::{Executor, PgConnection};

use crate::fixture::{Fixture, check, scalar};

/// What `up` and `status` say of a schema whose migrations tables were changed.
async fn check_changed(change: &'static str, named: &[&str]) {
    let fixture = Fixture::new();
    fixture.up().await;
    let mut connection = fixture.connect().await;
    connection.execute(change).await.unwrap();
    connection.execute("DROP VIEW cluster_analysis").await.unwrap();

    check(&fixture.run(&["up"]).await, 65, named);
    let left: bool = scalar(&mut connection, "SELECT to_regclass('cluster_analysis') IS NULL").await;
    assert!(left, "a refused database is not touched");
    let status = fixture.run(&["status"]).await;
    check(&status, 0, &[]);
    assert!(status.stdout.contains(named[0]), "{}", status.stdout);
    fixture.finish().await;
}

#[tokio::test]
async fn an_edited_migration_is_named() {
    let change = "UPDATE migrations_emissions SET checksum = sha384('another file') WHERE version = 1";
    check_changed(change, &["emissions/0001_schema.sql", "edited"]).await;
}

#[tokio::test]
async fn a_database_of_a_build_before_the_baseline_is_named() {
    let change = "UPDATE migrations_stream SET description = 'ledger' WHERE version = 1; \
                  UPDATE migrations_emissions SET description = 'facts' WHERE version = 1; \
                  INSERT INTO migrations_emissions VALUES (9002, 'clusters', now(), true, '', 0)";
    check_changed(change, &["before 0.1.0", "stream/0001_ledger.sql", "emissions/0001_facts.sql"]).await;
}

#[tokio::test]
async fn a_newer_database_is_named() {
    let change = "INSERT INTO migrations_stream VALUES (9001, 'from the future', now(), true, '', 0)";
    check_changed(change, &["stream/9001_from_the_future.sql", "newer"]).await;
}

#[tokio::test]
async fn a_table_of_someone_elses_is_named() {
    let fixture = Fixture::new();
    let mut connection = fixture.create_database().await;
    connection.execute("CREATE TABLE rejects (mine text)").await.unwrap();
    check(&fixture.run(&["up"]).await, 65, &["stream/0001_schema.sql", "\"rejects\" already exists"]);
    connection.execute("SELECT mine FROM rejects").await.unwrap();
    fixture.finish().await;
}

/// The names of all that lies in the database, but for what Postgres itself keeps there.
async fn relations(connection: &mut PgConnection) -> String {
    let names = "SELECT string_agg(oid::regclass::text, ' ' ORDER BY oid::regclass::text COLLATE \"C\") FROM pg_class \
                 WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) \
                 AND relkind IN ('r', 'v', 'm', 'S')";
    scalar(connection, names).await
}

#[tokio::test]
async fn another_pipelines_database_is_named_and_left_alone() {
    for (first, second) in [("energy", "emissions"), ("emissions", "energy")] {
        let fixture = Fixture::new();
        check(&fixture.run(&["--pipeline", first, "up"]).await, 0, &[]);
        let mut connection = fixture.connect().await;
        let before = relations(&mut connection).await;

        let said = format!("the database holds the pipeline {first}; give {second} another");
        for up in [&["--pipeline", second, "up"][..], &["--pipeline", second, "up", "--move-legacy-tables"]] {
            check(&fixture.run(up).await, 64, &[&said, &fixture.name]);
        }
        assert_eq!(relations(&mut connection).await, before);
        let status = fixture.run(&["--pipeline", second, "status"]).await;
        assert!(status.stdout.contains(&format!("the database of the pipeline {first}")), "{}", status.stdout);
        check(&fixture.run(&["--pipeline", first, "up"]).await, 0, &["the schema is up to date"]);
        fixture.finish().await;
    }
}

#[tokio::test]
async fn a_login_that_may_not_create_roles_is_refused() {
    let fixture = Fixture::new();
    fixture.up().await;
    let reader = fixture.url(&fixture.role("reader"));
    let mut command = fixture.command(&["up"]);
    let output = command.env("DATABASE_URL", reader).env("WRITER_PASSWORD", "new").output().await.unwrap();
    check(&output.into(), 64, &["cannot set the password of role", "CREATEROLE"]);
    fixture.finish().await;
}

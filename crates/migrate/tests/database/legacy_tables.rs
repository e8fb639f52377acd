//! Tables that the Python version left behind.

use sqlx::Executor;

use crate::fixture::{Fixture, check, scalar};

/// The Python version's tables: a serial key, and a view on top.
const PYTHON: &str = "\
CREATE TABLE co2_clusters (id serial PRIMARY KEY, country text, avg_co2 float8, cluster int);
CREATE INDEX by_country ON co2_clusters (country);
INSERT INTO co2_clusters (country, avg_co2, cluster) VALUES ('China', 1e4, 2), ('Chad', 1, 0);
CREATE TABLE cluster_stats (cluster int, num_countries int, batch_id int);
INSERT INTO cluster_stats VALUES (0, 1, 7), (2, 1, 7);
CREATE VIEW cluster_analysis AS SELECT cluster, count(*) AS country_count FROM co2_clusters GROUP BY cluster;
CREATE VIEW of_my_own AS SELECT * FROM cluster_analysis WHERE country_count > 0;
CREATE TABLE notes (mine text);";

#[tokio::test]
async fn legacy_tables_are_named_and_left_alone() {
    let fixture = Fixture::new();
    let mut connection = fixture.create_database().await;
    connection.execute(PYTHON).await.unwrap();

    let named = ["cluster_stats, co2_clusters, cluster_analysis, of_my_own", "up --move-legacy-tables"];
    check(&fixture.run(&["up"]).await, 65, &named);
    assert_eq!(scalar::<i64>(&mut connection, "SELECT count(*) FROM public.co2_clusters").await, 2);
    assert!(scalar::<bool>(&mut connection, "SELECT to_regclass('stream_offsets') IS NULL").await);
    let status = fixture.run(&["status"]).await;
    assert!(status.stdout.contains("legacy tables: cluster_stats, co2_clusters"), "{}", status.stdout);
    fixture.finish().await;
}

#[tokio::test]
async fn moving_legacy_tables_deletes_nothing() {
    let fixture = Fixture::new();
    let mut connection = fixture.create_database().await;
    connection.execute(PYTHON).await.unwrap();

    check(&fixture.run(&["up", "--move-legacy-tables"]).await, 0, &["legacy_1", "the schema is up to date"]);
    let moved = "SELECT string_agg(relname, ' ' ORDER BY relname COLLATE \"C\") FROM pg_class \
                 WHERE relnamespace = 'legacy_1'::regnamespace";
    assert_eq!(
        scalar::<String>(&mut connection, moved).await,
        "by_country cluster_analysis cluster_stats co2_clusters co2_clusters_id_seq co2_clusters_pkey of_my_own"
    );
    assert_eq!(scalar::<i64>(&mut connection, "SELECT count(*) FROM legacy_1.of_my_own").await, 2);
    assert_eq!(scalar::<i64>(&mut connection, "SELECT count(*) FROM public.co2_clusters").await, 0);
    connection.execute("INSERT INTO legacy_1.co2_clusters (country) VALUES ('Peru')").await.unwrap();
    connection.execute("SELECT mine FROM public.notes").await.unwrap();

    check(&fixture.run(&["up", "--move-legacy-tables"]).await, 0, &["the schema is up to date"]);
    assert!(scalar::<bool>(&mut connection, "SELECT to_regnamespace('legacy_2') IS NULL").await);
    fixture.finish().await;
}

#[tokio::test]
async fn legacy_tables_moved_twice_get_a_schema_each() {
    let fixture = Fixture::new();
    let mut connection = fixture.create_database().await;
    connection.execute("CREATE SCHEMA legacy_1").await.unwrap();
    connection.execute(PYTHON).await.unwrap();
    check(&fixture.run(&["up", "--move-legacy-tables"]).await, 0, &["legacy_2"]);
    assert_eq!(scalar::<i64>(&mut connection, "SELECT count(*) FROM legacy_2.co2_clusters").await, 2);
    fixture.finish().await;
}

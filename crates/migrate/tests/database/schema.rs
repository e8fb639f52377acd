//! What a fresh schema is like.

use sqlx::{Executor, PgConnection};

use crate::fixture::{Fixture, check, scalar};

#[tokio::test]
async fn every_table_view_and_column_has_a_comment() {
    for database in registry::databases::DATABASES.iter() {
        let fixture = Fixture::new();
        check(&fixture.run(&["--pipeline", database.pipeline, "up"]).await, 0, &[]);
        all_have_comments(&mut fixture.connect().await).await;
        fixture.finish().await;
    }
}

async fn all_have_comments(connection: &mut PgConnection) {
    let columns = "FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 \
                   AND NOT a.attisdropped \
                   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')";
    let count = |condition: &str| format!("SELECT count(*) {columns} {condition}");
    let all: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count(""))).fetch_one(&mut *connection).await.unwrap();
    assert!(all > 100, "{all} columns: the query is wrong");
    let bare = format!(
        "SELECT c.relname::text || '.' || a.attname {columns} AND col_description(c.oid, a.attnum) IS NULL \
         UNION ALL SELECT DISTINCT c.relname::text {columns} AND obj_description(c.oid, 'pg_class') IS NULL"
    );
    let bare: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(bare)).fetch_all(connection).await.unwrap();
    assert_eq!(bare, Vec::<String>::new());
}

#[tokio::test]
async fn the_views_show_the_latest_run() {
    let fixture = Fixture::new();
    fixture.up().await;
    let mut connection = fixture.connect().await;
    let insert = "INSERT INTO co2_clusters (country, iso_code, avg_co2, avg_gdp, data_points, first_year, last_year, \
                  cluster, batch_id) SELECT 'C' || n, 'C' || n, nullif(n, 12) / 3.0, 10, 5, 1990, 2000, 0, 1 \
                  FROM generate_series(1, 12) AS n";
    connection.execute(insert).await.unwrap();
    let top =
        "SELECT string_agg(country || ' ' || avg_co2, ', ') FROM (SELECT * FROM top_emitters_by_cluster LIMIT 2) t";
    assert_eq!(scalar::<String>(&mut connection, top).await, "C11 3.67, C10 3.33");
    assert_eq!(scalar::<i64>(&mut connection, "SELECT count(*) FROM top_emitters_by_cluster").await, 10);
    let means = "SELECT cluster || ' ' || country_count || ' ' || avg_co2 || ' ' || avg_gdp FROM cluster_analysis";
    assert_eq!(scalar::<String>(&mut connection, means).await, "0 12 2.00 10.00");

    let facts = "INSERT INTO emissions_segments (id, owner_partition, partition, facts, first_offset, first_timestamp_ms, \
                 iso_code, country, year, population, gdp, co2, co2_per_capita) VALUES (1, 0, 0, 2, 0, 0, '{TCD, TCD}', \
                 '{Chad, Tchad}', '{1990, 1990}', '{1, 1}', '{1, 1}', '{1, 2}', '{1, 1}')";
    connection.execute(facts).await.unwrap();
    let known = "SELECT string_agg(country || ' ' || year_start || ' ' || co2, ', ') FROM emissions_facts";
    assert_eq!(scalar::<String>(&mut connection, known).await, "Tchad 1990-01-01 2");
    fixture.finish().await;
}

#[tokio::test]
async fn the_accounting_must_add_up() {
    let fixture = Fixture::new();
    fixture.up().await;
    let mut connection = fixture.connect().await;
    let refused = crate::fixture::refusal(
        &mut connection,
        "INSERT INTO ingest_accounting VALUES (1, 'emissions', 't', 0, 0, 9, 9, 1, 1, 1, 1, 1)",
    );
    assert_eq!(refused.await, "23514");
    fixture.finish().await;
}

#[tokio::test]
async fn status_shows_what_is_missing_and_what_exists() {
    let fixture = Fixture::new();
    let before = fixture.run(&["status"]).await;
    check(&before, 0, &[]);
    assert!(before.stdout.contains("no database; run `up`"), "{}", before.stdout);
    fixture.up().await;
    let after = fixture.run(&["status", "--pipeline", "emissions"]).await;
    let cells: Vec<Vec<&str>> = after.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    for (row, folder) in (1..).zip(&registry::databases::find("emissions").unwrap().folders) {
        let applied = folder.migrations().count().to_string();
        assert_eq!(cells[row], ["emissions", &fixture.name, folder.name, &applied, "0", "good"]);
    }
    assert_eq!(cells[5], [fixture.role("owner").as_str(), "exists"]);
    fixture.finish().await;
}

//! What refreshes, resets and compactions leave in the tables of a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::time::Duration;

use emissions::{
    aggregates::CountryAggregate,
    iso_code::IsoCode,
    model_settings::ModelSettings,
    pipeline::Emissions,
    record::{CO2, CO2_PER_CAPITA, GDP, MEASURES, POPULATION},
    settings::EmissionsSettings,
};
use sqlx::{Connection, FromRow, PgConnection, postgres::PgRow};
use stream::{
    Coverage, FeedTables,
    maintenance::{compact::compact, hash::hash, reset},
    state::{self, RefreshReport},
};
use testkit::TestDatabase;

/// The pipeline's feeds.
const FEEDS: &[FeedTables] = &[FeedTables::of::<Emissions>()];

/// A database with the tables of the pipeline.
struct Tables {
    connection: PgConnection,
}

impl Tables {
    async fn create() -> Self {
        let database = TestDatabase::create_with(&["stream", "emissions"]).await.unwrap();
        let mut connection = PgConnection::connect(&database.url()).await.unwrap();
        let feed = "INSERT INTO feeds (feed, identity, database_oid) VALUES ('emissions', gen_random_uuid(), 0)";
        sqlx::raw_sql(feed).execute(&mut connection).await.unwrap();
        Self { connection }
    }

    /// Refreshes countries, in a transaction as `stream` does.
    async fn refresh(&mut self, rows: &[CountryAggregate], keep_runs: i32) -> RefreshReport {
        let settings = EmissionsSettings { model: ModelSettings::default(), keep_runs };
        let coverage = Coverage { refreshed: vec![(0, 9)], complete: true, missing: None };
        let mut tx = self.connection.begin().await.unwrap();
        let refreshed = state::refresh(&Emissions(settings), &mut tx, rows, &coverage).await.unwrap();
        tx.commit().await.unwrap();
        refreshed
    }

    async fn query<R>(&mut self, sql: &'static str) -> Vec<R>
    where
        R: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_as(sql).fetch_all(&mut self.connection).await.unwrap()
    }

    async fn execute(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.connection).await.unwrap();
    }

    async fn hash(&mut self) -> Vec<String> {
        let hashes = hash(&mut self.connection, FEEDS).await.unwrap();
        hashes.into_iter().map(|table| format!("{} {} {}", table.table, table.rows, table.sha256)).collect()
    }

    async fn facts(&mut self) -> Vec<(String, String, i16, Option<f64>)> {
        self.query("SELECT iso_code, country, year, co2 FROM emissions_facts ORDER BY iso_code, year").await
    }
}

/// A country: its co2, co2 per capita, gdp and population.
fn country(code: &str, [co2, co2_per_capita, gdp, population]: [f64; 4]) -> CountryAggregate {
    let mut means = [None; MEASURES.len()];
    for (measure, mean) in [(CO2, co2), (CO2_PER_CAPITA, co2_per_capita), (GDP, gdp), (POPULATION, population)] {
        means[measure] = Some(mean);
    }
    CountryAggregate {
        iso_code: IsoCode::try_from(code).unwrap(),
        country: format!("Land of {code}"),
        means,
        avg_co2_recent: Some(co2),
        data_points: 50,
        first_year: 1950,
        last_year: 1999,
        co2_years: 50,
        co2_first_year: Some(1950),
        co2_last_year: Some(1999),
    }
}

/// Three small, two rich and two giant countries.
fn world() -> Vec<CountryAggregate> {
    vec![
        country("SM1", [2.0, 0.5, 1e10, 1e6]),
        country("SM2", [3.0, 0.8, 2e10, 3e6]),
        country("SM3", [1.0, 0.2, 1e10, 5e6]),
        country("RI1", [90.0, 40.0, 2e11, 2e6]),
        country("RI2", [80.0, 45.0, 1e11, 1e6]),
        country("BIG", [9000.0, 4.0, 9e12, 1.3e9]),
        country("GRT", [8000.0, 9.0, 1e13, 1.1e9]),
    ]
}

/// The same world after a small country has become a rich one.
fn later_world() -> Vec<CountryAggregate> {
    let mut world = world();
    world[0] = country("SM1", [85.0, 41.0, 1.5e11, 1e6]);
    world
}

#[tokio::test]
async fn the_hash_is_of_the_facts_alone() {
    let (mut a, mut b) = (Tables::create().await, Tables::create().await);
    a.refresh(&world(), 1000).await;
    let mut turned = later_world();
    turned.reverse();
    b.refresh(&turned[..4], 1000).await;
    b.refresh(&turned, 1000).await;
    assert_ne!(a.hash().await, b.hash().await);
    b.refresh(&world()[..1], 1000).await;
    assert_eq!(a.hash().await, b.hash().await, "the same facts by another path");
}

#[tokio::test]
async fn a_refresh_that_would_repeat_the_last_writes_nothing() {
    let mut tables = Tables::create().await;
    let first = tables.refresh(&world(), 1000).await;
    assert_eq!((first.rows_written, first.batch_id), (7, Some(1)));
    assert!(first.summary.starts_with("3/2/2; largest of 2: Land of BIG"), "{}", first.summary);
    // Which transaction wrote each row, and where it lies.
    let versions = "
        SELECT 'a', xmin::text, ctid::text FROM country_aggregates
        UNION SELECT 'c', xmin::text, ctid::text FROM co2_clusters
        UNION SELECT 's', xmin::text, ctid::text FROM cluster_stats
        UNION SELECT 'h', xmin::text, ctid::text FROM co2_cluster_history
        UNION SELECT 'r', xmin::text, ctid::text FROM cluster_runs
        UNION SELECT 'n', xmin::text, ctid::text FROM feeds ORDER BY 1, 2, 3";
    let before: Vec<(String, String, String)> = tables.query(versions).await;
    let again = tables.refresh(&world(), 1000).await;
    assert_eq!((again.rows_written, again.batch_id), (0, None), "{}", again.summary);
    assert_eq!(tables.query::<(String, String, String)>(versions).await, before);
}

#[tokio::test]
async fn who_moves_is_recorded_with_what_moved_them() {
    let mut tables = Tables::create().await;
    tables.refresh(&world(), 1000).await;
    tables.refresh(&later_world(), 1000).await;
    let moves: Vec<(i32, String, i32, i32, String, bool)> = tables
        .query("SELECT batch_id, iso_code, from_cluster, to_cluster, feature, share < 0 FROM cluster_moves")
        .await;
    assert_eq!(moves, [(2, "SM1".to_owned(), 0, 1, "avg_co2_per_capita".to_owned(), true)]);
    let history: Vec<(i32, Option<i32>)> =
        tables.query("SELECT batch_id, cluster FROM co2_cluster_history WHERE iso_code = 'SM1' ORDER BY 1").await;
    assert_eq!(history, [(1, Some(0)), (2, Some(1))]);
    let others: Vec<(i64,)> = tables.query("SELECT count(*) FROM co2_cluster_history WHERE batch_id = 2").await;
    assert_eq!(others, [(1,)], "who did not move has nothing new");
}

#[tokio::test]
async fn too_few_countries_are_recorded_and_leave_no_clusters() {
    let mut tables = Tables::create().await;
    let same = [country("SM1", [1.0; 4]), country("SM2", [1.0; 4]), country("SM3", [2.0; 4])];
    let refreshed = tables.refresh(&same, 1000).await;
    assert_eq!(refreshed.batch_id, Some(1));
    let runs: Vec<(String, Option<i32>, i32)> =
        tables.query("SELECT note, k, num_not_clustered FROM cluster_runs").await;
    let too_few = "too few countries: 3 can be clustered, 2 of them differ, 3 are needed".to_owned();
    assert_eq!(runs, [(too_few.clone(), None, 3)]);
    let reasons = "SELECT DISTINCT not_clustered_because FROM country_aggregates ORDER BY 1";
    assert_eq!(tables.query::<(Option<String>,)>(reasons).await, [(Some(too_few),)]);
    tables.refresh(&world(), 1000).await;
    assert_eq!(tables.query::<(i64,)>("SELECT count(*) FROM co2_clusters").await, [(7,)]);
    assert_eq!(tables.query::<(Option<String>,)>(reasons).await, [(None,)], "the reason goes with what caused it");
}

#[tokio::test]
async fn old_runs_go_and_the_history_that_is_needed_stays() {
    let mut tables = Tables::create().await;
    for run in 0..7 {
        let world = if run % 2 == 0 { world() } else { later_world() };
        tables.refresh(&world, 3).await;
    }
    for table in [
        "SELECT DISTINCT batch_id FROM cluster_runs ORDER BY 1",
        "SELECT DISTINCT batch_id FROM cluster_stats ORDER BY 1",
    ] {
        assert_eq!(tables.query::<(i32,)>(table).await, [(5,), (6,), (7,)], "{table}");
    }
    // SM1 moved in every run; the others have had their label since the first.
    let history: Vec<(String, i32)> =
        tables.query("SELECT iso_code, batch_id FROM co2_cluster_history ORDER BY 1, 2").await;
    let kept = |code: &str| history.iter().filter(|row| row.0 == code).map(|row| row.1).collect::<Vec<_>>();
    assert_eq!((kept("SM1"), kept("BIG")), (vec![5, 6, 7], vec![1]));
}

const STORED: &str = "
    INSERT INTO stream_offsets (feed, topic, partition, epoch, next_offset, refreshed_through)
        VALUES ('emissions', 't', 0, 4, 9, 9), ('emissions', 't', 1, 2, 9, 9), ('other', 't', 0, 1, 9, 9);
    INSERT INTO feed_settings VALUES ('emissions', 'window_size_ms', '900000');
    INSERT INTO stream_gaps VALUES ('emissions', 't', 1, 1, 0, 5);
    INSERT INTO stream_completeness VALUES ('emissions', 't', false, 'offsets 0 to 5');
    INSERT INTO key_partitions VALUES ('t', 'SM1', 0), ('t', 'SM2', 0);
    INSERT INTO rejects (batch, topic, partition, \"offset\", timestamp_ms, reason) VALUES (1, 't', 0, 3, 0, 'bad');
    INSERT INTO ingest_accounting VALUES
        (1, 'emissions', 't', 0, 0, 4, 4, 3, 0, 0, 0, 1, now() - interval '9 days'),
        (2, 'emissions', 't', 0, 4, 6, 2, 0, 0, 2, 0, 0, now() - interval '5 days'),
        (3, 'emissions', 't', 0, 6, 9, 3, 0, 1, 2, 0, 0, now());
    INSERT INTO emissions_segments
        (id, owner_partition, partition, facts, first_offset, first_timestamp_ms, iso_code, country, year, co2, population, gdp, co2_per_capita)
    VALUES (1 << 20, 0, 0, 3, 0, 5, '{SM1, SM1, SM2}', '{Small, Small, Two}', '{1990, 1991, 1990}', '{1, 2, 3}',
            '{7, 8, 9}', '{NULL, NULL, NULL}', '{NULL, NULL, NULL}'),
           (2 << 20, 0, 0, 2, 4, 6, '{SM1, SM2}', '{Small, Two}', '{1990, 1990}', '{4, NULL}',
            '{7, 7}', '{NULL, NULL}', '{NULL, NULL}'),
           (3 << 20, 0, 0, 2, 6, 7, '{SM1, SM1}', '{Tiny, Tiny}', '{1990, 1990}', '{4, 5}',
            '{7, 7}', '{NULL, NULL}', '{NULL, NULL}')";

#[tokio::test]
async fn compaction_takes_what_was_superseded_long_ago_and_no_fact() {
    let mut tables = Tables::create().await;
    tables.execute(STORED).await;
    let facts = tables.facts().await;
    let days = |days: u64| Duration::from_secs(days * 86_400);
    // Each fact by its batch and offset.
    let mut check = async |keep, dropped, left: &[i64]| {
        assert_eq!(compact::<Emissions>(&mut tables.connection, keep).await.unwrap(), dropped);
        let stored: Vec<(i64,)> =
            tables.query("SELECT (id >> 20) * 10 + \"offset\" FROM emissions_changelog ORDER BY id").await;
        assert_eq!(stored.into_iter().map(|id| id.0).collect::<Vec<_>>(), left);
        assert_eq!(tables.facts().await, facts);
    };
    check(days(10), 0, &[10, 11, 12, 24, 25, 36, 37]).await;
    check(days(7), 2, &[11, 24, 25, 36, 37]).await;
    check(days(1), 1, &[11, 25, 36, 37]).await;
    check(days(1), 0, &[11, 25, 36, 37]).await;
    check(days(0), 1, &[11, 25, 37]).await;
}

#[tokio::test]
async fn compaction_takes_what_a_key_left_behind_at_its_old_owner() {
    let mut tables = Tables::create().await;
    tables.execute(STORED).await;
    tables.execute("UPDATE key_partitions SET partition = 1 WHERE key = 'SM2'").await;
    assert_eq!(compact::<Emissions>(&mut tables.connection, Duration::ZERO).await.unwrap(), 5);
    let left = "SELECT iso_code, year FROM emissions_changelog ORDER BY id";
    assert_eq!(tables.query::<(String, i16)>(left).await, [("SM1".to_owned(), 1991), ("SM1".to_owned(), 1990)]);
}

#[tokio::test]
async fn the_greatest_id_is_not_always_the_latest_fact() {
    let mut tables = Tables::create().await;
    tables.execute(STORED).await;
    // Of one batch, the records of partition 1 stand after those of partition 0, which came later.
    tables
        .execute(
            "DELETE FROM emissions_segments WHERE id > 1 << 20;
             INSERT INTO emissions_segments (id, owner_partition, partition, facts, first_offset, first_timestamp_ms,
                    iso_code, country, year, co2, population, gdp, co2_per_capita)
             VALUES (2 << 20, 0, 0, 1, 4, 9, '{SM1}', '{Latest}', '{1990}', '{4}', '{7}', '{NULL}', '{NULL}'),
                    ((2 << 20) + 1, 0, 1, 1, 6, 8, '{SM1}', '{Overtaken}', '{1990}', '{4}', '{7}', '{NULL}', '{NULL}')",
        )
        .await;
    let latest = "SELECT country FROM emissions_facts WHERE iso_code = 'SM1' AND year = 1990";
    for dropped in [2, 0] {
        assert_eq!(tables.query::<(String,)>(latest).await, [("Latest".to_owned(),)]);
        assert_eq!(compact::<Emissions>(&mut tables.connection, Duration::ZERO).await.unwrap(), dropped);
    }
}

#[tokio::test]
async fn a_reset_leaves_nothing_but_the_number_of_the_last_run() {
    let mut tables = Tables::create().await;
    tables.execute(STORED).await;
    tables.refresh(&world(), 1000).await;
    tables.refresh(&later_world(), 1000).await;
    let counts = reset::count(&mut tables.connection, FEEDS).await.unwrap();
    assert!(counts.iter().all(|count| count.count > 0), "nothing is left out of this test: {counts:?}");
    reset::reset(&mut tables.connection, FEEDS).await.unwrap();
    let counts = reset::count(&mut tables.connection, FEEDS).await.unwrap();
    assert!(counts.iter().all(|count| count.count == 0), "{counts:?}");
    // A consumer that still has a claim is fenced; another pipeline's offsets stay.
    let offsets: Vec<(String, i64, Option<i64>, Option<i64>)> = tables
        .query("SELECT feed, epoch, next_offset, refreshed_through FROM stream_offsets ORDER BY 1, partition")
        .await;
    let row = |pipeline: &str, epoch, at| (pipeline.to_owned(), epoch, at, at);
    assert_eq!(offsets, [row("emissions", 5, None), row("emissions", 3, None), row("other", 1, Some(9))]);
    assert_eq!(tables.refresh(&world(), 1000).await.batch_id, Some(3), "a batch_id is never used twice");
}

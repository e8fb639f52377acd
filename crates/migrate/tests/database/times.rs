//! Kafka timestamps that are no times: views and dashboards read on.

use std::{fs, path::Path};

use registry::databases::{DATABASES, Database};
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::fixture::{Fixture, check};

/// 2100-01-01 in milliseconds: the first that is no time.
const END: i64 = 4_102_444_800_000;
/// 2024-05-26 06:40 in milliseconds.
const VALID: i64 = 1_716_705_600_000;

/// The SQL of a pipeline's datasets that have their own.
fn datasets(pipeline: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../superset/assets/datasets").join(pipeline);
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let block = |file: String| {
        let (_, rest) = file.split_once("\nsql: |\n")?;
        Some(rest.lines().take_while(|line| line.starts_with("  ")).collect::<Vec<_>>().join("\n"))
    };
    files.filter_map(block).collect()
}

/// Reads everything that people and dashboards read.
async fn read_everything(connection: &mut PgConnection, database: &Database) {
    let views = "SELECT 'SELECT * FROM ' || viewname FROM pg_views WHERE schemaname = 'public'";
    let views: Vec<String> = sqlx::query_scalar(views).fetch_all(&mut *connection).await.unwrap();
    let datasets = datasets(database.pipeline);
    assert!(views.len() > 4 && datasets.len() > 3, "{views:?} {datasets:?}");
    for query in views.into_iter().chain(datasets) {
        let read =
            connection.execute(AssertSqlSafe(format!("SELECT count(shown::text) FROM ({query}) AS shown"))).await;
        read.unwrap_or_else(|error| panic!("{query}: {error}"));
    }
}

/// Stores a topic of two partitions that have these greatest timestamps, and gives what `freshness` says is the newest.
async fn newest(connection: &mut PgConnection, pipeline: &str, times: [i64; 2]) -> Option<i64> {
    let insert = "INSERT INTO stream_offsets (feed, topic, partition, next_offset, max_timestamp_ms, committed_at) \
                  SELECT $1, 't', n, 9, t, now() FROM unnest($2::bigint[]) WITH ORDINALITY AS u (t, n) \
                  ON CONFLICT (feed, topic, partition) DO UPDATE SET max_timestamp_ms = excluded.max_timestamp_ms";
    sqlx::query(insert).bind(pipeline).bind(&times[..]).execute(&mut *connection).await.unwrap();
    let shown = "SELECT (extract(epoch FROM newest_record_at) * 1000)::bigint FROM freshness";
    sqlx::query_scalar(shown).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn a_timestamp_that_is_no_time_is_shown_as_unknown_and_stops_no_view() {
    for database in DATABASES.iter() {
        let fixture = Fixture::new();
        check(&fixture.run(&["--pipeline", database.pipeline, "up"]).await, 0, &[]);
        let mut connection = fixture.connect().await;
        for wild in [i64::MIN, -1, 0, END, VALID * 1_000, VALID * 1_000_000, i64::MAX] {
            assert_eq!(newest(&mut connection, database.pipeline, [wild, 0]).await, None, "{wild}");
            let reject = "INSERT INTO rejects (batch, topic, partition, \"offset\", timestamp_ms, reason) \
                          VALUES (1, 't', 0, 0, $1, 'x')";
            sqlx::query(reject).bind(wild).execute(&mut connection).await.unwrap();
            read_everything(&mut connection, database).await;
            assert_eq!(newest(&mut connection, database.pipeline, [wild, VALID]).await, Some(VALID), "{wild}");
        }
        // The first and the last time there is: an age of that many seconds is beyond an integer.
        for time in [1, END - 1] {
            assert_eq!(newest(&mut connection, database.pipeline, [time, 0]).await, Some(time));
            read_everything(&mut connection, database).await;
        }
        fixture.finish().await;
    }
}

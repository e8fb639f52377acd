//! What refreshes and reports leave in the tables of a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use clap::{Args as _, Command, FromArgMatches as _};
use sensors::{
    pipeline::Sensors,
    report::{ReportError, Reported, report},
    settings::SensorSettings,
    window::{ReadingFact, Window, WindowRow},
};
use sqlx::{Connection, FromRow, PgConnection, postgres::PgRow};
use stream::{Coverage, state};
use testkit::TestDatabase;

/// How long a window is, milliseconds.
const SIZE_MS: i64 = 900_000;
/// 2026-03-28 00:00 UTC: the day before clocks are put forward in Europe.
const SATURDAY: i64 = 1_774_656_000_000;
const HOUR: i64 = 3_600_000;

struct Tables(PgConnection);

impl Tables {
    async fn create() -> Self {
        let database = TestDatabase::create_with(&["stream", "sensors"]).await.unwrap();
        let mut connection = PgConnection::connect(&database.url()).await.unwrap();
        let feed = "INSERT INTO feeds (feed, identity, database_oid) VALUES ('sensors', gen_random_uuid(), 0)";
        sqlx::raw_sql(feed).execute(&mut connection).await.unwrap();
        Self(connection)
    }

    /// Refreshes windows, each of which begins then and has these temperatures, one a second.
    async fn refresh(&mut self, windows: &[(i32, i64, &[i32])]) -> u64 {
        let row = |&(sensor, start_ms, readings): &(i32, i64, &[i32])| {
            let fact = |(n, milli): (u32, &i32)| ReadingFact { at_ms: n * 1_000, milli: *milli };
            let facts: Vec<ReadingFact> = (0..).zip(readings).map(fact).collect();
            WindowRow::of(Window { sensor, start_ms }, SIZE_MS, facts.iter(), 0)
        };
        let rows: Vec<WindowRow> = windows.iter().map(row).collect();
        let command = SensorSettings::augment_args(Command::new("test"));
        let settings = SensorSettings::from_arg_matches(&command.get_matches_from(["test"])).unwrap();
        let coverage = Coverage { refreshed: vec![(0, 9)], complete: true, missing: None };
        let mut tx = self.0.begin().await.unwrap();
        let refreshed = state::refresh(&Sensors(settings), &mut tx, &rows, &coverage).await.unwrap();
        tx.commit().await.unwrap();
        refreshed.rows_written
    }

    async fn report(&mut self, zone: &str) -> Result<(u64, u64), ReportError> {
        report(&mut self.0, zone, false).await.map(|Reported { days, changed }| (days, changed))
    }

    async fn query<R>(&mut self, sql: &'static str) -> Vec<R>
    where
        R: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_as(sql).fetch_all(&mut self.0).await.unwrap()
    }
}

#[tokio::test]
async fn a_mean_is_rounded_half_away_from_zero() {
    let mut tables = Tables::create().await;
    let windows: [(i32, i64, &[i32]); 3] =
        [(1, 0, &[21_005, 21_005]), (1, SIZE_MS, &[-5, -5]), (1, 2 * SIZE_MS, &[1_000, 2_000, 2_001])];
    assert_eq!(tables.refresh(&windows).await, 3);
    assert_eq!(tables.refresh(&windows).await, 0, "the same again");
    let rows: Vec<(String, String, String, i32)> = tables
        .query(
            "SELECT avg_temperature::text, min_temperature::text, max_temperature::text, reading_count
             FROM sensor_temperatures ORDER BY window_start",
        )
        .await;
    let expected = [("21.01", "21.01", "21.01", 2), ("-0.01", "-0.01", "-0.01", 2), ("1.67", "1.00", "2.00", 3)];
    assert_eq!(rows, expected.map(|(mean, least, most, n)| (mean.into(), least.into(), most.into(), n)));
}

#[tokio::test]
async fn a_day_of_the_zone_has_its_own_hours() {
    let mut tables = Tables::create().await;
    // Each hour of three days has one window; its temperature is the number of the hour.
    let celsius: Vec<[i32; 1]> = (0..72).map(|hour| [hour * 1_000]).collect();
    let windows: Vec<(i32, i64, &[i32])> =
        (0..).zip(&celsius).map(|(n, one)| (7, SATURDAY + n * HOUR, one.as_slice())).collect();
    let some: Vec<(i32, i64, &[i32])> =
        windows.iter().copied().filter(|window| window.1 != SATURDAY + 30 * HOUR).collect();
    tables.refresh(&some).await;
    assert_eq!(tables.report("Europe/Madrid").await.unwrap(), (4, 4));
    let hours: Vec<(String, i32, Option<String>, Option<String>)> = tables
        .query(
            "SELECT date::text, jsonb_array_length(report->'hours'), report->'hours'->>7, report->>'avg'
             FROM daily_reports ORDER BY date",
        )
        .await;
    // Madrid is an hour ahead of UTC, and two from 29 March 02:00 on, which is a day of 23 hours.
    let expected = [
        ("2026-03-28", 24, Some("6.00"), Some("11.00")),
        ("2026-03-29", 23, None, Some("34.18")),
        ("2026-03-30", 24, Some("53.00"), Some("57.50")),
        ("2026-03-31", 24, None, Some("70.50")),
    ];
    assert_eq!(
        hours,
        expected.map(|(date, n, hour, mean)| (date.into(), n, hour.map(Into::into), mean.map(Into::into)))
    );
    assert_eq!(tables.report("Europe/Madrid").await.unwrap().1, 0, "nothing has changed");
    tables.refresh(&windows).await;
    let (_, changed) = tables.report("Europe/Madrid").await.unwrap();
    assert_eq!(changed, 1, "the hour that came later changes its day alone");
}

#[tokio::test]
async fn a_report_that_cannot_be_made_is_refused_and_stores_nothing() {
    let mut tables = Tables::create().await;
    tables.refresh(&[(1, SATURDAY, &[1_000])]).await;
    assert!(matches!(tables.report("Europe/Atlantis").await, Err(ReportError::UnknownZone(_))));
    assert_eq!(report(&mut tables.0, "UTC", true).await.unwrap(), Reported { days: 1, changed: 1 });
    assert_eq!(tables.query::<(i64,)>("SELECT count(*) FROM daily_reports").await, [(0,)], "a dry run stores nothing");
    assert_eq!(tables.report("UTC").await.unwrap(), (1, 1));
    assert!(matches!(tables.report("Asia/Kolkata").await, Err(ReportError::OtherZone { .. })));
    sqlx::raw_sql("TRUNCATE report_runs, daily_reports").execute(&mut tables.0).await.unwrap();
    // A quarter of an hour lies within an hour of a zone of half hours; an hour does not.
    assert_eq!(tables.report("Asia/Kolkata").await.unwrap(), (1, 1));
    sqlx::raw_sql("TRUNCATE report_runs; UPDATE sensor_temperatures SET window_end = window_start + interval '1 hour'")
        .execute(&mut tables.0)
        .await
        .unwrap();
    assert!(matches!(tables.report("Asia/Kolkata").await, Err(ReportError::Window { minutes: 60, .. })));
}

#[tokio::test]
async fn readings_are_found_in_both_stores_and_each_once() {
    let mut tables = Tables::create().await;
    sqlx::raw_sql(
        "INSERT INTO feed_settings VALUES ('sensors', 'window_size_ms', '900000');
         INSERT INTO stream_offsets (feed, topic, partition, redo_from) VALUES ('sensors', 't', 0, 1048575);
         INSERT INTO sensors_cold (through, partition_key, slot, facts, partition, first_timestamp_ms, at_ms, milli)
         VALUES (1048575, '7', 0, 2, 0, 5, '{0,1000}', '{1000,2000}');
         INSERT INTO sensors_segments (id, owner_partition, partition, facts, first_offset, first_timestamp_ms, sensor_id, window_start, at_ms, milli)
         VALUES (1048576, 0, 0, 2, 10, 6, '{7,7}', ARRAY[to_timestamp(0), to_timestamp(900)], '{1000,0}', '{2500,3000}'),
                (1, 0, 0, 1, 0, 5, '{7}', ARRAY[to_timestamp(0)], '{1000}', '{9000}')",
    )
    .execute(&mut tables.0)
    .await
    .unwrap();
    let of = "SELECT extract(epoch FROM measured_at)::bigint, temperature::text";
    let all = sqlx::AssertSqlSafe(format!("{of} FROM sensor_readings ORDER BY 1"));
    let rows: Vec<(i64, String)> = sqlx::query_as(all).fetch_all(&mut tables.0).await.unwrap();
    let short = |rows: Vec<(i64, String)>| -> Vec<(i64, f64)> {
        rows.into_iter().map(|(at, t)| (at, t.parse().unwrap())).collect()
    };
    assert_eq!(short(rows), [(0, 1.0), (1, 2.5), (900, 3.0)]);
    let some = sqlx::AssertSqlSafe(format!("{of} FROM sensor_readings(7, to_timestamp(1), to_timestamp(900))"));
    let rows: Vec<(i64, String)> = sqlx::query_as(some).fetch_all(&mut tables.0).await.unwrap();
    assert_eq!(short(rows), [(1, 2.5)]);
}

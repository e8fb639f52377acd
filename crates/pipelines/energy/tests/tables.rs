//! What refreshes and resets leave in the tables of a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use energy::{
    aggregates::{DayRow, aggregate},
    day::Day,
    fact::MinuteFact,
    pipeline::{Energy, EnergySettings},
    thousandths::Thousandths,
};
use sqlx::{Connection, FromRow, PgConnection, postgres::PgRow};
use stream::{
    Coverage, FeedTables,
    maintenance::{hash::hash, reset},
    state::{self, RefreshReport},
};
use testkit::TestDatabase;

/// The pipeline's feeds.
const FEEDS: &[FeedTables] = &[FeedTables::of::<Energy>()];

/// A database with the tables of the pipeline.
struct Tables {
    connection: PgConnection,
}

impl Tables {
    async fn create() -> Self {
        let database = TestDatabase::create_with(&["stream", "energy"]).await.unwrap();
        let mut connection = PgConnection::connect(&database.url()).await.unwrap();
        let feed = "INSERT INTO feeds (feed, identity, database_oid) VALUES ('energy', gen_random_uuid(), 0)";
        sqlx::raw_sql(feed).execute(&mut connection).await.unwrap();
        Self { connection }
    }

    /// Refreshes days, in a transaction as `stream` does.
    async fn refresh(&mut self, rows: &[DayRow]) -> RefreshReport {
        let coverage = Coverage { refreshed: vec![(0, 9)], complete: true, missing: None };
        let mut tx = self.connection.begin().await.unwrap();
        let refreshed = state::refresh(&Energy(EnergySettings {}), &mut tx, rows, &coverage).await.unwrap();
        tx.commit().await.unwrap();
        refreshed
    }

    async fn query<R>(&mut self, sql: &'static str) -> Vec<R>
    where
        R: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_as(sql).fetch_all(&mut self.connection).await.unwrap()
    }

    async fn hash(&mut self) -> Vec<String> {
        let hashes = hash(&mut self.connection, FEEDS).await.unwrap();
        hashes.into_iter().map(|table| format!("{} {} {}", table.table, table.rows, table.sha256)).collect()
    }

    /// Each quarter: its first day, minutes, watt-minutes and the refresh that last changed it.
    async fn quarters(&mut self) -> Vec<(String, i64, i64, i32)> {
        self.query("SELECT quarter::text, record_count, watt_minutes, batch_id FROM quarterly_energy_data ORDER BY 1")
            .await
    }
}

/// A day with these minutes: minute, watts.
fn day((year, month, of_month): (u16, u16, u16), minutes: &[(u16, i32)]) -> DayRow {
    let facts: Vec<MinuteFact> = minutes
        .iter()
        .map(|&(minute, watts)| {
            let values = [watts, 100, 240_000, 1_000, 1_000, 2_000, 6_000];
            MinuteFact { values: values.map(|value| Thousandths::from_thousandths(value).unwrap()), minute }
        })
        .collect();
    aggregate(Day::new(year, month, of_month).unwrap(), facts.iter())
}

/// Two quarters, the first in a leap year; its days are a Thursday and a Saturday.
fn winter() -> Vec<DayRow> {
    vec![
        day((2008, 2, 28), &[(0, 1_200), (1, 2_400), (1_439, 600)]),
        day((2008, 3, 1), &[(60, 3_000)]),
        day((2008, 4, 1), &[(0, 600)]),
    ]
}

#[tokio::test]
async fn a_quarter_is_the_sum_of_its_days() {
    let mut tables = Tables::create().await;
    let refreshed = tables.refresh(&winter()).await;
    assert_eq!((refreshed.rows_written, refreshed.batch_id), (5, Some(1)), "three days and two quarters");
    assert_eq!(refreshed.summary, "2 quarters, 5 minutes, 7800 watt-minutes");
    type Row = (String, f64, i64, i64, i64, f64, f64, f64, f64);
    let quarters: Vec<Row> = tables
        .query(
            "SELECT quarter::text, total_energy_wh, record_count, expected_minutes, missing_minutes, coverage,
                    average_kw, peak_kw, mean_voltage FROM quarterly_energy_data ORDER BY quarter",
        )
        .await;
    // January to March of a leap year: 91 days.
    let (first, second) = (91 * 1_440, 91 * 1_440);
    let expected = [
        ("2008-01-01".to_owned(), 120.0, 4, first, first - 4, 4.0 / 131_040.0, 1.8, 3.0, 240.0),
        ("2008-04-01".to_owned(), 10.0, 1, second, second - 1, 1.0 / 131_040.0, 0.6, 0.6, 240.0),
    ];
    assert_eq!(quarters, expected);
    let meters: Vec<(String, String, f64)> = tables
        .query("SELECT quarter_label, meter, energy_wh FROM energy_by_meter WHERE quarter = '2008-01-01' ORDER BY 2")
        .await;
    let meter = |name: &str, wh| ("2008-Q1".to_owned(), name.to_owned(), wh);
    assert_eq!(
        meters,
        [
            meter("1 kitchen", 4.0),
            meter("2 laundry room", 8.0),
            meter("3 water heater and air conditioning", 24.0),
            meter("rest, without a meter", 84.0),
        ]
    );
    let shares: Vec<(f64,)> = tables.query("SELECT sum(share) FROM energy_by_meter GROUP BY quarter").await;
    assert!(shares.iter().all(|share| (share.0 - 1.0).abs() < 1e-12), "{shares:?}");
}

#[tokio::test]
async fn months_and_the_load_profile_come_from_the_same_days() {
    let mut tables = Tables::create().await;
    tables.refresh(&winter()).await;
    let months: Vec<(String, i64, i64, i64, f64)> = tables
        .query("SELECT month::text, record_count, watt_minutes, expected_minutes, unmetered_wh FROM monthly_energy")
        .await;
    let month = |name: &str, count, energy, days: i64, rest| (name.to_owned(), count, energy, days * 1_440, rest);
    assert_eq!(
        months,
        [
            month("2008-02-01", 3, 4_200, 29, 43.0),
            month("2008-03-01", 1, 3_000, 31, 41.0),
            month("2008-04-01", 1, 600, 30, 1.0),
        ]
    );
    let profile: Vec<(String, i32, Option<f64>, i64)> = tables
        .query("SELECT weekday_label, hour, average_kw, record_count FROM daily_load_profile WHERE record_count > 0")
        .await;
    let cell = |weekday: &str, hour, kw, count| (weekday.to_owned(), hour, Some(kw), count);
    assert_eq!(
        profile,
        [
            cell("2 Tuesday", 0, 0.6, 1),
            cell("4 Thursday", 0, 1.8, 2),
            cell("4 Thursday", 23, 0.6, 1),
            cell("6 Saturday", 1, 3.0, 1)
        ]
    );
    assert_eq!(tables.query::<(i64,)>("SELECT count(*) FROM daily_load_profile").await, [(3 * 24,)]);
}

#[tokio::test]
async fn a_refresh_that_would_repeat_the_last_writes_nothing() {
    let mut tables = Tables::create().await;
    tables.refresh(&winter()).await;
    // Which transaction wrote each row, and where it lies.
    let versions = "
        SELECT 'd', xmin::text, ctid::text FROM daily_energy
        UNION SELECT 'q', xmin::text, ctid::text FROM quarterly_energy_data
        UNION SELECT 'n', xmin::text, ctid::text FROM feeds ORDER BY 1, 2, 3";
    let before: Vec<(String, String, String)> = tables.query(versions).await;
    for rows in [winter(), vec![]] {
        let again = tables.refresh(&rows).await;
        assert_eq!((again.rows_written, again.batch_id), (0, None), "{}", again.summary);
        assert_eq!(tables.query::<(String, String, String)>(versions).await, before);
    }
}

#[tokio::test]
async fn only_what_changed_is_written() {
    let mut tables = Tables::create().await;
    tables.refresh(&winter()).await;
    let quarter = |name: &str, count, energy, batch| (name.to_owned(), count, energy, batch);
    let april = day((2008, 4, 1), &[(0, 600), (1, 60)]);
    assert_eq!(tables.refresh(&[april]).await.batch_id, Some(2));
    assert_eq!(tables.quarters().await, [quarter("2008-01-01", 4, 7_200, 1), quarter("2008-04-01", 2, 660, 2)]);
    // Another hour, the same sums: the load profile has changed, and no quarter.
    let moved = day((2008, 4, 1), &[(60, 600), (61, 60)]);
    let refreshed = tables.refresh(&[moved]).await;
    assert_eq!((refreshed.rows_written, refreshed.batch_id), (1, Some(3)));
    assert_eq!(tables.quarters().await, [quarter("2008-01-01", 4, 7_200, 1), quarter("2008-04-01", 2, 660, 2)]);
}

#[tokio::test]
async fn a_day_without_minutes_is_gone_and_so_is_its_quarter() {
    let mut tables = Tables::create().await;
    tables.refresh(&winter()).await;
    let refreshed = tables.refresh(&[day((2008, 3, 1), &[]), day((2008, 4, 1), &[])]).await;
    assert_eq!((refreshed.rows_written, refreshed.batch_id), (4, Some(2)), "two days, one quarter, and one is gone");
    assert_eq!(refreshed.summary, "1 quarter, 3 minutes, 4200 watt-minutes");
    assert_eq!(tables.quarters().await, [("2008-01-01".to_owned(), 3, 4_200, 2)]);
    assert_eq!(tables.query::<(String,)>("SELECT day::text FROM daily_energy").await, [("2008-02-28".to_owned(),)]);
    let gone = tables.refresh(&[day((2008, 2, 28), &[])]).await;
    assert_eq!((gone.batch_id, gone.summary.as_str()), (Some(3), "0 quarters, 0 minutes, 0 watt-minutes"));
    assert_eq!(tables.refresh(&[day((2008, 2, 28), &[])]).await.batch_id, None);
}

#[tokio::test]
async fn the_hash_is_of_the_facts_alone() {
    let (mut a, mut b) = (Tables::create().await, Tables::create().await);
    a.refresh(&winter()).await;
    let mut turned = winter();
    turned.reverse();
    b.refresh(&[day((2008, 2, 28), &[(5, 5)]), day((1999, 1, 1), &[(0, 1)])]).await;
    b.refresh(&turned[..2]).await;
    assert_ne!(a.hash().await, b.hash().await);
    b.refresh(&[&turned[2..], &[day((1999, 1, 1), &[])]].concat()).await;
    assert_eq!(a.hash().await, b.hash().await, "the same facts by another path");
}

#[tokio::test]
async fn a_retracted_minute_is_no_fact_until_it_is_sent_again() {
    let mut tables = Tables::create().await;
    let facts = "SELECT measured_at::text, power_kw, voltage FROM energy_facts ORDER BY 1";
    let none = "array[NULL, NULL]::integer[]";
    let insert = "INSERT INTO energy_segments (id, owner_partition, partition, facts, first_offset, first_timestamp_ms, \
                  day, minute, power_w, voltage_mv, reactive_var, intensity_ma, sub_metering_1_mwh, sub_metering_2_mwh, \
                  sub_metering_3_mwh)";
    for (row, expected) in [
        (
            "1, 0, 0, 2, 0, 5, '{2007-03-25, 2007-03-25}', '{150, 151}', '{1500, 7}', '{240500, NULL}'",
            vec![("2007-03-25 02:30:00", 1.5, Some(240.5)), ("2007-03-25 02:31:00", 0.007, None)],
        ),
        ("3, 0, 0, 1, 2, 5, '{2007-03-25}', '{150}', '{NULL}', '{NULL}'", vec![("2007-03-25 02:31:00", 0.007, None)]),
        (
            "4, 0, 0, 2, 3, 5, '{2007-03-25, 2007-03-25}', '{151, 150}', '{NULL, 2000}', '{NULL, NULL}'",
            vec![("2007-03-25 02:30:00", 2.0, None)],
        ),
    ] {
        let row = format!("{insert} VALUES ({row}, {none}, {none}, {none}, {none}, {none})");
        sqlx::raw_sql(sqlx::AssertSqlSafe(row)).execute(&mut tables.connection).await.unwrap();
        let found: Vec<(String, f64, Option<f64>)> = tables.query(facts).await;
        assert_eq!(found.iter().map(|(at, kw, volts)| (at.as_str(), *kw, *volts)).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_reset_leaves_nothing_but_the_number_of_the_last_run() {
    let mut tables = Tables::create().await;
    tables.refresh(&winter()).await;
    reset::reset(&mut tables.connection, FEEDS).await.unwrap();
    let counts = reset::count(&mut tables.connection, FEEDS).await.unwrap();
    assert!(counts.iter().all(|count| count.count == 0), "{counts:?}");
    let all: Vec<(String,)> = tables
        .query("SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
        .await;
    let emptied: Vec<&str> = counts.iter().map(|count| count.table).chain(["stream_offsets", "feeds"]).collect();
    assert!(all.iter().all(|(table,)| emptied.contains(&table.as_str())), "{all:?} {emptied:?}");
    assert_eq!(tables.refresh(&winter()).await.batch_id, Some(2), "a batch_id is never used twice");
}

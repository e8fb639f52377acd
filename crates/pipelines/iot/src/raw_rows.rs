//! The table with a row a reading. It is filled from the changelog, in the transaction of the refresh that goes as far.

use chrono::{DateTime, NaiveDate};
use sqlx::PgConnection;

use crate::window::WindowRow;

/// Makes the tables of the days of windows, where they are missing. It takes a transaction of its own: in that of a refresh it would
/// keep the table from its readers.
pub(crate) async fn prepare(connection: &mut PgConnection, rows: &[WindowRow]) -> sqlx::Result<()> {
    let day = |row: &WindowRow| DateTime::from_timestamp_millis(row.window.start_ms).map(|time| time.date_naive());
    let mut days: Vec<NaiveDate> = rows.iter().filter_map(day).collect();
    days.sort_unstable();
    days.dedup();
    if days.is_empty() {
        return Ok(());
    }
    let days: Vec<String> = days.iter().map(NaiveDate::to_string).collect();
    sqlx::query("SELECT ensure_days($1::date[])").bind(days).execute(connection).await.map(drop)
}

/// What [`add`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    /// Rows that were added or changed.
    pub(crate) rows: u64,
    /// Readings of days without a table.
    pub(crate) without_day: u64,
}

/// Adds the readings that the refresh has marked as refreshed; where `leave_out`, only notes that.
pub(crate) async fn add(tx: &mut PgConnection, leave_out: bool) -> sqlx::Result<Added> {
    let mut added = Added::default();
    if !leave_out {
        let (rows, without_day): (i64, i64) = sqlx::query_as(ADD).fetch_one(&mut *tx).await?;
        let number = |count: i64| u64::try_from(count).unwrap_or_default();
        added = Added { rows: number(rows), without_day: number(without_day) };
    }
    sqlx::query(NOTE).execute(tx).await?;
    Ok(added)
}

/// A refresh goes to the end of a segment. Of a reading that is there twice, the one counts that counts everywhere.
const ADD: &str = "
    WITH owed AS MATERIALIZED (
        SELECT o.partition, coalesce(p.through, 0) AS after, o.refreshed_id AS through
        FROM stream_offsets o LEFT JOIN reading_progress p USING (partition)
        WHERE o.feed = 'iot' AND o.refreshed_id > coalesce(p.through, 0)
    ), facts AS MATERIALIZED (
        SELECT DISTINCT ON (f.device_id, f.window_start, f.at_ms, f.device_type)
               f.window_start + f.at_ms * interval '1 millisecond' AS time, f.device_id, f.device_type,
               f.value_milli / 1000.0::float8 AS value, nullif(f.unit, '') AS unit, f.quality_score, f.is_anomaly,
               (f.window_start AT TIME ZONE 'UTC')::date IN (SELECT day FROM reading_days) AS has_day
        FROM owed
        JOIN iot_segments s ON s.owner_partition = owed.partition AND s.id > owed.after AND s.id <= owed.through
        CROSS JOIN LATERAL unnest(s.device_id, s.device_type, s.window_start, s.at_ms, s.value_milli, s.unit, s.quality_score,
                                  s.is_anomaly, s.timestamps_ms) WITH ORDINALITY
            AS f (device_id, device_type, window_start, at_ms, value_milli, unit, quality_score, is_anomaly, timestamp_ms, place)
        ORDER BY f.device_id, f.window_start, f.at_ms, f.device_type, coalesce(f.timestamp_ms, s.first_timestamp_ms) DESC,
                 s.partition DESC, s.id DESC, f.place DESC
    ), written AS (
        INSERT INTO sensor_readings AS stored (time, device_id, device_type, value, unit, quality_score, is_anomaly)
        SELECT time, device_id, device_type, value, unit, quality_score, is_anomaly FROM facts WHERE has_day
        ON CONFLICT (device_id, time, device_type) DO UPDATE
        SET value = excluded.value, unit = excluded.unit, quality_score = excluded.quality_score,
            is_anomaly = excluded.is_anomaly, processing_time = now()
        WHERE (stored.value, stored.unit, stored.quality_score, stored.is_anomaly)
            IS DISTINCT FROM (excluded.value, excluded.unit, excluded.quality_score, excluded.is_anomaly)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM written), (SELECT count(*) FROM facts WHERE NOT has_day)";

const NOTE: &str = "
    INSERT INTO reading_progress AS stored (partition, through)
    SELECT partition, refreshed_id FROM stream_offsets WHERE feed = 'iot' AND refreshed_id > 0
    ON CONFLICT (partition) DO UPDATE SET through = excluded.through WHERE stored.through < excluded.through";

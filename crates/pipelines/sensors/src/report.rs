//! The daily reports: a document a sensor and day, from its windows.

use sqlx::{Connection, PgConnection};

/// What a run of the report did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The sensors' days that were computed.
    pub days: u64,
    /// How many of them differ from what is stored.
    pub changed: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// PostgreSQL knows no such zone.
    #[error("there is no time zone `{0}`; choose one such as UTC or Europe/Madrid")]
    UnknownZone(String),
    /// The stored reports are of other days.
    #[error(
        "the stored reports are of days of {stored}, and {given} was given: use that, or empty daily_reports and report_runs"
    )]
    OtherZone {
        /// The zone of the stored reports.
        stored: String,
        /// The one that was given.
        given: String,
    },
    /// Windows do not end where hours do.
    #[error("windows of {minutes} min do not end where hours of {zone} do: no mean of an hour can be made of them")]
    Window {
        /// How long a window is.
        minutes: i64,
        /// The zone.
        zone: String,
    },
    /// PostgreSQL does not answer, or refuses.
    #[error(transparent)]
    Postgres(#[from] sqlx::Error),
}

/// Computes the days, in a time zone, with a window that has changed since an hour before the last run, and stores those that
/// differ. A dry run stores nothing.
///
/// # Errors
/// See [`ReportError`].
pub async fn report(connection: &mut PgConnection, zone: &str, dry_run: bool) -> Result<Reported, ReportError> {
    let mut tx = connection.begin().await?;
    // Two runs at once would both report the same days.
    sqlx::query("LOCK TABLE report_runs IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)")
        .bind(zone)
        .fetch_one(&mut *tx)
        .await?;
    if !known {
        return Err(ReportError::UnknownZone(zone.to_owned()));
    }
    let stored: Option<String> =
        sqlx::query_scalar("SELECT zone FROM report_runs ORDER BY id DESC LIMIT 1").fetch_optional(&mut *tx).await?;
    if let Some(stored) = stored.filter(|stored| stored != zone) {
        return Err(ReportError::OtherZone { stored, given: zone.to_owned() });
    }
    let straddling: Option<i64> = sqlx::query_scalar(STRADDLING).bind(zone).fetch_optional(&mut *tx).await?;
    if let Some(minutes) = straddling {
        return Err(ReportError::Window { minutes, zone: zone.to_owned() });
    }
    let (days, changed): (i64, i64) = sqlx::query_as(REPORT).bind(zone).fetch_one(&mut *tx).await?;
    sqlx::query("INSERT INTO report_runs (zone, started_at, days, changed) VALUES ($1, now(), $2, $3)")
        .bind(zone)
        .bind(days)
        .bind(changed)
        .execute(&mut *tx)
        .await?;
    if dry_run {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }
    let number = |count: i64| u64::try_from(count).unwrap_or_default();
    Ok(Reported { days: number(days), changed: number(changed) })
}

/// A window that does not lie within one hour of the zone, if there is one among the last of each sensor: how long it is.
const STRADDLING: &str = "
    SELECT (extract(epoch FROM window_end - window_start) / 60)::bigint FROM sensor_temperatures
    WHERE date_trunc('hour', window_start, $1) <> date_trunc('hour', window_end - interval '1 microsecond', $1)
    LIMIT 1";

/// A refresh that began before the last report may have been committed after it: hence the hour.
const REPORT: &str = "
    WITH computed AS (
        SELECT sensor_id, date, jsonb_build_object('avg', avg_temperature, 'min', min_temperature, 'max', max_temperature,
                                                   'readings', reading_count, 'hours', to_jsonb(hourly_temperatures)) AS report
        FROM daily_report($1, (SELECT coalesce(max(started_at) - interval '1 hour', '-infinity') FROM report_runs))
    ), stored AS (
        INSERT INTO daily_reports AS stored (sensor_id, date, report) SELECT sensor_id, date, report FROM computed
        ON CONFLICT (sensor_id, date) DO UPDATE SET report = excluded.report, processing_time = now()
        WHERE stored.report <> excluded.report
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM computed), (SELECT count(*) FROM stored)";

//! What the energy pipeline writes when it refreshes; runs inside the refresh's transaction.

use sqlx::PgConnection;
use stream::{Run, RunReport};

/// Computes the quarters from all days stored, over all replicas, and writes those that differ.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn refresh_global(tx: &mut PgConnection, run: &Run) -> anyhow::Result<RunReport> {
    let written = sqlx::query(QUARTERS).bind(run.batch_id).execute(&mut *tx).await?.rows_affected();
    let removed = sqlx::query(REMOVE_QUARTERS).execute(&mut *tx).await?.rows_affected();
    let counts: (i64, i64, i64) = sqlx::query_as(SUMMARY).fetch_one(tx).await?;
    let [quarters, minutes, watt_minutes] = [(counts.0, "quarter"), (counts.1, "minute"), (counts.2, "watt-minute")]
        .map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }));
    let rows_written = written + removed;
    Ok(RunReport {
        rows_written,
        is_recorded: run.rows_written + rows_written > 0,
        summary: format!("{quarters}, {minutes}, {watt_minutes}"),
    })
}

/// The sums are of whole numbers; only what is divided at the end is a double, so that no order matters.
const QUARTERS: &str = "
    INSERT INTO quarterly_energy_data AS stored
        (quarter, total_energy_wh, record_count, watt_minutes, expected_minutes, missing_minutes, coverage, average_kw,
         peak_kw, sub_metering_1_wh, sub_metering_2_wh, sub_metering_3_wh, unmetered_wh, mean_voltage, batch_id)
    SELECT quarter, watt_minutes / 60.0::float8, minutes, watt_minutes, expected, expected - minutes,
           minutes / expected::float8, watt_minutes / 1000.0::float8 / minutes, peak_w / 1000.0::float8,
           sub_1 / 1000.0::float8, sub_2 / 1000.0::float8, sub_3 / 1000.0::float8,
           (watt_minutes * 50 - (sub_1 + sub_2 + sub_3) * 3) / 3000.0::float8,
           voltage_mv / 1000.0::float8 / nullif(voltage_minutes, 0), $1
    FROM (
        SELECT date_trunc('quarter', day::timestamp)::date AS quarter, sum(minutes)::bigint AS minutes,
               sum(watt_minutes)::bigint AS watt_minutes, max(peak_w) AS peak_w,
               sum(sub_metering_1_mwh)::bigint AS sub_1, sum(sub_metering_2_mwh)::bigint AS sub_2,
               sum(sub_metering_3_mwh)::bigint AS sub_3, sum(voltage_mv)::bigint AS voltage_mv,
               sum(voltage_minutes)::bigint AS voltage_minutes
        FROM daily_energy GROUP BY 1
    ) days
    CROSS JOIN LATERAL (SELECT ((quarter + interval '3 months')::date - quarter) * 1440::bigint AS expected) calendar
    ON CONFLICT (quarter) DO UPDATE SET
        total_energy_wh = excluded.total_energy_wh, record_count = excluded.record_count,
        watt_minutes = excluded.watt_minutes, expected_minutes = excluded.expected_minutes,
        missing_minutes = excluded.missing_minutes, coverage = excluded.coverage, average_kw = excluded.average_kw,
        peak_kw = excluded.peak_kw, sub_metering_1_wh = excluded.sub_metering_1_wh,
        sub_metering_2_wh = excluded.sub_metering_2_wh, sub_metering_3_wh = excluded.sub_metering_3_wh,
        unmetered_wh = excluded.unmetered_wh, mean_voltage = excluded.mean_voltage, batch_id = excluded.batch_id,
        processing_time = now()
    WHERE (stored.record_count, stored.watt_minutes, stored.peak_kw, stored.sub_metering_1_wh,
           stored.sub_metering_2_wh, stored.sub_metering_3_wh, stored.mean_voltage)
        IS DISTINCT FROM
          (excluded.record_count, excluded.watt_minutes, excluded.peak_kw, excluded.sub_metering_1_wh,
           excluded.sub_metering_2_wh, excluded.sub_metering_3_wh, excluded.mean_voltage)";

const REMOVE_QUARTERS: &str = "
    DELETE FROM quarterly_energy_data q
    WHERE NOT EXISTS (SELECT FROM daily_energy d WHERE d.day >= q.quarter AND d.day < q.quarter + interval '3 months')";

const SUMMARY: &str = "
    SELECT count(*), coalesce(sum(record_count), 0)::bigint, coalesce(sum(watt_minutes), 0)::bigint
    FROM quarterly_energy_data";

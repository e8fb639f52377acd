//! What the energy pipeline writes when it refreshes; runs inside the refresh's transaction.

use sqlx::{PgConnection, Row};
use stream::{Coverage, RefreshReport};

use crate::aggregates::DayRow;

/// Writes days where they differ from what is stored, removes those without minutes, and returns how many.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn upsert(tx: &mut PgConnection, rows: &[DayRow]) -> Result<u64, sqlx::Error> {
    let batch_id = next_batch_id(tx).await?;
    let (gone, kept): (Vec<&DayRow>, Vec<&DayRow>) = rows.iter().partition(|row| row.minutes == 0);
    let long = |value: fn(&DayRow) -> i64| kept.iter().map(|row| value(row)).collect::<Vec<_>>();
    let short = |value: fn(&DayRow) -> i32| kept.iter().map(|row| value(row)).collect::<Vec<_>>();
    let written = sqlx::query(UPSERT)
        .bind(short(|row| row.day.days()))
        .bind(short(|row| row.minutes))
        .bind(long(|row| row.watt_minutes))
        .bind(short(|row| row.peak_w))
        .bind(long(|row| row.sub_metering_mwh[0]))
        .bind(long(|row| row.sub_metering_mwh[1]))
        .bind(long(|row| row.sub_metering_mwh[2]))
        .bind(long(|row| row.voltage_mv))
        .bind(short(|row| row.voltage_minutes))
        // `unnest` would take arrays of arrays apart whole: these are flat, and cut by the day's index.
        .bind(kept.iter().flat_map(|row| row.hours).map(|hour| hour.watt_minutes).collect::<Vec<i64>>())
        .bind(kept.iter().flat_map(|row| row.hours).map(|hour| hour.minutes).collect::<Vec<i32>>())
        .bind(batch_id)
        .execute(&mut *tx)
        .await?;
    let removed =
        sqlx::query(REMOVE_DAYS).bind(gone.iter().map(|row| row.day.days()).collect::<Vec<_>>()).execute(tx).await?;
    Ok(written.rows_affected() + removed.rows_affected())
}

const UPSERT: &str = "
    INSERT INTO daily_energy AS stored
        (day, minutes, watt_minutes, peak_w, sub_metering_1_mwh, sub_metering_2_mwh, sub_metering_3_mwh, voltage_mv,
         voltage_minutes, hour_watt_minutes, hour_minutes, batch_id)
    SELECT date '2000-01-01' + d.day, d.minutes, d.watt_minutes, d.peak_w, d.sub_1, d.sub_2, d.sub_3, d.voltage_mv,
           d.voltage_minutes, ($10::bigint[])[(d.day_index - 1) * 24 + 1 : d.day_index * 24],
           ($11::integer[])[(d.day_index - 1) * 24 + 1 : d.day_index * 24], $12
    FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::integer[]) WITH ORDINALITY
        AS d (day, minutes, watt_minutes, peak_w, sub_1, sub_2, sub_3, voltage_mv, voltage_minutes, day_index)
    ON CONFLICT (day) DO UPDATE SET
        minutes = excluded.minutes, watt_minutes = excluded.watt_minutes, peak_w = excluded.peak_w,
        sub_metering_1_mwh = excluded.sub_metering_1_mwh, sub_metering_2_mwh = excluded.sub_metering_2_mwh,
        sub_metering_3_mwh = excluded.sub_metering_3_mwh, voltage_mv = excluded.voltage_mv,
        voltage_minutes = excluded.voltage_minutes, hour_watt_minutes = excluded.hour_watt_minutes,
        hour_minutes = excluded.hour_minutes, batch_id = excluded.batch_id, processing_time = now()
    WHERE (stored.minutes, stored.watt_minutes, stored.peak_w, stored.sub_metering_1_mwh, stored.sub_metering_2_mwh,
           stored.sub_metering_3_mwh, stored.voltage_mv, stored.voltage_minutes, stored.hour_watt_minutes,
           stored.hour_minutes)
        IS DISTINCT FROM
          (excluded.minutes, excluded.watt_minutes, excluded.peak_w, excluded.sub_metering_1_mwh,
           excluded.sub_metering_2_mwh, excluded.sub_metering_3_mwh, excluded.voltage_mv, excluded.voltage_minutes,
           excluded.hour_watt_minutes, excluded.hour_minutes)";

const REMOVE_DAYS: &str = "
    DELETE FROM daily_energy WHERE day = ANY (SELECT date '2000-01-01' + gone.day FROM unnest($1::integer[]) gone (day))";

/// Computes the quarters from all days stored, over all replicas, and writes those that differ.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn refresh_global(tx: &mut PgConnection, coverage: &Coverage) -> anyhow::Result<RefreshReport> {
    let batch_id = next_batch_id(tx).await?;
    let written = sqlx::query(QUARTERS).bind(batch_id).execute(&mut *tx).await?.rows_affected();
    let removed = sqlx::query(REMOVE_QUARTERS).execute(&mut *tx).await?.rows_affected();
    let row = sqlx::query(SUMMARY).bind(batch_id).fetch_one(&mut *tx).await?;
    let (quarters, minutes, watt_minutes): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let days_changed: bool = row.try_get(3)?;
    let so_far = if coverage.complete { "" } else { " so far" };
    let [quarters, minutes, watt_minutes] = [(quarters, "quarter"), (minutes, "minute"), (watt_minutes, "watt-minute")]
        .map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }));
    let summary = format!("{quarters}, {minutes}, {watt_minutes}{so_far}");
    let rows_written = written + removed;
    let changed = days_changed || rows_written > 0;
    if changed {
        use_batch_id(tx, batch_id).await?;
    }
    Ok(RefreshReport { batch_id: changed.then_some(batch_id), summary, rows_written })
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
    SELECT count(*), coalesce(sum(record_count), 0)::bigint, coalesce(sum(watt_minutes), 0)::bigint,
           EXISTS (SELECT FROM daily_energy WHERE batch_id = $1)
    FROM quarterly_energy_data";

/// The number of this refresh, if it turns out to change anything: never used before, even after `consumer reset`.
///
/// Refreshes take turns, so that it stays the same until the transaction ends.
async fn next_batch_id(tx: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(value), 0)::integer + 1 FROM counters WHERE name = 'batch_id'")
        .fetch_one(tx)
        .await
}

async fn use_batch_id(tx: &mut PgConnection, batch_id: i32) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO counters (name, value) VALUES ('batch_id', $1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(i64::from(batch_id))
    .execute(tx)
    .await?;
    Ok(())
}

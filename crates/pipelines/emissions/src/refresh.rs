//! What the emissions pipeline writes when it refreshes; runs inside the refresh's transaction.

use std::time::Instant;

use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};
use stream::{Coverage, RefreshReport};

use crate::{
    aggregates::CountryAggregate,
    clusters::{Modelled, model},
    fingerprint::Fingerprint,
    model_settings::ModelSettings,
    run_tables,
    settings::EmissionsSettings,
};

/// Writes countries where they differ from what is stored; returns how many did.
///
/// # Errors
/// When Postgres does not answer or refuses.
pub async fn upsert(tx: &mut PgConnection, rows: &[CountryAggregate]) -> Result<u64, sqlx::Error> {
    let float = |value: fn(&CountryAggregate) -> Option<f64>| rows.iter().map(value).collect::<Vec<_>>();
    let count = |value: fn(&CountryAggregate) -> i32| rows.iter().map(value).collect::<Vec<_>>();
    let year = |value: fn(&CountryAggregate) -> Option<i32>| rows.iter().map(value).collect::<Vec<_>>();
    let written = sqlx::query(UPSERT)
        .bind(rows.iter().map(|row| row.iso_code.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.country.as_str()).collect::<Vec<_>>())
        .bind(float(|row| row.avg_co2))
        .bind(float(|row| row.avg_co2_per_capita))
        .bind(float(|row| row.avg_gdp))
        .bind(float(|row| row.avg_population))
        .bind(count(|row| row.data_points))
        .bind(count(|row| row.first_year))
        .bind(count(|row| row.last_year))
        .bind(float(|row| row.avg_co2_recent))
        .bind(count(|row| row.co2_years))
        .bind(year(|row| row.co2_first_year))
        .bind(year(|row| row.co2_last_year))
        .execute(tx)
        .await?;
    Ok(written.rows_affected())
}

const UPSERT: &str = "
    INSERT INTO country_aggregates AS stored
        (iso_code, country, avg_co2, avg_co2_per_capita, avg_gdp, avg_population, data_points, first_year, last_year,
         avg_co2_recent, co2_years, co2_first_year, co2_last_year)
    SELECT * FROM unnest
        ($1::text[], $2::text[], $3::float8[], $4::float8[], $5::float8[], $6::float8[], $7::integer[], $8::integer[],
         $9::integer[], $10::float8[], $11::integer[], $12::integer[], $13::integer[])
    ON CONFLICT (iso_code) DO UPDATE SET
        country = excluded.country, avg_co2 = excluded.avg_co2, avg_co2_per_capita = excluded.avg_co2_per_capita,
        avg_gdp = excluded.avg_gdp, avg_population = excluded.avg_population, data_points = excluded.data_points,
        first_year = excluded.first_year, last_year = excluded.last_year, avg_co2_recent = excluded.avg_co2_recent,
        co2_years = excluded.co2_years, co2_first_year = excluded.co2_first_year,
        co2_last_year = excluded.co2_last_year, processing_time = now()
    WHERE (stored.country, stored.avg_co2, stored.avg_co2_per_capita, stored.avg_gdp, stored.avg_population,
           stored.data_points, stored.first_year, stored.last_year, stored.avg_co2_recent, stored.co2_years,
           stored.co2_first_year, stored.co2_last_year)
        IS DISTINCT FROM
          (excluded.country, excluded.avg_co2, excluded.avg_co2_per_capita, excluded.avg_gdp, excluded.avg_population,
           excluded.data_points, excluded.first_year, excluded.last_year, excluded.avg_co2_recent, excluded.co2_years,
           excluded.co2_first_year, excluded.co2_last_year)";

/// Clusters all countries stored, over all replicas, and records the run, unless it would repeat the last one.
///
/// # Errors
/// When Postgres does not answer or refuses, or holds what this program would not write.
pub async fn refresh_global(
    tx: &mut PgConnection,
    settings: &EmissionsSettings,
    coverage: &Coverage,
) -> anyhow::Result<RefreshReport> {
    let countries = read(tx).await?;
    let fingerprint = Fingerprint::of(&countries, &settings.model).to_string();
    if let Some(last) = run_tables::last(tx).await?
        && last.fingerprint == fingerprint
    {
        if coverage.complete && !last.complete {
            run_tables::complete(tx, last.batch_id, coverage).await?;
        }
        let summary = format!("same facts and settings as batch_id {}", last.batch_id);
        return Ok(RefreshReport { summary, ..RefreshReport::default() });
    }
    let began = Instant::now();
    let modelled = model(&countries, &settings.model);
    let model_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    explain(tx, &countries, &modelled, &settings.model).await?;
    let batch_id = run_tables::next_batch_id(tx).await?;
    let run = run_tables::Run { batch_id, settings: &settings.model, fingerprint, coverage };
    let summary = match &modelled {
        Modelled::Clusters(model) => {
            tracing::info!(model_ms, "{} clusters for {} countries", model.k, model.countries.len());
            run_tables::record_clusters(tx, &run, model, &countries).await?;
            model.to_string()
        }
        Modelled::TooFew { .. } => {
            let note = modelled.to_string();
            tracing::warn!("{note}");
            run_tables::record_none(tx, &run, &note, countries.len()).await?;
            note
        }
    };
    run_tables::prune(tx, batch_id, settings.keep_runs).await?;
    Ok(RefreshReport { batch_id: Some(batch_id), summary, ..RefreshReport::default() })
}

/// Notes why a country is in no cluster, where that changed.
async fn explain(
    tx: &mut PgConnection,
    countries: &[CountryAggregate],
    modelled: &Modelled,
    settings: &ModelSettings,
) -> Result<(), sqlx::Error> {
    let reason = |country| modelled.not_clustered(country, settings);
    let reasons: Vec<Option<String>> = countries.iter().map(reason).collect();
    sqlx::query(
        "UPDATE country_aggregates c SET not_clustered_because = r.reason, processing_time = now()
         FROM unnest($1::text[], $2::text[]) AS r (iso_code, reason)
         WHERE c.iso_code = r.iso_code AND c.not_clustered_because IS DISTINCT FROM r.reason",
    )
    .bind(countries.iter().map(|country| country.iso_code.as_str()).collect::<Vec<_>>())
    .bind(reasons)
    .execute(tx)
    .await?;
    Ok(())
}

async fn read(tx: &mut PgConnection) -> Result<Vec<CountryAggregate>, sqlx::Error> {
    sqlx::query_as("SELECT * FROM country_aggregates ORDER BY iso_code").fetch_all(tx).await
}

impl<'r> FromRow<'r, PgRow> for CountryAggregate {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let iso_code: &str = row.try_get("iso_code")?;
        Ok(Self {
            iso_code: iso_code
                .try_into()
                .map_err(|error: crate::iso_code::NotACode| sqlx::Error::Decode(error.into()))?,
            country: row.try_get("country")?,
            avg_co2: row.try_get("avg_co2")?,
            avg_co2_per_capita: row.try_get("avg_co2_per_capita")?,
            avg_gdp: row.try_get("avg_gdp")?,
            avg_population: row.try_get("avg_population")?,
            avg_co2_recent: row.try_get("avg_co2_recent")?,
            data_points: row.try_get("data_points")?,
            first_year: row.try_get("first_year")?,
            last_year: row.try_get("last_year")?,
            co2_years: row.try_get("co2_years")?,
            co2_first_year: row.try_get("co2_first_year")?,
            co2_last_year: row.try_get("co2_last_year")?,
        })
    }
}

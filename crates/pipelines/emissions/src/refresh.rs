//! What the emissions pipeline writes when it refreshes; runs inside the refresh's transaction.

use std::time::Instant;

use sqlx::PgConnection;
use stream::{Run, RunReport, state};

use crate::{
    aggregates::{COLUMNS, CountryAggregate},
    clusters::{Modelled, model},
    fingerprint::Fingerprint,
    model_settings::ModelSettings,
    run_tables,
    settings::EmissionsSettings,
};

/// Clusters all countries stored, over all replicas, and records the run, unless it would repeat the last one.
///
/// # Errors
/// When Postgres does not answer or refuses, or holds what this program would not write.
pub async fn refresh_global(
    tx: &mut PgConnection,
    settings: &EmissionsSettings,
    run: &Run,
) -> anyhow::Result<RunReport> {
    let countries = state::read(tx, COLUMNS, "country_aggregates ORDER BY iso_code", CountryAggregate::decode).await?;
    let fingerprint = Fingerprint::of(&countries, &settings.model).to_string();
    if let Some(last) = run_tables::last(tx).await?
        && last.fingerprint == fingerprint
    {
        if run.coverage.complete && !last.complete {
            run_tables::complete(tx, last.batch_id, &run.coverage).await?;
        }
        let summary = format!("same facts and settings as batch_id {}", last.batch_id);
        return Ok(RunReport { summary, ..RunReport::default() });
    }
    let began = Instant::now();
    let modelled = model(&countries, &settings.model);
    let model_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    explain(tx, &countries, &modelled, &settings.model).await?;
    let recorded = run_tables::Recorded { run, settings: &settings.model, fingerprint };
    let summary = match &modelled {
        Modelled::Clusters(model) => {
            tracing::info!(model_ms, "{} clusters for {} countries", model.k, model.countries.len());
            run_tables::record_clusters(tx, &recorded, model, &countries).await?;
            model.to_string()
        }
        Modelled::TooFew { .. } => {
            let note = modelled.to_string();
            tracing::warn!("{note}");
            run_tables::record_none(tx, &recorded, &note, countries.len()).await?;
            note
        }
    };
    run_tables::prune(tx, run.batch_id, settings.keep_runs).await?;
    Ok(RunReport { is_recorded: true, summary, ..RunReport::default() })
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

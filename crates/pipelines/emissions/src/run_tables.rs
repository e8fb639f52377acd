//! The tables a model run writes: who is in which cluster, what made it, who moved.

use std::collections::HashMap;

use sqlx::{PgConnection, Row, types::Json};
use stats::scaling::Scaler;
use stream::{Coverage, Run, state};

use crate::{
    aggregates::{COLUMNS, CountryAggregate, clustered_columns},
    clusters::{Clustered, Model},
    model_settings::ModelSettings,
    moves::{FeatureSpace, Placement, Step, cause},
};

/// A run about to be recorded.
pub(crate) struct Recorded<'a> {
    /// Its number, and how far the facts go.
    pub run: &'a Run,
    /// Its settings.
    pub settings: &'a ModelSettings,
    /// What it was made of.
    pub fingerprint: String,
}

/// The run recorded last.
pub(crate) struct LastRun {
    /// Its number.
    pub batch_id: i32,
    /// What it was made of.
    pub fingerprint: String,
    /// Whether it saw every partition to its end.
    pub complete: bool,
}

/// Reads which run was recorded last.
pub(crate) async fn last(tx: &mut PgConnection) -> Result<Option<LastRun>, sqlx::Error> {
    let row = sqlx::query("SELECT batch_id, fingerprint, complete FROM cluster_runs ORDER BY batch_id DESC LIMIT 1")
        .fetch_optional(tx)
        .await?;
    row.map(|row| Ok(LastRun { batch_id: row.try_get(0)?, fingerprint: row.try_get(1)?, complete: row.try_get(2)? }))
        .transpose()
}

/// Notes that the same run now covers every partition to its end.
pub(crate) async fn complete(tx: &mut PgConnection, batch_id: i32, coverage: &Coverage) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE cluster_runs SET complete = true, missing = NULL, offsets = $2 WHERE batch_id = $1")
        .bind(batch_id)
        .bind(offsets(coverage))
        .execute(tx)
        .await?;
    Ok(())
}

/// Records a run that found clusters.
pub(crate) async fn record_clusters(
    tx: &mut PgConnection,
    recorded: &Recorded<'_>,
    model: &Model,
    countries: &[CountryAggregate],
) -> anyhow::Result<()> {
    let batch_id = recorded.run.batch_id;
    let moves = moves(tx, recorded.settings, model).await?;
    insert_run(tx, recorded, Some(model), None, countries.len()).await?;
    insert_clusters(tx, batch_id, model).await?;
    insert_stats(tx, batch_id, model).await?;
    insert_history(tx, batch_id).await?;
    insert_moves(tx, batch_id, &moves).await?;
    Ok(())
}

/// Records a run that found none, and why.
pub(crate) async fn record_none(
    tx: &mut PgConnection,
    recorded: &Recorded<'_>,
    note: &str,
    countries: usize,
) -> Result<(), sqlx::Error> {
    insert_run(tx, recorded, None, Some(note), countries).await?;
    sqlx::query("DELETE FROM co2_clusters").execute(&mut *tx).await?;
    insert_history(tx, recorded.run.batch_id).await
}

/// Deletes runs beyond the number to keep; of the history what no kept run needs.
pub(crate) async fn prune(tx: &mut PgConnection, batch_id: i32, keep_runs: i32) -> Result<(), sqlx::Error> {
    let oldest = batch_id.saturating_sub(keep_runs).saturating_add(1);
    for table in ["cluster_runs", "cluster_stats", "cluster_moves"] {
        let delete = format!("DELETE FROM {table} WHERE batch_id < $1");
        sqlx::query(sqlx::AssertSqlSafe(delete)).bind(oldest).execute(&mut *tx).await?;
    }
    sqlx::query(
        "DELETE FROM co2_cluster_history h WHERE batch_id < $1 AND EXISTS
            (SELECT FROM co2_cluster_history later
             WHERE later.iso_code = h.iso_code AND later.batch_id > h.batch_id AND later.batch_id <= $1)",
    )
    .bind(oldest)
    .execute(tx)
    .await?;
    Ok(())
}

fn offsets(coverage: &Coverage) -> Json<HashMap<String, i64>> {
    Json(coverage.refreshed.iter().map(|(partition, offset)| (partition.to_string(), *offset)).collect())
}

async fn insert_run(
    tx: &mut PgConnection,
    recorded: &Recorded<'_>,
    model: Option<&Model>,
    note: Option<&str>,
    countries: usize,
) -> Result<(), sqlx::Error> {
    let Recorded { run, settings, fingerprint } = recorded;
    let clustered = model.map_or(0, |model| model.countries.len());
    let integer = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    sqlx::query(
        "INSERT INTO cluster_runs
            (batch_id, complete, note, fingerprint, settings, features, transform, clusters_requested, k, seed,
             restarts_requested, restarts_used, reached_best_share, max_iterations, tolerance, scaler_mean, scaler_std,
             centroids, inertia, silhouette, num_countries, num_not_clustered, offsets, missing)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)",
    )
    .bind(run.batch_id)
    .bind(run.coverage.complete)
    .bind(note)
    .bind(fingerprint)
    .bind(settings.to_string())
    .bind(settings.features.iter().map(|feature| feature.name()).collect::<Vec<_>>())
    .bind(settings.transform.name())
    .bind(settings.clusters.to_string())
    .bind(model.map(|model| model.k))
    .bind(i64::try_from(settings.seed).unwrap_or(i64::MAX))
    .bind(i64::from(settings.restarts))
    .bind(model.map(|model| model.restarts))
    .bind(model.map(|model| model.best_share))
    .bind(i64::from(settings.max_iterations))
    .bind(settings.tolerance)
    .bind(model.map(|model| &model.space.scaler.mean))
    .bind(model.map(|model| &model.space.scaler.std))
    .bind(model.map(|model| Json(&model.space.centroids)))
    .bind(model.map(|model| model.inertia))
    .bind(model.map(|model| model.silhouette))
    .bind(integer(clustered))
    .bind(integer(countries - clustered))
    .bind(offsets(&run.coverage))
    .bind(&run.coverage.missing)
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_clusters(tx: &mut PgConnection, batch_id: i32, model: &Model) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM co2_clusters").execute(&mut *tx).await?;
    let clustered = &model.countries;
    let columns = clustered_columns().join(", ");
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "INSERT INTO co2_clusters ({columns}, cluster, batch_id)
         SELECT {columns}, l.cluster, $3
         FROM unnest($1::text[], $2::integer[]) AS l (iso_code, cluster) JOIN country_aggregates c USING (iso_code)"
    )))
    .bind(clustered.iter().map(|one| one.country.iso_code.as_str()).collect::<Vec<_>>())
    .bind(clustered.iter().map(|one| one.cluster).collect::<Vec<_>>())
    .bind(batch_id)
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_stats(tx: &mut PgConnection, batch_id: i32, model: &Model) -> Result<(), sqlx::Error> {
    let clusters = &model.clusters;
    sqlx::query(
        "INSERT INTO cluster_stats
            (cluster, num_countries, avg_co2_cluster, avg_co2_per_capita_cluster, avg_gdp_cluster, silhouette_score, batch_id)
         SELECT s.*, $7 FROM unnest
            ($1::integer[], $2::integer[], $3::float8[], $4::float8[], $5::float8[], $6::float8[]) AS s",
    )
    .bind(clusters.iter().map(|one| one.cluster).collect::<Vec<_>>())
    .bind(clusters.iter().map(|one| one.num_countries).collect::<Vec<_>>())
    .bind(clusters.iter().map(|one| one.avg_co2).collect::<Vec<_>>())
    .bind(clusters.iter().map(|one| one.avg_co2_per_capita).collect::<Vec<_>>())
    .bind(clusters.iter().map(|one| one.avg_gdp).collect::<Vec<_>>())
    .bind(clusters.iter().map(|one| one.silhouette).collect::<Vec<_>>())
    .bind(batch_id)
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes every label that differs from the one noted last, those that are gone as null.
async fn insert_history(tx: &mut PgConnection, batch_id: i32) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH noted AS (
            SELECT DISTINCT ON (iso_code) iso_code, country, cluster FROM co2_cluster_history
            ORDER BY iso_code, batch_id DESC
         )
         INSERT INTO co2_cluster_history (iso_code, country, batch_id, cluster)
         SELECT iso_code, coalesce(c.country, noted.country), $1, c.cluster
         FROM co2_clusters c FULL JOIN noted USING (iso_code)
         WHERE c.cluster IS DISTINCT FROM noted.cluster",
    )
    .bind(batch_id)
    .execute(tx)
    .await?;
    Ok(())
}

/// A country that changed its cluster.
struct Move {
    iso_code: String,
    country: String,
    step: Step,
    feature: &'static str,
    share: f64,
}

/// Finds who changed cluster against the last complete run of the same settings, and what moved them.
async fn moves(tx: &mut PgConnection, settings: &ModelSettings, model: &Model) -> anyhow::Result<Vec<Move>> {
    let Some((batch_id, space)) = space_before(tx, settings).await? else { return Ok(Vec::new()) };
    let labels: HashMap<String, i32> = sqlx::query_as(
        "SELECT iso_code, cluster FROM (
            SELECT DISTINCT ON (iso_code) iso_code, cluster FROM co2_cluster_history WHERE batch_id <= $1
            ORDER BY iso_code, batch_id DESC
         ) before WHERE cluster IS NOT NULL",
    )
    .bind(batch_id)
    .fetch_all(&mut *tx)
    .await?
    .into_iter()
    .collect();
    let before = coordinates_before(tx, batch_id, &space).await?;
    let moved = |one: &Clustered| {
        let iso_code = one.country.iso_code.as_str();
        let step = Step { from: *labels.get(iso_code)?, to: one.cluster };
        let coordinates = model.space.coordinates(&one.country).filter(|_| step.from != step.to)?;
        let before = before.get(iso_code).map(|coordinates| Placement { space: &space, coordinates });
        let cause = cause(before, Placement { space: &model.space, coordinates: &coordinates }, step)?;
        let country = one.country.country.clone();
        Some(Move { iso_code: iso_code.to_owned(), country, step, feature: cause.feature.name(), share: cause.share })
    };
    Ok(model.countries.iter().filter_map(moved).collect())
}

async fn space_before(
    tx: &mut PgConnection,
    settings: &ModelSettings,
) -> Result<Option<(i32, FeatureSpace)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT batch_id, scaler_mean, scaler_std, centroids FROM cluster_runs
         WHERE complete AND k IS NOT NULL AND settings = $1 ORDER BY batch_id DESC LIMIT 1",
    )
    .bind(settings.to_string())
    .fetch_optional(tx)
    .await?;
    row.map(|row| {
        let scaler = Scaler { mean: row.try_get("scaler_mean")?, std: row.try_get("scaler_std")? };
        let Json(centroids) = row.try_get("centroids")?;
        let (features, transform) = (settings.features.clone(), settings.transform);
        Ok((row.try_get("batch_id")?, FeatureSpace { features, transform, scaler, centroids }))
    })
    .transpose()
}

/// Where countries lay in the run before, if the table of the latest run still is that run's.
async fn coordinates_before(
    tx: &mut PgConnection,
    batch_id: i32,
    space: &FeatureSpace,
) -> anyhow::Result<HashMap<String, Vec<f64>>> {
    let before = format!(
        "(SELECT *, 0 AS co2_years, NULL::integer AS co2_first_year, NULL::integer AS co2_last_year FROM co2_clusters) AS before
         WHERE batch_id = {batch_id}"
    );
    let before = state::read(tx, COLUMNS, &before, CountryAggregate::decode).await?;
    let coordinates =
        before.iter().filter_map(|country| Some((country.iso_code.to_string(), space.coordinates(country)?)));
    Ok(coordinates.collect())
}

async fn insert_moves(tx: &mut PgConnection, batch_id: i32, moves: &[Move]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO cluster_moves (iso_code, country, from_cluster, to_cluster, feature, share, batch_id)
         SELECT m.*, $7 FROM unnest
            ($1::text[], $2::text[], $3::integer[], $4::integer[], $5::text[], $6::float8[]) AS m",
    )
    .bind(moves.iter().map(|one| one.iso_code.as_str()).collect::<Vec<_>>())
    .bind(moves.iter().map(|one| one.country.as_str()).collect::<Vec<_>>())
    .bind(moves.iter().map(|one| one.step.from).collect::<Vec<_>>())
    .bind(moves.iter().map(|one| one.step.to).collect::<Vec<_>>())
    .bind(moves.iter().map(|one| one.feature).collect::<Vec<_>>())
    .bind(moves.iter().map(|one| one.share).collect::<Vec<_>>())
    .bind(batch_id)
    .execute(tx)
    .await?;
    Ok(())
}

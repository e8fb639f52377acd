//! What the consumer left in Postgres, read for people.

use sqlx::{FromRow, PgConnection};

/// Members of a cluster that are shown by name.
pub(crate) const SHOWN_MEMBERS: usize = 6;

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Tables {
    /// Facts known: one per country and year.
    pub(crate) facts: i64,
    /// Countries that have facts.
    pub(crate) countries: i64,
    /// `None` when no model ever ran.
    pub(crate) run: Option<Run>,
    /// The run's clusters, by label.
    pub(crate) clusters: Vec<Cluster>,
    /// The clustered countries, by falling co2.
    pub(crate) members: Vec<Member>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// A model run.
#[derive(Debug, FromRow)]
pub(crate) struct Run {
    pub(crate) batch_id: i32,
    pub(crate) complete: bool,
    /// Why there are no clusters.
    pub(crate) note: Option<String>,
    pub(crate) features: Vec<String>,
    pub(crate) transform: String,
    pub(crate) k: Option<i32>,
    pub(crate) inertia: Option<f64>,
    pub(crate) silhouette: Option<f64>,
    pub(crate) num_countries: i32,
}

/// A cluster of the run; means over its countries.
#[derive(Debug, FromRow)]
pub(crate) struct Cluster {
    pub(crate) cluster: i32,
    pub(crate) num_countries: i32,
    /// Million tonnes a year.
    pub(crate) co2_mt: Option<f64>,
    /// Tonnes per person a year.
    pub(crate) co2_per_capita_t: Option<f64>,
    /// International-$ of 2011 a year.
    pub(crate) gdp: Option<f64>,
    pub(crate) silhouette: Option<f64>,
}

/// A clustered country.
#[derive(Debug, FromRow)]
pub(crate) struct Member {
    pub(crate) cluster: i32,
    pub(crate) country: String,
    /// Million tonnes a year.
    pub(crate) co2_mt: Option<f64>,
    /// International-$ of 2011 a year.
    pub(crate) gdp: Option<f64>,
}

/// Countries that could not be clustered, for one reason.
#[derive(Debug, FromRow)]
pub(crate) struct LeftOut {
    pub(crate) reason: String,
    pub(crate) countries: Vec<String>,
}

impl Tables {
    /// The cluster's largest emitters, first the largest.
    pub(crate) fn best_known(&self, cluster: i32) -> Vec<&str> {
        let members = self.members.iter().filter(|member| member.cluster == cluster);
        members.take(SHOWN_MEMBERS).map(|member| member.country.as_str()).collect()
    }

    /// How many countries could not be clustered.
    pub(crate) fn not_clustered(&self) -> usize {
        self.left_out.iter().map(|left_out| left_out.countries.len()).sum()
    }
}

/// Reads it all.
pub(crate) async fn read(database: &mut PgConnection) -> sqlx::Result<Tables> {
    let (facts, countries) =
        sqlx::query_as("SELECT coalesce(sum(data_points), 0)::bigint, count(*) FROM country_aggregates")
            .fetch_one(&mut *database)
            .await?;
    let run = latest_run(database).await?;
    let clusters = clusters(database, run.as_ref()).await?;
    let members = members(database).await?;
    let left_out = left_out(database).await?;
    Ok(Tables { facts, countries, run, clusters, members, left_out })
}

async fn latest_run(database: &mut PgConnection) -> sqlx::Result<Option<Run>> {
    sqlx::query_as(
        "SELECT batch_id, complete, note, features, transform, k, inertia, silhouette, num_countries
         FROM cluster_runs ORDER BY batch_id DESC LIMIT 1",
    )
    .fetch_optional(database)
    .await
}

async fn clusters(database: &mut PgConnection, run: Option<&Run>) -> sqlx::Result<Vec<Cluster>> {
    sqlx::query_as(
        "SELECT cluster, num_countries, avg_co2_cluster AS co2_mt, avg_co2_per_capita_cluster AS co2_per_capita_t,
                avg_gdp_cluster AS gdp, silhouette_score AS silhouette
         FROM cluster_stats WHERE batch_id = $1 ORDER BY cluster",
    )
    .bind(run.map(|run| run.batch_id))
    .fetch_all(database)
    .await
}

async fn members(database: &mut PgConnection) -> sqlx::Result<Vec<Member>> {
    sqlx::query_as(
        "SELECT cluster, country, avg_co2 AS co2_mt, avg_gdp AS gdp
         FROM co2_clusters ORDER BY avg_co2 DESC NULLS LAST, iso_code",
    )
    .fetch_all(database)
    .await
}

async fn left_out(database: &mut PgConnection) -> sqlx::Result<Vec<LeftOut>> {
    sqlx::query_as(
        "SELECT not_clustered_because AS reason, array_agg(country ORDER BY country) AS countries
         FROM country_aggregates WHERE not_clustered_because IS NOT NULL
         GROUP BY not_clustered_because ORDER BY count(*) DESC, reason",
    )
    .fetch_all(database)
    .await
}

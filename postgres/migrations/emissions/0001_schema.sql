-- The emissions pipeline: its facts, what is computed of each country, model runs, and the views of dashboards.

CREATE TYPE emissions_fact AS (
    iso_code       text COLLATE "C",
    country        text,
    year           smallint,
    population     double precision,
    gdp            double precision,
    co2            double precision,
    co2_per_capita double precision
);
COMMENT ON TYPE emissions_fact IS 'Every new or corrected fact, in the order it was learnt';
COMMENT ON COLUMN emissions_fact.iso_code IS 'the country''s code';
COMMENT ON COLUMN emissions_fact.country IS 'the country''s name in that record';
COMMENT ON COLUMN emissions_fact.year IS 'calendar year, 1 to 9999';
COMMENT ON COLUMN emissions_fact.population IS 'persons; null: missing';
COMMENT ON COLUMN emissions_fact.gdp IS 'gross domestic product, international-$ of 2011; null: missing';
COMMENT ON COLUMN emissions_fact.co2 IS 'emissions, million tonnes of CO₂; null: missing';
COMMENT ON COLUMN emissions_fact.co2_per_capita IS 'emissions, tonnes of CO₂ per person; null: missing';
SELECT create_changelog('emissions');

CREATE VIEW emissions_facts AS
SELECT DISTINCT ON (iso_code, year)
       iso_code, country, year, make_date(year, 1, 1) AS year_start,
       population, gdp, co2, co2_per_capita, id >> 20 AS batch
FROM emissions_changelog
ORDER BY iso_code, year, timestamp_ms DESC, partition DESC, id DESC;
COMMENT ON VIEW emissions_facts IS 'What is known now: one row per country and year; units as in emissions_changelog';
COMMENT ON COLUMN emissions_facts.year_start IS 'the first day of that year, for time axes';
COMMENT ON COLUMN emissions_facts.batch IS 'the batch that brought it';
SELECT comment_like('emissions_facts', 'emissions_changelog', 'iso_code country year population gdp co2 co2_per_capita');

CREATE TABLE country_aggregates (
    iso_code              text        NOT NULL COLLATE "C" PRIMARY KEY,
    country               text        NOT NULL,
    avg_co2               double precision,
    avg_co2_per_capita    double precision,
    avg_gdp               double precision,
    avg_population        double precision,
    data_points           integer     NOT NULL,
    first_year            integer     NOT NULL,
    last_year             integer     NOT NULL,
    avg_co2_recent        double precision,
    co2_years             integer     NOT NULL,
    co2_first_year        integer,
    co2_last_year         integer,
    not_clustered_because text,
    processing_time       timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE country_aggregates IS 'One row per country, recomputed from all its facts whenever one of them changes';
COMMENT ON COLUMN country_aggregates.iso_code IS 'the country''s code';
COMMENT ON COLUMN country_aggregates.country IS 'the country''s name in its latest year';
COMMENT ON COLUMN country_aggregates.avg_co2 IS 'mean of the years that have a value, million tonnes of CO₂ a year';
COMMENT ON COLUMN country_aggregates.avg_co2_per_capita IS 'mean of the years that have a value, tonnes of CO₂ per person a year';
COMMENT ON COLUMN country_aggregates.avg_gdp IS 'mean of the years that have a value, international-$ of 2011 a year';
COMMENT ON COLUMN country_aggregates.avg_population IS 'mean of the years that have a value, persons';
COMMENT ON COLUMN country_aggregates.data_points IS 'number of facts: years in the file, whatever is missing in them';
COMMENT ON COLUMN country_aggregates.first_year IS 'the least of those years';
COMMENT ON COLUMN country_aggregates.last_year IS 'the greatest of those years';
COMMENT ON COLUMN country_aggregates.avg_co2_recent IS 'mean co2 of the years from 2010 on, million tonnes of CO₂ a year';
COMMENT ON COLUMN country_aggregates.co2_years IS 'number of years that have co2';
COMMENT ON COLUMN country_aggregates.co2_first_year IS 'the least year that has co2';
COMMENT ON COLUMN country_aggregates.co2_last_year IS 'the greatest year that has co2';
COMMENT ON COLUMN country_aggregates.not_clustered_because IS 'why the latest run could not cluster it; null: it did, or none has run';
COMMENT ON COLUMN country_aggregates.processing_time IS 'when the row last changed';

CREATE TABLE cluster_runs (
    batch_id           integer     NOT NULL PRIMARY KEY,
    processing_time    timestamptz NOT NULL DEFAULT now(),
    complete           boolean     NOT NULL,
    missing            text,
    note               text,
    fingerprint        text        NOT NULL,
    settings           text        NOT NULL,
    features           text[]      NOT NULL,
    transform          text        NOT NULL,
    clusters_requested text        NOT NULL,
    k                  integer,
    seed               bigint      NOT NULL,
    restarts_requested integer     NOT NULL,
    restarts_used      integer,
    reached_best_share double precision,
    max_iterations     integer     NOT NULL,
    tolerance          double precision NOT NULL,
    scaler_mean        double precision[],
    scaler_std         double precision[],
    centroids          jsonb,
    inertia            double precision,
    silhouette         double precision,
    num_countries      integer     NOT NULL,
    num_not_clustered  integer     NOT NULL,
    offsets            jsonb       NOT NULL
);
COMMENT ON TABLE cluster_runs IS 'Every model run: its settings and its quality';
COMMENT ON COLUMN cluster_runs.batch_id IS 'the run''s number: 1, 2, …, never used twice; not the number of a batch of records';
COMMENT ON COLUMN cluster_runs.processing_time IS 'when it ran';
COMMENT ON COLUMN cluster_runs.complete IS 'whether every partition of the topic was refreshed to the end seen at start, and nothing is known to be missing';
COMMENT ON COLUMN cluster_runs.missing IS 'which records of the topic were removed before they could be read; null: none is known';
COMMENT ON COLUMN cluster_runs.note IS 'why there are no clusters; null: there are';
COMMENT ON COLUMN cluster_runs.fingerprint IS 'digest of the facts'' aggregates and the settings; the same one twice in a row is not a new run';
COMMENT ON COLUMN cluster_runs.settings IS 'the model settings in one line; runs are compared within the same settings';
COMMENT ON COLUMN cluster_runs.features IS 'the features, in the order of scaler and centroids';
COMMENT ON COLUMN cluster_runs.transform IS 'what was done to the features before scaling: none, or the natural log';
COMMENT ON COLUMN cluster_runs.clusters_requested IS 'the number of clusters asked for, or auto';
COMMENT ON COLUMN cluster_runs.k IS 'the number of clusters; null: none';
COMMENT ON COLUMN cluster_runs.seed IS 'the seed of the k-means++ starts';
COMMENT ON COLUMN cluster_runs.restarts_requested IS 'restarts asked for';
COMMENT ON COLUMN cluster_runs.restarts_used IS 'restarts done: fewer than asked for when there are many countries';
COMMENT ON COLUMN cluster_runs.reached_best_share IS 'share of the restarts that found the best partition, 0 to 1';
COMMENT ON COLUMN cluster_runs.max_iterations IS 'the most iterations of one restart';
COMMENT ON COLUMN cluster_runs.tolerance IS 'a restart has converged when its centroids move less than this (standardised units)';
COMMENT ON COLUMN cluster_runs.scaler_mean IS 'each feature''s mean before scaling, in the feature''s unit, or its log';
COMMENT ON COLUMN cluster_runs.scaler_std IS 'each feature''s population standard deviation, likewise';
COMMENT ON COLUMN cluster_runs.centroids IS 'k arrays of standardised feature values';
COMMENT ON COLUMN cluster_runs.inertia IS 'sum of squared distances to the nearest centroid, standardised units';
COMMENT ON COLUMN cluster_runs.silhouette IS 'mean silhouette over all countries, squared Euclidean, −1 to 1';
COMMENT ON COLUMN cluster_runs.num_countries IS 'countries clustered';
COMMENT ON COLUMN cluster_runs.num_not_clustered IS 'countries that could not be clustered';
COMMENT ON COLUMN cluster_runs.offsets IS 'per partition, the offset up to which its facts are in the run';

CREATE TABLE co2_clusters (
    country            text             NOT NULL,
    iso_code           text             NOT NULL COLLATE "C" PRIMARY KEY,
    avg_co2            double precision,
    avg_co2_per_capita double precision,
    avg_gdp            double precision,
    avg_population     double precision,
    data_points        integer          NOT NULL,
    first_year         integer          NOT NULL,
    last_year          integer          NOT NULL,
    avg_co2_recent     numeric(15,4),
    cluster            integer          NOT NULL,
    batch_id           integer          NOT NULL,
    processing_time    timestamptz      NOT NULL DEFAULT now()
);
COMMENT ON TABLE co2_clusters IS 'One row per clustered country, as of the latest run';
COMMENT ON COLUMN co2_clusters.cluster IS '0 low and developing, 1 moderate, 2 high and industrialised: ascending by the centroid''s mean standardised value';
COMMENT ON COLUMN co2_clusters.batch_id IS 'the run';
COMMENT ON COLUMN co2_clusters.processing_time IS 'when it ran';
SELECT comment_like('co2_clusters', 'country_aggregates',
    'country iso_code avg_co2 avg_co2_per_capita avg_gdp avg_population data_points first_year last_year avg_co2_recent');

CREATE TABLE cluster_stats (
    cluster                    integer          NOT NULL,
    num_countries              integer          NOT NULL,
    avg_co2_cluster            double precision,
    avg_co2_per_capita_cluster double precision,
    avg_gdp_cluster            double precision,
    silhouette_score           double precision,
    batch_id                   integer          NOT NULL,
    processing_time            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, cluster)
);
COMMENT ON TABLE cluster_stats IS 'Per run and cluster: how many countries, and their means';
COMMENT ON COLUMN cluster_stats.cluster IS 'the cluster''s label';
COMMENT ON COLUMN cluster_stats.num_countries IS 'countries in it';
COMMENT ON COLUMN cluster_stats.avg_co2_cluster IS 'mean of its countries'' avg_co2, million tonnes of CO₂ a year';
COMMENT ON COLUMN cluster_stats.avg_co2_per_capita_cluster IS 'mean of their avg_co2_per_capita, tonnes of CO₂ per person a year';
COMMENT ON COLUMN cluster_stats.avg_gdp_cluster IS 'mean of their avg_gdp, international-$ of 2011 a year';
COMMENT ON COLUMN cluster_stats.silhouette_score IS 'mean silhouette of its countries, squared Euclidean, −1 to 1';
COMMENT ON COLUMN cluster_stats.batch_id IS 'the run';
COMMENT ON COLUMN cluster_stats.processing_time IS 'when it ran';

CREATE TABLE co2_cluster_history (
    iso_code        text        NOT NULL COLLATE "C",
    country         text        NOT NULL,
    batch_id        integer     NOT NULL,
    cluster         integer,
    processing_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (iso_code, batch_id)
);
COMMENT ON TABLE co2_cluster_history IS 'A country''s label from the run on at which it changed';
COMMENT ON COLUMN co2_cluster_history.iso_code IS 'the country''s code';
COMMENT ON COLUMN co2_cluster_history.country IS 'its name then';
COMMENT ON COLUMN co2_cluster_history.batch_id IS 'the run from which on the label holds';
COMMENT ON COLUMN co2_cluster_history.cluster IS 'the label; null: not clustered any more';
COMMENT ON COLUMN co2_cluster_history.processing_time IS 'when it ran';

CREATE TABLE cluster_moves (
    batch_id        integer     NOT NULL,
    iso_code        text        NOT NULL COLLATE "C",
    country         text        NOT NULL,
    from_cluster    integer     NOT NULL,
    to_cluster      integer     NOT NULL,
    feature         text        NOT NULL,
    share           double precision NOT NULL,
    processing_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, iso_code)
);
COMMENT ON TABLE cluster_moves IS 'Who changed cluster against the last complete run of the same settings, and what moved them';
COMMENT ON COLUMN cluster_moves.batch_id IS 'the run';
COMMENT ON COLUMN cluster_moves.iso_code IS 'the country''s code';
COMMENT ON COLUMN cluster_moves.country IS 'its name';
COMMENT ON COLUMN cluster_moves.from_cluster IS 'its label before';
COMMENT ON COLUMN cluster_moves.to_cluster IS 'its label now';
COMMENT ON COLUMN cluster_moves.feature IS 'the feature with the largest change of its share in (distance to the new centroid − distance to the old)';
COMMENT ON COLUMN cluster_moves.share IS 'that change, squared standardised units';
COMMENT ON COLUMN cluster_moves.processing_time IS 'when it ran';

CREATE VIEW cluster_analysis AS
SELECT cluster,
       count(*) AS country_count,
       round(avg(avg_co2)::numeric, 2) AS avg_co2,
       round(avg(avg_co2_per_capita)::numeric, 2) AS avg_co2_per_capita,
       round(avg(avg_gdp)::numeric, 2) AS avg_gdp,
       round(avg(avg_population)::numeric, 2) AS avg_population
FROM co2_clusters
GROUP BY cluster
ORDER BY cluster;
COMMENT ON VIEW cluster_analysis IS 'The clusters of the latest run; means rounded to two decimals, units as in co2_clusters';
COMMENT ON COLUMN cluster_analysis.cluster IS 'the cluster''s label';
COMMENT ON COLUMN cluster_analysis.country_count IS 'countries in it';
COMMENT ON COLUMN cluster_analysis.avg_co2 IS 'mean of its countries'' avg_co2, million tonnes of CO₂ a year';
COMMENT ON COLUMN cluster_analysis.avg_co2_per_capita IS 'mean of their avg_co2_per_capita, tonnes of CO₂ per person a year';
COMMENT ON COLUMN cluster_analysis.avg_gdp IS 'mean of their avg_gdp, international-$ of 2011 a year';
COMMENT ON COLUMN cluster_analysis.avg_population IS 'mean of their avg_population, persons';

CREATE VIEW top_emitters_by_cluster AS
SELECT cluster, country, avg_co2, co2_per_capita, gdp
FROM (
    SELECT cluster, country,
           round(c.avg_co2::numeric, 2) AS avg_co2,
           round(avg_co2_per_capita::numeric, 2) AS co2_per_capita,
           round(avg_gdp::numeric, 2) AS gdp,
           row_number() OVER (PARTITION BY cluster ORDER BY c.avg_co2 DESC NULLS LAST, iso_code) AS rank
    FROM co2_clusters c
) ranked
WHERE rank <= 10
ORDER BY cluster, rank;
COMMENT ON VIEW top_emitters_by_cluster IS 'The ten countries of each cluster with the largest mean co2, latest run; units as in co2_clusters';
COMMENT ON COLUMN top_emitters_by_cluster.cluster IS 'the cluster''s label';
COMMENT ON COLUMN top_emitters_by_cluster.country IS 'the country''s name in its latest year';
COMMENT ON COLUMN top_emitters_by_cluster.avg_co2 IS 'its mean emissions, million tonnes of CO₂ a year';
COMMENT ON COLUMN top_emitters_by_cluster.co2_per_capita IS 'its mean emissions per person, tonnes of CO₂ a year';
COMMENT ON COLUMN top_emitters_by_cluster.gdp IS 'its mean gross domestic product, international-$ of 2011 a year';

CREATE VIEW cluster_names AS
SELECT batch_id, cluster,
       CASE WHEN k = 3 THEN (ARRAY['0 low and developing', '1 moderate', '2 high and industrialised'])[cluster + 1]
            ELSE 'cluster ' || cluster END AS cluster_name
FROM cluster_stats JOIN cluster_runs USING (batch_id);
COMMENT ON VIEW cluster_names IS 'What each run''s clusters are called; only a run of three has words for them';
COMMENT ON COLUMN cluster_names.cluster_name IS 'the label, with its meaning where there are three clusters';
SELECT comment_like('cluster_names', 'cluster_stats', 'batch_id cluster');

CREATE VIEW country_overview AS
SELECT a.iso_code, a.country, c.cluster, coalesce(n.cluster_name, 'not clustered') AS cluster_name,
       a.avg_co2, a.avg_co2_recent, a.avg_co2_per_capita, a.avg_gdp, a.avg_population,
       a.data_points, a.first_year, a.last_year, a.co2_years, a.not_clustered_because,
       c.batch_id, a.processing_time
FROM country_aggregates a
LEFT JOIN co2_clusters c USING (iso_code)
LEFT JOIN cluster_names n ON n.batch_id = c.batch_id AND n.cluster = c.cluster;
COMMENT ON VIEW country_overview IS 'Every country: its means, its cluster in the latest run, or why it has none';
COMMENT ON COLUMN country_overview.cluster IS 'the cluster''s label; null: not clustered';
COMMENT ON COLUMN country_overview.cluster_name IS 'the cluster''s name, or: not clustered';
COMMENT ON COLUMN country_overview.batch_id IS 'the run that clustered it; null: not clustered';
COMMENT ON COLUMN country_overview.processing_time IS 'when the country''s means last changed';
SELECT comment_like('country_overview', 'country_aggregates',
    'iso_code country avg_co2 avg_co2_recent avg_co2_per_capita avg_gdp avg_population data_points first_year last_year co2_years not_clustered_because');

CREATE VIEW cluster_run_overview AS
SELECT r.batch_id, r.processing_time, r.complete, r.transform, r.k, r.silhouette,
       s.cluster, n.cluster_name, s.num_countries,
       s.avg_co2_cluster, s.avg_co2_per_capita_cluster, s.avg_gdp_cluster, s.silhouette_score,
       r.batch_id = (SELECT max(batch_id) FROM cluster_runs) AS is_latest
FROM cluster_runs r
JOIN cluster_stats s USING (batch_id)
JOIN cluster_names n USING (batch_id, cluster);
COMMENT ON VIEW cluster_run_overview IS 'Every run''s clusters with their names, for comparing runs over time';
COMMENT ON COLUMN cluster_run_overview.is_latest IS 'whether it is the latest run';
SELECT comment_like('cluster_run_overview', 'cluster_runs', 'batch_id processing_time complete transform k silhouette');
SELECT comment_like('cluster_run_overview', 'cluster_names', 'cluster cluster_name');
SELECT comment_like('cluster_run_overview', 'cluster_stats',
    'num_countries avg_co2_cluster avg_co2_per_capita_cluster avg_gdp_cluster silhouette_score');

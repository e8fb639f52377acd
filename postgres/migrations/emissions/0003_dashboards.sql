-- What dashboards and people ask for, as views: nothing is stored here, so dropping them undoes this migration.

CREATE VIEW cluster_names AS
SELECT batch_id, cluster,
       CASE WHEN k = 3 THEN (ARRAY['0 low and developing', '1 moderate', '2 high and industrialised'])[cluster + 1]
            ELSE 'cluster ' || cluster END AS cluster_name
FROM cluster_stats JOIN cluster_runs USING (batch_id);
COMMENT ON VIEW cluster_names IS 'What each run''s clusters are called; only a run of three has words for them';
COMMENT ON COLUMN cluster_names.batch_id IS 'the run';
COMMENT ON COLUMN cluster_names.cluster IS 'the cluster''s label';
COMMENT ON COLUMN cluster_names.cluster_name IS 'the label, with its meaning where there are three clusters';

CREATE VIEW country_overview AS
SELECT a.iso_code, a.country, c.cluster, coalesce(n.cluster_name, 'not clustered') AS cluster_name,
       a.avg_co2, a.avg_co2_recent, a.avg_co2_per_capita, a.avg_gdp, a.avg_population,
       a.data_points, a.first_year, a.last_year, a.co2_years, a.not_clustered_because,
       c.batch_id, a.processing_time
FROM country_aggregates a
LEFT JOIN co2_clusters c USING (iso_code)
LEFT JOIN cluster_names n ON n.batch_id = c.batch_id AND n.cluster = c.cluster;
COMMENT ON VIEW country_overview IS 'Every country: its means, its cluster in the latest run, or why it has none';
COMMENT ON COLUMN country_overview.iso_code IS 'the country''s code';
COMMENT ON COLUMN country_overview.country IS 'the country''s name in its latest year';
COMMENT ON COLUMN country_overview.cluster IS 'the cluster''s label; null: not clustered';
COMMENT ON COLUMN country_overview.cluster_name IS 'the cluster''s name, or: not clustered';
COMMENT ON COLUMN country_overview.avg_co2 IS 'mean of the years that have a value, million tonnes of CO₂ a year';
COMMENT ON COLUMN country_overview.avg_co2_recent IS 'mean co2 of the years from 2010 on, million tonnes of CO₂ a year';
COMMENT ON COLUMN country_overview.avg_co2_per_capita IS 'mean of the years that have a value, tonnes of CO₂ per person a year';
COMMENT ON COLUMN country_overview.avg_gdp IS 'mean of the years that have a value, international-$ of 2011 a year';
COMMENT ON COLUMN country_overview.avg_population IS 'mean of the years that have a value, persons';
COMMENT ON COLUMN country_overview.data_points IS 'number of facts: years in the file, whatever is missing in them';
COMMENT ON COLUMN country_overview.first_year IS 'the least of those years';
COMMENT ON COLUMN country_overview.last_year IS 'the greatest of those years';
COMMENT ON COLUMN country_overview.co2_years IS 'number of years that have co2';
COMMENT ON COLUMN country_overview.not_clustered_because IS 'why the latest run could not cluster it; null: it did, or none has run';
COMMENT ON COLUMN country_overview.batch_id IS 'the run that clustered it; null: not clustered';
COMMENT ON COLUMN country_overview.processing_time IS 'when the country''s means last changed';

CREATE VIEW cluster_run_overview AS
SELECT r.batch_id, r.processing_time, r.complete, r.transform, r.k, r.silhouette,
       s.cluster, n.cluster_name, s.num_countries,
       s.avg_co2_cluster, s.avg_co2_per_capita_cluster, s.avg_gdp_cluster, s.silhouette_score,
       r.batch_id = (SELECT max(batch_id) FROM cluster_runs) AS is_latest
FROM cluster_runs r
JOIN cluster_stats s USING (batch_id)
JOIN cluster_names n USING (batch_id, cluster);
COMMENT ON VIEW cluster_run_overview IS 'Every run''s clusters with their names, for looking at runs over time';
COMMENT ON COLUMN cluster_run_overview.batch_id IS 'the run';
COMMENT ON COLUMN cluster_run_overview.processing_time IS 'when it ran';
COMMENT ON COLUMN cluster_run_overview.complete IS 'whether every partition of the topic was published to the end seen at start';
COMMENT ON COLUMN cluster_run_overview.transform IS 'what was done to the features before scaling: none, or the natural log';
COMMENT ON COLUMN cluster_run_overview.k IS 'the number of clusters';
COMMENT ON COLUMN cluster_run_overview.silhouette IS 'the run''s mean silhouette, squared Euclidean, −1 to 1';
COMMENT ON COLUMN cluster_run_overview.cluster IS 'the cluster''s label';
COMMENT ON COLUMN cluster_run_overview.cluster_name IS 'the cluster''s name';
COMMENT ON COLUMN cluster_run_overview.num_countries IS 'countries in it';
COMMENT ON COLUMN cluster_run_overview.avg_co2_cluster IS 'mean of its countries'' avg_co2, million tonnes of CO₂ a year';
COMMENT ON COLUMN cluster_run_overview.avg_co2_per_capita_cluster IS 'mean of their avg_co2_per_capita, tonnes of CO₂ per person a year';
COMMENT ON COLUMN cluster_run_overview.avg_gdp_cluster IS 'mean of their avg_gdp, international-$ of 2011 a year';
COMMENT ON COLUMN cluster_run_overview.silhouette_score IS 'mean silhouette of its countries, squared Euclidean, −1 to 1';
COMMENT ON COLUMN cluster_run_overview.is_latest IS 'whether it is the latest run';

CREATE VIEW freshness AS
SELECT o.topic, count(*) AS partitions,
       to_timestamp(nullif(max(o.max_timestamp_ms), 0) / 1000.0) AS newest_record_at,
       max(o.committed_at) AS last_batch_at,
       (SELECT max(processing_time) FROM cluster_runs) AS last_run_at,
       sum(o.next_offset - coalesce(o.published_through, 0))::bigint AS offsets_to_publish
FROM stream_offsets o
WHERE o.pipeline = 'emissions'
GROUP BY o.topic;
COMMENT ON VIEW freshness IS 'How old what is shown is, one row a topic';
COMMENT ON COLUMN freshness.topic IS 'the Kafka topic';
COMMENT ON COLUMN freshness.partitions IS 'partitions of it that were ever claimed';
COMMENT ON COLUMN freshness.newest_record_at IS 'the greatest Kafka timestamp read so far';
COMMENT ON COLUMN freshness.last_batch_at IS 'when a batch was last stored';
COMMENT ON COLUMN freshness.last_run_at IS 'when the model last ran; a run that would repeat the last one is none';
COMMENT ON COLUMN freshness.offsets_to_publish IS 'offsets stored and not yet in the state tables; 0: what is shown is what is known';

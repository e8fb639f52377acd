-- `freshness` with timestamps that are no times. The range is that of `stream`, crates/stream/src/offsets.rs.

CREATE OR REPLACE VIEW freshness AS
SELECT o.topic, count(*) AS partitions,
       to_timestamp(max(o.max_timestamp_ms) FILTER (WHERE o.max_timestamp_ms > 0 AND o.max_timestamp_ms < 4102444800000)
                    / 1000.0) AS newest_record_at,
       max(o.committed_at) AS last_batch_at,
       (SELECT max(processing_time) FROM cluster_runs) AS last_run_at,
       sum(o.next_offset - coalesce(o.published_through, 0))::bigint AS offsets_to_publish
FROM stream_offsets o
WHERE o.pipeline = 'emissions'
GROUP BY o.topic;
COMMENT ON COLUMN freshness.newest_record_at IS 'the greatest Kafka timestamp read so far, from 1970 to 2100; null: unknown, no record has such a one';
COMMENT ON COLUMN emissions_changelog.timestamp_ms IS 'the greatest Kafka timestamp of its partition up to it, milliseconds since 1970 UTC; 0: none was a time from 1970 to 2100';

-- The stream of the iot pipeline: its readings, what is computed of each window, and the views of dashboards.
-- Times are instants: timestamptz. A window is that of one device and type.

CREATE TYPE iot_fact AS (
    device_id     text COLLATE "C",
    device_type   text COLLATE "C",
    window_start  timestamptz,
    at_ms         integer,
    value_milli   bigint,
    unit          text,
    quality_score smallint,
    is_anomaly    boolean,
    latency_ms    integer
);
COMMENT ON TYPE iot_fact IS 'Every new or corrected reading, in the order it was learnt';
COMMENT ON COLUMN iot_fact.device_id IS 'the device';
COMMENT ON COLUMN iot_fact.device_type IS 'what it measures';
COMMENT ON COLUMN iot_fact.window_start IS 'when its window begins';
COMMENT ON COLUMN iot_fact.at_ms IS 'when it was taken, milliseconds since its window began';
COMMENT ON COLUMN iot_fact.value_milli IS 'the value, thousandths of its unit';
COMMENT ON COLUMN iot_fact.unit IS 'its unit; empty: none';
COMMENT ON COLUMN iot_fact.quality_score IS 'how good the device says it is, from 0 to 100; null: it does not say';
COMMENT ON COLUMN iot_fact.is_anomaly IS 'whether the device says that it is abnormal';
COMMENT ON COLUMN iot_fact.latency_ms IS 'the time from the reading to its record''s Kafka timestamp, milliseconds';
SELECT create_changelog('iot');
SELECT create_cold_store('iot', 'device_id device_type window_start');

-- Rows of windows that receive are written at each refresh: space is left in each page for that.
CREATE TABLE sensor_readings_stream_agg (
    window_start        timestamptz      NOT NULL,
    window_end          timestamptz      NOT NULL,
    device_id           text             NOT NULL COLLATE "C",
    device_type         text             NOT NULL COLLATE "C",
    reading_count       integer          NOT NULL CHECK (reading_count > 0),
    avg_value           double precision NOT NULL GENERATED ALWAYS AS (sum_milli / (1000.0 * reading_count)) STORED,
    min_value           double precision NOT NULL GENERATED ALWAYS AS (min_milli / 1000.0) STORED,
    max_value           double precision NOT NULL GENERATED ALWAYS AS (max_milli / 1000.0) STORED,
    stddev_value        double precision,
    anomaly_count       integer          NOT NULL,
    avg_quality_score   double precision GENERATED ALWAYS AS (sum_quality / nullif(quality_count, 0)::numeric) STORED,
    avg_latency_seconds double precision NOT NULL GENERATED ALWAYS AS (sum_latency_ms / (1000.0 * reading_count)) STORED,
    late_count          integer          NOT NULL,
    quality_count       integer          NOT NULL,
    sum_milli           bigint           NOT NULL,
    min_milli           bigint           NOT NULL,
    max_milli           bigint           NOT NULL,
    sum_quality         bigint           NOT NULL,
    sum_latency_ms      bigint           NOT NULL,
    created_at          timestamptz      NOT NULL DEFAULT now(),
    processing_time     timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (window_start, device_id, device_type)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE sensor_readings_stream_agg IS 'One row per device, type and window with at least one reading, recomputed from all its readings whenever one of them changes';
COMMENT ON COLUMN sensor_readings_stream_agg.window_start IS 'when the window begins';
COMMENT ON COLUMN sensor_readings_stream_agg.window_end IS 'when it ends: the first instant that is not in it';
COMMENT ON COLUMN sensor_readings_stream_agg.device_id IS 'the device';
COMMENT ON COLUMN sensor_readings_stream_agg.device_type IS 'what it measures';
COMMENT ON COLUMN sensor_readings_stream_agg.reading_count IS 'the number of its readings; one that came twice counts once';
COMMENT ON COLUMN sensor_readings_stream_agg.avg_value IS 'their mean';
COMMENT ON COLUMN sensor_readings_stream_agg.min_value IS 'the least';
COMMENT ON COLUMN sensor_readings_stream_agg.max_value IS 'the greatest';
COMMENT ON COLUMN sensor_readings_stream_agg.stddev_value IS 'their standard deviation, of a sample; null: fewer than two readings';
COMMENT ON COLUMN sensor_readings_stream_agg.anomaly_count IS 'how many of them the device calls abnormal';
COMMENT ON COLUMN sensor_readings_stream_agg.avg_quality_score IS 'the mean of their quality, from 0 to 100; null: none says it';
COMMENT ON COLUMN sensor_readings_stream_agg.avg_latency_seconds IS 'the mean time from a reading to its record''s Kafka timestamp, seconds';
COMMENT ON COLUMN sensor_readings_stream_agg.late_count IS 'how many of them came after the window was final';
COMMENT ON COLUMN sensor_readings_stream_agg.quality_count IS 'how many of them say their quality';
COMMENT ON COLUMN sensor_readings_stream_agg.sum_milli IS 'the sum of their values, thousandths, exact';
COMMENT ON COLUMN sensor_readings_stream_agg.min_milli IS 'the least, thousandths';
COMMENT ON COLUMN sensor_readings_stream_agg.max_milli IS 'the greatest, thousandths';
COMMENT ON COLUMN sensor_readings_stream_agg.sum_quality IS 'the sum of their quality';
COMMENT ON COLUMN sensor_readings_stream_agg.sum_latency_ms IS 'the sum of their latencies, milliseconds';
COMMENT ON COLUMN sensor_readings_stream_agg.created_at IS 'when the row was made';
COMMENT ON COLUMN sensor_readings_stream_agg.processing_time IS 'when the row last changed';
CREATE INDEX sensor_readings_stream_agg_by_device ON sensor_readings_stream_agg (device_id, window_start);
CREATE INDEX sensor_readings_stream_agg_by_type ON sensor_readings_stream_agg (device_type, window_start);

-- A table a day, UTC, which ensure_days makes.
CREATE TABLE sensor_readings (
    time            timestamptz      NOT NULL,
    device_id       text             NOT NULL COLLATE "C",
    device_type     text             NOT NULL COLLATE "C",
    value           double precision NOT NULL,
    unit            text,
    quality_score   smallint,
    is_anomaly      boolean          NOT NULL,
    processing_time timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, time, device_type)
) PARTITION BY RANGE (time);
COMMENT ON TABLE sensor_readings IS 'What is known now: one row per reading, unless --no-raw-rows leaves them out';
COMMENT ON COLUMN sensor_readings.time IS 'when it was taken; of a message that does not say, when its record was written';
COMMENT ON COLUMN sensor_readings.device_id IS 'the device';
COMMENT ON COLUMN sensor_readings.device_type IS 'what it measures';
COMMENT ON COLUMN sensor_readings.value IS 'the value, rounded to thousandths';
COMMENT ON COLUMN sensor_readings.unit IS 'its unit; null: none';
COMMENT ON COLUMN sensor_readings.quality_score IS 'how good the device says it is, from 0 to 100; null: it does not say';
COMMENT ON COLUMN sensor_readings.is_anomaly IS 'whether the device says that it is abnormal';
COMMENT ON COLUMN sensor_readings.processing_time IS 'when the row last changed';

CREATE TABLE reading_days (
    day date NOT NULL PRIMARY KEY
);
COMMENT ON TABLE reading_days IS 'The days that have a table of readings: a reading of another day has no row in sensor_readings';
COMMENT ON COLUMN reading_days.day IS 'the day, UTC';

CREATE TABLE reading_progress (
    partition integer NOT NULL PRIMARY KEY,
    through   bigint  NOT NULL
);
COMMENT ON TABLE reading_progress IS 'How far sensor_readings has the facts of each owner partition';
COMMENT ON COLUMN reading_progress.partition IS 'the owner partition, as in stream_offsets';
COMMENT ON COLUMN reading_progress.through IS 'its facts with an id up to this one were added, or left out';

-- Who may write readings may not make tables: this does, as its owner. A device with a wrong clock gets so many days, and no more.
CREATE FUNCTION ensure_days(days date[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $function$
DECLARE
    missing date;
    name    text;
BEGIN
    IF NOT has_table_privilege(session_user, 'sensor_readings', 'INSERT') THEN
        RAISE insufficient_privilege USING MESSAGE = 'only who may write readings may make their tables';
    END IF;
    FOR missing IN SELECT DISTINCT d.day FROM unnest(days) AS d (day) WHERE d.day NOT IN (SELECT r.day FROM reading_days r) ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended('reading_days', 0));
        CONTINUE WHEN EXISTS (SELECT FROM reading_days r WHERE r.day = missing) OR (SELECT count(*) >= 1500 FROM reading_days);
        name := 'sensor_readings_' || to_char(missing, 'YYYYMMDD');
        EXECUTE format('CREATE TABLE %I (LIKE sensor_readings INCLUDING ALL)', name);
        EXECUTE format('ALTER TABLE sensor_readings ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
            missing::timestamp AT TIME ZONE 'UTC', (missing + 1)::timestamp AT TIME ZONE 'UTC');
        INSERT INTO reading_days (day) VALUES (missing);
    END LOOP;
END
$function$;
COMMENT ON FUNCTION ensure_days IS 'Makes the tables of readings of these days, where they are missing and there are fewer than 1,500; for the consumer, before it adds readings';

CREATE VIEW device_clocks AS
SELECT split_part(k.key, '/', 1) AS device_type, substr(k.key, strpos(k.key, '/') + 1) AS device_id,
       to_timestamp(k.clock_ms / 1000.0) AS newest_reading_at, to_timestamp(k.final_through_ms / 1000.0) AS final_through
FROM key_partitions k;
COMMENT ON VIEW device_clocks IS 'How far each device has come, by its own clock, as far as a refresh has stored it';
COMMENT ON COLUMN device_clocks.device_type IS 'what it measures';
COMMENT ON COLUMN device_clocks.device_id IS 'the device';
COMMENT ON COLUMN device_clocks.newest_reading_at IS 'the time of its newest reading; null: not stored yet';
COMMENT ON COLUMN device_clocks.final_through IS 'its windows that end by then are final; null: none is';

CREATE VIEW device_windows AS
SELECT a.window_start, a.window_end, a.device_id, a.device_type, a.reading_count, a.avg_value, a.min_value, a.max_value,
       a.stddev_value, a.anomaly_count, a.avg_quality_score, a.avg_latency_seconds, a.late_count,
       coalesce(a.window_end <= c.final_through, false) AS is_final, a.processing_time
FROM sensor_readings_stream_agg a
LEFT JOIN device_clocks c ON c.device_id = a.device_id AND c.device_type = a.device_type;
COMMENT ON VIEW device_windows IS 'The windows, and whether each is final: read those that are to have each once, and later corrections by processing_time';
COMMENT ON COLUMN device_windows.is_final IS 'whether the device has come so far that only late readings can change it';
SELECT comment_like('device_windows', 'sensor_readings_stream_agg', 'window_start window_end device_id device_type reading_count avg_value min_value max_value stddev_value anomaly_count avg_quality_score avg_latency_seconds late_count processing_time');

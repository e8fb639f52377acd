-- The sensors pipeline: its readings and events, what is computed of each window, the daily reports, and the views of dashboards.
-- Times are instants: timestamptz. A window is that of one sensor.

CREATE TYPE sensors_fact AS (
    sensor_id    integer,
    window_start timestamptz,
    at_ms        integer,
    milli        integer
);
COMMENT ON TYPE sensors_fact IS 'Every new or corrected reading, in the order it was learnt';
COMMENT ON COLUMN sensors_fact.sensor_id IS 'the sensor';
COMMENT ON COLUMN sensors_fact.window_start IS 'when its window begins';
COMMENT ON COLUMN sensors_fact.at_ms IS 'when it was taken, milliseconds since its window began';
COMMENT ON COLUMN sensors_fact.milli IS 'the temperature, thousandths of a degree Celsius';
SELECT create_changelog('sensors');
SELECT create_cold_store('sensors', 'sensor_id window_start');

CREATE TYPE sensors_events_fact AS (
    sensor_id  integer,
    hour_start timestamptz,
    at_ms      integer,
    level      text,
    message    text
);
COMMENT ON TYPE sensors_events_fact IS 'Every event, in the order it was learnt';
COMMENT ON COLUMN sensors_events_fact.sensor_id IS 'the sensor';
COMMENT ON COLUMN sensors_events_fact.hour_start IS 'when its hour begins';
COMMENT ON COLUMN sensors_events_fact.at_ms IS 'when it happened, milliseconds since its hour began';
COMMENT ON COLUMN sensors_events_fact.level IS 'ERROR or WARNING';
COMMENT ON COLUMN sensors_events_fact.message IS 'what happened';
SELECT create_changelog('sensors_events');
SELECT create_cold_store('sensors_events', 'sensor_id hour_start');

-- Rows of windows that receive are written at each refresh: space is left in each page for that.
CREATE TABLE sensor_temperatures (
    sensor_id       integer      NOT NULL,
    window_start    timestamptz  NOT NULL,
    window_end      timestamptz  NOT NULL,
    avg_temperature numeric(5,2) NOT NULL GENERATED ALWAYS AS (round(sum_milli / (1000.0 * reading_count), 2)) STORED,
    min_temperature numeric(5,2) NOT NULL GENERATED ALWAYS AS (round(min_milli / 1000.0, 2)) STORED,
    max_temperature numeric(5,2) NOT NULL GENERATED ALWAYS AS (round(max_milli / 1000.0, 2)) STORED,
    reading_count   integer      NOT NULL CHECK (reading_count > 0),
    late_count      integer      NOT NULL,
    sum_milli       bigint       NOT NULL,
    min_milli       integer      NOT NULL,
    max_milli       integer      NOT NULL,
    processing_time timestamptz  NOT NULL DEFAULT now(),
    PRIMARY KEY (sensor_id, window_start, window_end)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE sensor_temperatures IS 'One row per sensor and window with at least one reading, recomputed from all its readings whenever one of them changes';
COMMENT ON COLUMN sensor_temperatures.sensor_id IS 'the sensor';
COMMENT ON COLUMN sensor_temperatures.window_start IS 'when the window begins';
COMMENT ON COLUMN sensor_temperatures.window_end IS 'when it ends: the first instant that is not in it';
COMMENT ON COLUMN sensor_temperatures.avg_temperature IS 'the mean of its readings, °C, rounded half away from zero';
COMMENT ON COLUMN sensor_temperatures.min_temperature IS 'the lowest, °C';
COMMENT ON COLUMN sensor_temperatures.max_temperature IS 'the highest, °C';
COMMENT ON COLUMN sensor_temperatures.reading_count IS 'the number of its readings; one that came twice counts once';
COMMENT ON COLUMN sensor_temperatures.late_count IS 'how many of them came after the window was final';
COMMENT ON COLUMN sensor_temperatures.sum_milli IS 'the sum of its readings, thousandths of a degree, exact';
COMMENT ON COLUMN sensor_temperatures.min_milli IS 'the lowest, thousandths of a degree';
COMMENT ON COLUMN sensor_temperatures.max_milli IS 'the highest, thousandths of a degree';
COMMENT ON COLUMN sensor_temperatures.processing_time IS 'when the row last changed';
CREATE INDEX sensor_temperatures_by_time ON sensor_temperatures (window_start);

CREATE TABLE sensor_event_hours (
    sensor_id       integer     NOT NULL,
    hour_start      timestamptz NOT NULL,
    at_ms           integer[]   NOT NULL,
    levels          text[]      NOT NULL,
    messages        text[]      NOT NULL,
    processing_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sensor_id, hour_start)
);
COMMENT ON TABLE sensor_event_hours IS 'The events of a sensor by the hour, from which sensor_events is filled: for that table''s readers, not for others';
COMMENT ON COLUMN sensor_event_hours.sensor_id IS 'the sensor';
COMMENT ON COLUMN sensor_event_hours.hour_start IS 'when the hour begins';
COMMENT ON COLUMN sensor_event_hours.at_ms IS 'when each happened, milliseconds since the hour began';
COMMENT ON COLUMN sensor_event_hours.levels IS 'the level of each';
COMMENT ON COLUMN sensor_event_hours.messages IS 'what each says';
COMMENT ON COLUMN sensor_event_hours.processing_time IS 'when the row last changed';
CREATE INDEX sensor_event_hours_changed ON sensor_event_hours (processing_time);

CREATE TABLE sensor_events (
    sensor_id       integer     NOT NULL,
    happened_at     timestamptz NOT NULL,
    level           text        NOT NULL CHECK (level IN ('ERROR', 'WARNING')),
    message         text        NOT NULL COLLATE "C",
    processing_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sensor_id, happened_at, level, message)
);
COMMENT ON TABLE sensor_events IS 'One row per event of a sensor: a disconnection, or a temperature that is none';
COMMENT ON COLUMN sensor_events.sensor_id IS 'the sensor';
COMMENT ON COLUMN sensor_events.happened_at IS 'when it happened; of an event that does not say, when it was sent';
COMMENT ON COLUMN sensor_events.level IS 'ERROR or WARNING';
COMMENT ON COLUMN sensor_events.message IS 'what happened';
COMMENT ON COLUMN sensor_events.processing_time IS 'when the row was added';
CREATE INDEX sensor_events_by_time ON sensor_events (happened_at);

-- Made: no real station, no real place.
CREATE TABLE sensors (
    sensor_id integer NOT NULL PRIMARY KEY,
    station   text    NOT NULL,
    city      text    NOT NULL
);
COMMENT ON TABLE sensors IS 'Where sensors are, for dashboards: of those that are simulated, made; change it for your own';
COMMENT ON COLUMN sensors.sensor_id IS 'the sensor';
COMMENT ON COLUMN sensors.station IS 'the name of its station';
COMMENT ON COLUMN sensors.city IS 'the city it is in';
INSERT INTO sensors (sensor_id, station, city)
SELECT n, 'Station ' || n, (ARRAY['Aldmark', 'Borrovia', 'Calemba', 'Dorvane'])[(n - 1) / 5 + 1] FROM generate_series(1, 20) AS n;

CREATE VIEW sensor_clocks AS
SELECT k.key::integer AS sensor_id, to_timestamp(k.clock_ms / 1000.0) AS newest_reading_at,
       to_timestamp(k.final_through_ms / 1000.0) AS final_through, to_timestamp(k.horizon_ms / 1000.0) AS kept_from
FROM key_partitions k
WHERE k.topic IN (SELECT topic FROM stream_offsets WHERE feed = 'sensors');
COMMENT ON VIEW sensor_clocks IS 'How far each sensor has come, by its own clock, as far as a refresh has stored it';
COMMENT ON COLUMN sensor_clocks.sensor_id IS 'the sensor';
COMMENT ON COLUMN sensor_clocks.newest_reading_at IS 'the time of its newest reading; null: not stored yet';
COMMENT ON COLUMN sensor_clocks.final_through IS 'its windows that end by then are final; null: none is';
COMMENT ON COLUMN sensor_clocks.kept_from IS 'its windows that end by then take no readings any more; null: all do';

CREATE VIEW sensor_windows AS
SELECT t.sensor_id, s.station, s.city, t.window_start, t.window_end, t.avg_temperature, t.min_temperature, t.max_temperature,
       t.reading_count, t.late_count, expected.count AS expected_count,
       t.reading_count / nullif(expected.count, 0)::float8 AS coverage,
       coalesce(t.window_end <= c.final_through, false) AS is_final,
       CASE WHEN t.window_end <= c.final_through THEN 'final'
            WHEN t.window_end + ms.lateness + ms.idle_after < now() THEN 'silent'
            ELSE 'provisional' END AS status,
       t.processing_time
FROM sensor_temperatures t
LEFT JOIN sensor_clocks c ON c.sensor_id = t.sensor_id
LEFT JOIN sensors s ON s.sensor_id = t.sensor_id
CROSS JOIN (
    SELECT max(value::bigint) FILTER (WHERE name = 'lateness_ms') * interval '1 millisecond' AS lateness,
           max(value::bigint) FILTER (WHERE name = 'idle_after_ms') * interval '1 millisecond' AS idle_after,
           max(value::bigint) FILTER (WHERE name = 'period_ms') AS period
    FROM feed_settings WHERE feed = 'sensors'
) ms
CROSS JOIN LATERAL (
    SELECT (extract(epoch FROM t.window_end - t.window_start) * 1000)::bigint / nullif(ms.period, 0) AS count
) expected;
COMMENT ON VIEW sensor_windows IS 'The windows, and what is known of each: read those that are final to have each once, and later corrections by processing_time';
COMMENT ON COLUMN sensor_windows.station IS 'the name of its station; null: unknown';
COMMENT ON COLUMN sensor_windows.city IS 'the city it is in; null: unknown';
COMMENT ON COLUMN sensor_windows.expected_count IS 'how many readings a window has when none is missing, by --period';
COMMENT ON COLUMN sensor_windows.coverage IS 'reading_count / expected_count';
COMMENT ON COLUMN sensor_windows.is_final IS 'whether the sensor has come so far that only late readings can change it';
COMMENT ON COLUMN sensor_windows.status IS 'final; provisional: readings are still expected; silent: not final, and nothing was heard of the sensor for longer than --lateness and --idle-after';
SELECT comment_like('sensor_windows', 'sensor_temperatures', 'sensor_id window_start window_end avg_temperature min_temperature max_temperature reading_count late_count processing_time');

-- The readings of some sensors from some windows on, or of all: one row a reading, where it is stored more than once the latest.
CREATE FUNCTION readings_of(sensor integer, first_window timestamptz, last_window timestamptz)
RETURNS TABLE (sensor_id integer, measured_at timestamptz, temperature numeric, window_start timestamptz)
LANGUAGE sql STABLE AS $function$
    SELECT DISTINCT ON (r.sensor_id, r.measured_at) r.sensor_id, r.measured_at, r.milli / 1000.0, r.window_start
    FROM (
        SELECT c.partition_key::integer AS sensor_id, w.start AS window_start,
               w.start + f.at_ms * interval '1 millisecond' AS measured_at, f.milli,
               coalesce(f.timestamp_ms, c.first_timestamp_ms) AS timestamp_ms, coalesce(f.partition, c.partition) AS partition,
               c.through AS id
        FROM sensors_cold c
        CROSS JOIN LATERAL (SELECT to_timestamp(c.slot / 1000.0) AS start) w
        CROSS JOIN LATERAL unnest(c.at_ms, c.milli, c.timestamps_ms, c.partitions) AS f (at_ms, milli, timestamp_ms, partition)
        WHERE ($1 IS NULL OR c.partition_key = $1::text)
          AND ($2 IS NULL OR c.slot >= extract(epoch FROM $2) * 1000) AND ($3 IS NULL OR c.slot <= extract(epoch FROM $3) * 1000)
        UNION ALL
        SELECT l.sensor_id, l.window_start, l.window_start + l.at_ms * interval '1 millisecond', l.milli, l.timestamp_ms,
               l.partition, l.id
        FROM stream_offsets o
        JOIN sensors_changelog l ON l.owner_partition = o.partition AND l.id > o.redo_from
        WHERE o.feed = 'sensors' AND ($1 IS NULL OR l.sensor_id = $1)
          AND ($2 IS NULL OR l.window_start >= $2) AND ($3 IS NULL OR l.window_start <= $3)
    ) r
    ORDER BY r.sensor_id, r.measured_at, r.timestamp_ms DESC, r.partition DESC, r.id DESC
$function$;
COMMENT ON FUNCTION readings_of IS 'The readings of windows that begin in a range, of one sensor or of all; a null argument leaves its part out';

CREATE FUNCTION sensor_readings(sensor integer, since timestamptz, until timestamptz)
RETURNS TABLE (measured_at timestamptz, temperature numeric)
LANGUAGE sql STABLE AS $function$
    SELECT r.measured_at, r.temperature
    FROM readings_of($1, $2 - coalesce((SELECT value::bigint FROM feed_settings WHERE feed = 'sensors' AND name = 'window_size_ms'), 0)
                             * interval '1 millisecond', $3) r
    WHERE r.measured_at >= $2 AND r.measured_at < $3
    ORDER BY r.measured_at
$function$;
COMMENT ON FUNCTION sensor_readings IS 'The readings of a sensor since one instant and before another, in order; opens only the windows that it needs';

CREATE VIEW sensor_readings AS SELECT sensor_id, measured_at, temperature, window_start FROM readings_of(NULL, NULL, NULL);
COMMENT ON VIEW sensor_readings IS 'What is known now: one row per reading. It reads all readings: for looking things up, not for dashboards';
COMMENT ON COLUMN sensor_readings.sensor_id IS 'the sensor';
COMMENT ON COLUMN sensor_readings.measured_at IS 'when it was taken';
COMMENT ON COLUMN sensor_readings.temperature IS 'the temperature, °C';
COMMENT ON COLUMN sensor_readings.window_start IS 'when its window begins';

CREATE FUNCTION daily_report(zone text, changed_since timestamptz DEFAULT '-infinity')
RETURNS TABLE (sensor_id integer, date date, avg_temperature numeric, min_temperature numeric, max_temperature numeric,
               reading_count bigint, hourly_temperatures numeric[])
LANGUAGE sql STABLE AS $function$
    WITH changed AS MATERIALIZED (
        SELECT DISTINCT t.sensor_id, (t.window_start AT TIME ZONE $1)::date AS date
        FROM sensor_temperatures t WHERE t.processing_time >= $2
    ), hours AS MATERIALIZED (
        SELECT c.sensor_id, c.date, date_trunc('hour', t.window_start, $1) AS hour, sum(t.sum_milli) AS sum_milli,
               sum(t.reading_count) AS count, min(t.min_milli) AS min_milli, max(t.max_milli) AS max_milli
        FROM changed c
        JOIN sensor_temperatures t ON t.sensor_id = c.sensor_id AND t.window_start >= c.date::timestamp AT TIME ZONE $1
            AND t.window_start < (c.date + 1)::timestamp AT TIME ZONE $1
        GROUP BY 1, 2, 3
    )
    SELECT c.sensor_id, c.date, round(sum(h.sum_milli) / (1000.0 * sum(h.count)), 2), round(min(h.min_milli) / 1000.0, 2),
           round(max(h.max_milli) / 1000.0, 2), sum(h.count)::bigint,
           array_agg(round(h.sum_milli / (1000.0 * h.count), 2) ORDER BY g.hour)
    FROM changed c
    CROSS JOIN LATERAL generate_series(c.date::timestamp AT TIME ZONE $1,
                                       (c.date + 1)::timestamp AT TIME ZONE $1 - interval '1 hour', interval '1 hour') AS g (hour)
    LEFT JOIN hours h ON h.sensor_id = c.sensor_id AND h.date = c.date AND h.hour = g.hour
    GROUP BY c.sensor_id, c.date
$function$;
COMMENT ON FUNCTION daily_report IS 'What each sensor measured on each day of a time zone, from its windows, of the days with a window that has changed since an instant: mean, lowest and highest temperature in °C, readings, and the mean of each hour (23 to 25 of them), null where it has none';

CREATE VIEW daily_report AS SELECT * FROM daily_report('UTC');
COMMENT ON VIEW daily_report IS 'What each sensor measured on each day, UTC';
COMMENT ON COLUMN daily_report.sensor_id IS 'the sensor';
COMMENT ON COLUMN daily_report.date IS 'the day, UTC';
COMMENT ON COLUMN daily_report.avg_temperature IS 'the mean of its readings, °C';
COMMENT ON COLUMN daily_report.min_temperature IS 'the lowest, °C';
COMMENT ON COLUMN daily_report.max_temperature IS 'the highest, °C';
COMMENT ON COLUMN daily_report.reading_count IS 'the number of its readings';
COMMENT ON COLUMN daily_report.hourly_temperatures IS 'the mean of each hour, °C, from hour 0 on; null: it has no readings';

CREATE TABLE daily_reports (
    sensor_id       integer     NOT NULL,
    date            date        NOT NULL,
    report          jsonb       NOT NULL,
    processing_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sensor_id, date)
);
COMMENT ON TABLE daily_reports IS 'The daily reports, as `warehouse report` has stored them: a document a sensor and day';
COMMENT ON COLUMN daily_reports.sensor_id IS 'the sensor';
COMMENT ON COLUMN daily_reports.date IS 'the day, in the zone of the reports (report_runs)';
COMMENT ON COLUMN daily_reports.report IS 'avg, min and max in °C, readings, and hours: the mean of each hour, null where it has no readings';
COMMENT ON COLUMN daily_reports.processing_time IS 'when the row last changed';

CREATE TABLE report_runs (
    id         integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    zone       text        NOT NULL,
    started_at timestamptz NOT NULL,
    days       bigint      NOT NULL,
    changed    bigint      NOT NULL
);
COMMENT ON TABLE report_runs IS 'One row per run of `warehouse report`';
COMMENT ON COLUMN report_runs.id IS 'its number';
COMMENT ON COLUMN report_runs.zone IS 'the time zone of its days';
COMMENT ON COLUMN report_runs.started_at IS 'when it began: the next one looks at windows that have changed since an hour before';
COMMENT ON COLUMN report_runs.days IS 'the sensors'' days that it has computed';
COMMENT ON COLUMN report_runs.changed IS 'how many of them differed from what was stored';

CREATE VIEW sensor_event_counts AS
SELECT e.sensor_id, s.station, date_trunc('hour', e.happened_at, 'UTC') AS hour, e.level, count(*) AS events
FROM sensor_events e LEFT JOIN sensors s ON s.sensor_id = e.sensor_id
GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW sensor_event_counts IS 'Events by sensor, hour and level';
COMMENT ON COLUMN sensor_event_counts.sensor_id IS 'the sensor';
COMMENT ON COLUMN sensor_event_counts.station IS 'the name of its station; null: unknown';
COMMENT ON COLUMN sensor_event_counts.hour IS 'when the hour begins, UTC';
COMMENT ON COLUMN sensor_event_counts.level IS 'ERROR or WARNING';
COMMENT ON COLUMN sensor_event_counts.events IS 'how many there are';

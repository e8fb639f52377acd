-- Windows of a quarter of an hour by sensor, with a watermark as late as ours. Run.java fills in the variables.
CREATE TABLE readings (
    sensor_id    INT,
    timestamp_ms BIGINT,
    temperature  DOUBLE,
    measured_at AS TO_TIMESTAMP_LTZ(timestamp_ms, 3),
    WATERMARK FOR measured_at AS measured_at - INTERVAL '20' MINUTE
) WITH (
    'connector' = 'kafka',
    'topic' = '${TOPIC}',
    'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
    'properties.group.id' = '${GROUP}',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'format' = 'json'
);

CREATE TABLE sensor_temperatures (
    sensor_id       INT,
    window_start    TIMESTAMP(3),
    window_end      TIMESTAMP(3),
    avg_temperature DOUBLE,
    min_temperature DOUBLE,
    max_temperature DOUBLE,
    reading_count   BIGINT,
    PRIMARY KEY (sensor_id, window_start) NOT ENFORCED
) WITH (
    'connector' = 'jdbc',
    'url' = '${JDBC_URL}?reWriteBatchedInserts=true',
    'username' = '${JDBC_USER}',
    'password' = '${JDBC_PASSWORD}',
    'table-name' = 'sensor_temperatures',
    'sink.buffer-flush.max-rows' = '5000',
    'sink.buffer-flush.interval' = '1s'
);

-- A duplicate counts twice, as a tumbling window counts it; readings behind the watermark are dropped.
INSERT INTO sensor_temperatures
SELECT sensor_id, window_start, window_end, AVG(temperature), MIN(temperature), MAX(temperature), COUNT(*)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(measured_at), INTERVAL '15' MINUTES))
GROUP BY sensor_id, window_start, window_end;

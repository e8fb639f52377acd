CREATE TABLE sensor_temperatures (
    sensor_id       integer          NOT NULL,
    window_start    timestamp        NOT NULL,
    window_end      timestamp        NOT NULL,
    avg_temperature double precision NOT NULL,
    min_temperature double precision NOT NULL,
    max_temperature double precision NOT NULL,
    reading_count   bigint           NOT NULL,
    PRIMARY KEY (sensor_id, window_start)
);

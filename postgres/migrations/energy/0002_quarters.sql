-- The energy pipeline's quarters, and what dashboards read.

CREATE TABLE quarterly_energy_data (
    quarter            date             NOT NULL PRIMARY KEY,
    total_energy_wh    double precision NOT NULL,
    record_count       bigint           NOT NULL,
    watt_minutes       bigint           NOT NULL,
    expected_minutes   bigint           NOT NULL,
    missing_minutes    bigint           NOT NULL,
    coverage           double precision NOT NULL,
    average_kw         double precision NOT NULL,
    peak_kw            double precision NOT NULL,
    sub_metering_1_wh  double precision NOT NULL,
    sub_metering_2_wh  double precision NOT NULL,
    sub_metering_3_wh  double precision NOT NULL,
    unmetered_wh       double precision NOT NULL,
    mean_voltage       double precision,
    batch_id           integer          NOT NULL,
    processing_time    timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT every_minute_is_there_or_missing CHECK (record_count + missing_minutes = expected_minutes)
);
COMMENT ON TABLE quarterly_energy_data IS 'One row per calendar quarter with at least one minute of power';
COMMENT ON COLUMN quarterly_energy_data.quarter IS 'the first day of the quarter';
COMMENT ON COLUMN quarterly_energy_data.total_energy_wh IS 'energy, watt-hours: watt_minutes / 60';
COMMENT ON COLUMN quarterly_energy_data.record_count IS 'minutes with power';
COMMENT ON COLUMN quarterly_energy_data.watt_minutes IS 'energy, watt-minutes, exact';
COMMENT ON COLUMN quarterly_energy_data.expected_minutes IS 'minutes of the whole calendar quarter, 1,440 a day';
COMMENT ON COLUMN quarterly_energy_data.missing_minutes IS 'minutes of it without power: those the input marks as missing, and those it does not have';
COMMENT ON COLUMN quarterly_energy_data.coverage IS 'record_count / expected_minutes, 0 to 1';
COMMENT ON COLUMN quarterly_energy_data.average_kw IS 'mean power of the minutes with power, kilowatts';
COMMENT ON COLUMN quarterly_energy_data.peak_kw IS 'the greatest power of a minute, kilowatts';
COMMENT ON COLUMN quarterly_energy_data.sub_metering_1_wh IS 'energy of the kitchen, watt-hours';
COMMENT ON COLUMN quarterly_energy_data.sub_metering_2_wh IS 'energy of the laundry room, watt-hours';
COMMENT ON COLUMN quarterly_energy_data.sub_metering_3_wh IS 'energy of water heater and air conditioning, watt-hours';
COMMENT ON COLUMN quarterly_energy_data.unmetered_wh IS 'the rest, which no sub-meter counts, watt-hours';
COMMENT ON COLUMN quarterly_energy_data.mean_voltage IS 'mean voltage of the minutes that have one, volts; null: none has';
COMMENT ON COLUMN quarterly_energy_data.batch_id IS 'the publication that last changed the row: 1, 2, …, never used twice';
COMMENT ON COLUMN quarterly_energy_data.processing_time IS 'when the row last changed';

CREATE VIEW monthly_energy AS
SELECT month, watt_minutes / 60.0::float8 AS total_energy_wh, minutes AS record_count, watt_minutes,
       expected AS expected_minutes, expected - minutes AS missing_minutes, minutes / expected::float8 AS coverage,
       watt_minutes / 1000.0::float8 / minutes AS average_kw, peak_w / 1000.0::float8 AS peak_kw,
       sub_1 / 1000.0::float8 AS sub_metering_1_wh, sub_2 / 1000.0::float8 AS sub_metering_2_wh,
       sub_3 / 1000.0::float8 AS sub_metering_3_wh,
       (watt_minutes * 50 - (sub_1 + sub_2 + sub_3) * 3) / 3000.0::float8 AS unmetered_wh,
       voltage_mv / 1000.0::float8 / nullif(voltage_minutes, 0) AS mean_voltage, processing_time
FROM (
    SELECT date_trunc('month', day::timestamp)::date AS month, sum(minutes)::bigint AS minutes,
           sum(watt_minutes)::bigint AS watt_minutes, max(peak_w) AS peak_w, sum(sub_metering_1_mwh)::bigint AS sub_1,
           sum(sub_metering_2_mwh)::bigint AS sub_2, sum(sub_metering_3_mwh)::bigint AS sub_3,
           sum(voltage_mv)::bigint AS voltage_mv, sum(voltage_minutes)::bigint AS voltage_minutes,
           max(processing_time) AS processing_time
    FROM daily_energy GROUP BY 1
) days
CROSS JOIN LATERAL (SELECT ((month + interval '1 month')::date - month) * 1440::bigint AS expected) calendar
ORDER BY month;
COMMENT ON VIEW monthly_energy IS 'The same by calendar month, from the days';
COMMENT ON COLUMN monthly_energy.month IS 'the first day of the month';
COMMENT ON COLUMN monthly_energy.total_energy_wh IS 'energy, watt-hours';
COMMENT ON COLUMN monthly_energy.record_count IS 'minutes with power';
COMMENT ON COLUMN monthly_energy.watt_minutes IS 'energy, watt-minutes, exact';
COMMENT ON COLUMN monthly_energy.expected_minutes IS 'minutes of the whole month, 1,440 a day';
COMMENT ON COLUMN monthly_energy.missing_minutes IS 'minutes of it without power';
COMMENT ON COLUMN monthly_energy.coverage IS 'record_count / expected_minutes, 0 to 1';
COMMENT ON COLUMN monthly_energy.average_kw IS 'mean power of the minutes with power, kilowatts';
COMMENT ON COLUMN monthly_energy.peak_kw IS 'the greatest power of a minute, kilowatts';
COMMENT ON COLUMN monthly_energy.sub_metering_1_wh IS 'energy of the kitchen, watt-hours';
COMMENT ON COLUMN monthly_energy.sub_metering_2_wh IS 'energy of the laundry room, watt-hours';
COMMENT ON COLUMN monthly_energy.sub_metering_3_wh IS 'energy of water heater and air conditioning, watt-hours';
COMMENT ON COLUMN monthly_energy.unmetered_wh IS 'the rest, which no sub-meter counts, watt-hours';
COMMENT ON COLUMN monthly_energy.mean_voltage IS 'mean voltage of the minutes that have one, volts; null: none has';
COMMENT ON COLUMN monthly_energy.processing_time IS 'when one of its days last changed';

CREATE VIEW daily_load_profile AS
SELECT weekday, weekday_name, weekday || ' ' || weekday_name AS weekday_label, hour,
       sum(hour_watt_minutes[hour + 1]) / 1000.0::float8 / nullif(sum(hour_minutes[hour + 1]), 0) AS average_kw,
       sum(hour_minutes[hour + 1])::bigint AS record_count
FROM daily_energy
CROSS JOIN LATERAL (SELECT extract(isodow FROM day)::integer AS weekday) calendar
CROSS JOIN LATERAL (
    SELECT (ARRAY['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'])[weekday] AS weekday_name
) names
CROSS JOIN generate_series(0, 23) AS hour
GROUP BY weekday, weekday_name, hour
ORDER BY weekday, hour;
COMMENT ON VIEW daily_load_profile IS 'Mean power by weekday and hour, over all days';
COMMENT ON COLUMN daily_load_profile.weekday IS '1 Monday to 7 Sunday';
COMMENT ON COLUMN daily_load_profile.weekday_name IS 'its name';
COMMENT ON COLUMN daily_load_profile.weekday_label IS 'both, for axes that sort by text';
COMMENT ON COLUMN daily_load_profile.hour IS 'the hour that begins then, 0 to 23, by the clock on the wall';
COMMENT ON COLUMN daily_load_profile.average_kw IS 'mean power of the minutes with power, kilowatts; null: there are none';
COMMENT ON COLUMN daily_load_profile.record_count IS 'minutes with power';

CREATE VIEW energy_by_meter AS
SELECT quarter, to_char(quarter, 'YYYY-"Q"Q') AS quarter_label, meter, energy_wh,
       energy_wh / nullif(total_energy_wh, 0) AS share
FROM quarterly_energy_data
CROSS JOIN LATERAL (VALUES
    ('1 kitchen', sub_metering_1_wh),
    ('2 laundry room', sub_metering_2_wh),
    ('3 water heater and air conditioning', sub_metering_3_wh),
    ('rest, without a meter', unmetered_wh)
) AS meters (meter, energy_wh)
ORDER BY quarter, meter;
COMMENT ON VIEW energy_by_meter IS 'What each sub-meter counted in a quarter, and the rest';
COMMENT ON COLUMN energy_by_meter.quarter IS 'the first day of the quarter';
COMMENT ON COLUMN energy_by_meter.quarter_label IS 'its name: 2006-Q4';
COMMENT ON COLUMN energy_by_meter.meter IS 'the sub-meter''s number and what hangs on it, or: rest';
COMMENT ON COLUMN energy_by_meter.energy_wh IS 'energy, watt-hours';
COMMENT ON COLUMN energy_by_meter.share IS 'of the quarter''s energy, 0 to 1; null: there is none';

CREATE VIEW freshness AS
SELECT o.topic, count(*) AS partitions,
       to_timestamp(nullif(max(o.max_timestamp_ms), 0) / 1000.0) AS newest_record_at,
       max(o.committed_at) AS last_batch_at,
       (SELECT max(processing_time) FROM daily_energy) AS last_run_at,
       sum(o.next_offset - coalesce(o.published_through, 0))::bigint AS offsets_to_publish
FROM stream_offsets o
WHERE o.pipeline = 'energy'
GROUP BY o.topic;
COMMENT ON VIEW freshness IS 'How old what is shown is, one row a topic';
COMMENT ON COLUMN freshness.topic IS 'the Kafka topic';
COMMENT ON COLUMN freshness.partitions IS 'partitions of it that were ever claimed';
COMMENT ON COLUMN freshness.newest_record_at IS 'the greatest Kafka timestamp read so far';
COMMENT ON COLUMN freshness.last_batch_at IS 'when a batch was last stored';
COMMENT ON COLUMN freshness.last_run_at IS 'when a day last changed';
COMMENT ON COLUMN freshness.offsets_to_publish IS 'offsets stored and not yet in the state tables; 0: what is shown is what is known';

-- The energy pipeline: its facts, what is computed of each day and quarter, and the views of dashboards.
-- Times are those of a clock on the wall: no zone, every day has 1,440 minutes.

CREATE TYPE energy_fact AS (
    day                date,
    minute             smallint,
    power_w            integer,
    reactive_var       integer,
    voltage_mv         integer,
    intensity_ma       integer,
    sub_metering_1_mwh integer,
    sub_metering_2_mwh integer,
    sub_metering_3_mwh integer
);
COMMENT ON TYPE energy_fact IS 'Every new, corrected or retracted minute, in the order it was learnt. Values are whole thousandths of the input''s units, and so exact';
COMMENT ON COLUMN energy_fact.day IS 'the day';
COMMENT ON COLUMN energy_fact.minute IS 'the minute of the day, 0 to 1439';
COMMENT ON COLUMN energy_fact.power_w IS 'mean active power of the minute, watts; null: what was known of the minute is retracted';
COMMENT ON COLUMN energy_fact.reactive_var IS 'mean reactive power, volt-amperes reactive; null: missing';
COMMENT ON COLUMN energy_fact.voltage_mv IS 'mean voltage, millivolts; null: missing';
COMMENT ON COLUMN energy_fact.intensity_ma IS 'mean current, milliamperes; null: missing';
COMMENT ON COLUMN energy_fact.sub_metering_1_mwh IS 'energy of the kitchen, milliwatt-hours; null: missing';
COMMENT ON COLUMN energy_fact.sub_metering_2_mwh IS 'energy of the laundry room, milliwatt-hours; null: missing';
COMMENT ON COLUMN energy_fact.sub_metering_3_mwh IS 'energy of water heater and air conditioning, milliwatt-hours; null: missing';
SELECT create_changelog('energy');
SELECT create_cold_store('energy', 'day');

CREATE VIEW energy_facts AS
SELECT day, minute, day + make_interval(mins => minute) AS measured_at,
       power_w / 1000.0::float8 AS power_kw, reactive_var / 1000.0::float8 AS reactive_kvar,
       voltage_mv / 1000.0::float8 AS voltage, intensity_ma / 1000.0::float8 AS intensity,
       sub_metering_1_mwh / 1000.0::float8 AS sub_metering_1_wh,
       sub_metering_2_mwh / 1000.0::float8 AS sub_metering_2_wh,
       sub_metering_3_mwh / 1000.0::float8 AS sub_metering_3_wh, batch
FROM (
    SELECT DISTINCT ON (day, minute) *, id >> 20 AS batch FROM energy_changelog
    ORDER BY day, minute, timestamp_ms DESC, partition DESC, id DESC
) latest
WHERE power_w IS NOT NULL;
COMMENT ON VIEW energy_facts IS 'What is known now: one row per minute with power. It reads the whole changelog: for looking things up, not for dashboards';
COMMENT ON COLUMN energy_facts.measured_at IS 'when the minute began, by the clock on the wall, without a zone';
COMMENT ON COLUMN energy_facts.power_kw IS 'mean active power of the minute, kilowatts';
COMMENT ON COLUMN energy_facts.reactive_kvar IS 'mean reactive power, kilovolt-amperes reactive; null: missing';
COMMENT ON COLUMN energy_facts.voltage IS 'mean voltage, volts; null: missing';
COMMENT ON COLUMN energy_facts.intensity IS 'mean current, amperes; null: missing';
COMMENT ON COLUMN energy_facts.sub_metering_1_wh IS 'energy of the kitchen, watt-hours; null: missing';
COMMENT ON COLUMN energy_facts.sub_metering_2_wh IS 'energy of the laundry room, watt-hours; null: missing';
COMMENT ON COLUMN energy_facts.sub_metering_3_wh IS 'energy of water heater and air conditioning, watt-hours; null: missing';
COMMENT ON COLUMN energy_facts.batch IS 'the batch that brought it';
SELECT comment_like('energy_facts', 'energy_changelog', 'day minute');

CREATE TABLE daily_energy (
    day                date        NOT NULL PRIMARY KEY,
    minutes            integer     NOT NULL CHECK (minutes BETWEEN 1 AND 1440),
    watt_minutes       bigint      NOT NULL,
    peak_w             integer     NOT NULL,
    sub_metering_1_mwh bigint      NOT NULL,
    sub_metering_2_mwh bigint      NOT NULL,
    sub_metering_3_mwh bigint      NOT NULL,
    voltage_mv         bigint      NOT NULL,
    voltage_minutes    integer     NOT NULL,
    hour_watt_minutes  bigint[]    NOT NULL CHECK (cardinality(hour_watt_minutes) = 24),
    hour_minutes       integer[]   NOT NULL CHECK (cardinality(hour_minutes) = 24),
    processing_time    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE daily_energy IS 'One row per day with at least one minute of power, recomputed from all its minutes whenever one of them changes; whole numbers, so that every sum is exact';
COMMENT ON COLUMN daily_energy.day IS 'the day';
COMMENT ON COLUMN daily_energy.minutes IS 'minutes with power, at most 1,440';
COMMENT ON COLUMN daily_energy.watt_minutes IS 'energy, watt-minutes (60 make a watt-hour)';
COMMENT ON COLUMN daily_energy.peak_w IS 'the greatest power of a minute, watts';
COMMENT ON COLUMN daily_energy.sub_metering_1_mwh IS 'energy of the kitchen in the minutes with power, milliwatt-hours';
COMMENT ON COLUMN daily_energy.sub_metering_2_mwh IS 'energy of the laundry room in the minutes with power, milliwatt-hours';
COMMENT ON COLUMN daily_energy.sub_metering_3_mwh IS 'energy of water heater and air conditioning in the minutes with power, milliwatt-hours';
COMMENT ON COLUMN daily_energy.voltage_mv IS 'sum of the minutes'' mean voltages, millivolts';
COMMENT ON COLUMN daily_energy.voltage_minutes IS 'minutes with power and a voltage';
COMMENT ON COLUMN daily_energy.hour_watt_minutes IS 'energy of each hour from 0 to 23, watt-minutes; the first of the array is hour 0';
COMMENT ON COLUMN daily_energy.hour_minutes IS 'minutes with power of each hour from 0 to 23';
COMMENT ON COLUMN daily_energy.processing_time IS 'when the row last changed';

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
COMMENT ON COLUMN quarterly_energy_data.missing_minutes IS 'minutes of them without power: those the input marks as missing, and those it does not have';
COMMENT ON COLUMN quarterly_energy_data.coverage IS 'record_count / expected_minutes, 0 to 1';
COMMENT ON COLUMN quarterly_energy_data.average_kw IS 'mean power of the minutes with power, kilowatts';
COMMENT ON COLUMN quarterly_energy_data.peak_kw IS 'the greatest power of a minute, kilowatts';
COMMENT ON COLUMN quarterly_energy_data.sub_metering_1_wh IS 'energy of the kitchen, watt-hours';
COMMENT ON COLUMN quarterly_energy_data.sub_metering_2_wh IS 'energy of the laundry room, watt-hours';
COMMENT ON COLUMN quarterly_energy_data.sub_metering_3_wh IS 'energy of water heater and air conditioning, watt-hours';
COMMENT ON COLUMN quarterly_energy_data.unmetered_wh IS 'the rest, which no sub-meter counts, watt-hours';
COMMENT ON COLUMN quarterly_energy_data.mean_voltage IS 'mean voltage of the minutes that have one, volts; null: none has';
COMMENT ON COLUMN quarterly_energy_data.batch_id IS 'the refresh that last changed the row: 1, 2, …, never used twice';
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
COMMENT ON COLUMN monthly_energy.expected_minutes IS 'minutes of the whole month, 1,440 a day';
COMMENT ON COLUMN monthly_energy.processing_time IS 'when one of its days last changed';
SELECT comment_like('monthly_energy', 'quarterly_energy_data',
    'total_energy_wh record_count watt_minutes missing_minutes coverage average_kw peak_kw sub_metering_1_wh sub_metering_2_wh sub_metering_3_wh unmetered_wh mean_voltage');

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
COMMENT ON COLUMN energy_by_meter.quarter_label IS 'its name: 2006-Q4';
COMMENT ON COLUMN energy_by_meter.meter IS 'the sub-meter''s number and what it measures, or: rest';
COMMENT ON COLUMN energy_by_meter.energy_wh IS 'energy, watt-hours';
COMMENT ON COLUMN energy_by_meter.share IS 'of the quarter''s energy, 0 to 1; null: there is none';
SELECT comment_like('energy_by_meter', 'quarterly_energy_data', 'quarter');

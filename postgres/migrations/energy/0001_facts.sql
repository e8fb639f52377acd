-- The energy pipeline's facts, and what is computed of each day.
-- Times are those of a clock on the wall: no zone, every day has 1,440 minutes.

CREATE TABLE energy_changelog (
    id                 bigint   NOT NULL,
    home               integer  NOT NULL,
    partition          integer  NOT NULL,
    "offset"           bigint   NOT NULL,
    timestamp_ms       bigint   NOT NULL,
    day                date     NOT NULL,
    minute             smallint NOT NULL,
    power_w            integer,
    reactive_var       integer,
    voltage_mv         integer,
    intensity_ma       integer,
    sub_metering_1_mwh integer,
    sub_metering_2_mwh integer,
    sub_metering_3_mwh integer
);
CREATE INDEX energy_changelog_by_home ON energy_changelog USING brin (home, id);
COMMENT ON TABLE energy_changelog IS 'Every new, corrected or withdrawn minute, in the order it was learnt; the greatest id of a day and minute is what is known. Values are whole thousandths of the input''s units, and so exact';
COMMENT ON COLUMN energy_changelog.id IS 'the batch that brought it times 2^20, plus its place in that batch: unique, growing within a home';
COMMENT ON COLUMN energy_changelog.home IS 'the partition the day lives in (group_homes)';
COMMENT ON COLUMN energy_changelog.partition IS 'the Kafka partition the record came from';
COMMENT ON COLUMN energy_changelog."offset" IS 'its Kafka offset';
COMMENT ON COLUMN energy_changelog.timestamp_ms IS 'the greatest Kafka timestamp of its partition up to it, milliseconds since 1970 UTC';
COMMENT ON COLUMN energy_changelog.day IS 'the day';
COMMENT ON COLUMN energy_changelog.minute IS 'the minute of the day, 0 to 1439';
COMMENT ON COLUMN energy_changelog.power_w IS 'mean active power of the minute, watts; null: what was known of the minute is withdrawn';
COMMENT ON COLUMN energy_changelog.reactive_var IS 'mean reactive power, volt-amperes reactive; null: missing';
COMMENT ON COLUMN energy_changelog.voltage_mv IS 'mean voltage, millivolts; null: missing';
COMMENT ON COLUMN energy_changelog.intensity_ma IS 'mean current, milliamperes; null: missing';
COMMENT ON COLUMN energy_changelog.sub_metering_1_mwh IS 'energy of the kitchen, milliwatt-hours; null: missing';
COMMENT ON COLUMN energy_changelog.sub_metering_2_mwh IS 'energy of the laundry room, milliwatt-hours; null: missing';
COMMENT ON COLUMN energy_changelog.sub_metering_3_mwh IS 'energy of water heater and air conditioning, milliwatt-hours; null: missing';

CREATE VIEW energy_facts AS
SELECT day, minute, day + make_interval(mins => minute) AS measured_at,
       power_w / 1000.0::float8 AS power_kw, reactive_var / 1000.0::float8 AS reactive_kvar,
       voltage_mv / 1000.0::float8 AS voltage, intensity_ma / 1000.0::float8 AS intensity,
       sub_metering_1_mwh / 1000.0::float8 AS sub_metering_1_wh,
       sub_metering_2_mwh / 1000.0::float8 AS sub_metering_2_wh,
       sub_metering_3_mwh / 1000.0::float8 AS sub_metering_3_wh, batch
FROM (
    SELECT DISTINCT ON (day, minute) *, id >> 20 AS batch FROM energy_changelog ORDER BY day, minute, id DESC
) latest
WHERE power_w IS NOT NULL;
COMMENT ON VIEW energy_facts IS 'What is known now: one row per minute with power. It reads the whole changelog: for looking things up, not for dashboards';
COMMENT ON COLUMN energy_facts.day IS 'the day';
COMMENT ON COLUMN energy_facts.minute IS 'the minute of the day, 0 to 1439';
COMMENT ON COLUMN energy_facts.measured_at IS 'when the minute began, by the clock on the wall, without a zone';
COMMENT ON COLUMN energy_facts.power_kw IS 'mean active power of the minute, kilowatts';
COMMENT ON COLUMN energy_facts.reactive_kvar IS 'mean reactive power, kilovolt-amperes reactive; null: missing';
COMMENT ON COLUMN energy_facts.voltage IS 'mean voltage, volts; null: missing';
COMMENT ON COLUMN energy_facts.intensity IS 'mean current, amperes; null: missing';
COMMENT ON COLUMN energy_facts.sub_metering_1_wh IS 'energy of the kitchen, watt-hours; null: missing';
COMMENT ON COLUMN energy_facts.sub_metering_2_wh IS 'energy of the laundry room, watt-hours; null: missing';
COMMENT ON COLUMN energy_facts.sub_metering_3_wh IS 'energy of water heater and air conditioning, watt-hours; null: missing';
COMMENT ON COLUMN energy_facts.batch IS 'the batch that brought it';

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
    batch_id           integer     NOT NULL,
    processing_time    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE daily_energy IS 'One row per day with at least one minute of power, computed again from all its minutes whenever one of them changes; whole numbers, so that every sum is exact';
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
COMMENT ON COLUMN daily_energy.batch_id IS 'the publication that last changed the row';
COMMENT ON COLUMN daily_energy.processing_time IS 'when the row last changed';

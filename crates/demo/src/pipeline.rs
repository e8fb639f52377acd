//! What is known of each pipeline: its sample, where its records go, and what is shown of its tables.

use testkit::sample::{self, household};

/// A pipeline, as it is shown to people.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Its name, as given to `--pipeline`.
    pub(crate) name: &'static str,
    /// What is shown where no file is named.
    pub(crate) sample: Sample,
    /// The remark wherever figures of the sample are shown.
    pub(crate) made: &'static str,
    /// Where real data go.
    pub(crate) real_target: Target,
    /// Where the sample goes; made facts never reach a real table.
    pub(crate) made_target: Target,
    /// The delimiter of the columns of the input.
    pub(crate) delimiter: u8,
    /// The most bytes that a record takes in a request to Kafka.
    pub(crate) most_bytes_a_record: u64,
    /// How many times its share of the records the fullest partition may get, since keys are spread by a hash.
    pub(crate) unevenness: u64,
    /// Why the producer does not send a row.
    pub(crate) kept_back: &'static str,
    /// What is shown at the end: a heading, and a query.
    pub(crate) shown: &'static [(&'static str, &'static str)],
}

/// What is shown where no file is named: made data.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sample {
    /// A committed file, by its path from the repository's top folder.
    File(&'static str),
    /// What the producer simulates with these options, of which the consumer shares some, as variables.
    Simulated(&'static [&'static str], &'static [(&'static str, &'static str)]),
}

/// A topic and a database that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The Kafka topic.
    pub(crate) topic: &'static str,
    /// The topic of a further feed, and the option of producer and consumer that names it.
    pub(crate) further: Option<(&'static str, &'static str)>,
    /// The database's name, unless the caller names one for real data.
    pub(crate) database: &'static str,
}

/// Countries by their emissions, in clusters.
pub(crate) const EMISSIONS: Pipeline = Pipeline {
    name: "emissions",
    sample: Sample::File(sample::PATH),
    made: "made data: no real country, no real figure",
    real_target: Target { topic: "emissions-topic", further: None, database: "co2_emissions" },
    made_target: Target { topic: "emissions-sample-topic", further: None, database: "co2_emissions_sample" },
    delimiter: b',',
    // Enough for the seven fields, with space for long names.
    most_bytes_a_record: 200,
    // More than was ever measured, with some hundred countries.
    unevenness: 2,
    kept_back: "too early a year, or unreadable",
    shown: &[
        (
            "Clusters (cluster_run_overview; co2 in million tonnes a year, gdp in thousand millions of international-$)",
            "SELECT cluster_name AS cluster, num_countries AS countries, round(avg_co2_cluster::numeric, 1) AS co2,
                    round(avg_co2_per_capita_cluster::numeric, 2) AS tonnes_per_person,
                    round(avg_gdp_cluster::numeric / 1e9, 1) AS gdp, round(silhouette_score::numeric, 3) AS silhouette
             FROM cluster_run_overview WHERE is_latest ORDER BY cluster_run_overview.cluster",
        ),
        (
            "Largest emitters (top_emitters_by_cluster)",
            "SELECT cluster, string_agg(country, ', ' ORDER BY avg_co2 DESC NULLS LAST) AS countries
             FROM (SELECT *, row_number() OVER (PARTITION BY cluster ORDER BY avg_co2 DESC NULLS LAST) FROM top_emitters_by_cluster) AS ranked
             WHERE row_number <= 5 GROUP BY cluster ORDER BY cluster",
        ),
        (
            "Not clustered (country_overview)",
            "SELECT not_clustered_because AS reason, count(*) AS countries, min(country) || ' …' AS such_as
             FROM country_overview WHERE not_clustered_because IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1",
        ),
    ],
};

/// A household's energy, by quarter.
pub(crate) const ENERGY: Pipeline = Pipeline {
    name: "energy",
    sample: Sample::File(household::PATH),
    made: "made data: no real household, no real figure",
    real_target: Target { topic: "raw_energy", further: None, database: "energy_db" },
    made_target: Target { topic: "raw_energy_sample", further: None, database: "energy_db_sample" },
    delimiter: b';',
    // Some 200 of JSON, 10 of the key, and the overhead of a record.
    most_bytes_a_record: 250,
    // Keys are days, and a file that might just fit has few of them.
    unevenness: 3,
    kept_back: "unreadable",
    shown: &[
        (
            "Quarters (quarterly_energy_data; coverage and the sub-meters' shares in per cent)",
            r#"SELECT to_char(quarter, 'YYYY-"Q"Q') AS quarter, round((total_energy_wh / 1000)::numeric) AS kwh,
                      record_count AS minutes, missing_minutes AS missing, trunc(100 * coverage::numeric, 2) AS coverage,
                      round(average_kw::numeric, 3) AS mean_kw, round(peak_kw::numeric, 3) AS peak_kw,
                      round((100 * sub_metering_1_wh / nullif(total_energy_wh, 0))::numeric, 1) AS kitchen,
                      round((100 * sub_metering_2_wh / nullif(total_energy_wh, 0))::numeric, 1) AS laundry,
                      round((100 * sub_metering_3_wh / nullif(total_energy_wh, 0))::numeric, 1) AS heater_ac,
                      round((100 * unmetered_wh / nullif(total_energy_wh, 0))::numeric, 1) AS rest
               FROM quarterly_energy_data ORDER BY quarterly_energy_data.quarter"#,
        ),
        (
            "All days (daily_energy)",
            "SELECT count(*) AS days, sum(minutes) AS minutes, sum(watt_minutes) AS watt_minutes FROM daily_energy",
        ),
    ],
};

/// A day of twenty sensors, simulated, with what goes wrong with sensors.
pub(crate) const SENSORS: Pipeline = Pipeline {
    name: "sensors",
    // One reading a minute: a second's would be more than the embedded broker can store.
    sample: Sample::Simulated(
        &[
            "--speed=max",
            "--start=2026-01-15T00:00:00Z",
            "--duration=1day",
            "--period=1m",
            "--late=1%",
            "--late-by=2h",
            "--duplicate=0.5%",
            "--offline=0.5%",
            "--offline-for=1h",
            "--skew=7=+50m,8=+26h",
            "--silent=9=12h",
        ],
        &[("PERIOD", "1m")],
    ),
    made: "made data: no real sensor, no real figure",
    real_target: Target {
        topic: "sensor-data",
        further: Some(("log-data", "--events-topic")),
        database: "sensor_data",
    },
    made_target: Target {
        topic: "sensor-data-sample",
        further: Some(("log-data-sample", "--events-topic")),
        database: "sensor_data_sample",
    },
    delimiter: b',',
    // Some 100 of JSON, and the overhead of a record.
    most_bytes_a_record: 150,
    // Keys are sensors, and there are few of them.
    unevenness: 3,
    kept_back: "unreadable",
    shown: &[
        (
            "Windows of sensor 1 (sensor_windows; °C); naive: the mean had extreme values, which are events, been counted as readings",
            "SELECT to_char(w.window_start, 'HH24:MI') AS from, w.avg_temperature AS mean, w.min_temperature AS lowest,
                    w.max_temperature AS highest, w.reading_count AS readings, w.late_count AS late, w.status,
                    round((w.avg_temperature * w.reading_count + coalesce(e.sum, 0)) / (w.reading_count + coalesce(e.count, 0)), 2) AS naive
             FROM sensor_windows w
             LEFT JOIN LATERAL (
                 SELECT count(*) AS count, sum(substring(message FROM 'extreme temperature (.*)')::numeric) AS sum
                 FROM sensor_events WHERE sensor_id = w.sensor_id AND happened_at >= w.window_start
                     AND happened_at < w.window_end AND message LIKE 'extreme temperature %'
             ) e ON true
             WHERE w.sensor_id = 1 ORDER BY e.count = 0, w.window_start LIMIT 12",
        ),
        (
            "Sensors (sensor_windows); 7 is 50 minutes ahead, 8 is 26 hours ahead and rejected, 9 dies at noon",
            "SELECT sensor_id AS sensor, count(*) AS windows, sum(reading_count) AS readings, sum(late_count) AS late,
                    count(*) FILTER (WHERE is_final) AS final, count(*) FILTER (WHERE status = 'silent') AS silent,
                    min(avg_temperature) AS coldest, max(avg_temperature) AS warmest
             FROM sensor_windows GROUP BY sensor_id ORDER BY sensor_id",
        ),
        (
            "The windows that late readings corrected most (sensor_temperatures)",
            "SELECT sensor_id AS sensor, to_char(window_start, 'HH24:MI') AS from, avg_temperature AS mean,
                    reading_count AS readings, late_count AS late
             FROM sensor_temperatures ORDER BY late_count DESC, sensor_id, window_start LIMIT 5",
        ),
        (
            "Rejected, the first time (rejects)",
            "SELECT count(DISTINCT (partition, value)) AS records, min(reason) || ' …' AS such_as FROM rejects",
        ),
        (
            "Events, the first of each sensor that had most (sensor_events)",
            "SELECT to_char(min(happened_at), 'HH24:MI') AS first, sensor_id AS sensor,
                    (array_agg('[' || level || '] ' || message ORDER BY happened_at))[1] AS event, count(*) AS of
             FROM sensor_events GROUP BY sensor_id ORDER BY count(*) DESC, sensor_id LIMIT 6",
        ),
    ],
};

/// Six hours of five devices, simulated, with what goes wrong with devices.
pub(crate) const IOT: Pipeline = Pipeline {
    name: "iot",
    // One reading in ten seconds: a second's would be more than the embedded broker can store.
    sample: Sample::Simulated(
        &[
            "--speed=max",
            "--start=2026-01-15T06:00:00Z",
            "--duration=6h",
            "--period=10s",
            "--late=1%",
            "--duplicate=0.5%",
            "--skew=HUM-001=+26h",
        ],
        &[],
    ),
    made: "made data: no real device, no real figure",
    real_target: Target { topic: "iot-sensor-stream", further: None, database: "iot_data" },
    made_target: Target { topic: "iot-sensor-stream-sample", further: None, database: "iot_data_sample" },
    delimiter: b',',
    // Some 270 of JSON, and the overhead of a record.
    most_bytes_a_record: 320,
    // Keys are devices, and there are few of them.
    unevenness: 3,
    kept_back: "unreadable",
    shown: &[
        (
            "The last windows of TEMP-001 (device_windows)",
            "SELECT to_char(window_start, 'HH24:MI') AS from, reading_count AS readings, round(avg_value::numeric, 2) AS mean,
                    min_value AS least, max_value AS greatest, round(stddev_value::numeric, 2) AS deviation,
                    anomaly_count AS abnormal, round(avg_quality_score::numeric, 1) AS quality,
                    round(avg_latency_seconds::numeric, 1) AS latency_s, late_count AS late, is_final AS final
             FROM device_windows WHERE device_id = 'TEMP-001' ORDER BY window_start DESC LIMIT 10",
        ),
        (
            "Devices (device_windows); the clock of HUM-001 is 26 hours ahead, and its readings are rejected",
            "SELECT device_id AS device, device_type AS type, count(*) AS windows, sum(reading_count) AS readings,
                    sum(anomaly_count) AS abnormal, sum(late_count) AS late,
                    round((sum(avg_value * reading_count) / sum(reading_count))::numeric, 2) AS mean
             FROM device_windows GROUP BY 1, 2 ORDER BY 1",
        ),
        (
            "The newest readings (sensor_readings)",
            "SELECT to_char(time, 'HH24:MI:SS') AS time, device_id AS device, value, unit, quality_score AS quality,
                    is_anomaly AS abnormal
             FROM sensor_readings ORDER BY sensor_readings.time DESC, device_id LIMIT 5",
        ),
        (
            "Rejected (rejects)",
            "SELECT count(DISTINCT (partition, value)) AS records, min(reason) || ' …' AS such_as FROM rejects",
        ),
    ],
};

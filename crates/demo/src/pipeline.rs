//! What is known of each pipeline: its sample, where its records go, and what is shown of its tables.

use testkit::sample::{self, household};

/// A pipeline, as it is shown to people.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Its name, as given to `--pipeline`.
    pub(crate) name: &'static str,
    /// The committed sample, from the repository's top folder.
    pub(crate) sample: &'static str,
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

/// A topic and a database that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The Kafka topic.
    pub(crate) topic: &'static str,
    /// The database's name, unless the caller names one for real data.
    pub(crate) database: &'static str,
}

/// Countries by their emissions, in clusters.
pub(crate) const EMISSIONS: Pipeline = Pipeline {
    name: "emissions",
    sample: sample::PATH,
    made: "made data: no real country, no real figure",
    real_target: Target { topic: "emissions-topic", database: "co2_emissions" },
    made_target: Target { topic: "emissions-sample-topic", database: "co2_emissions_sample" },
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
    sample: household::PATH,
    made: "made data: no real household, no real figure",
    real_target: Target { topic: "raw_energy", database: "energy_db" },
    made_target: Target { topic: "raw_energy_sample", database: "energy_db_sample" },
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

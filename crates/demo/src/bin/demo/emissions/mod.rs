//! Emissions: countries, clustered.

mod printout;
mod report;
mod scatter;
mod tables;
mod words;

use demo::sample;
use sqlx::PgConnection;

use self::tables::Tables;
use crate::{
    pipeline::{Pipeline, Target},
    words::grouped,
};

/// The emissions pipeline.
pub(crate) struct Emissions;

impl Pipeline for Emissions {
    const NAME: &'static str = "emissions";
    const SAMPLE: &'static str = sample::PATH;
    const MADE: &'static str = "made data: no real country, no real figure";
    const REAL_TARGET: Target = Target { topic: "emissions-topic", database: "co2_emissions" };
    const MADE_TARGET: Target = Target { topic: "emissions-sample-topic", database: "co2_emissions_sample" };
    const DELIMITER: u8 = b',';
    // Enough for the seven fields, with space for long names.
    const MOST_BYTES_A_RECORD: u64 = 200;
    // More than was ever measured, with some hundred countries.
    const UNEVENNESS: u64 = 2;
    const KEPT_BACK: &'static str = "too early a year, or unreadable";
    const TITLE: &'static str = "Countries by emissions";
    const SOURCE: &'static str =
        "Where the file is Our World in Data's CO₂ data set: licence CC BY 4.0, github.com/owid/co2-data.";

    type Tables = Tables;

    async fn read(database: &mut PgConnection) -> sqlx::Result<Tables> {
        tables::read(database).await
    }

    fn counts(tables: &Tables) -> Vec<(String, String)> {
        let clustered = tables.run.as_ref().map_or(0, |run| run.num_countries);
        vec![
            (format!("facts stored, of {} countries", grouped(tables.countries)), grouped(tables.facts)),
            (format!("countries clustered, {} not", grouped(tables.not_clustered())), grouped(clustered)),
        ]
    }

    fn print(tables: &Tables) {
        printout::show(tables);
    }

    fn report(tables: &Tables) -> String {
        report::result(tables)
    }

    fn remarks(tables: &Tables) -> String {
        report::left_out(tables)
    }
}

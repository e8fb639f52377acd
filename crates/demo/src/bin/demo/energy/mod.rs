//! Energy: a household's minutes, by quarter.

mod bars;
mod printout;
mod profile;
mod report;
mod tables;
mod words;

use demo::sample::household;
use sqlx::PgConnection;

use self::tables::Tables;
use crate::{
    pipeline::{Pipeline, Target},
    words::grouped,
};

/// The energy pipeline.
pub(crate) struct Energy;

impl Pipeline for Energy {
    const NAME: &'static str = "energy";
    const SAMPLE: &'static str = household::PATH;
    const MADE: &'static str = "made data: no real household, no real figure";
    const REAL_TARGET: Target = Target { topic: "raw_energy", database: "energy_db" };
    const MADE_TARGET: Target = Target { topic: "raw_energy_sample", database: "energy_db_sample" };
    const DELIMITER: u8 = b';';
    // Some 200 of JSON, 10 of the key, and the overhead of a record.
    const MOST_BYTES_A_RECORD: u64 = 250;
    // Keys are days, and a file that might just fit has few of them.
    const UNEVENNESS: u64 = 3;
    const KEPT_BACK: &'static str = "unreadable";
    const TITLE: &'static str = "A household's energy";
    const SOURCE: &'static str = "Where the file is “Individual household electric power consumption” \
                                  (G. Hebrail and A. Berard, UCI Machine Learning Repository): licence CC BY 4.0.";

    type Tables = Tables;

    async fn read(database: &mut PgConnection) -> sqlx::Result<Tables> {
        tables::read(database).await
    }

    fn counts(tables: &Tables) -> Vec<(String, String)> {
        let whole = &tables.whole;
        vec![
            (format!("minutes with power, of {} days", grouped(whole.days)), grouped(whole.minutes)),
            ("watt-minutes in them, exactly".to_owned(), grouped(whole.watt_minutes)),
            (
                if tables.quarters.len() == 1 { "quarter" } else { "quarters" }.to_owned(),
                grouped(tables.quarters.len()),
            ),
        ]
    }

    fn print(tables: &Tables) {
        printout::show(tables);
    }

    fn report(tables: &Tables) -> String {
        report::result(tables)
    }

    fn remarks(_: &Tables) -> String {
        report::REMARKS.to_owned()
    }
}

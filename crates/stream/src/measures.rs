//! The metrics: names, units, meanings, and their first values, so that a scrape right after the start shows them.
//!
//! `crates/consumer/README.md` lists them for people; a test compares.

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Records stored, by `outcome`.
pub const RECORDS: &str = "tributary_records_total";
/// Records that could not be used.
pub const REJECTS: &str = "tributary_rejects_total";
/// Tries that Postgres failed.
pub const RETRIES: &str = "tributary_retries_total";
/// How long a batch took to store.
pub const BATCH: &str = "tributary_batch_seconds";
/// How long a publication took.
pub const PUBLISH: &str = "tributary_publish_seconds";
/// Facts in memory.
pub const FACTS: &str = "tributary_facts";
/// Messages behind the end, by `topic` and `partition`.
pub const LAG: &str = "tributary_lag_messages";
/// The latest run.
pub const LAST_BATCH_ID: &str = "tributary_last_batch_id";
/// When results were last published.
pub const LAST_PUBLICATION: &str = "tributary_last_publication_timestamp_seconds";
/// Since when something stored waits to be published.
pub const UNPUBLISHED_SINCE: &str = "tributary_unpublished_since_timestamp_seconds";
/// Which program this is.
pub const BUILD_INFO: &str = "tributary_build_info";

/// What may become of a record.
pub const OUTCOMES: [&str; 5] = ["new", "unchanged", "corrected", "filtered", "rejected"];

/// Describes every metric, and sets those whose labels are known at the start; call it once the scrape is answered.
pub fn register(version: &'static str, revision: &'static str) {
    describe();
    OUTCOMES.into_iter().for_each(|outcome| counter!(RECORDS, "outcome" => outcome).increment(0));
    [REJECTS, RETRIES].into_iter().for_each(|name| counter!(name).increment(0));
    [FACTS, LAST_BATCH_ID, LAST_PUBLICATION, UNPUBLISHED_SINCE].into_iter().for_each(|name| gauge!(name).set(0));
    // To name a histogram is to begin it.
    [BATCH, PUBLISH].into_iter().for_each(|name| drop(histogram!(name)));
    gauge!(BUILD_INFO, "version" => version, "revision" => revision).set(1);
}

fn describe() {
    describe_counter!(RECORDS, Unit::Count, "records stored with their offsets, by what became of them");
    describe_counter!(REJECTS, Unit::Count, "records that could not be used and are kept in the rejects table");
    describe_counter!(RETRIES, Unit::Count, "tries that PostgreSQL failed and that were repeated");
    describe_histogram!(BATCH, Unit::Seconds, "time to store a batch, retries included");
    describe_histogram!(PUBLISH, Unit::Seconds, "time to publish, retries included");
    describe_gauge!(FACTS, Unit::Count, "facts in the memory of this process");
    describe_gauge!(LAG, Unit::Count, "messages between the next one to read and the end; NaN once it is not ours");
    describe_gauge!(LAST_BATCH_ID, Unit::Count, "batch_id of the latest run of this process; 0 before the first");
    describe_gauge!(
        LAST_PUBLICATION,
        Unit::Seconds,
        "Unix time of the last publication of this process, those with nothing new included; 0 before the first"
    );
    describe_gauge!(
        UNPUBLISHED_SINCE,
        Unit::Seconds,
        "Unix time since when records stored by this process wait to be published; 0 when none do"
    );
    describe_gauge!(BUILD_INFO, Unit::Count, "always 1; the labels tell version and git revision");
}

/// The time now, as a metric.
pub fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Sets the lag of the partitions that are being read, and takes back what was said of others.
pub fn set_lags(said: &mut BTreeSet<(String, i32)>, lags: Vec<(String, i32, u32)>) {
    let lag = |topic: String, partition: i32| gauge!(LAG, "topic" => topic, "partition" => partition.to_string());
    let mut gone = std::mem::take(said);
    for (topic, partition, messages) in lags {
        let named = (topic, partition);
        gone.remove(&named);
        lag(named.0.clone(), partition).set(messages);
        said.insert(named);
    }
    // A gauge cannot be taken out; a number would be a lag for ever, and no comparison is true of this.
    gone.into_iter().for_each(|(topic, partition)| lag(topic, partition).set(f64::NAN));
}

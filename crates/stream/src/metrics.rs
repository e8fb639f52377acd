//! The metrics: names, units, meanings, and their first values, so that a scrape right after the start shows them.
//! All but the build's have the label `feed`.
//!
//! `docs/OPERATIONS.md` lists them for people; a test compares.

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Records stored, by `outcome`.
pub(crate) const RECORDS: &str = "tributary_records_total";
/// Records that could not be used.
pub(crate) const REJECTS: &str = "tributary_rejects_total";
/// Tries that Postgres failed.
pub(crate) const RETRIES: &str = "tributary_retries_total";
/// How long a batch took to store.
pub(crate) const BATCH: &str = "tributary_batch_seconds";
/// How long a refresh took.
pub(crate) const REFRESH: &str = "tributary_refresh_seconds";
/// Facts in memory.
pub(crate) const FACTS: &str = "tributary_facts";
/// What facts take in memory, where groups leave it.
pub(crate) const FACTS_BYTES: &str = "tributary_facts_bytes";
/// Facts of windows that were final.
pub(crate) const LATE: &str = "tributary_late_facts_total";
/// Facts of windows behind the horizon.
pub(crate) const BEHIND_HORIZON: &str = "tributary_behind_horizon_facts_total";
/// Groups read from the cold store.
pub(crate) const FETCHED: &str = "tributary_groups_fetched_total";
/// Facts written to the cold store.
pub(crate) const FLUSHED: &str = "tributary_facts_flushed_total";
/// Groups that left memory.
pub(crate) const EVICTED: &str = "tributary_groups_evicted_total";
/// Messages behind the end, by `topic` and `partition`.
pub(crate) const LAG: &str = "tributary_lag_messages";
/// The latest run.
pub(crate) const LAST_BATCH_ID: &str = "tributary_last_batch_id";
/// When results were last refreshed.
pub(crate) const LAST_REFRESH: &str = "tributary_last_refresh_timestamp_seconds";
/// Since when something stored waits to be refreshed.
pub(crate) const UNREFRESHED_SINCE: &str = "tributary_unrefreshed_since_timestamp_seconds";
/// Which program this is.
pub(crate) const BUILD_INFO: &str = "tributary_build_info";

/// What may become of a record.
pub(crate) const OUTCOMES: [&str; 5] = ["new", "unchanged", "corrected", "filtered", "rejected"];

/// Describes every metric, and sets those whose labels are known at the start; call it once scrapes are served.
pub fn register(version: &'static str, revision: &'static str, feeds: &[&'static str]) {
    describe();
    for feed in feeds.iter().copied() {
        OUTCOMES.into_iter().for_each(|outcome| counter!(RECORDS, "feed" => feed, "outcome" => outcome).increment(0));
        let counters = [REJECTS, RETRIES, LATE, BEHIND_HORIZON, FETCHED, FLUSHED, EVICTED];
        counters.into_iter().for_each(|name| counter!(name, "feed" => feed).increment(0));
        let gauges = [FACTS, FACTS_BYTES, LAST_BATCH_ID, LAST_REFRESH, UNREFRESHED_SINCE];
        gauges.into_iter().for_each(|name| gauge!(name, "feed" => feed).set(0));
        // To name a histogram is to begin it.
        [BATCH, REFRESH].into_iter().for_each(|name| drop(histogram!(name, "feed" => feed)));
    }
    gauge!(BUILD_INFO, "version" => version, "revision" => revision).set(1);
}

fn describe() {
    describe_counter!(RECORDS, Unit::Count, "records stored with their offsets, by what became of them");
    describe_counter!(REJECTS, Unit::Count, "records that could not be used and are kept in the rejects table");
    describe_counter!(RETRIES, Unit::Count, "tries that PostgreSQL failed and that were repeated");
    describe_histogram!(BATCH, Unit::Seconds, "time to store a batch, retries included");
    describe_histogram!(REFRESH, Unit::Seconds, "time to refresh, retries included");
    describe_gauge!(FACTS, Unit::Count, "facts in the memory of this process");
    describe_gauge!(FACTS_BYTES, Unit::Bytes, "what facts take in memory, where groups leave it; 0 elsewhere");
    describe_counter!(LATE, Unit::Count, "facts of windows that were final already");
    describe_counter!(BEHIND_HORIZON, Unit::Count, "facts of windows older than what is kept: they are filtered");
    describe_counter!(FETCHED, Unit::Count, "groups read back from the cold store");
    describe_counter!(FLUSHED, Unit::Count, "facts written to the cold store");
    describe_counter!(EVICTED, Unit::Count, "groups that left memory");
    describe_gauge!(LAG, Unit::Count, "messages between the next one to read and the end; NaN once it is not ours");
    describe_gauge!(LAST_BATCH_ID, Unit::Count, "batch_id of the latest run of this process; 0 before the first");
    describe_gauge!(
        LAST_REFRESH,
        Unit::Seconds,
        "Unix time of the last refresh of this process, those with nothing new included; 0 before the first"
    );
    describe_gauge!(
        UNREFRESHED_SINCE,
        Unit::Seconds,
        "Unix time since when records stored by this process wait to be refreshed; 0 when none do"
    );
    describe_gauge!(BUILD_INFO, Unit::Count, "always 1; the labels are version and git revision");
}

/// The time now, as a metric.
pub(crate) fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Sets the lag of the partitions that are being read, and takes back what was said of others.
pub(crate) fn set_lags(feed: &'static str, said: &mut BTreeSet<(String, i32)>, lags: Vec<(String, i32, u32)>) {
    let lag = |topic: String, partition: i32| gauge!(LAG, "feed" => feed, "topic" => topic, "partition" => partition.to_string());
    let mut gone = std::mem::take(said);
    for (topic, partition, messages) in lags {
        let named = (topic, partition);
        gone.remove(&named);
        lag(named.0.clone(), partition).set(messages);
        said.insert(named);
    }
    // A gauge cannot be removed; a number would be a lag for ever, and no comparison is true of this.
    gone.into_iter().for_each(|(topic, partition)| lag(topic, partition).set(f64::NAN));
}

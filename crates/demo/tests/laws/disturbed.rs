//! The run that most faults befall: records come at a pace, a consumer follows, and something happens in the middle.

use std::time::Duration;

use demo::process::{Program, Running};

use crate::{
    datasets::Dataset,
    orders::{reference, sendings},
    report::saw,
    road::{LIMIT, READ, Road},
};

/// A stop takes no longer.
pub(crate) const STOP: Duration = Duration::from_secs(20);

/// Records a second: a run takes some eight seconds, and something happens in the second one.
const RATE: &str = "100";

/// Runs `consumer` beside a producer, disturbs them, and asserts that in the end it is as if nothing had happened.
pub(crate) fn run<D: Dataset>(road: &Road<D>, consumer: Program, disturb: impl FnOnce(&mut Running)) {
    let lines = sendings::<D>(90).concat();
    let producer = road.producer(&lines, &["--rate", RATE]).start().unwrap();
    let mut consumer = consumer.start().unwrap();
    road.wait_for("SELECT count(*) FROM ingest_accounting", 2);
    disturb(&mut consumer);
    producer.wait(2 * LIMIT).unwrap().expect_code(0).unwrap();
    let records = i64::try_from(lines.len()).unwrap();
    road.wait_for_or_say(READ, records, &consumer);
    consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    check_the_end(road);
}

/// Asserts that everything is there once, whoever reads what is left.
pub(crate) fn check_the_end<D: Dataset>(road: &Road<D>) {
    road.consume(1);
    check_undisturbed(road);
}

/// Asserts that everything is there once, all of it having been read.
pub(crate) fn check_undisturbed<D: Dataset>(road: &Road<D>) {
    road.check_changelog();
    assert_eq!(road.hash(), reference::<D>());
    saw(format!("{} records once, changelog and hash as undisturbed", road.number(READ)));
}

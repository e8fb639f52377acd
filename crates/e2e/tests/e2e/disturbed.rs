//! The run that most faults befall: records come at a pace, a consumer follows, and something happens in the middle.

use std::time::Duration;

use testkit::process::{Program, Running};

use crate::{
    datasets::Dataset,
    env::{Env, LIMIT, READ},
    orders::{reference, sendings},
    report::saw,
};

/// A stop takes no longer.
pub(crate) const STOP: Duration = Duration::from_secs(20);

/// Records a second: a run takes some eight seconds, and something happens in the second one.
const RATE: &str = "100";

/// Runs `consumer` along with a producer, disturbs them, and asserts that the end is as if nothing had happened.
pub(crate) fn run<D: Dataset>(env: &Env<D>, consumer: Program, disturb: impl FnOnce(&mut Running)) {
    let lines = sendings::<D>(90).concat();
    let producer = env.producer(&lines, &["--rate", RATE]).start().unwrap();
    let mut consumer = consumer.start().unwrap();
    env.wait_for("SELECT count(*) FROM ingest_accounting", 2);
    disturb(&mut consumer);
    producer.wait(2 * LIMIT).unwrap().expect_code(0).unwrap();
    let records = i64::try_from(lines.len()).unwrap();
    env.wait_for_or_say(READ, records, &consumer);
    consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    check_the_end(env);
}

/// Asserts that every record counts once, after another consumer has read what is left.
pub(crate) fn check_the_end<D: Dataset>(env: &Env<D>) {
    env.consume(1);
    check_undisturbed(env);
}

/// Asserts that every record counts once, when all of them have been read.
pub(crate) fn check_undisturbed<D: Dataset>(env: &Env<D>) {
    env.check_changelog();
    assert_eq!(env.hash(), reference::<D>());
    saw(format!("{} records once, changelog and hash as undisturbed", env.number(READ)));
}

//! The clocks of the programs differ by days, and nothing else does.

use std::{path::PathBuf, sync::OnceLock};

use testkit::process::Program;

use crate::{
    datasets::Dataset,
    disturbed::check_the_end,
    env::{Env, LIMIT},
    kafka,
    orders::sendings,
    report::saw,
    servers,
};

const DAY: i64 = 86_400;

/// The program with a clock that is off.
fn off(program: Program, seconds: i64) -> Program {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| servers::library("clock"));
    program.env("LD_PRELOAD", library).env("CLOCK_OFF", seconds.to_string())
}

pub(crate) fn clocks_that_differ_by_days_change_nothing<D: Dataset>() {
    let env = Env::<D>::without_topic(kafka::any());
    // By default, Kafka refuses a timestamp that is more than an hour ahead.
    env.brokers.create_topic(&env.topic, 3, &[("message.timestamp.after.max.ms", &i64::MAX.to_string())]);
    // What is sent later has the earlier time.
    for (lines, seconds) in sendings::<D>(93).iter().zip([DAY, -DAY, 0, -DAY]) {
        off(env.producer(lines, &[]), seconds).run(LIMIT).unwrap().expect_code(0).unwrap();
    }
    let times = || env.held().into_iter().map(|record| record.timestamp_ms);
    let apart = (times().max().unwrap() - times().min().unwrap()) / 1000;
    assert!((2 * DAY - 600..2 * DAY + 600).contains(&apart), "the clocks were not off by two days: {apart} s");
    let consumers = [-DAY, DAY].map(|seconds| off(env.consumer(&["--until-end"]), seconds).start().unwrap());
    for running in consumers {
        running.wait(LIMIT).unwrap().expect_code(0).unwrap();
    }
    check_the_end(&env);
    saw("producers and consumers up to 2 days apart");
}

pub(crate) fn a_clock_that_kafka_does_not_take_is_named<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("a_clock_that_kafka_does_not_take_is_named") else { return };
    let env = Env::<D>::on(brokers, 3);
    let sendings = sendings::<D>(94);
    let refused = "kafka did not acknowledge the record: Message production error: InvalidTimestamp";
    let compare = "compare this machine's clock with the broker's";
    off(env.producer(&sendings[0], &[]), DAY).run(LIMIT).unwrap().expect_failure(69, &[refused, compare]).unwrap();
    for lines in &sendings {
        env.produce(lines);
    }
    env.consume(1);
    check_the_end(&env);
    saw("a day ahead of Kafka: 69 and named, nothing stored; by the right clock all of it");
}

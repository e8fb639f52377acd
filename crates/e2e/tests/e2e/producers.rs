//! A producer dies, runs twice, or loses Kafka; in the end each record counts once.

use std::{
    thread,
    time::{Duration, Instant},
};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use testkit::broker::ends;

use crate::{
    datasets::Dataset,
    disturbed::check_the_end,
    env::{Env, LIMIT},
    kafka,
    orders::sendings,
    report::saw,
};

/// The number of records a topic has; 0 where Kafka does not say so in time.
fn sent<D: Dataset>(env: &Env<D>) -> i64 {
    ends(env.brokers.bootstrap(), &env.topic).unwrap_or_default().into_iter().map(|(_, end)| end).sum()
}

fn wait_for_sent<D: Dataset>(env: &Env<D>, least: usize) {
    let deadline = Instant::now() + LIMIT;
    while sent(env) < i64::try_from(least).unwrap() {
        assert!(Instant::now() < deadline, "the topic stays below {least} records");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The reference's rows, as one file.
fn whole<D: Dataset>() -> Vec<D::Line> {
    sendings::<D>(92).concat()
}

pub(crate) fn a_producer_is_killed_at_half_and_run_again<D: Dataset>() {
    let env = Env::<D>::on(kafka::best(), 3);
    let lines = whole::<D>();
    let first = env.producer(&lines, &["--rate", "200"]).start().unwrap();
    wait_for_sent(&env, lines.len() / 2);
    first.kill().unwrap();
    let left = sent(&env);
    env.produce(&lines);
    check_the_end(&env);
    saw(format!("killed after {left} of {} records, and run again", lines.len()));
}

pub(crate) fn two_producers_at_once<D: Dataset>() {
    let env = Env::<D>::on(kafka::best(), 3);
    let sendings = sendings::<D>(92);
    let at_once = |lines: &[D::Line]| {
        let start = |_| env.producer(lines, &["--rate", "400"]).start().unwrap();
        for running in [0, 1].map(start) {
            running.wait(LIMIT).unwrap().expect_code(0).unwrap();
        }
    };
    // Two that send different versions of one fact at once would race; what they agree on must not.
    at_once(&sendings[0]);
    at_once(&sendings[2]);
    check_the_end(&env);
}

pub(crate) fn kafka_is_unavailable_when_a_producer_starts<D: Dataset>() {
    let env = Env::<D>::on(crate::embedded(), 3);
    env.brokers.embedded().pause().unwrap();
    let lines = whole::<D>();
    let producer = env.producer(&lines, &[]).start().unwrap();
    thread::sleep(Duration::from_secs(2));
    env.brokers.embedded().resume().unwrap();
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    check_the_end(&env);
}

pub(crate) fn kafka_is_unavailable_while_a_producer_sends<D: Dataset>() {
    let env = Env::<D>::on(crate::embedded(), 3);
    let lines = whole::<D>();
    let producer = env.producer(&lines, &["--rate", "200"]).start().unwrap();
    wait_for_sent(&env, lines.len() / 3);
    env.brokers.embedded().pause().unwrap();
    thread::sleep(Duration::from_secs(3));
    env.brokers.embedded().resume().unwrap();
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    saw(format!("{} records acknowledged all the same", sent(&env)));
    check_the_end(&env);
}

pub(crate) fn a_record_that_is_too_large_is_named_and_costs_no_other<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("a record that is too large is named") else { return };
    let env = Env::<D>::without_topic(brokers);
    env.brokers.create_topic(&env.topic, 3, &[("max.message.bytes", "600")]);
    let lines = whole::<D>();
    let middle = lines.len() / 2;
    let mut file = D::file(&lines[..middle]).into_bytes();
    let after = D::file(&lines[middle..]).into_bytes();
    let header = after.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    // The header is a line too.
    let line = middle + 2;
    file.extend(D::large_row(800).into_bytes());
    file.extend(&after[header..]);
    let ended = env.producer_of(&file, "csv", &[]).run(LIMIT).unwrap();
    ended.expect_failure(65, &[&format!("line {line}: the record is larger than kafka takes")]).unwrap();
    saw(format!("exit 65: line {line} named"));
    env.produce(&lines);
    check_the_end(&env);
}

pub(crate) fn a_fatal_error_of_kafkas_ends_a_producer<D: Dataset>() {
    let env = Env::<D>::on(crate::embedded(), 1);
    let fenced = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    let inject =
        move |cluster: &testkit::broker::Cluster| cluster.request_errors(RDKafkaApiKey::Produce, &[fenced; 20]);
    env.brokers.embedded().with(inject).unwrap();
    let lines = whole::<D>();
    let ended = env.producer(&lines, &[]).run(LIMIT).unwrap();
    ended.expect_failure(69, &["kafka's client cannot go on"]).unwrap();
    saw("exit 69: kafka's client cannot go on");
    // What it could not send, the next run sends.
    env.brokers.embedded().with(|cluster| cluster.clear_request_errors(RDKafkaApiKey::Produce)).unwrap();
    env.produce(&lines);
    check_the_end(&env);
}

//! How a consumer ends when there is nothing to do.

use crate::{
    datasets::Dataset,
    env::{Env, LIMIT},
    report::saw,
};

pub(crate) fn a_topic_that_stays_missing_is_69<D: Dataset>() {
    let env = Env::<D>::without_topic(crate::kafka::any());
    let ended = env.consumer(&["--until-end", "--wait", "3s"]).run(LIMIT).unwrap();
    ended.expect_failure(69, &[&format!("topic {} is still missing", env.topic)]).unwrap();
    saw("exit 69: the topic is still missing");
}

pub(crate) fn an_empty_topic_is_done_at_once<D: Dataset>() {
    let env = Env::<D>::new(3);
    env.consume(2);
    env.check_changelog();
    assert_eq!(env.rows(D::GROUPS), 0);
    saw("exit 0, the accounting adds up and nothing is refreshed");
}

pub(crate) fn an_unavailable_kafka_is_69<D: Dataset>() {
    let broker = testkit::broker::EmbeddedBroker::start().unwrap();
    broker.pause().unwrap();
    let env = Env::<D>::without_topic(crate::kafka::Brokers::Embedded(broker));
    let ended = env.consumer(&["--until-end", "--wait", "2s"]).run(LIMIT).unwrap();
    ended.expect_failure(69, &["has been unavailable for"]).unwrap();
    saw("exit 69: kafka has been unavailable");
}

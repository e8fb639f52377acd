//! How a consumer ends when there is nothing to do.

use crate::{
    datasets::Dataset,
    report::saw,
    road::{LIMIT, Road},
};

pub(crate) fn a_topic_that_stays_missing_is_69<D: Dataset>() {
    let road = Road::<D>::without_topic(crate::kafka::any());
    let ended = road.consumer(&["--until-end", "--wait", "3s"]).run(LIMIT).unwrap();
    ended.expect_failure(69, &[&format!("topic {} is still missing", road.topic)]).unwrap();
    saw("exit 69: the topic is still missing");
}

pub(crate) fn an_empty_topic_is_done_at_once<D: Dataset>() {
    let road = Road::<D>::new(3);
    road.consume(2);
    road.check_changelog();
    assert_eq!(road.rows(D::GROUPS), 0);
    saw("exit 0, the books balance and nothing is published");
}

pub(crate) fn a_kafka_that_is_not_there_is_69<D: Dataset>() {
    let broker = demo::broker::EmbeddedBroker::start().unwrap();
    broker.pause().unwrap();
    let road = Road::<D>::without_topic(crate::kafka::Brokers::Embedded(broker));
    let ended = road.consumer(&["--until-end", "--wait", "2s"]).run(LIMIT).unwrap();
    ended.expect_failure(69, &["has been away for"]).unwrap();
    saw("exit 69: kafka has been away");
}

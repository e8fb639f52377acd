//! How a consumer ends when there is nothing to do.

use crate::{
    datasets::Dataset,
    road::{LIMIT, Road},
};

pub(crate) fn a_topic_that_stays_missing_is_69<D: Dataset>() {
    let road = Road::<D>::without_topic(crate::kafka::any());
    let ended = road.consumer(&["--until-end", "--wait", "3s"]).run(LIMIT).unwrap().expect_code(69).unwrap();
    assert!(ended.said(&format!("topic {} is still missing", road.topic)), "{ended}");
}

pub(crate) fn an_empty_topic_is_done_at_once<D: Dataset>() {
    let road = Road::<D>::new(3);
    road.consume(2);
    road.check_changelog();
    assert_eq!(road.rows(D::GROUPS), 0);
}

pub(crate) fn a_kafka_that_is_not_there_is_69<D: Dataset>() {
    let broker = demo::broker::EmbeddedBroker::start().unwrap();
    broker.pause().unwrap();
    let road = Road::<D>::without_topic(crate::kafka::Brokers::Embedded(broker));
    let ended = road.consumer(&["--until-end", "--wait", "2s"]).run(LIMIT).unwrap().expect_code(69).unwrap();
    assert!(ended.said("has been away for"), "{ended}");
}

//! Consumers come and go while records arrive.

use std::{thread, time::Duration};

use crate::{
    datasets::Dataset,
    kafka,
    orders::{reference, sendings},
    road::{LIMIT, PUBLISHED, READ, Road, lock},
};

/// A stop takes no longer.
const STOP: Duration = Duration::from_secs(20);

pub(crate) fn from_one_to_three_and_back_in_mid_run<D: Dataset>() {
    let road = Road::<D>::on(kafka::best(), 6);
    let lines = sendings::<D>(79).concat();
    let producer = road.producer(&lines, &["--rate", "60"]).start().unwrap();
    let first = road.follow(&["--batch-size", "7"]);
    road.wait_for("SELECT count(*) FROM ingest_accounting", 1);
    let mut others: Vec<_> = (0..2).map(|_| road.follow(&["--batch-size", "7"])).collect();
    for other in &mut others {
        other.wait_for_line("claimed and loaded", LIMIT).unwrap();
    }
    thread::sleep(Duration::from_secs(2));
    for other in others {
        other.stop(STOP).unwrap().expect_code(0).unwrap();
    }
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    road.wait_for(READ, i64::try_from(lines.len()).unwrap());
    first.stop(STOP).unwrap().expect_code(0).unwrap();
    road.consume(1);
    road.check_changelog();
    assert_eq!(road.hash(), reference::<D>());
}

pub(crate) fn a_stop_in_mid_run_saves_what_is_in_hand<D: Dataset>() {
    let road = Road::<D>::embedded(3);
    let lines = sendings::<D>(80).concat();
    let producer = road.producer(&lines, &["--rate", "150"]).start().unwrap();
    let consumer = road.follow(&[]);
    road.wait_for("SELECT count(*) FROM ingest_accounting", 2);
    let ended = consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    assert!(ended.said("stopped"), "{ended}");
    let saved = road.number("SELECT sum(next_offset)::bigint FROM stream_offsets");
    assert_eq!(saved, road.number(READ));
    assert_eq!(saved, road.number(PUBLISHED), "published on stop");
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    road.consume(2);
    road.check_changelog();
    assert_eq!(road.hash(), reference::<D>());
}

pub(crate) fn a_stop_publishes_what_was_only_repeated<D: Dataset>() {
    let road = Road::<D>::embedded(3);
    let lines = D::world(1);
    let records = i64::try_from(lines.len()).unwrap();
    road.produce(&lines);
    // Publishes when it has caught up for the first time, and then not of itself.
    let consumer = road.consumer(&["--publish-every", "1h"]).start().unwrap();
    road.wait_for(PUBLISHED, records);
    road.produce(&lines);
    road.wait_for(READ, 2 * records);
    consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    assert_eq!(road.number(PUBLISHED), 2 * records);
    road.check_changelog();
}

/// A second consumer joins while the first cannot go on, and so must give up half of what it has begun.
fn joined_while<D: Dataset>(locked: &str) {
    let road = Road::<D>::on(kafka::best(), 4);
    let sendings = sendings::<D>(81);
    road.produce(&sendings[0]);
    road.consume(1);
    road.produce(&sendings[1]);
    road.produce(&sendings[2]);
    let blocked = "SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let (first, mut second) = road.while_locked(&lock(locked), || {
        let first = road.follow(&["--batch-size", "20"]);
        road.wait_for(blocked, 1);
        let second = road.follow(&["--batch-size", "20"]);
        thread::sleep(Duration::from_secs(6));
        (first, second)
    });
    second.wait_for_line("claimed and loaded", LIMIT).unwrap();
    road.produce(&sendings[3]);
    road.wait_for(READ, i64::try_from(sendings.concat().len()).unwrap());
    for running in [first, second] {
        running.stop(STOP).unwrap().expect_code(0).unwrap();
    }
    road.consume(1);
    road.check_changelog();
    assert_eq!(road.hash(), reference::<D>());
}

pub(crate) fn joined_in_mid_load<D: Dataset>() {
    joined_while::<D>(D::CHANGELOG);
}

pub(crate) fn joined_in_mid_publication<D: Dataset>() {
    joined_while::<D>(D::GROUPS);
}

//! Consumers come and go while records arrive.

use std::{thread, time::Duration};

use crate::{
    kafka,
    orders::{reference, sendings},
    road::{LIMIT, READ, Road},
    world::Line,
};

/// A stop takes no longer.
const STOP: Duration = Duration::from_secs(20);

#[test]
fn from_one_to_three_and_back_in_mid_run() {
    let road = Road::on(kafka::best(), 6);
    let lines: Vec<Line> = sendings(79).concat();
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
    assert_eq!(road.hash(), reference());
}

#[test]
fn a_stop_in_mid_run_saves_what_is_in_hand() {
    let road = Road::embedded(3);
    let lines: Vec<Line> = sendings(80).concat();
    let producer = road.producer(&lines, &["--rate", "150"]).start().unwrap();
    let consumer = road.follow(&[]);
    road.wait_for("SELECT count(*) FROM ingest_accounting", 2);
    let ended = consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    assert!(ended.said("stopped"), "{ended}");
    let saved = road.number("SELECT sum(next_offset)::bigint FROM stream_offsets");
    assert_eq!(saved, road.number(READ));
    assert_eq!(saved, road.number("SELECT sum(published_through)::bigint FROM stream_offsets"), "published on stop");
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    road.consume(2);
    road.check_changelog();
    assert_eq!(road.hash(), reference());
}

/// A second consumer joins while the first cannot go on, and so must give up half of what it has begun.
fn joined_while(locked: &'static str) {
    let road = Road::on(kafka::best(), 4);
    let sendings = sendings(81);
    road.produce(&sendings[0]);
    road.consume(1);
    road.produce(&sendings[1]);
    road.produce(&sendings[2]);
    let blocked = "SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let (first, mut second) = road.while_locked(locked, || {
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
    assert_eq!(road.hash(), reference());
}

#[test]
fn joined_in_mid_load() {
    joined_while("LOCK TABLE emissions_changelog IN ACCESS EXCLUSIVE MODE");
}

#[test]
fn joined_in_mid_publication() {
    joined_while("LOCK TABLE country_aggregates IN ACCESS EXCLUSIVE MODE");
}

//! A consumer dies without warning, anywhere; the next one goes on as if nothing had happened.

use std::{thread, time::Duration};

use demo::process::Running;

use crate::{
    kafka::{self, Brokers},
    orders::{reference, sendings},
    road::{LIMIT, READ, Road},
    world::Random,
};

/// A topic with everything in it that leads to the reference tables.
fn filled(brokers: Brokers, partitions: i32) -> Road {
    let road = Road::on(brokers, partitions);
    sendings(77).iter().for_each(|lines| drop(road.produce(lines)));
    road
}

/// A consumer of its own group, so that nobody waits for the dead one's session to end: the claims in the database
/// are what keeps them apart.
fn begin(road: &Road, life: usize, publish_every: &str) -> Running {
    let group = format!("{}-{life}", road.topic);
    road.consumer_in(&group, &["--batch-size", "10", "--publish-every", publish_every]).start().unwrap()
}

fn check_the_end(road: &Road) {
    let group = format!("{}-last", road.topic);
    road.consumer_in(&group, &["--until-end"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    road.check_changelog();
    assert_eq!(road.hash(), reference());
}

fn kill_at_random(road: &Road, lives: usize, seed: u64) {
    let mut random = Random::new(seed);
    for life in 0..lives {
        let mut running = begin(road, life, "20ms");
        running.wait_for_line("claimed and loaded", LIMIT).unwrap();
        thread::sleep(Duration::from_millis(random.below(200) as u64));
        running.kill().unwrap();
    }
    check_the_end(road);
}

#[test]
fn killed_at_random_moments() {
    let road = filled(crate::embedded(), 3);
    kill_at_random(&road, 3, 1);
}

#[test]
fn killed_at_random_moments_on_a_real_kafka() {
    let Some(brokers) = kafka::real("killed at random moments") else { return };
    let road = filled(brokers, 3);
    kill_at_random(&road, 10, 2);
}

#[test]
fn killed_before_the_commit() {
    let road = filled(crate::embedded(), 2);
    let blocked =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    road.while_locked("LOCK TABLE ingest_accounting IN ACCESS EXCLUSIVE MODE", || {
        let running = begin(&road, 0, "20ms");
        road.wait_for(blocked, 1);
        running.kill().unwrap();
    });
    assert_eq!(road.number("SELECT count(*) FROM emissions_changelog"), 0);
    check_the_end(&road);
}

#[test]
fn killed_after_the_commit_and_before_the_publication() {
    let road = filled(crate::embedded(), 2);
    road.while_locked("LOCK TABLE country_aggregates IN ACCESS EXCLUSIVE MODE", || {
        // Publishes when it has caught up, and not before.
        let running = begin(&road, 0, "1h");
        road.wait_for(READ, i64::try_from(sendings(77).concat().len()).unwrap());
        running.kill().unwrap();
    });
    assert_eq!(road.number("SELECT count(*) FROM country_aggregates"), 0);
    // Published by the next one, though no record comes.
    check_the_end(&road);
}

//! A consumer dies without warning, anywhere; the next one goes on as if nothing had happened.

use std::{thread, time::Duration};

use demo::process::Running;

use crate::{
    databases::BLOCKED,
    datasets::Dataset,
    disturbed::check_undisturbed,
    kafka::{self, Brokers},
    orders::sendings,
    random::Random,
    report::saw,
    road::{LIMIT, READ, Road, lock},
};

/// A topic with everything in it that leads to the reference tables.
fn filled<D: Dataset>(brokers: Brokers, partitions: i32) -> Road<D> {
    let road = Road::on(brokers, partitions);
    sendings::<D>(77).iter().for_each(|lines| drop(road.produce(lines)));
    road
}

/// A consumer of its own group, so that nobody waits for the dead one's session to end: the claims in the database
/// are what keeps them apart.
fn begin<D: Dataset>(road: &Road<D>, life: usize, publish_every: &str) -> Running {
    let group = format!("{}-{life}", road.topic);
    road.consumer_in(Some(&group), &["--batch-size", "10", "--publish-every", publish_every]).start().unwrap()
}

fn check_the_end<D: Dataset>(road: &Road<D>) {
    let group = format!("{}-last", road.topic);
    road.consumer_in(Some(&group), &["--until-end"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    check_undisturbed(road);
}

/// Keeps every batch for 10 ms, so that not all is read before somebody dies.
const SLOW: [&str; 2] = [
    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$",
    "CREATE TRIGGER slow BEFORE INSERT ON ingest_accounting FOR EACH ROW EXECUTE FUNCTION slow()",
];

fn kill_at_random<D: Dataset>(road: &Road<D>, lives: usize, seed: u64) {
    let all = i64::try_from(sendings::<D>(77).concat().len()).unwrap();
    let (mut random, mut midway) = (Random::new(seed), 0);
    SLOW.iter().for_each(|statement| road.execute(statement));
    for life in 0..lives {
        let mut running = begin(road, life, "20ms");
        running.wait_for_line("claimed and loaded", LIMIT).unwrap();
        thread::sleep(Duration::from_millis(random.below(60) as u64));
        running.kill().unwrap();
        midway += usize::from(road.number(READ) < all);
    }
    assert!(midway > 0, "all was read before anybody died");
    road.execute("DROP TRIGGER slow ON ingest_accounting");
    check_the_end(road);
    saw(format!("{midway} of {lives} killed before all was read"));
}

pub(crate) fn killed_at_random_moments<D: Dataset>() {
    let road = filled::<D>(crate::kafka::any(), 3);
    kill_at_random(&road, 3, 1);
}

pub(crate) fn killed_at_random_moments_on_a_real_kafka<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("killed at random moments") else { return };
    let road = filled::<D>(brokers, 3);
    kill_at_random(&road, 10, 2);
}

pub(crate) fn killed_before_the_commit<D: Dataset>() {
    let road = filled::<D>(crate::kafka::any(), 2);
    road.while_locked(&lock("ingest_accounting"), || {
        let running = begin(&road, 0, "20ms");
        road.wait_for(BLOCKED, 1);
        running.kill().unwrap();
    });
    assert_eq!(road.rows(D::CHANGELOG), 0);
    saw("killed with a batch in hand, nothing of it stored");
    check_the_end(&road);
}

pub(crate) fn killed_after_the_commit_and_before_the_publication<D: Dataset>() {
    let road = filled::<D>(crate::kafka::any(), 2);
    road.while_locked(&lock(D::GROUPS), || {
        // Publishes when it has caught up, and not before.
        let running = begin(&road, 0, "1h");
        road.wait_for(READ, i64::try_from(sendings::<D>(77).concat().len()).unwrap());
        running.kill().unwrap();
    });
    assert_eq!(road.rows(D::GROUPS), 0);
    saw("killed with all stored and nothing published; the next one publishes it");
    // Published by the next one, though no record comes.
    check_the_end(&road);
}

pub(crate) fn killed_in_mid_publication<D: Dataset>() {
    let road = filled::<D>(crate::kafka::any(), 2);
    // The groups are written, and what comes after them is not.
    let last = D::DERIVED[0];
    road.while_locked(&lock(last), || {
        let running = begin(&road, 0, "1h");
        road.wait_for(BLOCKED, 1);
        assert_eq!(road.rows(D::GROUPS), 0, "nobody sees half a publication");
        running.kill().unwrap();
    });
    assert_eq!(road.rows(D::GROUPS), 0);
    saw("killed within a publication, nothing of it to be seen");
    check_the_end(&road);
}

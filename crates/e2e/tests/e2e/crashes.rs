//! A consumer dies without warning, anywhere; the next one goes on as if nothing had happened.

use std::{thread, time::Duration};

use testkit::process::Running;

use crate::{
    databases::BLOCKED,
    datasets::Dataset,
    disturbed::check_undisturbed,
    env::{Env, LIMIT, READ, lock},
    kafka::{self, Brokers},
    orders::sendings,
    random::Random,
    report::saw,
};

/// A topic with everything in it that leads to the reference tables.
fn filled<D: Dataset>(brokers: Brokers, partitions: i32) -> Env<D> {
    let env = Env::on(brokers, partitions);
    sendings::<D>(77).iter().for_each(|lines| drop(env.produce(lines)));
    env
}

/// A consumer in its own group, so that nobody waits for the dead one's session to end: only the claims in the database
/// separate the two.
fn begin<D: Dataset>(env: &Env<D>, life: usize, refresh_every: &str) -> Running {
    let group = format!("{}-{life}", env.topic);
    env.consumer_in(Some(&group), &["--batch-size", "10", "--refresh-every", refresh_every]).start().unwrap()
}

fn check_the_end<D: Dataset>(env: &Env<D>) {
    let group = format!("{}-last", env.topic);
    env.consumer_in(Some(&group), &["--until-end"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    check_undisturbed(env);
}

/// Delays every batch by 10 ms, so that not all is read before somebody dies.
const SLOW: [&str; 2] = [
    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$",
    "CREATE TRIGGER slow BEFORE INSERT ON ingest_accounting FOR EACH ROW EXECUTE FUNCTION slow()",
];

fn kill_at_random<D: Dataset>(env: &Env<D>, lives: usize, seed: u64) {
    let all = i64::try_from(sendings::<D>(77).concat().len()).unwrap();
    let (mut random, mut midway) = (Random::new(seed), 0);
    SLOW.iter().for_each(|statement| env.execute(statement));
    for life in 0..lives {
        let mut running = begin(env, life, "20ms");
        running.wait_for_line("claimed and loaded", LIMIT).unwrap();
        thread::sleep(Duration::from_millis(random.below(60) as u64));
        running.kill().unwrap();
        midway += usize::from(env.number(READ) < all);
    }
    assert!(midway > 0, "all was read before anybody died");
    env.execute("DROP TRIGGER slow ON ingest_accounting");
    check_the_end(env);
    saw(format!("{midway} of {lives} killed before all was read"));
}

pub(crate) fn killed_at_random_moments<D: Dataset>() {
    let env = filled::<D>(crate::kafka::any(), 3);
    kill_at_random(&env, 3, 1);
}

pub(crate) fn killed_at_random_moments_on_a_real_kafka<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("killed at random moments") else { return };
    let env = filled::<D>(brokers, 3);
    kill_at_random(&env, 10, 2);
}

pub(crate) fn killed_before_the_commit<D: Dataset>() {
    let env = filled::<D>(crate::kafka::any(), 2);
    env.while_locked(&lock("ingest_accounting"), || {
        let running = begin(&env, 0, "20ms");
        env.wait_for(BLOCKED, 1);
        running.kill().unwrap();
    });
    assert_eq!(env.rows(D::SEGMENTS), 0);
    saw("killed with a batch in hand, nothing of it stored");
    check_the_end(&env);
}

pub(crate) fn killed_after_the_commit_and_before_the_refresh<D: Dataset>() {
    let env = filled::<D>(crate::kafka::any(), 2);
    env.while_locked(&lock(D::GROUPS), || {
        // Refreshes when it has caught up, and not before.
        let running = begin(&env, 0, "1h");
        env.wait_for(READ, i64::try_from(sendings::<D>(77).concat().len()).unwrap());
        running.kill().unwrap();
    });
    assert_eq!(env.rows(D::GROUPS), 0);
    saw("killed with all stored and nothing refreshed; the next one refreshes it");
    // Refreshed by the next one, though no record comes.
    check_the_end(&env);
}

pub(crate) fn killed_in_mid_refresh<D: Dataset>() {
    let env = filled::<D>(crate::kafka::any(), 2);
    // The groups are written, and what comes after them is not.
    let last = D::DERIVED.first().copied().unwrap_or("stream_completeness");
    env.while_locked(&lock(last), || {
        let running = begin(&env, 0, "1h");
        env.wait_for(BLOCKED, 1);
        assert_eq!(env.rows(D::GROUPS), 0, "nobody sees half a refresh");
        running.kill().unwrap();
    });
    assert_eq!(env.rows(D::GROUPS), 0);
    saw("killed within a refresh, nothing of it visible");
    check_the_end(&env);
}

//! A consumer that was asleep while another took over finds out, and does no harm.

use std::{
    thread,
    time::{Duration, Instant},
};

use testkit::process::Running;

use crate::{
    databases::BLOCKED,
    datasets::Dataset,
    disturbed::{STOP, check_the_end},
    env::{Env, LIMIT, READ, REFRESHED, lock},
    kafka::{self, Brokers},
    orders::sendings,
    report::saw,
};

/// What is logged where the group reports that a partition is gone, before PostgreSQL does.
const FENCED_SINCE: &str = "fenced: the partition was claimed again since it was given back";

/// What a sleeper does when it is put to sleep.
#[derive(Clone, Copy)]
enum Asleep {
    /// It has read all there was.
    Idle,
    /// It is in the middle of it.
    Busy,
}

/// A consumer that was put to sleep.
fn put_to_sleep<D: Dataset>(env: &Env<D>, asleep: Asleep, records: i64) -> Running {
    let follow = || env.follow(&["--batch-size", "5"]);
    match asleep {
        Asleep::Idle => {
            let sleeper = follow();
            env.wait_for(REFRESHED, records);
            sleeper.signal("STOP").unwrap();
            sleeper
        }
        // Its transaction waits for us, so that it has a batch in hand.
        Asleep::Busy => env.while_locked(&lock("ingest_accounting"), || {
            let sleeper = follow();
            env.wait_for(BLOCKED, 1);
            sleeper.signal("STOP").unwrap();
            sleeper
        }),
    }
}

fn wakes<D: Dataset>(brokers: Brokers, asleep: Asleep) {
    let env = Env::<D>::on(brokers, 2);
    let sendings = sendings::<D>(78);
    sendings[..2].iter().for_each(|lines| drop(env.produce(lines)));
    let sleeper = put_to_sleep(&env, asleep, records(&sendings[..2]));
    let mut heir = env.follow(&[]);
    // Its session with Kafka ends after 10 s, that with Postgres, if it sleeps in a transaction, after 15 s.
    heir.wait_for_line("claimed and loaded partitions=[0, 1]", Duration::from_secs(60)).unwrap();
    sendings[2..].iter().for_each(|lines| drop(env.produce(lines)));
    env.wait_for(READ, records(&sendings));
    sleeper.signal("CONT").unwrap();
    wait_until_it_knows(&sleeper, asleep);
    for running in [sleeper, heir] {
        running.stop(STOP).unwrap().expect_code(0).unwrap();
    }
    check_the_end(&env);
}

fn records<L>(sendings: &[Vec<L>]) -> i64 {
    i64::try_from(sendings.iter().map(Vec::len).sum::<usize>()).unwrap()
}

/// One with a batch in hand is fenced, and says so; to one without, the group says that its partitions are gone.
fn wait_until_it_knows(sleeper: &Running, asleep: Asleep) {
    let knows: &[&str] = match asleep {
        Asleep::Idle => &["fenced: another consumer", FENCED_SINCE, "revoked"],
        Asleep::Busy => &["fenced: another consumer", FENCED_SINCE],
    };
    let deadline = Instant::now() + LIMIT;
    loop {
        let said = sleeper.stderr();
        if let Some(word) = knows.iter().find(|word| said.iter().any(|line| line.contains(**word))) {
            return saw(format!("it woke and said: {word}"));
        }
        assert!(Instant::now() < deadline, "{said:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn an_idle_zombie_wakes<D: Dataset>() {
    wakes::<D>(crate::kafka::any(), Asleep::Idle);
}

pub(crate) fn a_busy_zombie_wakes_on_a_real_kafka<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("a busy zombie wakes") else { return };
    wakes::<D>(brokers, Asleep::Busy);
}

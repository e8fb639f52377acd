//! A consumer that was asleep while another took over finds out, and does no harm.

use std::time::Duration;

use demo::process::Running;

use crate::{
    datasets::Dataset,
    kafka::{self, Brokers},
    orders::{reference, sendings},
    road::{LIMIT, PUBLISHED, READ, Road},
};

/// What a sleeper does when it is put to sleep.
#[derive(Clone, Copy)]
enum Asleep {
    /// It has read all there was.
    Idle,
    /// It is in the middle of it.
    Busy,
}

fn wakes<D: Dataset>(brokers: Brokers, asleep: Asleep) {
    let road = Road::<D>::on(brokers, 2);
    let sendings = sendings::<D>(78);
    sendings[..2].iter().for_each(|lines| drop(road.produce(lines)));
    let mut sleeper = road.follow(&["--batch-size", "5"]);
    // A batch or a publication may be under way when it falls asleep, or nothing at all.
    match asleep {
        Asleep::Idle => road.wait_for(PUBLISHED, records(&sendings[..2])),
        Asleep::Busy => road.wait_for("SELECT count(*) FROM ingest_accounting", 1),
    }
    sleeper.signal("STOP").unwrap();
    let mut heir = road.follow(&[]);
    // Its session with Kafka ends after 10 s, that with Postgres, if it sleeps in a transaction, after 15 s.
    heir.wait_for_line("claimed and loaded partitions=2", Duration::from_secs(60)).unwrap();
    sendings[2..].iter().for_each(|lines| drop(road.produce(lines)));
    road.wait_for(READ, records(&sendings));
    sleeper.signal("CONT").unwrap();
    wait_until_it_knows(&mut sleeper);
    for running in [sleeper, heir] {
        running.stop(Duration::from_secs(20)).unwrap().expect_code(0).unwrap();
    }
    road.consume(1);
    road.check_changelog();
    assert_eq!(road.hash(), reference::<D>());
}

fn records<L>(sendings: &[Vec<L>]) -> i64 {
    i64::try_from(sendings.iter().map(Vec::len).sum::<usize>()).unwrap()
}

/// It says that it was fenced, or the group tells it that its partitions are gone.
fn wait_until_it_knows(sleeper: &mut Running) {
    let deadline = std::time::Instant::now() + LIMIT;
    let knows = |line: &String| line.contains("fenced: another consumer") || line.contains("revoked");
    while !sleeper.stderr().iter().any(knows) {
        assert!(std::time::Instant::now() < deadline, "{:?}", sleeper.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn an_idle_zombie_wakes<D: Dataset>() {
    wakes::<D>(crate::embedded(), Asleep::Idle);
}

pub(crate) fn a_busy_zombie_wakes_on_a_real_kafka<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("a busy zombie wakes") else { return };
    wakes::<D>(brokers, Asleep::Busy);
}

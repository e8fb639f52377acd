//! Kafka dies, and comes back.

use std::{thread, time::Duration};

use testkit::{
    kafka::FENCED,
    probes::{self, Probes},
};

use crate::{
    datasets::Dataset,
    disturbed::{self, STOP, check_the_end},
    env::{Env, LIMIT, READ},
    kafka::{self, Brokers},
    orders::sendings,
    report::saw,
    servers,
};

/// Long enough for everybody to notice.
const OUTAGE: Duration = Duration::from_secs(5);

pub(crate) fn kafka_is_killed_and_comes_back<D: Dataset>() {
    if kafka::real::<D>("kafka is killed and comes back").is_none() {
        return;
    }
    let env = Env::<D>::on(Brokers::Own(servers::kafka()), 3);
    let consumer = env.consumer(&["--refresh-every", "10ms", "--listen", "127.0.0.1:0"]);
    disturbed::run(&env, consumer.env("LOG_LEVEL", probes::LOG_LEVEL), |consumer| {
        let probes = Probes::of(consumer, LIMIT).unwrap();
        env.brokers.own().kill().unwrap();
        consumer.wait_for_line("kafka does not answer", LIMIT).unwrap();
        probes.wait_until_not_ok("/readyz", &[], LIMIT).unwrap();
        thread::sleep(OUTAGE);
        probes.get("/livez").unwrap();
        env.brokers.own().revive().unwrap();
        consumer.wait_for_line("kafka answers again", LIMIT).unwrap();
        probes.wait_until_ok("/readyz", LIMIT).unwrap();
    });
    saw("the consumer says so, is unready and alive, and ready again; the producer waits");
}

/// Sends everything with one producer, which is started while Kafka is dead.
pub(crate) fn kafka_comes_after_a_producer_has_begun<D: Dataset>() {
    if kafka::real::<D>("kafka comes after a producer has begun").is_none() {
        return;
    }
    let env = Env::<D>::on(Brokers::Own(servers::kafka()), 3);
    env.brokers.own().kill().unwrap();
    let producer = env.producer(&sendings::<D>(95).concat(), &[]).start().unwrap();
    thread::sleep(OUTAGE);
    env.brokers.own().revive().unwrap();
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    check_the_end(&env);
}

pub(crate) fn kafka_is_unavailable_for_half_a_minute<D: Dataset>() {
    if kafka::real::<D>("kafka is unavailable for half a minute").is_none() {
        return;
    }
    let env = Env::<D>::on(Brokers::Own(servers::kafka()), 3);
    disturbed::run(&env, env.consumer(&["--refresh-every", "10ms"]), |_| {
        env.brokers.own().kill().unwrap();
        thread::sleep(Duration::from_secs(30));
        env.brokers.own().revive().unwrap();
    });
    saw("killed, and started again half a minute later");
}

pub(crate) fn kafka_names_no_broker_for_a_while<D: Dataset>() {
    if kafka::real::<D>("kafka names no broker for a while").is_none() {
        return;
    }
    let env = Env::<D>::on(Brokers::Own(servers::kafka()), 3);
    let sent = sendings::<D>(96);
    let (before, after) = sent.split_at(sent.len() / 2);
    env.produce(&before.concat());
    let follow = env.consumer(&["--refresh-every", "10ms", "--listen", "127.0.0.1:0"]);
    let mut consumer = follow.env("LOG_LEVEL", probes::LOG_LEVEL).start().unwrap();
    let probes = Probes::of(&mut consumer, LIMIT).unwrap();
    env.wait_for(READ, i64::try_from(before.concat().len()).unwrap());
    env.brokers.own().kill().unwrap();
    env.brokers.own().revive_with(FENCED).unwrap();
    consumer.wait_for_line("named no broker, not even itself", 2 * LIMIT).unwrap();
    probes.wait_until_not_ok("/readyz", &[], LIMIT).unwrap();
    env.brokers.own().kill().unwrap();
    env.brokers.own().revive().unwrap();
    env.produce(&after.concat());
    env.wait_for_or_say(READ, i64::try_from(sent.concat().len()).unwrap(), &consumer);
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    check_the_end(&env);
    saw("fenced by its controller most of the time: the consumer goes on with another client");
}

pub(crate) fn a_producer_ends_when_kafka_names_no_broker<D: Dataset>() {
    if kafka::real::<D>("a producer ends when kafka names no broker").is_none() {
        return;
    }
    let env = Env::<D>::on(Brokers::Own(servers::kafka()), 3);
    let lines = sendings::<D>(97).concat();
    let mut producer = env.producer(&lines, &["--rate", "5"]).start().unwrap();
    producer.wait_for_line("sent: ", LIMIT).unwrap();
    env.brokers.own().kill().unwrap();
    env.brokers.own().revive_with(FENCED).unwrap();
    let ended = producer.wait(2 * LIMIT).unwrap();
    ended.expect_failure(69, &["send it again", "kafka named no broker, not even itself"]).unwrap();
    env.brokers.own().kill().unwrap();
    env.brokers.own().revive().unwrap();
    env.produce(&lines);
    check_the_end(&env);
    saw("exit 69, and the next run sends what is missing");
}

pub(crate) fn kafka_is_killed_while_consumers_come_and_go<D: Dataset>() {
    if kafka::real::<D>("kafka is killed while consumers come and go").is_none() {
        return;
    }
    let env = Env::<D>::on(Brokers::Own(servers::kafka()), 6);
    let lines = sendings::<D>(91).concat();
    let producer = env.producer(&lines, &["--rate", "40"]).start().unwrap();
    // On a busy machine Kafka may be dead for longer than a starting consumer waits by default.
    let follow = || env.follow(&["--batch-size", "7", "--wait", "5m"]);
    let mut running = vec![follow()];
    env.wait_for("SELECT count(*) FROM ingest_accounting", 1);
    for life in 0..3 {
        // One joins, and Kafka is killed in the middle of it.
        running.push(follow());
        thread::sleep(Duration::from_millis(300 * life));
        env.brokers.own().kill().unwrap();
        thread::sleep(Duration::from_secs(1));
        env.brokers.own().revive().unwrap();
        // One leaves.
        running.remove(0).stop(STOP).unwrap().expect_code(0).unwrap();
    }
    producer.wait(2 * LIMIT).unwrap().expect_code(0).unwrap();
    env.wait_for_or_say(READ, i64::try_from(lines.len()).unwrap(), &running[0]);
    running.into_iter().for_each(|running| drop(running.stop(STOP).unwrap().expect_code(0).unwrap()));
    check_the_end(&env);
    saw("Kafka killed three times in mid-rebalance");
}

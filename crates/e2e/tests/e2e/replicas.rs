//! Consumers come and go while records arrive.

use std::{
    thread,
    time::{Duration, Instant},
};

use testkit::{
    probes::{self, Probes},
    process::Running,
};

use crate::{
    databases::BLOCKED,
    datasets::Dataset,
    disturbed::{STOP, check_the_end, check_undisturbed},
    env::{Env, LIMIT, READ, REFRESHED, lock},
    kafka::{self, Brokers, Outgoing},
    orders::{reference, sendings},
    random::Random,
    report::{self, saw, seconds},
};

pub(crate) fn from_one_to_three_and_back_in_mid_run<D: Dataset>() {
    let env = Env::<D>::on(kafka::best(), 6);
    let lines = sendings::<D>(79).concat();
    let producer = env.producer(&lines, &["--rate", "60"]).start().unwrap();
    let first = env.follow(&["--batch-size", "7"]);
    env.wait_for("SELECT count(*) FROM ingest_accounting", 1);
    let mut others: Vec<_> = (0..2).map(|_| env.follow(&["--batch-size", "7"])).collect();
    for other in &mut others {
        other.wait_for_line("claimed and loaded", LIMIT).unwrap();
    }
    // Each of the three has stored its own records.
    env.wait_for("SELECT count(DISTINCT owner) FROM stream_offsets WHERE committed_at > claimed_at", 3);
    for other in others {
        other.stop(STOP).unwrap().expect_code(0).unwrap();
    }
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    env.wait_for(READ, i64::try_from(lines.len()).unwrap());
    first.stop(STOP).unwrap().expect_code(0).unwrap();
    check_the_end(&env);
    saw("each of the three stored records");
}

pub(crate) fn a_stop_in_mid_run_saves_what_is_in_hand<D: Dataset>() {
    let env = Env::<D>::new(3);
    let lines = sendings::<D>(80).concat();
    let producer = env.producer(&lines, &["--rate", "150"]).start().unwrap();
    let consumer = env.follow(&[]);
    env.wait_for("SELECT count(*) FROM ingest_accounting", 2);
    // Its transaction waits for us, so that a batch is in hand.
    env.while_locked(&lock("ingest_accounting"), || {
        env.wait_for(BLOCKED, 1);
        consumer.signal("TERM").unwrap();
        thread::sleep(Duration::from_secs(1));
    });
    let ended = consumer.wait(STOP).unwrap().expect_code(0).unwrap();
    assert!(ended.said("stopped"), "{ended}");
    let saved = env.number("SELECT sum(next_offset)::bigint FROM stream_offsets");
    assert_eq!(saved, env.number(READ));
    assert_eq!(saved, env.number(REFRESHED), "refreshed on stop");
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    env.consume(2);
    check_undisturbed(&env);
}

pub(crate) fn a_stop_refreshes_what_was_only_repeated<D: Dataset>() {
    let env = Env::<D>::new(3);
    let lines = D::world(1);
    let records = i64::try_from(lines.len()).unwrap();
    env.produce(&lines);
    // Refreshes when it has caught up for the first time, and then not before it stops.
    let consumer = env.consumer(&["--refresh-every", "1h"]).start().unwrap();
    env.wait_for(REFRESHED, records);
    env.produce(&lines);
    env.wait_for(READ, 2 * records);
    consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    assert_eq!(env.number(REFRESHED), 2 * records);
    env.check_changelog();
    saw(format!("{records} repeated records are refreshed through on stop, changelog right"));
}

pub(crate) fn stopped_in_mid_rebalance<D: Dataset>() {
    let env = Env::<D>::on(kafka::best(), 6);
    let lines = sendings::<D>(82).concat();
    let producer = env.producer(&lines, &["--rate", "150"]).start().unwrap();
    let first = env.follow(&["--batch-size", "7"]);
    env.wait_for("SELECT count(*) FROM ingest_accounting", 1);
    let (mut slowest, mut rebalancing) = (Duration::ZERO, 0);
    for life in 0..4 {
        // One that is stopped while it joins, before or after it got its partitions.
        let mut other = env.follow(&["--batch-size", "7"]);
        other.wait_for_line("consumer starts", LIMIT).unwrap();
        thread::sleep(Duration::from_millis(400 * life));
        rebalancing += usize::from(is_rebalancing(&env));
        let began = Instant::now();
        other.stop(STOP).unwrap().expect_code(0).unwrap();
        slowest = slowest.max(began.elapsed());
    }
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    env.wait_for_or_say(READ, i64::try_from(lines.len()).unwrap(), &first);
    first.stop(STOP).unwrap().expect_code(0).unwrap();
    if let Brokers::Real(brokers) = &env.brokers {
        assert!(rebalancing > 0, "no rebalance was under way when it was stopped");
        assert_eq!(kafka::group(brokers, &env.topic).1, 0, "all have left the group");
    }
    check_the_end(&env);
    saw(format!("{rebalancing} of 4 stops while Kafka rebalanced, the slowest took {}", seconds(slowest)));
}

/// One that is stopped while it loads owes Kafka a response: it sends it, so the group does not have to wait.
pub(crate) fn stopped_in_mid_load<D: Dataset>() {
    let env = Env::<D>::on(kafka::best(), 4);
    let sendings = sendings::<D>(98);
    env.produce(&sendings[0]);
    env.consume(1);
    let took = env.while_locked(&lock(D::SEGMENTS), || {
        let consumer = env.follow(&[]);
        env.wait_for(BLOCKED, 1);
        let began = Instant::now();
        let ended = consumer.stop(STOP).unwrap().expect_code(0).unwrap();
        assert!(!ended.said("leaving the group takes longer"), "{ended}");
        began.elapsed()
    });
    let mut left = "";
    if let Brokers::Real(brokers) = &env.brokers {
        assert_eq!(kafka::group(brokers, &env.topic).1, 0, "it has left the group");
        left = ", and nobody is left in the group";
    }
    env.produce(&sendings[1..].concat());
    env.consume(1);
    check_the_end(&env);
    saw(format!("the stop took {}{left}", seconds(took)));
}

/// A consumer that loads blocks nobody: others join, leave and stop meanwhile, and those that have partitions read on.
pub(crate) fn members_come_and_go_while_partitions_are_loaded<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("members come and go while partitions are loaded") else { return };
    let env = Env::<D>::on(brokers, 6);
    let known = &sendings::<D>(101)[0];
    env.produce(known);
    let args = [D::IN_MEMORY, &["--batch-size", "7"]].concat();
    // No window is final before either: a final one that is read again leaves memory with the times of its key.
    env.consumer(&["--until-end"]).args(&args).run(LIMIT).unwrap().expect_code(0).unwrap();
    let first = env.follow(&args);
    let lines = [known.as_slice(); 8].concat();
    let producer = env.producer(&lines, &["--rate", "60"]).start().unwrap();
    let read = || env.number(READ);
    env.wait_for(READ, read() + 10);
    // Loads read it; batches write it for new keys only, and these are known. A refresh stores the times of keys whose windows became final.
    let third = env.while_locked(&lock("key_partitions"), || {
        let second = env.follow(&args);
        env.wait_for(BLOCKED, 1);
        env.wait_for_or_say(READ, read() + 10, &first);
        let third = env.consumer(&["--refresh-every", "10ms", "--listen", "127.0.0.1:0"]).args(&args);
        let mut third = third.env("LOG_LEVEL", probes::LOG_LEVEL).start().unwrap();
        env.wait_for(BLOCKED, 2);
        env.wait_for_or_say(READ, read() + 10, &first);
        let probes = Probes::of(&mut third, LIMIT).unwrap();
        assert!(probes.get("/readyz").is_err());
        // Nothing is fetched there, and records go on coming.
        let deadline = Instant::now() + LIMIT;
        while lag(&probes.get("/metrics").unwrap()) < 1.0 {
            assert!(Instant::now() < deadline, "no lag is reported of partitions that are being loaded");
            thread::sleep(Duration::from_millis(100));
        }
        let ended = second.stop(STOP).unwrap().expect_code(0).unwrap();
        assert!(!ended.said("leaving the group takes longer"), "{ended}");
        env.wait_for_or_say(READ, read() + 10, &first);
        third
    });
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    env.wait_for_or_say(READ, i64::try_from(known.len() + lines.len()).unwrap(), &third);
    for one in [first, third] {
        one.stop(STOP).unwrap().expect_code(0).unwrap();
    }
    if let Brokers::Real(brokers) = &env.brokers {
        assert_eq!(kafka::group(brokers, &env.topic).1, 0, "all have left the group");
    }
    env.check_accounting();
    saw("one read on while two were loading, one of which was stopped");
}

/// The lag of all partitions, in a scrape.
fn lag(scraped: &str) -> f64 {
    let lags = scraped.lines().filter(|line| line.starts_with("tributary_lag_messages{"));
    lags.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).filter(|lag| lag.is_finite()).sum()
}

/// A topic without keys is read by one consumer without a wait, from the first record and after a restart.
pub(crate) fn an_unkeyed_topic_is_read_by_one_without_a_wait<D: Dataset>() {
    let env = Env::<D>::on(kafka::best(), 6);
    let lines = sendings::<D>(83).concat();
    let mut took = Vec::new();
    for (half, stored) in unkeyed::<D>(&lines, 6).chunks(lines.len().div_ceil(2)).zip(1..) {
        let consumer = env.follow(&[]);
        env.send(half);
        let began = Instant::now();
        let all = i64::try_from(lines.len()).unwrap().min(stored * i64::try_from(half.len()).unwrap());
        env.wait_for_or_say(READ, all, &consumer);
        took.push(began.elapsed());
        consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    }
    assert_eq!(env.number("SELECT count(*) FROM feeds WHERE spread"), 1, "that is remembered");
    env.check_accounting();
    assert_eq!(env.hash(), reference::<D>());
    let times: Vec<String> = took.into_iter().map(seconds).collect();
    saw(format!("two halves, each read at once: {}", times.join(", ")));
}

/// Whether the group is between two assignments; an embedded broker does not say.
fn is_rebalancing<D: Dataset>(env: &Env<D>) -> bool {
    let Brokers::Real(brokers) = &env.brokers else { return false };
    ["PreparingRebalance", "CompletingRebalance"].contains(&&*kafka::group(brokers, &env.topic).0)
}

/// Rounds in which one consumer comes as another goes.
const COMINGS: u64 = 30;

pub(crate) fn one_comes_as_another_goes<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("one comes as another goes") else { return };
    let env = Env::<D>::on(brokers, 6);
    let mut random = Random::new(97);
    let follow = || env.follow(&["--batch-size", "50"]);
    let (mut following, mut sent) = (vec![follow(), follow()], 0);
    for round in 0..COMINGS {
        let lines = sendings::<D>(200 + round).concat();
        let producer = env.producer(&lines, &["--rate", "400"]).start().unwrap();
        thread::sleep(Duration::from_millis(random.below(2_500) as u64));
        following.push(follow());
        following.remove(1).stop(STOP).unwrap().expect_code(0).unwrap();
        producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
        sent += i64::try_from(lines.len()).unwrap();
        env.wait_for_or_explain(READ, sent, &following);
    }
    for consumer in following {
        consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    }
    check_the_end(&env);
    saw(format!("{COMINGS} times"));
}

/// Records without keys, in each of so many partitions by turns; a client's own partitioner stays with one for a while.
fn unkeyed<D: Dataset>(lines: &[D::Line], partitions: i32) -> Vec<Outgoing> {
    let record = |((timestamp_ms, partition), line): ((i64, i32), &D::Line)| Outgoing {
        partition: Some(partition),
        value: Some(D::message_value(line).into_bytes()),
        timestamp_ms,
        ..Outgoing::default()
    };
    (1_700_000_000_000..).zip((0..partitions).cycle()).zip(lines).map(record).collect()
}

pub(crate) fn an_unkeyed_topic_with_three_replicas_is_stopped_by_name_and_never_wrong<D: Dataset>() {
    let env = Env::<D>::on(kafka::best(), 6);
    let mut running: Vec<_> = (0..3).map(|_| env.follow(&["--batch-size", "50"])).collect();
    for one in &mut running {
        one.wait_for_line("claimed and loaded", LIMIT).unwrap();
    }
    // Each group's records are in every partition, and so with every consumer.
    env.send(&unkeyed::<D>(&sendings::<D>(83).concat(), 6));
    let deadline = Instant::now() + LIMIT;
    // The first one to store a group goes on; the two others soon meet it.
    while running.iter().filter_map(group_named).count() < 2 {
        let said = || running.iter().map(|one| one.stderr().join("\n")).collect::<Vec<_>>().join("\n---\n");
        assert!(Instant::now() < deadline, "two are to say that records come from several partitions:\n{}", said());
        thread::sleep(Duration::from_millis(50));
    }
    env.wait_for(REFRESHED, 1);
    check_who_is_blocked(&env, &running);
    for one in running {
        let ended = one.stop(STOP).unwrap().expect_code(0).unwrap();
        assert!(!ended.said("leaving the group takes longer"), "{ended}");
    }
    if let Brokers::Real(brokers) = &env.brokers {
        assert_eq!(kafka::group(brokers, &env.topic).1, 0, "all have left the group");
    }
    // What one consumer alone stores is right.
    env.consume(1);
    env.check_accounting();
    assert_eq!(env.hash(), reference::<D>());
    saw("one alone is right");
}

/// Asserts that each blocked consumer names one of the groups, and that what is refreshed meanwhile is right for its
/// offsets; returns the number of blocked consumers.
pub(crate) fn check_who_is_blocked<D: Dataset>(env: &Env<D>, running: &[Running]) -> usize {
    // Asleep, so that nothing moves during the check.
    running.iter().for_each(|one| one.signal("STOP").unwrap());
    thread::sleep(Duration::from_millis(500));
    let groups = env.query::<(String,)>("SELECT key FROM key_partitions");
    let named: Vec<String> = running.iter().filter_map(group_named).collect();
    named.iter().for_each(|name| assert!(groups.contains(&(name.clone(),)), "{name} is not one of {groups:?}"));
    env.check_rows_so_far();
    saw(format!("{} of {} are blocked and name the group: {}", named.len(), running.len(), named.join(", ")));
    saw(format!("{} rows refreshed meanwhile, each right for its offsets", env.rows(D::GROUPS)));
    running.iter().for_each(|one| one.signal("CONT").unwrap());
    named.len()
}

/// The group for which a consumer says that it is blocked.
pub(crate) fn group_named(consumer: &Running) -> Option<String> {
    let said = consumer.stderr();
    let line = said.iter().find(|line| line.contains("which another consumer owns"))?;
    assert!(line.contains("consumer repartition"), "{line}");
    let (_, sentence) = line.split_once("blocked: ")?;
    Some(sentence.split_once(" belongs to partition ")?.0.to_owned())
}

pub(crate) fn the_first_process_of_a_namespace_stops_when_asked<D: Dataset>() {
    let unshare = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let tried = std::process::Command::new("unshare").args(unshare).arg("true").output();
    if !tried.is_ok_and(|output| output.status.success()) {
        return report::skip(D::PIPELINE, "the first process of a namespace", "no namespace can be made: not root");
    }
    let env = Env::<D>::new(3);
    env.produce(&D::world(1));
    let program = env.consumer(&["--refresh-every", "10ms"]).under("unshare", &unshare);
    let running = program.start().unwrap();
    env.wait_for(REFRESHED, 1);
    // PID 1 has no default handlers: a program that does not handle SIGTERM would ignore it.
    let child = format!("/proc/{0}/task/{0}/children", running.id());
    let child = std::fs::read_to_string(child).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.trim())).unwrap();
    assert!(status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")), "{status}");
    let kill = std::process::Command::new("kill").args(["-s", "TERM", child.trim()]).status().unwrap();
    assert!(kill.success());
    let ended = running.wait(STOP).unwrap().expect_code(0).unwrap();
    assert!(ended.said("stopped"), "{ended}");
    env.consume(1);
    env.check_changelog();
    saw("PID 1 of a namespace ends with 0 on SIGTERM");
}

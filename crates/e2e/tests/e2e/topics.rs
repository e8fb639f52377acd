//! What only a real Kafka does: recreated topics, retention, more partitions, transactions, compaction.

use std::{
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier},
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, Producer},
};
use testkit::{
    probes::{self, Probes},
    process::Running,
};

use crate::{
    datasets::{Dataset, Said},
    disturbed::STOP,
    env::{Env, LIMIT, READ, REFRESHED},
    kafka::{self, Brokers, Outgoing, admin, block_on},
    oracle,
    orders::{SEED, reference, sendings},
    replicas::{check_who_is_blocked, group_named},
    report::saw,
};

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

fn delete_topic<D: Dataset>(env: &Env<D>) {
    let deleted = block_on(admin(env.brokers.bootstrap()).delete_topics(&[&env.topic], &AdminOptions::new()));
    deleted.unwrap().into_iter().for_each(|deleted| drop(deleted.unwrap()));
    let gone = || testkit::broker::ends(env.brokers.bootstrap(), &env.topic).map_or(true, |ends| ends.is_empty());
    let deadline = Instant::now() + LIMIT;
    while !gone() {
        assert!(Instant::now() < deadline, "the topic still exists");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A topic that was read to its end, deleted, and recreated with other rows.
fn recreated<D: Dataset>(brokers: Brokers, rows: &[D::Line]) -> Env<D> {
    let env = Env::<D>::on(brokers, 2);
    env.produce(&sendings::<D>(81)[0]);
    env.consume(1);
    delete_topic(&env);
    env.brokers.create_topic(&env.topic, 2, &[]);
    env.produce(rows);
    env
}

fn check_refused<D: Dataset>(env: &Env<D>, why: &str) {
    let before = (env.hash(), env.changelog());
    let ended = env.consumer(&["--until-end"]).run(LIMIT).unwrap();
    ended.expect_failure(65, &[&format!("topic {}, partition ", env.topic), why]).unwrap();
    assert_eq!((env.hash(), env.changelog()), before);
    saw(format!("exit 65: {why}; changelog and hash untouched"));
}

pub(crate) fn a_recreated_topic_is_refused_unless_accepted<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("a recreated topic is refused") else { return };
    let first = number(D::world(SEED).len());
    let later = sendings::<D>(81).split_off(2).concat();
    let env = recreated::<D>(brokers, &later);
    check_refused(&env, "and the topic ends at");
    let (old_facts, old_hash) = (env.facts(), env.hash());
    // Is blocked in the middle of the new topic.
    BLOCK.iter().for_each(|statement| env.execute(statement));
    env.while_locked("SELECT pg_advisory_lock(4711)", || {
        let consumer = env.follow(&["--reset-offsets", "--batch-size", "10"]);
        env.wait_for(READ, first + 1);
        thread::sleep(Duration::from_millis(300));
        consumer.kill().unwrap();
    });
    let read = env.number(READ);
    assert!(read < first + number(later.len()), "{read}");
    assert_eq!(env.hash(), old_hash, "nothing is refreshed before the new topic has been read");
    env.execute("DROP TRIGGER block ON ingest_accounting");
    env.consumer_in(Some("another"), &["--until-end"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    let mut facts = old_facts;
    facts.extend(oracle::last_words::<D>(&env.held()));
    assert_eq!(env.facts(), oracle::current::<D>(facts));
    assert_eq!(env.hash(), reference::<D>());
    let generations: Vec<(i32,)> = env.query("SELECT DISTINCT generation FROM stream_offsets");
    assert_eq!(generations, [(2,)]);
    saw("accepted: facts and hash are the new topic's, and nothing was refreshed before its end");
}

/// One transaction of the new topic passes, and the next waits for a lock.
const BLOCK: [&str; 3] = [
    "CREATE TABLE begun AS SELECT now() AS at; GRANT SELECT ON begun TO PUBLIC",
    "CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT FROM ingest_accounting, begun WHERE committed_at > at AND committed_at <> now()) THEN
            PERFORM pg_advisory_xact_lock(4711);
        END IF;
        RETURN NEW;
     END $$",
    "CREATE TRIGGER block BEFORE INSERT ON ingest_accounting FOR EACH ROW EXECUTE FUNCTION block()",
];

pub(crate) fn a_longer_topic_of_the_same_name_is_refused_too<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("a longer topic of the same name is refused") else { return };
    let sendings = sendings::<D>(82);
    let env = recreated::<D>(brokers, &[sendings[1].clone(), sendings[0].clone(), sendings[0].clone()].concat());
    check_refused(&env, "is not the one that was read there");
}

/// The topic is deleted while a consumer follows it, and comes back longer.
fn recreated_under_a_consumer<D: Dataset>(test: &str, replace: impl FnOnce(&mut Running)) {
    let Some(brokers) = kafka::real::<D>(test) else { return };
    let sendings = sendings::<D>(86);
    let env = Env::<D>::on(brokers, 2);
    env.produce(&sendings[0]);
    let mut consumer = env.follow(&[]);
    env.wait_for_or_say(REFRESHED, number(sendings[0].len()), &consumer);
    let before = (env.hash(), env.changelog());
    delete_topic(&env);
    replace(&mut consumer);
    env.brokers.create_topic(&env.topic, 2, &[]);
    env.produce(&[sendings[1].clone(), sendings[0].clone(), sendings[0].clone()].concat());
    // With what was read in memory it ends for good, without it so that it is started again.
    let ended = consumer.wait(LIMIT).unwrap();
    let code = if ended.said("is not the topic the stored offsets belong to") { 65 } else { 69 };
    ended.expect_failure(code, &[&format!("topic {}", env.topic)]).unwrap();
    assert_eq!((env.hash(), env.changelog()), before);
    saw(format!("ends with {code}"));
    check_refused(&env, "is not the one that was read there");
    env.consumer(&["--until-end", "--reset-offsets"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    // The same world once more.
    assert_eq!(env.hash(), before.0);
}

/// So quickly that the client sees nothing but another topic id.
pub(crate) fn a_topic_recreated_under_a_consumer_is_refused<D: Dataset>() {
    recreated_under_a_consumer::<D>("a topic recreated under a consumer is refused", |_| ());
}

pub(crate) fn a_topic_that_goes_and_comes_back_is_refused<D: Dataset>() {
    recreated_under_a_consumer::<D>("a topic that goes and comes back is refused", |consumer| {
        consumer.wait_for_line("the topic is missing; waiting for it", LIMIT).unwrap();
    });
}

/// That other requests succeed meanwhile does not bring it back.
pub(crate) fn a_topic_that_is_deleted_is_waited_for_and_then_69<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("a topic that is deleted is waited for and then 69") else { return };
    let env = Env::<D>::on(brokers, 2);
    env.produce(&D::world(1));
    let consumer = env.consumer(&["--outage-timeout", "12s", "--listen", "127.0.0.1:0"]);
    let mut consumer = consumer.env("LOG_LEVEL", probes::LOG_LEVEL).start().unwrap();
    let probes = Probes::of(&mut consumer, LIMIT).unwrap();
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    delete_topic(&env);
    probes.wait_until_not_ok("/readyz", &["the topic is missing"], LIMIT).unwrap();
    let ended = consumer.wait(LIMIT).unwrap();
    ended.expect_failure(69, &[&format!("topic {} is still missing after", env.topic)]).unwrap();
    saw("unready with the reason, then 69");
}

/// What is known to be missing: partition, first offset, the offset after the last.
fn gaps<D: Dataset>(env: &Env<D>) -> Vec<(i32, i64, i64)> {
    env.query("SELECT partition, from_offset, to_offset FROM stream_gaps ORDER BY partition, from_offset")
}

/// The head of a topic is gone before a database reads it for the first time: nothing made of the rest is complete.
pub(crate) fn a_topic_without_its_head_passes_for_no_complete_one<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("a topic without its head passes for no complete one") else { return };
    let env = Env::<D>::on(brokers, 2);
    let lines = sendings::<D>(83).concat();
    env.produce(&lines);
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&env.topic, 0, Offset::Offset(28)).unwrap();
    // All of the other partition.
    before.add_partition_offset(&env.topic, 1, Offset::End).unwrap();
    let end = testkit::broker::ends(env.brokers.bootstrap(), &env.topic).unwrap()[1].1;
    block_on(admin(env.brokers.bootstrap()).delete_records(&before, &AdminOptions::new())).unwrap();
    let ended = env.consumer(&["--until-end"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    let missing =
        format!("offsets 0 to 27 of partition 0, offsets 0 to {} of partition 1 were removed by kafka", end - 1);
    assert!(ended.said(&missing), "{ended}");
    assert_eq!(gaps(&env), [(0, 0, 28), (1, 0, end)]);
    assert_eq!(env.number(READ), number(lines.len()) - 28 - end);
    let mut runs: Vec<(bool, Option<String>)> = env.query("SELECT complete, missing FROM stream_completeness");
    if D::PIPELINE == "emissions" {
        runs.extend(env.query("SELECT complete, missing FROM cluster_runs"));
    }
    let is_named = |said: &Option<String>| said.as_ref().is_some_and(|said| said.contains(&missing));
    assert!(!runs.is_empty() && runs.iter().all(|(complete, said)| !complete && is_named(said)), "{runs:?}");
    // A reset says so beforehand, and it and another reading do not make it complete.
    let dry = env.consumer(&["reset"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    for (partition, end) in [(0, 28), (1, end)] {
        let words = format!("offsets 0 to {} of topic {}, partition {partition}: they cannot", end - 1, env.topic);
        assert!(dry.stdout.iter().any(|line| line.contains(&words)), "{dry}");
    }
    env.consumer(&["reset", "--yes"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    env.consume(2);
    assert_eq!(gaps(&env), [(0, 0, 28), (1, 0, end)]);
    saw("exit 0 with a warning that names both gaps, stored with the run");
}

pub(crate) fn what_retention_took_before_it_was_read_is_named<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("what retention took before it was read is named") else { return };
    let env = Env::<D>::on(brokers, 1);
    let sendings = sendings::<D>(83);
    env.produce(&sendings[0]);
    env.consume(1);
    let keep_from = number(sendings[0].len()) + 40;
    // Corrections, of which the first 40 are lost.
    env.produce(&sendings[2]);
    let mut left = env.held();
    left.retain(|record| !(keep_from - 40..keep_from).contains(&record.offset));
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&env.topic, 0, Offset::Offset(keep_from)).unwrap();
    block_on(admin(env.brokers.bootstrap()).delete_records(&before, &AdminOptions::new())).unwrap();
    check_refused(&env, &format!("partition 0: offsets {} to {} were removed", keep_from - 40, keep_from - 1));
    env.consumer(&["--until-end", "--reset-offsets"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    let total = number(sendings[0].len() + sendings[2].len());
    assert_eq!(gaps(&env), [(0, keep_from - 40, keep_from)]);
    assert_eq!(env.number(READ), total - 40);
    assert_eq!(env.number("SELECT next_offset FROM stream_offsets"), total);
    let facts = oracle::facts::<D>(&left);
    assert_eq!(env.facts(), facts);
    D::check_rows(&env, &facts);
    let without = Env::<D>::new(1);
    without.produce(&sendings[0]);
    without.produce(&sendings[2][40..]);
    without.consume(1);
    // Of runs the hash covers the latest complete one, and with a gap none is.
    let of_facts = |hash: String| {
        let lines =
            hash.lines().map(str::to_owned).filter(|line| !line.contains("cluster_stats") && !line.contains("all of"));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(of_facts(env.hash()), of_facts(without.hash()));
    saw("accepted: facts and hash as if the 40 had never been sent");
}

pub(crate) fn partitions_are_added_in_mid_run<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("partitions are added in mid-run") else { return };
    let env = Env::<D>::on(brokers, 2);
    let sendings = sendings::<D>(84);
    let begun = sendings[..2].concat();
    let producer = env.producer(&begun, &["--rate", "100"]).start().unwrap();
    // Repeated records of a key come from two partitions: a group that leaves memory would forget when.
    let follower = env.follow(D::IN_MEMORY);
    env.wait_for(READ, number(begun.len() / 4));
    let more = NewPartitions::new(&env.topic, 7);
    block_on(admin(env.brokers.bootstrap()).create_partitions([&more], &AdminOptions::new())).unwrap();
    assert!(env.number(READ) < number(begun.len()), "all was read before there were more partitions");
    // A producer that starts now sends to all seven, while the other still sends to two.
    env.producer(&sendings[2], &["--rate", "100"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    // It learns of the new partitions within half a minute, and goes on, since all are its own.
    env.wait_for(READ, number(begun.len() + sendings[2].len()));
    follower.stop(STOP).unwrap().expect_code(0).unwrap();
    env.check_accounting();
    saw("one replica: reads on, accounting right");
    two_replicas_read_all_or_are_blocked(&env, &sendings[3]);
    let repartitioned = env.consumer(&["repartition"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    assert!(repartitioned.said("moved to the partitions their records come from"), "{repartitioned}");
    env.check_accounting();
    assert_eq!(env.hash(), reference::<D>());
    env.produce(&sendings[3]);
    env.consume(3);
    env.check_accounting();
    assert_eq!(env.hash(), reference::<D>());
    saw("three replicas after a repartition: accounting and hash right");
}

/// Either all is read and right, or the one that meets a group of the other's is blocked and names it, and what is
/// refreshed is right for its offsets.
fn two_replicas_read_all_or_are_blocked<D: Dataset>(env: &Env<D>, lines: &[D::Line]) {
    let mut running = [0, 1].map(|_| env.follow(D::IN_MEMORY));
    for one in &mut running {
        one.wait_for_line("claimed and loaded", LIMIT).unwrap();
    }
    let all = env.number(READ) + number(lines.len());
    env.produce(lines);
    let deadline = Instant::now() + LIMIT;
    while env.number(READ) < all && running.iter().all(|one| group_named(one).is_none()) {
        assert!(Instant::now() < deadline, "nobody is blocked, and not all is read");
        thread::sleep(Duration::from_millis(50));
    }
    let blocked = check_who_is_blocked(env, &running);
    for one in running {
        one.stop(STOP).unwrap().expect_code(0).unwrap();
    }
    if blocked == 0 {
        env.check_accounting();
    }
}

fn keyed<D: Dataset>(lines: &[D::Line], first_timestamp_ms: i64) -> Vec<Outgoing> {
    let record = |(n, line): (usize, &D::Line)| Outgoing {
        partition: None,
        key: Some(D::message_key(line).into_bytes()),
        value: Some(D::message_value(line).into_bytes()),
        timestamp_ms: first_timestamp_ms + number(n),
    };
    lines.iter().enumerate().map(record).collect()
}

/// Waits until no transaction is open: its end is acknowledged before the partitions have their control records.
fn wait_for_markers<D: Dataset>(env: &Env<D>) {
    let mut config = kafka::client(env.brokers.bootstrap());
    let mut ends = |isolation: &str| {
        let consumer: BaseConsumer = config.set("isolation.level", isolation).create().unwrap();
        [0, 1, 2].map(|partition| consumer.fetch_watermarks(&env.topic, partition, LIMIT).unwrap())
    };
    let deadline = Instant::now() + LIMIT;
    while ends("read_committed") != ends("read_uncommitted") {
        assert!(Instant::now() < deadline, "a transaction stays open");
        thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn only_what_a_transaction_committed_counts<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("only what a transaction committed counts") else { return };
    let env = Env::<D>::on(brokers, 3);
    let producer: BaseProducer =
        kafka::client(env.brokers.bootstrap()).set("transactional.id", &env.topic).create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    let wrong = D::world(99);
    for lines in sendings::<D>(85) {
        producer.begin_transaction().unwrap();
        kafka::hand_over(&producer, &env.topic, &keyed::<D>(&lines, 1_700_000_000_000));
        producer.commit_transaction(LIMIT).unwrap();
        producer.begin_transaction().unwrap();
        kafka::hand_over(&producer, &env.topic, &keyed::<D>(&wrong, 1_700_000_500_000));
        producer.flush(LIMIT).unwrap();
        producer.abort_transaction(LIMIT).unwrap();
        wait_for_markers(&env);
        // Every end is a control record, which nobody ever reads.
        env.consume(1);
        env.check_changelog();
    }
    assert_eq!(env.hash(), reference::<D>());
    env.consume(2);
    env.check_changelog();
    saw("4 transactions aborted, 4 committed: changelog and hash of those committed");
}

/// Records that were acknowledged lie behind a transaction whose producer has gone, or takes its time.
pub(crate) fn what_is_behind_an_open_transaction_is_waited_for<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("what is behind an open transaction is waited for") else { return };
    let env = Env::<D>::on(brokers, 1);
    let producer: BaseProducer =
        kafka::client(env.brokers.bootstrap()).set("transactional.id", &env.topic).create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    let begin = |lines: &[D::Line], timestamp_ms| {
        producer.begin_transaction().unwrap();
        kafka::hand_over(&producer, &env.topic, &keyed::<D>(lines, timestamp_ms));
        producer.flush(LIMIT).unwrap();
    };
    let sendings = sendings::<D>(87);
    begin(&D::world(99), 1_700_000_000_000);
    env.produce(&sendings[0]);
    let behind = "records are behind an open transaction";
    let ended = env.consumer(&["--until-end", "--outage-timeout", "3s"]).run(LIMIT).unwrap();
    let words =
        [&*format!("topic {}, partition 0: offsets 0 to ", env.topic), "behind an open transaction", "abort it"];
    assert!(ended.said(behind), "{ended}");
    ended.expect_failure(69, &words).unwrap();
    assert_eq!(env.number(READ), 0);

    let mut consumer = env.consumer(&["--until-end"]).start().unwrap();
    consumer.wait_for_line(behind, LIMIT).unwrap();
    producer.abort_transaction(LIMIT).unwrap();
    consumer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    assert_eq!(env.number(READ), number(sendings[0].len()));
    // The control record that ended it came after that run began.
    env.consume(1);
    env.check_changelog();

    begin(&sendings[1], 1_700_000_500_000);
    env.produce(&sendings[2]);
    let mut consumer = env.follow(&[]);
    consumer.wait_for_line(behind, LIMIT).unwrap();
    producer.commit_transaction(LIMIT).unwrap();
    env.wait_for(READ, number(sendings[..3].concat().len()));
    env.produce(&sendings[3]);
    env.wait_for(READ, number(sendings.concat().len()));
    consumer.stop(STOP).unwrap().expect_code(0).unwrap();
    env.consume(1);
    env.check_changelog();
    assert_eq!(env.hash(), reference::<D>());
    saw("69 while it stays open; all is read once it was aborted, or committed, late");
}

/// From now on Kafka keeps the last record of each key, and forgets the others as soon as it can.
fn compact<D: Dataset>(env: &Env<D>) {
    let mut config = AlterConfig::new(ResourceSpecifier::Topic(&env.topic));
    for (name, value) in [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
        ("min.compaction.lag.ms", "0"),
    ] {
        config = config.set(name, value);
    }
    let altered = block_on(admin(env.brokers.bootstrap()).alter_configs([&config], &AdminOptions::new())).unwrap();
    altered.into_iter().for_each(|altered| drop(altered.unwrap()));
}

pub(crate) fn a_compacted_topic_has_gaps_and_tombstones<D: Dataset>() {
    let Some(brokers) = kafka::real::<D>("a compacted topic has gaps and tombstones") else { return };
    let env = Env::<D>::without_topic(brokers);
    // Not before all was read once: the cleaner may come by at any moment.
    env.brokers.create_topic(&env.topic, 1, &[("retention.ms", "-1"), ("segment.ms", "100")]);
    let mut lines = D::world(4);
    lines.retain(|line| !matches!(D::said(D::message_value(line).as_bytes()), Said::Rejected));
    let key = D::message_key(&lines[0]).into_bytes();
    let mut sent = keyed::<D>(&lines, 1_700_000_000_000);
    sent.push(Outgoing { key: Some(key.clone()), timestamp_ms: 1_700_000_001_000, ..Outgoing::default() });
    env.send(&sent);
    env.consume(1);
    type Reject = (Option<Vec<u8>>, Option<Vec<u8>>, String);
    let rejects: Vec<Reject> = env.query("SELECT key, value, reason FROM rejects");
    assert_eq!(rejects, [(Some(key), None, "the value is null".to_owned())]);
    compact(&env);
    // Later segments make the first one cleanable; the cleaner comes by every 15 s.
    let all = sent.len();
    let deadline = Instant::now() + LIMIT;
    while env.held().len() >= all {
        assert!(Instant::now() < deadline, "the topic was not compacted");
        thread::sleep(Duration::from_secs(1));
        env.send(&keyed::<D>(&lines[..12], 1_700_000_002_000));
    }
    env.send(&keyed::<D>(&lines[12..40], 1_700_000_003_000));
    env.consume(1);
    let ends = testkit::broker::ends(env.brokers.bootstrap(), &env.topic).unwrap();
    assert_eq!(env.number("SELECT next_offset FROM stream_offsets"), ends[0].1);
    assert_eq!(env.rows(D::FACTS), number(oracle::facts_in::<D>(&lines)));
    assert_eq!(env.number("SELECT sum(corrected)::bigint FROM ingest_accounting"), 0);
    // A newcomer finds what is left, gaps and all; unless the cleaner comes by meanwhile.
    for _ in 0..5 {
        let left = env.held().len();
        env.consumer(&["reset", "--yes"]).run(LIMIT).unwrap().expect_code(0).unwrap();
        let ended = env.consumer(&["--until-end"]).run(LIMIT).unwrap().expect_code(0).unwrap();
        assert!(ended.said("kafka compacts the topic") && ended.said("no run is complete"), "{ended}");
        let changes = env.changelog();
        let held = env.held();
        if held.len() == left {
            assert_eq!(changes, oracle::changes::<D>(&held).0, "changelog");
            return saw(format!(
                "{left} of {all} records left: nothing corrected, and a newcomer's changelog is right"
            ));
        }
    }
    panic!("the topic was compacted again and again");
}

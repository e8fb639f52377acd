//! A consumer and its rights.

use std::time::Duration;

use testkit::{probes::Probes, process::Running};

use crate::{
    LIMIT,
    acls::{Operation, Permission, Resource},
    broker::{Case, database, wait_until},
    check,
};

/// A denial is noticed, or seen to be over, within the time between two checks and what a client needs for one.
const NOTICED: Duration = Duration::from_secs(30);

#[test]
fn a_consumer_needs_to_describe_and_read_its_topic_and_to_read_its_group() {
    let Some(case) = Case::new("a_consumer_needs_to_describe_and_read_its_topic_and_to_read_its_group") else { return };
    let (consumer, _) = reading(&case, &[]);
    consumer.stop(LIMIT).unwrap().expect_code(0).unwrap();
}

/// A consumer that has every right, and has read five records.
fn reading(case: &Case, args: &[&str]) -> (Running, Probes) {
    case.make_topic(1, &[]);
    case.send_as_admin(5);
    case.allow_topic(&[Operation::Read]);
    case.allow(Operation::Read, Resource::Group(&case.group()));
    let (mut consumer, probes) = ready(case, &database(), args);
    consumer.wait_for_line("refreshed batch_id 1", LIMIT).unwrap();
    (consumer, probes)
}

/// A consumer that is ready, and its probes.
fn ready(case: &Case, url: &str, args: &[&str]) -> (Running, Probes) {
    let consumer = case.consumer(url).args(["--listen", "127.0.0.1:0", "--refresh-every", "100ms"]).args(args);
    let mut consumer = consumer.start().unwrap();
    let probes = Probes::of(&mut consumer, LIMIT).unwrap();
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    (consumer, probes)
}

/// A consumer that lacks one right from the start: not ready, with that reason, and ended after the start-up wait.
fn denied_at_start(test: &str, granted: impl FnOnce(&Case), words: &[&str]) {
    let Some(case) = Case::new(test) else { return };
    case.make_topic(1, &[]);
    case.send_as_admin(5);
    granted(&case);
    let mut consumer = case.consumer(&database()).args(["--listen", "127.0.0.1:0", "--until-end"]).start().unwrap();
    let probes = Probes::of(&mut consumer, LIMIT).unwrap();
    assert!(probes.get("/readyz").is_err());
    let ended = consumer.wait(LIMIT).unwrap();
    assert!(!ended.said("kafka answers again"), "silence is not a response: {ended}");
    check(ended, 64, &[&[case.user.as_str()], words].concat());
}

#[test]
fn a_consumer_without_read_on_its_group_is_denied_it() {
    let granted = |case: &Case| case.allow_topic(&[Operation::Read]);
    denied_at_start("a_consumer_without_read_on_its_group_is_denied_it", granted, &["Read on group"]);
}

#[test]
fn a_consumer_without_read_on_its_topic_is_denied_it() {
    let granted = |case: &Case| {
        case.allow_topic(&[Operation::Describe]);
        case.allow(Operation::Read, Resource::Group(&case.group()));
    };
    denied_at_start("a_consumer_without_read_on_its_topic_is_denied_it", granted, &["Read on topic"]);
}

#[test]
fn a_consumer_without_describe_on_its_topic_is_denied_and_the_topic_not_called_missing() {
    let test = "a_consumer_without_describe_on_its_topic_is_denied_and_the_topic_not_called_missing";
    let granted = |case: &Case| case.allow(Operation::Read, Resource::Group(&case.group()));
    denied_at_start(test, granted, &["Describe on topic"]);
}

#[test]
fn rights_that_come_while_a_consumer_waits_are_used() {
    let Some(case) = Case::new("rights_that_come_while_a_consumer_waits_are_used") else { return };
    case.make_topic(1, &[]);
    case.send_as_admin(5);
    let consumer = case.consumer(&database()).args(["--listen", "127.0.0.1:0", "--until-end", "--wait", "50s"]);
    let mut consumer = consumer.start().unwrap();
    let probes = Probes::of(&mut consumer, LIMIT).unwrap();
    let line = consumer.wait_for_line("waiting for kafka and the topic", LIMIT).unwrap();
    assert!(line.contains("Describe on topic") && probes.get("/readyz").is_err(), "{line}");
    case.allow_topic(&[Operation::Describe]);
    probes.wait_until_not_ok("/readyz", &["Read on group"], LIMIT).unwrap();
    case.allow(Operation::Read, Resource::Group(&case.group()));
    probes.wait_until_not_ok("/readyz", &["Read on topic"], LIMIT).unwrap();
    case.allow_topic(&[Operation::Read]);
    consumer.wait(LIMIT).unwrap().expect_code(0).unwrap();
}

/// A right is taken from a consumer that has nothing to read, and comes back: it is not ready meanwhile, says why, and
/// reads what was sent meanwhile.
fn revoked_and_granted(test: &str, what: &str) {
    let Some(case) = Case::new(test) else { return };
    let (mut consumer, probes) = reading(&case, &[]);
    let group = case.group();
    let resource = if what.ends_with("group") { Resource::Group(&group) } else { Resource::Topic(&case.topic) };
    case.deny(Operation::Read, resource);
    probes.wait_until_not_ok("/readyz", &[what, &case.user], NOTICED).unwrap();
    case.send_as_admin(9);
    std::thread::sleep(Duration::from_secs(6));
    assert!(probes.get("/readyz").is_err(), "silence is not a response");
    case.remove(Permission::Deny, Operation::Read, resource);
    probes.wait_until_ok("/readyz", NOTICED).unwrap();
    consumer.wait_for_line("refreshed batch_id 2", NOTICED).unwrap();
    consumer.stop(LIMIT).unwrap().expect_code(0).unwrap();
}

#[test]
fn read_on_the_topic_is_revoked_and_comes_back() {
    revoked_and_granted("read_on_the_topic_is_revoked_and_comes_back", "Read on topic");
}

/// Nothing was ever read whose offset could be committed to the group.
#[test]
fn read_on_the_group_is_revoked_while_the_topic_is_empty() {
    let Some(case) = Case::new("read_on_the_group_is_revoked_while_the_topic_is_empty") else { return };
    case.make_topic(1, &[]);
    case.allow_topic(&[Operation::Read]);
    let group = case.group();
    case.allow(Operation::Read, Resource::Group(&group));
    let (consumer, probes) = ready(&case, &database(), &["--outage-timeout", "4s"]);
    case.deny(Operation::Read, Resource::Group(&group));
    probes.wait_until_not_ok("/readyz", &["Read on group", &case.user], NOTICED).unwrap();
    check(consumer.wait(LIMIT).unwrap(), 64, &["Read on group", &case.user]);
}

#[test]
fn read_on_the_group_is_revoked_and_comes_back() {
    revoked_and_granted("read_on_the_group_is_revoked_and_comes_back", "Read on group");
}

/// The topic is hidden from two replicas, one without a partition, and shown again: both notice both, and go on.
#[test]
fn a_replica_without_partitions_notices_a_denial_and_its_end() {
    let Some(case) = Case::new("a_replica_without_partitions_notices_a_denial_and_its_end") else { return };
    case.make_topic(1, &[]);
    case.send_as_admin(5);
    case.allow_topic(&[Operation::Read]);
    case.allow(Operation::Read, Resource::Group(&case.group()));
    let url = database();
    let replicas = [(); 2].map(|()| ready(&case, &url, &[]));
    case.deny(Operation::Describe, Resource::Topic(&case.topic));
    // A client checks the topic every 30 s.
    for (_, probes) in &replicas {
        probes.wait_until_not_ok("/readyz", &["Describe on topic"], LIMIT).unwrap();
    }
    case.remove(Permission::Deny, Operation::Describe, Resource::Topic(&case.topic));
    for (_, probes) in &replicas {
        probes.wait_until_ok("/readyz", NOTICED).unwrap();
    }
    case.send_as_admin(9);
    let is_read = |replica: &Running| replica.stderr().iter().any(|line| line.contains("refreshed batch_id 2"));
    wait_until("what was sent since is read", NOTICED, || replicas.iter().any(|(replica, _)| is_read(replica)));
    for (replica, _) in replicas {
        replica.stop(LIMIT).unwrap().expect_code(0).unwrap();
    }
}

#[test]
fn a_right_that_stays_revoked_ends_the_consumer_after_the_time_of_an_outage() {
    let test = "a_right_that_stays_revoked_ends_the_consumer_after_the_time_of_an_outage";
    let Some(case) = Case::new(test) else { return };
    let (consumer, _) = reading(&case, &["--outage-timeout", "3s"]);
    case.deny(Operation::Read, Resource::Topic(&case.topic));
    check(consumer.wait(LIMIT).unwrap(), 64, &["Read on topic", &case.user]);
}

//! A producer and its rights.

use crate::{
    LIMIT,
    acls::{Operation, Permission, Resource},
    broker::Case,
    check,
};

#[test]
fn a_producer_with_write_alone_sends() {
    let Some(case) = Case::new("a_producer_with_write_alone_sends") else { return };
    case.make_topic(2, &[]);
    case.allow_topic(&[Operation::Write]);
    let ended = case.producer(10).run(LIMIT).unwrap().expect_code(0).unwrap();
    assert!(ended.said("acknowledged=10"), "{ended}");
}

#[test]
fn a_producer_without_any_right_is_denied_describe() {
    let Some(case) = Case::new("a_producer_without_any_right_is_denied_describe") else { return };
    case.make_topic(1, &[]);
    let ended = case.producer(10).run(LIMIT).unwrap();
    check(ended, 64, &[&case.user, &format!("Describe on topic `{}`", case.topic), "--operation Write "]);
}

#[test]
fn a_producer_that_may_only_describe_is_denied_write() {
    let Some(case) = Case::new("a_producer_that_may_only_describe_is_denied_write") else { return };
    case.make_topic(1, &[]);
    case.allow_topic(&[Operation::Describe]);
    let ended = case.producer(10).run(LIMIT).unwrap();
    check(ended, 64, &[&case.user, "Write", &format!("topic `{}`", case.topic)]);
}

#[test]
fn a_producer_that_may_write_elsewhere_only_is_denied_write() {
    let Some(case) = Case::new("a_producer_that_may_write_elsewhere_only_is_denied_write") else { return };
    case.make_topic(1, &[]);
    case.allow_topic(&[Operation::Describe]);
    case.allow(Operation::Write, Resource::Topic("elsewhere"));
    let ended = case.producer(10).run(LIMIT).unwrap();
    check(ended, 64, &[&case.user, &format!("Write on topic `{}`", case.topic)]);
}

#[test]
fn a_missing_topic_that_may_not_be_made_is_a_denied_create() {
    let Some(case) = Case::new("a_missing_topic_that_may_not_be_made_is_a_denied_create") else { return };
    case.allow_topic(&[Operation::Write]);
    let ended = case.producer(10).run(LIMIT).unwrap();
    check(ended, 64, &[&case.user, &format!("Create on topic `{}`", case.topic)]);
    case.allow(Operation::Create, Resource::Cluster);
    case.producer(10).run(LIMIT).unwrap().expect_code(0).unwrap();
}

#[test]
fn a_right_that_comes_while_a_producer_waits_is_used() {
    let Some(case) = Case::new("a_right_that_comes_while_a_producer_waits_is_used") else { return };
    case.make_topic(1, &[]);
    case.deny(Operation::Describe, Resource::Topic(&case.topic));
    let producer = case.producer(10).args(["--wait", "30s"]).env("LOG_LEVEL", "debug").start().unwrap();
    let pause = || std::thread::sleep(std::time::Duration::from_secs(1));
    pause();
    case.remove(Permission::Deny, Operation::Describe, Resource::Topic(&case.topic));
    case.allow_topic(&[Operation::Describe]);
    pause();
    case.allow(Operation::Write, Resource::Topic("elsewhere"));
    pause();
    case.allow_topic(&[Operation::Write]);
    let ended = producer.wait(LIMIT).unwrap().expect_code(0).unwrap();
    assert!(ended.said("acknowledged=10"), "{ended}");
}

#[test]
fn a_right_that_is_revoked_while_a_producer_sends_ends_it() {
    let Some(case) = Case::new("a_right_that_is_revoked_while_a_producer_sends_ends_it") else { return };
    case.make_topic(2, &[]);
    case.allow_topic(&[Operation::Write]);
    let mut producer = case.producer(1_000).args(["--rate", "20"]).start().unwrap();
    producer.wait_for_line("sent: ", LIMIT).unwrap();
    case.deny(Operation::Write, Resource::Topic(&case.topic));
    let ended = producer.wait(LIMIT).unwrap();
    check(ended, 64, &[&case.user, &format!("Write on topic `{}`", case.topic)]);
}

#[test]
fn nothing_is_sent_to_a_topic_that_is_compacted() {
    let Some(case) = Case::new("nothing_is_sent_to_a_topic_that_is_compacted") else { return };
    case.make_topic(1, &[("cleanup.policy", "compact,delete")]);
    case.allow_topic(&[Operation::Write, Operation::DescribeConfigs]);
    let ended = case.producer(10).run(LIMIT).unwrap();
    check(ended, 64, &[&format!("topic `{}` has cleanup.policy=compact,delete", case.topic)]);
    assert_eq!(testkit::broker::ends(case.admin_address(), &case.topic).unwrap(), [(0, 0)]);
    // A user who may not read the topic's settings can still send.
    case.remove(Permission::Allow, Operation::DescribeConfigs, Resource::Topic(&case.topic));
    case.producer(10).run(LIMIT).unwrap().expect_code(0).unwrap();
}

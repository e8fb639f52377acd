//! A consumer and its rights.

use crate::{
    LIMIT,
    acls::{Operation, Resource},
    broker::{Case, address, database, readiness, wait_until},
};

#[test]
fn a_consumer_needs_to_describe_and_read_its_topic_and_to_read_its_group() {
    let Some(case) = Case::new("a_consumer_needs_to_describe_and_read_its_topic_and_to_read_its_group") else { return };
    case.make_topic(1, &[]);
    case.send_as_admin(5);
    case.allow_topic(&[Operation::Read]);
    case.allow(Operation::Read, Resource::Group(&case.group()));
    let mut consumer = case.consumer(&database()).args(["--listen", "127.0.0.1:0"]).start().unwrap();
    let address = address(&mut consumer);
    wait_until("ready", LIMIT, || readiness(address).is_ok());
    consumer.wait_for_line("published batch_id 1", LIMIT).unwrap();
    consumer.stop(LIMIT).unwrap().expect_code(0).unwrap();
}

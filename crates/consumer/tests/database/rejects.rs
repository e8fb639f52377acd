//! Records that cannot be used.

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use testkit::{broker::EmbeddedBroker, process::Program};

use crate::{LIMIT, database_of};

/// What the consumer logs of a topic that holds these values, in batches of one.
async fn said(values: &[&str]) -> Vec<String> {
    let (broker, database) = (EmbeddedBroker::start().unwrap(), database_of("energy").await);
    broker.create_topic("raw_energy", 1).unwrap();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).create().unwrap();
    for value in values {
        producer.send(BaseRecord::<str, str>::to("raw_energy").payload(value)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    let consumer = Program::new("consumer").unwrap();
    let consumer = consumer.args(["--pipeline", "energy", "--until-end", "--batch-size", "1"]);
    let consumer = consumer.env("DATABASE_URL", database.url()).env("KAFKA_BROKERS", broker.bootstrap());
    consumer.run(LIMIT).unwrap().expect_code(0).unwrap().stderr
}

#[tokio::test]
async fn the_first_reject_names_the_table_and_the_others_are_only_counted() {
    let named = |log: &[String]| log.iter().filter(|line| line.contains("WARN") && line.contains("rejects")).count();
    let valid = r#"{"Datetime":"2008-01-01 00:00:00","Global_active_power":1}"#;
    let log = said(&["rubbish", valid, "rubbish", "rubbish"]).await;
    assert_eq!(named(&log), 1, "{log:#?}");
    assert_eq!(log.iter().filter(|line| line.contains("rejected=1")).count(), 4, "{log:#?}");
    assert_eq!(named(&said(&[valid]).await), 0);
}

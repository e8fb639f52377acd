//! What the probes and the scrape say while a consumer gets one thing after another.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use demo::process::Running;

use crate::{
    datasets::Dataset,
    report::saw,
    road::{LIMIT, Road},
};

/// The body of an answer, `Err` where the status is not 200.
pub(crate) fn ask(address: SocketAddr, path: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = body.to_owned();
    if head.starts_with("HTTP/1.1 200 ") { Ok(body) } else { Err(body) }
}

pub(crate) fn wait_until_ok(address: SocketAddr, path: &str) {
    let deadline = Instant::now() + LIMIT;
    while let Err(why) = ask(address, path) {
        assert!(Instant::now() < deadline, "{path}: {why}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until an answer is not 200, and gives its body.
pub(crate) fn wait_until_not_ok(address: SocketAddr, path: &str) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        match ask(address, path) {
            Err(why) => return why,
            Ok(_) => assert!(Instant::now() < deadline, "{path} stays 200"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where a consumer that was told to `--listen` answers.
pub(crate) fn address(consumer: &mut Running) -> SocketAddr {
    let line = consumer.wait_for_line("answering /startupz", LIMIT).unwrap();
    line.split_once("address=").unwrap().1.split_whitespace().next().unwrap().parse().unwrap()
}

/// The metrics of a scrape that have a help text and a type, each with its type.
fn named(scraped: &str) -> BTreeMap<String, String> {
    let types = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let described = types.filter(|(name, _)| scraped.contains(&format!("# HELP {name} ")));
    described.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// The metrics that the consumer's README lists, each with its type.
fn listed() -> BTreeMap<String, String> {
    let rows = include_str!("../../../consumer/README.md").lines().filter(|line| line.starts_with("| `tributary_"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    cells.map(|cells| (cells[1].trim_matches('`').to_owned(), cells[2].clone())).collect()
}

pub(crate) fn started_with_the_schema_and_ready_in_the_group<D: Dataset>() {
    let road = Road::<D>::bare(crate::kafka::any());
    let consumer = road.consumer(&["--listen", "127.0.0.1:0"]).env("LOG_LEVEL", "service=debug,info");
    let mut consumer = consumer.start().unwrap();
    let address = address(&mut consumer);

    consumer.wait_for_line("waiting for postgres and the schema", LIMIT).unwrap();
    assert!(ask(address, "/startupz").is_err() && ask(address, "/readyz").is_err());
    road.migrate();
    wait_until_ok(address, "/startupz");
    consumer.wait_for_line("waiting for kafka and the topic", LIMIT).unwrap();
    let unready = ask(address, "/readyz").unwrap_err();
    assert!(unready.contains(&format!("topic {} is still missing", road.topic)), "{unready}");
    ask(address, "/livez").unwrap();

    let scraped = ask(address, "/metrics").unwrap();
    let unlabelled = listed().into_iter().filter(|(name, _)| name != "tributary_lag_messages");
    assert_eq!(named(&scraped), unlabelled.collect(), "{scraped}");
    for line in ["tributary_rejects_total 0", "tributary_records_total{outcome=\"new\"} 0", "tributary_ready 0"] {
        assert!(scraped.lines().any(|said| said == line), "{line}: {scraped}");
    }

    road.brokers.create_topic(&road.topic, 2, &[]);
    wait_until_ok(address, "/readyz");
    road.produce(&D::world(1));
    consumer.wait_for_line("published batch_id 1", LIMIT).unwrap();
    let deadline = Instant::now() + LIMIT;
    let value = |scraped: &str, name: &str| {
        let line = scraped.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or(f64::NAN)
    };
    loop {
        let scraped = ask(address, "/metrics").unwrap();
        let settled = value(&scraped, "tributary_unpublished_since_timestamp_seconds") == 0.0
            && value(&scraped, "tributary_facts") > 0.0
            && value(&scraped, "tributary_last_publication_timestamp_seconds") > 1e9;
        // The lag comes with the client's next statistics.
        if settled && named(&scraped) == listed() {
            break;
        }
        assert!(Instant::now() < deadline, "{:?} are listed: {scraped}", listed());
        std::thread::sleep(Duration::from_millis(100));
    }
    consumer.stop(LIMIT).unwrap().expect_code(0).unwrap();
    saw("started with the schema, ready in the group, and every metric the README lists");
}

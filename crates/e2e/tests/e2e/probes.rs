//! What the probes and the scrape say while a consumer gets one thing after another.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use testkit::probes::{self, Probes};

use crate::{
    datasets::Dataset,
    env::{Env, LIMIT},
    report::saw,
};

/// The metrics of a scrape that have a help text and a type, each with its type.
fn named(scraped: &str) -> BTreeMap<String, String> {
    let types = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let described = types.filter(|(name, _)| scraped.contains(&format!("# HELP {name} ")));
    described.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// The metrics of a consumer that the documentation lists, each with its type.
fn listed() -> BTreeMap<String, String> {
    let rows = include_str!("../../../../docs/OPERATIONS.md").lines().filter(|line| line.starts_with("| `tributary_"));
    let rows = rows.filter(|line| !line.starts_with("| `tributary_producer_"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    cells.map(|cells| (cells[1].trim_matches('`').to_owned(), cells[2].clone())).collect()
}

pub(crate) fn started_with_the_schema_and_ready_in_the_group<D: Dataset>() {
    let env = Env::<D>::bare(crate::kafka::any());
    let consumer = env.consumer(&["--listen", "127.0.0.1:0"]).env("LOG_LEVEL", probes::LOG_LEVEL);
    let mut consumer = consumer.start().unwrap();
    let probes = Probes::of(&mut consumer, LIMIT).unwrap();

    consumer.wait_for_line("waiting for postgres and the schema", LIMIT).unwrap();
    assert!(probes.get("/startupz").is_err() && probes.get("/readyz").is_err());
    env.migrate();
    probes.wait_until_ok("/startupz", LIMIT).unwrap();
    consumer.wait_for_line("waiting for kafka and the topic", LIMIT).unwrap();
    let unready = probes.get("/readyz").unwrap_err();
    assert!(unready.contains(&format!("topic {} is still missing", env.topic)), "{unready}");
    probes.get("/livez").unwrap();

    let scraped = probes.get("/metrics").unwrap();
    let unlabelled = listed().into_iter().filter(|(name, _)| name != "tributary_lag_messages");
    assert_eq!(named(&scraped), unlabelled.collect(), "{scraped}");
    let feed = format!("feed=\"{}\"", D::PIPELINE);
    let rejects = format!("tributary_rejects_total{{{feed}}} 0");
    let new = format!("tributary_records_total{{{feed},outcome=\"new\"}} 0");
    for line in [&rejects, &new, "tributary_ready 0"] {
        assert!(scraped.lines().any(|said| said == line), "{line}: {scraped}");
    }

    env.brokers.create_topic(&env.topic, 2, &[]);
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    env.produce(&D::world(1));
    consumer.wait_for_line("refreshed batch_id 1", LIMIT).unwrap();
    let deadline = Instant::now() + LIMIT;
    let value = |scraped: &str, name: &str| {
        let labelled = format!("{name}{{{feed}}} ");
        let line = scraped.lines().find_map(|line| line.strip_prefix(&labelled)?.parse().ok());
        line.unwrap_or(f64::NAN)
    };
    loop {
        let scraped = probes.get("/metrics").unwrap();
        let settled = value(&scraped, "tributary_unrefreshed_since_timestamp_seconds") == 0.0
            && value(&scraped, "tributary_facts") > 0.0
            && value(&scraped, "tributary_last_refresh_timestamp_seconds") > 1e9;
        // The lag comes with the client's next statistics.
        if settled && named(&scraped) == listed() {
            break;
        }
        assert!(Instant::now() < deadline, "{:?} are listed: {scraped}", listed());
        std::thread::sleep(Duration::from_millis(100));
    }
    consumer.stop(LIMIT).unwrap().expect_code(0).unwrap();
    saw("started with the schema, ready in the group, and every metric that is documented");
}

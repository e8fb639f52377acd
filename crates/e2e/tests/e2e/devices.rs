//! Simulated devices: rows of readings and without, latencies, rubbish, and a look at the topic.

use crate::{
    datasets::iot::Iot,
    env::{Env, LIMIT},
    kafka::Outgoing,
    report::saw,
};

/// What goes wrong in two hours of ten devices that report every five seconds, around midnight.
const WORLD: [&str; 9] = [
    "--speed=max",
    "--devices=10",
    "--period=5s",
    "--start=2026-01-15T23:00:00Z",
    "--duration=2h",
    "--late=2%",
    "--duplicate=1%",
    "--offline=1%",
    "--skew=HUM-001=+26h",
];

fn simulate(env: &Env<Iot>) {
    let program = Env::<Iot>::program("producer").args(["--topic", &env.topic, "--source", "simulator"]).args(WORLD);
    program.env("KAFKA_BROKERS", env.brokers.bootstrap()).run(LIMIT).unwrap().expect_code(0).unwrap();
}

fn consume(env: &Env<Iot>, args: &[&str]) {
    env.consumer(&["--until-end"]).args(args).run(LIMIT).unwrap().expect_code(0).unwrap();
}

/// Every window, latency and late readings included.
fn windows(env: &Env<Iot>) -> Vec<(String,)> {
    env.query(
        "SELECT (window_start, device_id, device_type, reading_count, sum_milli, stddev_value, sum_latency_ms, late_count)::text
         FROM sensor_readings_stream_agg ORDER BY window_start, device_id, device_type",
    )
}

/// The readings that the windows have, and those with a row.
fn counted(env: &Env<Iot>) -> [i64; 3] {
    let count = |sql| env.query::<(i64,)>(sql)[0].0;
    [
        count("SELECT coalesce(sum(reading_count), 0)::bigint FROM sensor_readings_stream_agg"),
        count("SELECT count(*) FROM sensor_readings"),
        count("SELECT count(*) FROM reading_days"),
    ]
}

pub(crate) fn a_row_a_reading_or_none_the_windows_are_the_same() {
    let env = Env::<Iot>::new(3);
    simulate(&env);
    consume(&env, &["--facts-memory", "0", "--refresh-every", "10ms", "--batch-size", "300"]);
    let [readings, rows, days] = counted(&env);
    assert!(readings > 12_000, "{readings}");
    assert_eq!((rows, days), (readings, 2));
    let without = env.with_another_database();
    without.migrate();
    consume(&without, &["--no-raw-rows"]);
    assert_eq!(counted(&without), [readings, 0, 0]);
    assert_eq!(windows(&without), windows(&env));
    // Sent once more, nothing is new, and no window has a second row.
    let before = windows(&env);
    simulate(&env);
    consume(&env, &[]);
    assert_eq!((counted(&env), windows(&env)), ([readings, readings, 2], before));
    saw(format!("{readings} readings, of two days"));
}

pub(crate) fn a_topic_that_is_read_again_gives_the_same_latencies() {
    let env = Env::<Iot>::new(3);
    simulate(&env);
    consume(&env, &[]);
    let first = windows(&env);
    env.consumer(&["reset", "--yes"]).run(LIMIT).unwrap().expect_code(0).unwrap();
    assert_eq!(counted(&env)[..2], [0, 0]);
    consume(&env, &["--batch-size", "77"]);
    assert_eq!(windows(&env), first);
    saw(format!("{} windows", first.len()));
}

pub(crate) fn a_device_that_sends_rubbish_fills_no_disk() {
    let env = Env::<Iot>::new(1);
    let rubbish = |key: &str, n: usize| Outgoing {
        partition: Some(0),
        timestamp_ms: 1_768_500_000_000,
        key: Some(key.as_bytes().to_vec()),
        value: Some(format!("rubbish {n}").into_bytes()),
    };
    let mut sent: Vec<Outgoing> = (0..3_000).map(|n| rubbish("broken", n)).collect();
    sent.extend((0..7).map(|n| rubbish("other", n)));
    env.send(&sent);
    consume(&env, &["--rejects-per-day", "100"]);
    let kept: Vec<(String, i64)> =
        env.query("SELECT convert_from(key, 'UTF8'), count(*) FROM rejects GROUP BY key ORDER BY key");
    assert_eq!(kept, [("broken".to_owned(), 100), ("other".to_owned(), 7)]);
    let rejected: Vec<(i64,)> = env.query("SELECT sum(rejected)::bigint FROM ingest_accounting");
    assert_eq!(rejected, [(3_007,)]);
}

pub(crate) fn a_topic_is_looked_at_without_a_group() {
    let env = Env::<Iot>::new(3);
    simulate(&env);
    let monitor = |args: &[&str]| {
        let program = Env::<Iot>::program("consumer").args(["monitor", "--topic", &env.topic]).args(args);
        program.env("KAFKA_BROKERS", env.brokers.bootstrap()).run(LIMIT).unwrap()
    };
    let ended = monitor(&["--max-messages", "12"]).expect_code(0).unwrap();
    assert_eq!(ended.stdout.len(), 12, "{:?}", ended.stdout);
    let fields: Vec<&str> = ended.stdout[0].split('\t').collect();
    assert_eq!(fields.len(), 5, "{fields:?}");
    assert!(fields[2].starts_with("2026-01-1") && fields[4].contains(&format!("\"device_id\":\"{}\"", fields[3])));
    // Whoever consumes is not disturbed, and begins at the beginning.
    consume(&env, &[]);
    assert!(counted(&env)[0] > 12_000);
    let missing = Env::<Iot>::program("consumer").args(["monitor", "--topic", "missing"]).env("STARTUP_WAIT", "1s");
    missing.env("KAFKA_BROKERS", env.brokers.bootstrap()).run(LIMIT).unwrap().expect_code(69).unwrap();
}

//! Worlds of simulated sensors that go wrong: late, doubled, offline and silent ones, and wrong clocks; both feeds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    datasets::sensors::Sensors,
    env::{Env, LIMIT},
    kafka,
    report::saw,
};

/// A quarter of an hour, and what `--lateness` is unless it is set, milliseconds.
const WINDOW_MS: i64 = 15 * 60_000;
const LATENESS_MS: i64 = 20 * 60_000;

/// What goes wrong in a day of five sensors that report every ten seconds.
const WORLD: [&str; 12] = [
    "--speed=max",
    "--sensors=5",
    "--period=10s",
    "--start=2026-01-15T00:00:00Z",
    "--duration=1day",
    "--late=2%",
    "--late-by=3h",
    "--duplicate=1%",
    "--offline=1%",
    "--drop=1%",
    "--anomaly=1%",
    "--silent=4=12h",
];

/// Both feeds, each of which has a topic.
struct Feeds(Env<Sensors>);

impl Feeds {
    fn new() -> Self {
        let env = Env::new(3);
        env.brokers.create_topic(&format!("{}-events", env.topic), 3, &[]);
        Self(env)
    }

    fn events_topic(&self) -> String {
        format!("{}-events", self.0.topic)
    }

    /// Sends a simulated world.
    fn simulate(&self, world: &[&str]) {
        let program =
            Env::<Sensors>::program("producer").args(["--topic", &self.0.topic, "--source", "simulator"]).args(world);
        let program = program.env("EVENTS_TOPIC", self.events_topic()).env("NO_EVENTS", "0");
        program.env("KAFKA_BROKERS", self.0.brokers.bootstrap()).run(LIMIT).unwrap().expect_code(0).unwrap();
    }

    /// Consumes both topics to their ends.
    fn consume(&self, args: &[&str]) {
        let program = self.0.consumer(&["--until-end"]).args(args);
        let program = program.env("EVENTS_TOPIC", self.events_topic()).env("NO_EVENTS", "0");
        program.run(LIMIT).unwrap().expect_code(0).unwrap();
    }

    /// Every window: sensor, start, count, sum, least, greatest, late.
    fn windows(&self) -> Vec<Window> {
        self.0.query(
            "SELECT sensor_id, (extract(epoch FROM window_start) * 1000)::bigint, reading_count, sum_milli, min_milli,
                    max_milli, late_count
             FROM sensor_temperatures ORDER BY 1, 2",
        )
    }
}

type Window = (i32, i64, i32, i64, i32, i32, i32);

/// A reading as a message has it: sensor, time, thousandths of a degree.
fn reading(value: &[u8]) -> (i32, i64, i32) {
    let value: Value = serde_json::from_slice(value).unwrap();
    let celsius = value["temperature"].as_f64().unwrap();
    let milli = format!("{:.0}", celsius * 1_000.0).parse().unwrap();
    (i32::try_from(value["sensor_id"].as_i64().unwrap()).unwrap(), value["timestamp_ms"].as_i64().unwrap(), milli)
}

/// The windows of a topic's records, applied one after another.
fn one_pass(env: &Env<Sensors>) -> Vec<Window> {
    let (mut clocks, mut known) = (BTreeMap::<i32, i64>::new(), BTreeSet::new());
    let mut windows = BTreeMap::<(i32, i64), Window>::new();
    for record in env.held() {
        let (sensor, at, milli) = reading(&record.value.unwrap());
        if at > record.timestamp_ms + 60 * 60_000 {
            continue;
        }
        let start = at.div_euclid(WINDOW_MS) * WINDOW_MS;
        let clock = clocks.entry(sensor).or_insert(i64::MIN / 2);
        let is_late = start + WINDOW_MS <= *clock - LATENESS_MS;
        *clock = (*clock).max(at);
        if known.insert((sensor, at)) {
            let row = windows.entry((sensor, start)).or_insert((sensor, start, 0, 0, i32::MAX, i32::MIN, 0));
            row.2 += 1;
            row.3 += i64::from(milli);
            (row.4, row.5) = (row.4.min(milli), row.5.max(milli));
            row.6 += i32::from(is_late);
        }
    }
    windows.into_values().collect()
}

pub(crate) fn one_pass_over_the_topic_gives_every_window() {
    let feeds = Feeds::new();
    feeds.simulate(&[WORLD.as_slice(), &["--skew=2=+50m,3=+26h"]].concat());
    feeds.consume(&["--facts-memory", "0", "--refresh-every", "10ms", "--batch-size", "500"]);
    let (windows, expected) = (feeds.windows(), one_pass(&feeds.0));
    assert_eq!(windows, expected);
    let late: i32 = windows.iter().map(|row| row.6).sum();
    assert!(late > 100 && windows.iter().all(|row| row.0 != 3), "{late} late");
    // Sent once more, nothing is new.
    feeds.simulate(&[WORLD.as_slice(), &["--skew=2=+50m,3=+26h"]].concat());
    feeds.consume(&[]);
    assert_eq!(feeds.windows(), expected);
    let events: Vec<(String, i64)> =
        feeds.0.query("SELECT level, count(*) FROM sensor_events GROUP BY level ORDER BY level");
    assert_eq!(events.iter().map(|(level, _)| level.as_str()).collect::<Vec<_>>(), ["ERROR", "WARNING"]);
    let sent: BTreeSet<_> = kafka::held(feeds.0.brokers.bootstrap(), &feeds.events_topic())
        .into_iter()
        .map(|record| (record.key, record.value))
        .collect();
    let kept = events.iter().map(|(_, count)| usize::try_from(*count).unwrap()).sum::<usize>();
    // Sensor 3 is a day ahead, with its events too.
    let rejected = sent.iter().filter(|(key, _)| key.as_deref() == Some(b"3")).count();
    assert_eq!(kept, sent.len() - rejected);
    saw(format!("{} windows, {late} late readings and {kept} events, twice", windows.len()));
}

pub(crate) fn a_wrong_clock_changes_nobody_elses_windows() {
    let windows = ["", "--skew=2=+50m", "--skew=2=+26h"].map(|skew| {
        let feeds = Feeds::new();
        feeds.simulate(&WORLD.iter().copied().chain(Some(skew).filter(|skew| !skew.is_empty())).collect::<Vec<_>>());
        feeds.consume(&[]);
        feeds.windows()
    });
    let others = windows.map(|rows| rows.into_iter().filter(|row| row.0 != 2).collect::<Vec<_>>());
    assert_eq!(others[0], others[1]);
    assert_eq!(others[0], others[2]);
    saw(format!("{} windows of the others are the same", others[0].len()));
}

pub(crate) fn a_silent_sensors_last_windows_say_so() {
    let feeds = Feeds::new();
    feeds.simulate(&WORLD);
    feeds.consume(&[]);
    let status: Vec<(i32, i64, i64, i64)> = feeds.0.query(
        "SELECT sensor_id, count(*) FILTER (WHERE is_final), count(*) FILTER (WHERE status = 'silent'),
                count(*) FILTER (WHERE status = 'provisional')
         FROM sensor_windows GROUP BY sensor_id ORDER BY sensor_id",
    );
    let of = |sensor: i32| *status.iter().find(|row| row.0 == sensor).unwrap();
    assert!(of(4).1 + 10 < of(1).1, "it died at noon: {status:?}");
    assert!(status.iter().all(|row| (1..=3).contains(&row.2) && row.3 == 0), "{status:?}");
    saw(format!("final, silent, provisional by sensor: {status:?}"));
}

pub(crate) fn a_week_that_comes_late_reaches_its_days() {
    let feeds = Feeds::new();
    let simulate = |start: &str, days: &str, sensors: &str| {
        feeds.simulate(&["--speed=max", "--period=1m", start, days, sensors, "--anomaly=0%"]);
        feeds.consume(&[]);
    };
    let report = |changed: &str| {
        let program = Env::<Sensors>::program("warehouse").args(["report", "--timezone", "Europe/Madrid"]);
        let ended = program.env("DATABASE_URL", feeds.0.writer_url()).run(LIMIT).unwrap().expect_code(0).unwrap();
        assert!(ended.said(&format!("stored {changed} of")), "{:?}", ended.stderr);
    };
    simulate("--start=2026-03-10T00:00:00Z", "--duration=2days", "--sensors=2");
    // Three days of Madrid's, for each sensor.
    report("6");
    report("0");
    // 29 March has 23 hours in Madrid; it comes with an old week for one sensor.
    simulate("--start=2026-02-20T00:00:00Z", "--duration=7days", "--sensors=1");
    report("8");
    simulate("--start=2026-03-28T23:00:00Z", "--duration=23h", "--sensors=1");
    report("1");
    let hours: Vec<(String, i64, Option<i64>)> = feeds.0.query(
        "SELECT date::text, jsonb_array_length(report->'hours')::bigint, (report->>'readings')::bigint
         FROM daily_reports WHERE sensor_id = 1 AND date IN ('2026-02-22', '2026-03-29') ORDER BY date",
    );
    let expected = [("2026-02-22", 24, Some(1_440)), ("2026-03-29", 23, Some(1_380))];
    assert_eq!(hours, expected.map(|(date, hours, readings)| (date.to_owned(), hours, readings)));
    let windows = feeds.0.number("SELECT sum(late_count)::bigint FROM sensor_temperatures");
    assert!(windows >= 7 * 1_440 - 20, "{windows} readings came late");
    saw("a week that came late reached its seven days, and no other");
}

pub(crate) fn the_predecessors_messages_are_read() {
    let feeds = Feeds::new();
    let at = 1_768_435_200_000;
    let record = |key: &str, value: &str| kafka::Outgoing {
        key: Some(key.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        timestamp_ms: at,
        ..kafka::Outgoing::default()
    };
    let client = kafka::client(feeds.0.brokers.bootstrap());
    let readings = [
        record("7", r#"{"sensor_id": 7, "timestamp": 1768435200, "temperature": 11.87}"#),
        record("7", r#"{"sensor_id": 7, "timestamp": 1768435201, "temperature": 12.130000000000001}"#),
    ];
    kafka::send(&client, &feeds.0.topic, &readings);
    let events = [record("7", r#"{"sensor_id": 7, "level": "ERROR", "message": "sensor disconnected"}"#)];
    kafka::send(&client, &feeds.events_topic(), &events);
    feeds.consume(&[]);
    let rows: Vec<(i32, String, i32)> =
        feeds.0.query("SELECT sensor_id, avg_temperature::text, reading_count FROM sensor_temperatures");
    assert_eq!(rows, [(7, "12.00".to_owned(), 2)]);
    let rows: Vec<(i64, String, String)> =
        feeds.0.query("SELECT (extract(epoch FROM happened_at) * 1000)::bigint, level, message FROM sensor_events");
    assert_eq!(rows, [(at, "ERROR".to_owned(), "sensor disconnected".to_owned())]);
    saw("readings by their seconds, an event by its record's time");
}

pub(crate) fn a_feed_without_its_topic_ends_both_and_loses_nothing() {
    let feeds = Feeds::new();
    feeds.simulate(&["--speed=max", "--period=1m", "--start=2026-01-15T00:00:00Z", "--duration=1h"]);
    let program = feeds.0.consumer(&["--wait", "8s", "--refresh-every", "10ms"]);
    let program = program.env("EVENTS_TOPIC", format!("{}-missing", feeds.0.topic)).env("NO_EVENTS", "0");
    program.run(LIMIT).unwrap().expect_failure(69, &["is still missing"]).unwrap();
    let stored = feeds.0.number("SELECT coalesce(sum(reading_count), 0)::bigint FROM sensor_temperatures");
    assert_eq!(stored, one_pass(&feeds.0).iter().map(|row| i64::from(row.2)).sum::<i64>());
    saw("exit 69, and the other feed had stored all that it had");
}

pub(crate) fn old_windows_are_forgotten_and_never_begun_again() {
    let feeds = Feeds::new();
    let world = [
        "--speed=max",
        "--sensors=2",
        "--period=5m",
        "--start=2026-01-01T00:00:00Z",
        "--duration=60days",
        "--anomaly=0%",
    ];
    let keep = ["--keep", "10days", "--keep-history", "1day", "--facts-memory", "0", "--refresh-every", "10ms"];
    feeds.simulate(&world);
    feeds.consume(&keep);
    let windows = feeds.windows();
    let cold = feeds.0.number("SELECT count(*) FROM sensors_cold");
    feeds.simulate(&world);
    feeds.consume(&keep);
    assert_eq!(feeds.windows(), windows, "the second sending changes no row");
    let filtered = feeds.0.number("SELECT sum(filtered)::bigint FROM ingest_accounting");
    assert!(filtered > 2 * 49 * 288, "{filtered}");
    let after = feeds.0.number("SELECT count(*) FROM sensors_cold");
    assert!(after <= cold.max(2 * 12 * 96), "{cold} and then {after} windows are kept");
    saw(format!("{filtered} readings were behind the horizon, {after} windows are kept"));
}

pub(crate) fn another_lateness_opens_no_final_window_again() {
    let feeds = Feeds::new();
    feeds.simulate(&WORLD);
    feeds.consume(&[]);
    let finals = "SELECT count(*) FROM sensor_windows WHERE is_final";
    let (before, windows) = (feeds.0.number(finals), feeds.windows());
    feeds.simulate(&WORLD);
    feeds.consume(&["--lateness", "5h"]);
    assert!(feeds.0.number(finals) >= before);
    assert_eq!(feeds.windows(), windows);
    let ended = feeds.0.consumer(&["--until-end", "--window", "30m"]).run(LIMIT).unwrap();
    ended.expect_failure(64, &["window_size_ms is 1800000", "stored with 900000"]).unwrap();
    let ended = feeds.0.consumer(&["--until-end", "--keep", "30m"]).run(LIMIT).unwrap();
    ended.expect_failure(64, &["keep at least that long"]).unwrap();
    saw(format!("{before} windows stay final"));
}

//! Readings over HTTP and MQTT, and a file that grows: what was acknowledged is in the tables once, what was refused is not.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use testkit::{
    mosquitto::Mosquitto,
    probes::{self, Probes},
    process::{Program, Running},
};

use crate::{
    datasets::sensors::Sensors,
    env::{Env, LIMIT},
    kafka::{self, Brokers},
    proxy::{Proxy, Weather},
    report::{self, saw},
    servers,
};

/// 2026-01-15 00:00 UTC, milliseconds since 1970.
const BEGIN_MS: i64 = 1_768_435_200_000;
/// Long enough for an acknowledgement that would come, were it not held back.
const DELAY: Duration = Duration::from_secs(4);

/// A reading as people send it; each has its own time.
fn reading(number: usize) -> String {
    format!("{{\"sensor_id\":{},\"temperature\":21.5,\"timestamp_ms\":{}}}", number % 5, time_of(number))
}

fn time_of(number: usize) -> i64 {
    BEGIN_MS + i64::try_from(number).unwrap() * 1_000
}

fn array(numbers: impl Iterator<Item = usize>) -> String {
    format!("[{}]", numbers.map(reading).collect::<Vec<_>>().join(","))
}

/// Consumes all, and checks that exactly these readings are in the tables, once each.
fn check_stored(env: &Env<Sensors>, numbers: impl Iterator<Item = usize>) {
    env.consume(1);
    let stored: Vec<(i64,)> =
        env.query("SELECT (extract(epoch FROM measured_at) * 1000)::bigint FROM sensor_readings ORDER BY 1");
    let stored: Vec<i64> = stored.into_iter().map(|(at,)| at).collect();
    let expected: BTreeSet<i64> = numbers.map(time_of).collect();
    assert_eq!(stored, expected.into_iter().collect::<Vec<_>>());
    assert_eq!(env.number("SELECT count(*) FROM rejects"), 0);
}

/// A port that nobody listens on.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn producer(env: &Env<Sensors>) -> Program {
    let program = Env::<Sensors>::program("producer").args(["--topic", &env.topic, "--listen", "127.0.0.1:0"]);
    program.env("KAFKA_BROKERS", env.brokers.bootstrap()).env("LOG_LEVEL", probes::LOG_LEVEL)
}

/// A producer that takes readings over HTTP.
struct Http {
    address: SocketAddr,
    running: Running,
}

impl Http {
    fn start(env: &Env<Sensors>, args: &[&str]) -> Self {
        Self::start_at(env, free(), args)
    }

    fn start_at(env: &Env<Sensors>, address: SocketAddr, args: &[&str]) -> Self {
        let program = producer(env).args(["--source", "http", "--http-listen", &address.to_string()]).args(args);
        let mut running = program.start().unwrap();
        running.wait_for_line("taking readings at POST /readings", LIMIT).unwrap();
        Self { address, running }
    }

    fn post(&self, body: &str) -> (u16, String) {
        post(self.address, body).unwrap()
    }
}

/// The status and the body of a response; an error where the connection breaks.
fn post(address: SocketAddr, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let length = body.len();
    stream.write_all(
        format!("POST /readings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
            .as_bytes(),
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.map(|status| (status, response)).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

pub(crate) fn http_takes_what_it_says_and_nothing_else() {
    let env = Env::<Sensors>::new(3);
    let http = Http::start(&env, &[]);
    assert_eq!(http.post(&reading(0)).0, 200);
    assert_eq!(http.post(&array(1..50)).0, 200);
    assert_eq!(http.post(&[reading(50), reading(51)].join("\n")).0, 200);
    let bad = format!("[{},{{\"sensor_id\":1}}]", reading(60));
    let (status, said) = http.post(&bad);
    assert!(status == 400 && said.contains("\"index\":1,\"reason\":\"temperature is missing\""), "{said}");
    // A client that stops in mid-body.
    let mut stream = TcpStream::connect(http.address).unwrap();
    let part = reading(70);
    let head = format!("POST /readings HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{part}\n", 2 * part.len());
    stream.write_all(head.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(100));
    drop(stream);
    // One without a time has that of its arrival, and counts.
    assert_eq!(http.post(r#"{"sensor_id":9,"temperature":20}"#).0, 200);
    http.running.stop(LIMIT).unwrap().expect_code(0).unwrap();
    env.consume(1);
    let now = env
        .number("SELECT count(*) FROM sensor_readings WHERE sensor_id = 9 AND measured_at > now() - interval '1 hour'");
    assert_eq!(now, 1);
    let stored = env.number("SELECT count(*) FROM sensor_readings WHERE sensor_id < 9");
    assert_eq!((stored, env.number("SELECT count(*) FROM rejects")), (52, 0));
    saw("52 readings of three requests; none of a request that was refused, or broke off");
}

pub(crate) fn http_waits_for_kafka() {
    let env = Env::<Sensors>::on(crate::embedded(), 3);
    let mut http = Http::start(&env, &["--max-unacknowledged", "10"]);
    assert_eq!(http.post(&array(0..5)).0, 200);
    env.brokers.embedded().pause().unwrap();
    let address = http.address;
    let waiting = thread::spawn(move || post(address, &array(5..10)).unwrap());
    let probes = Probes::of(&mut http.running, LIMIT).unwrap();
    let held = || probes.get("/metrics").unwrap().contains("tributary_producer_unacknowledged_messages 5");
    let begun = Instant::now();
    while !held() {
        assert!(begun.elapsed() < LIMIT);
        thread::sleep(Duration::from_millis(50));
    }
    let (status, said) = http.post(&array(20..26));
    assert!(status == 429 && said.contains("retry-after: 1"), "{said}");
    thread::sleep(Duration::from_secs(11));
    let (status, said) = http.post(&reading(30));
    assert!(status == 503 && said.contains("readings that have a time count once"), "{said}");
    assert!(probes.get("/readyz").is_err());
    env.brokers.embedded().resume().unwrap();
    assert_eq!(waiting.join().unwrap().0, 200);
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    // As a client does that was told to.
    assert_eq!(http.post(&array(20..26)).0, 200);
    http.running.stop(LIMIT).unwrap().expect_code(0).unwrap();
    check_stored(&env, (0..10).chain(20..26));
    saw("429 when full, 503 while kafka is away, then 200; what was refused and not repeated is nowhere");
}

pub(crate) fn http_is_killed_at_random_moments() {
    let env = Env::<Sensors>::on(kafka::best(), 3);
    let address = free();
    let done = std::sync::atomic::AtomicBool::new(false);
    let acknowledged = thread::scope(|scope| {
        let client = |from: usize| {
            let done = &done;
            scope.spawn(move || {
                let (mut acknowledged, mut next) = (vec![], from);
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    // Repeated until it is acknowledged.
                    match post(address, &array(next..next + 10)) {
                        Ok((200, _)) => {
                            acknowledged.extend(next..next + 10);
                            next += 40;
                        }
                        _ => thread::sleep(Duration::from_millis(20)),
                    }
                }
                (acknowledged, next)
            })
        };
        let clients: Vec<_> = [0, 10, 20, 30].map(client).into_iter().collect();
        for round in 0..6_u64 {
            let http = Http::start_at(&env, address, &[]);
            thread::sleep(Duration::from_millis(150 + round * 70));
            http.running.kill().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    env.consume(1);
    let stored: Vec<(i64,)> = env.query("SELECT (extract(epoch FROM measured_at) * 1000)::bigint FROM sensor_readings");
    let times: BTreeSet<i64> = stored.iter().map(|(at,)| *at).collect();
    assert_eq!(times.len(), stored.len(), "each once");
    let all: Vec<usize> = acknowledged.iter().flat_map(|(all, _)| all.clone()).collect();
    assert!(all.len() > 500, "{}", all.len());
    assert!(all.iter().all(|number| times.contains(&time_of(*number))), "what was acknowledged is there");
    // What a client sent last and was not acknowledged may be there too.
    assert!(stored.len() <= all.len() + 40, "{} and {}", stored.len(), all.len());
    saw(format!("six times: {} readings were acknowledged, and are there once", all.len()));
}

/// A broker, and a producer that takes its messages, perhaps through a network that can be disturbed.
struct Mqtt {
    broker: Mosquitto,
    url: String,
    env: Env<Sensors>,
}

impl Mqtt {
    /// `None` where there is no Mosquitto, which is said.
    fn new(test: &str, brokers: Brokers, settings: &str) -> Option<Self> {
        match Mosquitto::start(&servers::folder("mosquitto"), settings) {
            Ok(broker) => {
                let url = format!("mqtt://{}", broker.address());
                Some(Self { broker, url, env: Env::on(brokers, 3) })
            }
            Err(why) => {
                report::skip("sensors", test, &format!("{why:#}"));
                None
            }
        }
    }

    fn producer(&self) -> Running {
        let args = ["--source", "mqtt", "--mqtt-url", &self.url, "--mqtt-topic", "home/+/temperature"];
        let mut running = producer(&self.env).args(args).start().unwrap();
        running.wait_for_line("ready since_start_ms", LIMIT).unwrap();
        running
    }

    fn publish(&self, numbers: impl Iterator<Item = usize>) {
        self.broker.publish("home/x/temperature", &numbers.map(reading).collect::<Vec<_>>(), &[]).unwrap();
    }

    /// Waits until the topic holds so many records at least; gives their number.
    fn held(&self, records: usize) -> usize {
        let begun = Instant::now();
        loop {
            let held = self.env.held().len();
            if held >= records {
                return held;
            }
            assert!(begun.elapsed() < LIMIT, "{held} of {records}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

pub(crate) fn mqtt_is_killed_between_kafkas_acknowledgement_and_its_own() {
    let Some(mut mqtt) = Mqtt::new("killed between", kafka::best(), "") else { return };
    let proxy = Proxy::to(mqtt.broker.address().parse().unwrap());
    mqtt.url = format!("mqtt://{}", proxy.address());
    let running = mqtt.producer();
    proxy.set(Weather::Slow(DELAY));
    mqtt.publish(0..50);
    mqtt.held(50);
    // Its acknowledgements are under way for as long as the messages were.
    running.kill().unwrap();
    proxy.cut();
    proxy.set(Weather::Fair);
    let running = mqtt.producer();
    let held = mqtt.held(51);
    running.stop(LIMIT).unwrap().expect_code(0).unwrap();
    check_stored(&mqtt.env, 0..50);
    saw(format!("the broker sent them again, {held} records for 50 readings, which are there once"));
}

pub(crate) fn an_mqtt_broker_keeps_messages_while_nobody_reads() {
    let Some(mqtt) = Mqtt::new("keeps messages", kafka::best(), "") else { return };
    let mut running = mqtt.producer();
    mqtt.publish(0..20);
    mqtt.held(20);
    mqtt.broker.pause().unwrap();
    running.wait_for_line("is not connected", LIMIT).unwrap();
    mqtt.broker.revive().unwrap();
    running.wait_for_line("which had a session of ours", LIMIT).unwrap();
    mqtt.publish(20..40);
    mqtt.held(40);
    running.stop(LIMIT).unwrap().expect_code(0).unwrap();
    mqtt.publish(40..60);
    let running = mqtt.producer();
    mqtt.held(60);
    running.stop(LIMIT).unwrap().expect_code(0).unwrap();
    check_stored(&mqtt.env, 0..60);
    saw("stopped and started again, and 20 messages that came while no producer ran");
}

pub(crate) fn an_mqtt_broker_that_lost_the_session_is_subscribed_to_again() {
    let Some(mqtt) = Mqtt::new("lost the session", kafka::best(), "") else { return };
    let mut running = mqtt.producer();
    mqtt.publish(0..20);
    mqtt.held(20);
    mqtt.broker.kill().unwrap();
    mqtt.broker.forget().unwrap();
    mqtt.broker.revive().unwrap();
    running.wait_for_line("is not connected", LIMIT).unwrap();
    let probes = Probes::of(&mut running, LIMIT).unwrap();
    probes.wait_until_ok("/readyz", LIMIT).unwrap();
    mqtt.publish(20..40);
    mqtt.held(40);
    running.stop(LIMIT).unwrap().expect_code(0).unwrap();
    check_stored(&mqtt.env, 0..40);
    saw("its data deleted: subscribed again, nothing that it still had is missing");
}

pub(crate) fn an_mqtt_broker_drops_what_exceeds_its_queue() {
    let Some(mqtt) = Mqtt::new("drops", kafka::best(), "max_queued_messages 10\nmax_inflight_messages 5") else {
        return;
    };
    mqtt.producer().stop(LIMIT).unwrap().expect_code(0).unwrap();
    mqtt.publish(0..40);
    let running = mqtt.producer();
    mqtt.held(10);
    thread::sleep(DELAY);
    running.stop(LIMIT).unwrap().expect_code(0).unwrap();
    mqtt.env.consume(1);
    let stored = mqtt.env.number("SELECT count(*) FROM sensor_readings");
    assert!((10..40).contains(&stored), "{stored}");
    saw(format!(
        "max_queued_messages 10: of 40 messages that came while nobody read, {stored} were kept by the broker"
    ));
}

pub(crate) fn mqtt_waits_while_kafka_is_away() {
    let Some(mqtt) = Mqtt::new("waits", crate::embedded(), "") else { return };
    let running = mqtt.producer();
    mqtt.publish(0..5);
    mqtt.held(5);
    mqtt.env.brokers.embedded().pause().unwrap();
    mqtt.publish(5..300);
    thread::sleep(Duration::from_secs(5));
    mqtt.env.brokers.embedded().resume().unwrap();
    mqtt.held(300);
    running.stop(LIMIT).unwrap().expect_code(0).unwrap();
    check_stored(&mqtt.env, 0..300);
    saw("295 messages came while kafka was away");
}

pub(crate) fn mqtt_messages_that_are_no_readings() {
    let Some(mqtt) = Mqtt::new("no readings", kafka::best(), "") else { return };
    let publish = |message: &str, options: &[&str]| {
        mqtt.broker.publish("home/x/temperature", &[message.to_owned()], options).unwrap();
    };
    publish(r#"{"sensor_id":7,"temperature":20}"#, &["-r"]);
    let mut running = mqtt.producer();
    publish("unavailable", &[]);
    publish("rubbish", &[]);
    mqtt.publish(0..1);
    mqtt.held(2);
    let probes = Probes::of(&mut running, LIMIT).unwrap();
    let scraped = probes.get("/metrics").unwrap();
    for (outcome, number) in [("taken", 1), ("filtered", 1), ("retained", 1), ("rejected", 1)] {
        let line = format!("tributary_producer_mqtt_messages_total{{outcome=\"{outcome}\"}} {number}");
        assert!(scraped.contains(&line), "{line}: {scraped}");
    }
    running.stop(LIMIT).unwrap().expect_code(0).unwrap();
    mqtt.env.consume(1);
    let rejects: Vec<(Vec<u8>, String)> = mqtt.env.query("SELECT value, reason FROM rejects");
    assert!(matches!(rejects.as_slice(), [(value, _)] if value == b"rubbish"), "{rejects:?}");
    assert_eq!(mqtt.env.number("SELECT count(*) FROM sensor_readings"), 1);
    saw("retained without a time, `unavailable` and rubbish: dropped, filtered and kept as a reject");
}

pub(crate) fn a_file_that_grows_is_followed() {
    let env = Env::<Sensors>::new(3);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.csv", env.topic));
    let append = |text: &str| {
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let row = |number: usize| format!("{},{},21.5\n", number % 5, time_of(number) / 1_000);
    let rows = |numbers: std::ops::Range<usize>| numbers.map(row).collect::<String>();
    let header = "sensor_id,timestamp,temperature\n";
    append(&format!("{header}{}", rows(0..20)));
    let program = producer(&env).args(["--follow", "--input"]).args([&path]);
    let running = program.start().unwrap();
    let held = |records: usize| {
        let begun = Instant::now();
        while env.held().len() < records {
            assert!(begun.elapsed() < LIMIT);
            thread::sleep(Duration::from_millis(50));
        }
    };
    held(20);
    let half = row(20);
    append(&half[..7]);
    thread::sleep(Duration::from_millis(500));
    append(&half[7..]);
    held(21);
    let moved = path.with_extension("1");
    std::fs::rename(&path, &moved).unwrap();
    append(&format!("{header}{}", rows(21..30)));
    held(30);
    std::fs::write(&path, format!("{header}{}", row(30))).unwrap();
    held(31);
    running.stop(LIMIT).unwrap().expect_code(0).unwrap();
    check_stored(&env, 0..31);
    for file in [path, moved] {
        std::fs::remove_file(file).unwrap();
    }
    saw("appended, half written, replaced, truncated");
}

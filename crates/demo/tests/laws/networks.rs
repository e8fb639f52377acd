//! The network between us and the servers is cut, slow, or open at one end only.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use demo::process::{Program, Running};

use crate::{
    datasets::Dataset,
    disturbed,
    kafka::{self, Brokers},
    proxy::{Proxy, Weather},
    random::Random,
    report::{saw, seconds},
    road::Road,
    servers,
};

/// Within this time a lost connection has to be given up: Postgres' by keepalives and unacknowledged bytes, some 15 s;
/// Kafka's by the end of the session, 10 s. What the client had asked of Kafka meanwhile it asks again after 60 s.
const SILENCE: Duration = Duration::from_secs(80);
const DELAY: Duration = Duration::from_millis(250);

fn publishing<D: Dataset>(road: &Road<D>) -> Program {
    road.consumer(&["--publish-every", "10ms"])
}

/// A consumer that reaches Postgres by way of a proxy.
fn to_postgres<D: Dataset>(weather: impl FnOnce(&Proxy, &mut Running)) {
    let road = Road::<D>::new(3);
    let proxy = Proxy::to(road.postgres_address());
    let consumer = publishing(&road).env("DATABASE_URL", road.writer_url_at(proxy.address()));
    disturbed::run(&road, consumer, |consumer| {
        weather(&proxy, consumer);
        proxy.set(Weather::Fair);
    });
}

/// A Kafka of its own, whose clients are all told to come by way of a proxy.
fn kafka_behind_a_proxy() -> (Brokers, Proxy) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let settings = format!(
        "listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,PROXIED://127.0.0.1:@PORT+2@\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,PROXIED://{address}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT\n"
    );
    let file = servers::folder("proxied").with_extension("properties");
    std::fs::write(&file, settings).unwrap();
    let kafka = servers::kafka_with(&[("KAFKA_PROPERTIES", file.to_str().unwrap())]);
    let mut behind: SocketAddr = kafka.bootstrap().parse().unwrap();
    behind.set_port(behind.port() + 2);
    (Brokers::Own(kafka), Proxy::listening(listener, behind))
}

/// A consumer and a producer that reach Kafka by way of a proxy.
fn to_kafka<D: Dataset>(law: &str, weather: impl FnOnce(&Proxy, &mut Running)) {
    if kafka::real::<D>(law).is_none() {
        return;
    }
    let (brokers, proxy) = kafka_behind_a_proxy();
    let road = Road::<D>::on(brokers, 3);
    let road = road.by_way_of(proxy.address());
    disturbed::run(&road, publishing(&road), |consumer| {
        weather(&proxy, consumer);
        proxy.set(Weather::Fair);
    });
}

fn cut(proxy: &Proxy, _: &mut Running) {
    let mut random = Random::new(6);
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(random.below(400) as u64));
        proxy.cut();
    }
    saw("10 cuts");
}

fn delay(proxy: &Proxy, _: &mut Running) {
    proxy.set(Weather::Slow(DELAY));
    thread::sleep(Duration::from_secs(10));
    saw(format!("{} ms there and back", 2 * DELAY.as_millis()));
}

/// Connections are lost, and nobody is told; the consumer has to find out by itself.
fn loss(proxy: &Proxy, consumer: &mut Running, finds_out: &str) {
    proxy.lose();
    let lost = Instant::now();
    consumer.wait_for_line(finds_out, SILENCE).unwrap();
    saw(format!("found out {} after every connection was lost", seconds(lost.elapsed())));
}

pub(crate) fn the_way_to_postgres_is_cut<D: Dataset>() {
    to_postgres::<D>(cut);
}

pub(crate) fn the_way_to_postgres_is_slow<D: Dataset>() {
    to_postgres::<D>(delay);
}

pub(crate) fn the_way_to_postgres_is_half_open<D: Dataset>() {
    to_postgres::<D>(|proxy, consumer| loss(proxy, consumer, "failed and will be retried"));
}

pub(crate) fn the_way_to_kafka_is_cut<D: Dataset>() {
    to_kafka::<D>("the way to kafka is cut", cut);
}

pub(crate) fn the_way_to_kafka_is_slow<D: Dataset>() {
    to_kafka::<D>("the way to kafka is slow", delay);
}

pub(crate) fn the_way_to_kafka_is_half_open<D: Dataset>() {
    to_kafka::<D>("the way to kafka is half open", |proxy, consumer| loss(proxy, consumer, "revoked partitions"));
}

//! The network between us and the servers is cut, slow, or open at one end only.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use testkit::process::{Program, Running};

use crate::{
    datasets::Dataset,
    disturbed,
    env::Env,
    kafka::{self, Brokers},
    proxy::{Proxy, Weather},
    random::Random,
    report::{saw, seconds},
    servers,
};

/// Within this time a program has to drop a lost connection: Postgres' by keepalives and unacknowledged bytes, some
/// 15 s; Kafka's by the end of the session, 10 s. The client repeats its open requests to Kafka after 60 s.
const SILENCE: Duration = Duration::from_secs(80);
const DELAY: Duration = Duration::from_millis(250);

fn refreshing<D: Dataset>(env: &Env<D>) -> Program {
    env.consumer(&["--refresh-every", "10ms"])
}

/// A consumer that reaches Postgres through a proxy.
fn to_postgres<D: Dataset>(weather: impl FnOnce(&Proxy, &mut Running)) {
    let env = Env::<D>::new(3);
    let proxy = Proxy::to(env.postgres_address());
    let consumer = refreshing(&env).env("DATABASE_URL", env.writer_url_at(proxy.address()));
    disturbed::run(&env, consumer, |consumer| {
        weather(&proxy, consumer);
        proxy.set(Weather::Fair);
    });
}

/// A test's own Kafka with a listener that advertises a proxy's address.
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

/// A consumer and a producer that reach Kafka through a proxy.
fn to_kafka<D: Dataset>(test: &str, weather: impl FnOnce(&Proxy, &mut Running)) {
    if kafka::real::<D>(test).is_none() {
        return;
    }
    let (brokers, proxy) = kafka_behind_a_proxy();
    let env = Env::<D>::on(brokers, 3);
    let env = env.through(proxy.address());
    disturbed::run(&env, refreshing(&env), |consumer| {
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

/// Connections are lost without notice; the consumer has to find out.
fn loss(proxy: &Proxy, consumer: &mut Running, finds_out: &str) {
    proxy.lose();
    let lost = Instant::now();
    consumer.wait_for_line(finds_out, SILENCE).unwrap();
    saw(format!("found out {} after every connection was lost", seconds(lost.elapsed())));
}

pub(crate) fn the_connection_to_postgres_is_cut<D: Dataset>() {
    to_postgres::<D>(cut);
}

pub(crate) fn the_connection_to_postgres_is_slow<D: Dataset>() {
    to_postgres::<D>(delay);
}

pub(crate) fn the_connection_to_postgres_is_half_open<D: Dataset>() {
    to_postgres::<D>(|proxy, consumer| loss(proxy, consumer, "failed and will be retried"));
}

pub(crate) fn the_connection_to_kafka_is_cut<D: Dataset>() {
    to_kafka::<D>("the connection to kafka is cut", cut);
}

pub(crate) fn the_connection_to_kafka_is_slow<D: Dataset>() {
    to_kafka::<D>("the connection to kafka is slow", delay);
}

pub(crate) fn the_connection_to_kafka_is_half_open<D: Dataset>() {
    to_kafka::<D>("the connection to kafka is half open", |proxy, consumer| {
        loss(proxy, consumer, "revoked partitions")
    });
}

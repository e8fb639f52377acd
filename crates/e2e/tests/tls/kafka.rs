//! Kafka with logins and TLS on one listener, and clients' certificates on another.

use std::{
    path::PathBuf,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use testkit::{
    TestDatabase,
    kafka::{self, FENCED, Kafka},
    process::{Program, Running},
};

use crate::{LIMIT, PATIENCE, WAIT, certificates::Authority, check, folder};

const PASSWORD: &str = "a-carriers-password";
const SCRAM: &str = "SCRAM-SHA-512=[name=carrier,password=a-carriers-password]";
const TOPIC: &str = "behind-tls";
const ROWS: i64 = 40;
const UNTIL_END: [&str; 1] = ["--until-end"];

/// The settings of a broker with two more listeners than by default; `@…@` are those of `scripts/kafka`.
fn properties(keystore: &str, truststore: &str) -> String {
    format!(
        "listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,\
         LOGIN://127.0.0.1:@PORT+2@,MUTUAL://127.0.0.1:@PORT+3@\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,\
         LOGIN://localhost:@PORT+2@,MUTUAL://localhost:@PORT+3@\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,MUTUAL:SSL\n\
         listener.name.login.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         listener.name.login.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         listener.name.mutual.ssl.client.auth=required\n\
         ssl.keystore.type=PEM\nssl.keystore.location={keystore}\n\
         ssl.truststore.type=PEM\nssl.truststore.location={truststore}\n"
    )
}

/// A test's own broker; `localhost` is what its certificate says.
struct Broker {
    kafka: Kafka,
    /// Its own settings.
    properties: String,
    /// The settings of a client that logs in.
    login: Vec<(&'static str, String)>,
    /// The settings of a client that shows a certificate.
    mutual: Vec<(&'static str, String)>,
}

impl Broker {
    /// Starts one in the test's own folders, whose names begin with `name`.
    fn start(name: &str, authority: &Authority) -> Self {
        let files = folder(&format!("{name}-settings"));
        let pair = authority.sign("localhost");
        let (keystore, settings) = (files.join("keystore.pem"), files.join("server.properties"));
        std::fs::write(&keystore, pair.key + &pair.certificate).unwrap();
        let properties = properties(keystore.to_str().unwrap(), &authority.file());
        std::fs::write(&settings, &properties).unwrap();
        let env = [("KAFKA_PROPERTIES", settings.to_str().unwrap()), ("KAFKA_SCRAM", SCRAM)];
        let kafka = Kafka::start_with(&folder(&format!("{name}-server")), &env).unwrap();
        let port: u16 = kafka.bootstrap().rsplit_once(':').unwrap().1.parse().unwrap();
        let at = |port: u16| ("KAFKA_BROKERS", format!("localhost:{port}"));
        let login = vec![
            at(port + 2),
            ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
            ("KAFKA_SSL_CA_LOCATION", authority.file()),
            ("KAFKA_SASL_USERNAME", "carrier".to_owned()),
            ("KAFKA_SASL_PASSWORD", PASSWORD.to_owned()),
        ];
        let (certificate, key) = authority.sign_files("carrier");
        let mutual = vec![
            at(port + 3),
            ("KAFKA_SECURITY_PROTOCOL", "ssl".to_owned()),
            ("KAFKA_SSL_CA_LOCATION", authority.file()),
            ("KAFKA_SSL_CERTIFICATE_LOCATION", certificate),
            ("KAFKA_SSL_KEY_LOCATION", key),
        ];
        Self { kafka, properties, login, mutual }
    }

    /// Kills it, and has it back with further settings.
    fn restart_with(&self, further: &str) {
        self.kafka.kill().unwrap();
        self.kafka.revive_with(&format!("{}{further}", self.properties)).unwrap();
    }
}

/// A program with settings.
fn with(program: Program, settings: &[(&'static str, String)]) -> Program {
    settings.iter().fold(program, |program, (name, value)| program.env(name, value))
}

/// The same settings, some of them otherwise.
fn but(settings: &[(&'static str, String)], changes: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let changed = changes.iter().map(|(name, value)| (*name, (*value).to_owned()));
    settings.iter().cloned().chain(changed).collect()
}

/// What all of them send.
static INPUT: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = folder("kafka-input").join("made.csv");
    let row = |year| format!("Made Land,{year},XAA,1000,2000,{year},4\n");
    let rows: String = (1980..1980 + ROWS).map(row).collect();
    std::fs::write(&path, format!("country,year,iso_code,population,gdp,co2,co2_per_capita\n{rows}")).unwrap();
    path
});

fn producer(settings: &[(&'static str, String)], wait: &str) -> Program {
    let program = Program::new("producer").unwrap().args(["--topic", TOPIC, "--wait", wait, "--input"]);
    with(program.args([INPUT.as_path()]), settings)
}

fn consumer(url: &str, settings: &[(&'static str, String)], wait: &str) -> Program {
    let program = Program::new("consumer").unwrap().args(["--topic", TOPIC, "--wait", wait]);
    with(program.env("DATABASE_URL", url), settings)
}

/// A database with the schema; the URL of its superuser, and of nobody else, since logins are another matter.
fn database() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = runtime.block_on(TestDatabase::create()).unwrap().url();
    let program = Program::new("migrate").unwrap().args(["--pipeline", "emissions", "up"]);
    program.env("DATABASE_URL", &url).env("ROLE_PREFIX", "tls").run(LIMIT).unwrap().expect_code(0).unwrap();
    url
}

/// A client may need a minute to find Kafka again.
fn wait_for_read(url: &str, records: i64, consumer: &Running) {
    let began = Instant::now();
    while read(url) < records {
        let said = || consumer.stderr().join("\n");
        assert!(began.elapsed() < 2 * LIMIT, "{} of {records} records were read:\n{}", read(url), said());
        thread::sleep(Duration::from_millis(100));
    }
}

fn read(url: &str) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let query = "SELECT coalesce(sum(read), 0)::bigint FROM ingest_accounting";
        sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
    })
}

#[test]
fn records_are_carried_by_those_who_are_let_in() {
    if kafka::for_tests("records_are_carried_by_those_who_are_let_in").is_none() {
        return;
    }
    let files = folder("kafka");
    let (authority, stranger) = (Authority::new(&files, "known"), Authority::new(&files, "stranger"));
    let broker = Broker::start("kafka", &authority);
    let url = database();
    for (settings, expected) in [(&broker.login, ROWS), (&broker.mutual, 2 * ROWS)] {
        check(producer(settings, PATIENCE), 0, "acknowledged=40", &[PASSWORD]);
        check(consumer(&url, settings, PATIENCE).args(UNTIL_END), 0, "saved to PostgreSQL", &[PASSWORD]);
        assert_eq!(read(&url), expected);
    }

    let elsewhere = broker.login[0].1.replace("localhost", "127.0.0.1");
    let unknown_authority = stranger.file();
    let wrong = [
        (vec![("KAFKA_SASL_PASSWORD", "a-wrong-password")], "SASL authentication error: Authentication failed"),
        (vec![("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256")], "SCRAM-SHA-256"),
        (vec![("KAFKA_SSL_CA_LOCATION", &unknown_authority)], "certificate could not be verified"),
        (vec![("KAFKA_BROKERS", &elsewhere)], "certificate could not be verified"),
    ];
    for (changes, why) in wrong {
        let settings = but(&broker.login, &changes);
        check(producer(&settings, WAIT), 64, why, &[PASSWORD, "a-wrong-password"]);
        check(consumer(&url, &settings, WAIT).args(UNTIL_END), 64, why, &[PASSWORD, "a-wrong-password"]);
    }
    let (certificate, key) = stranger.sign_files("stranger");
    let unknown =
        but(&broker.mutual, &[("KAFKA_SSL_CERTIFICATE_LOCATION", &certificate), ("KAFKA_SSL_KEY_LOCATION", &key)]);
    check(producer(&unknown, WAIT), 64, "alert", &[]);

    let settings = broker.login.clone();
    drop(broker.kafka);
    check(producer(&settings, WAIT), 69, "Connection refused", &[PASSWORD]);
}

#[test]
#[ignore = "slow: make faults"]
fn a_client_that_was_named_no_broker_is_replaced() {
    if kafka::for_tests("a_client_that_was_named_no_broker_is_replaced").is_none() {
        return;
    }
    let authority = Authority::new(&folder("fenced"), "known");
    let broker = Broker::start("fenced", &authority);
    let url = database();
    check(producer(&broker.mutual, PATIENCE), 0, "acknowledged=40", &[]);
    let mut running = consumer(&url, &broker.mutual, PATIENCE).start().unwrap();
    wait_for_read(&url, ROWS, &running);
    broker.restart_with(FENCED);
    running.wait_for_line("named no broker, not even itself", 2 * LIMIT).unwrap();
    broker.restart_with("");
    check(producer(&broker.mutual, PATIENCE), 0, "acknowledged=40", &[]);
    wait_for_read(&url, 2 * ROWS, &running);

    running.stop(LIMIT).unwrap().expect_code(0).unwrap();
}

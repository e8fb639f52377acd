//! A real Apache Kafka on loopback, from Maven's jars.

use std::{io::Write as _, path::Path};

use crate::script::{Data, Server};

/// Our own Kafka; stopped, and its data deleted, when dropped.
#[derive(Debug)]
pub struct Kafka(Server);

impl Kafka {
    /// Starts the broker whose data lie in `folder`, made first if new; one that runs there already is taken over.
    ///
    /// # Errors
    /// When there is no JDK, or it does not start; the error says what to do.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, &[])
    }

    /// The same with what `scripts/kafka` reads from its environment, as for a listener with TLS.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_with(folder: &Path, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Server::start("kafka", folder, env).map(Self)
    }

    /// The broker's address, `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> &str {
        self.0.address()
    }

    /// Stops the broker and keeps its data; a later start finds them, on the same port.
    ///
    /// # Errors
    /// When it cannot be stopped.
    pub fn stop(self) -> anyhow::Result<()> {
        self.0.stop(Data::Keep)
    }

    /// Ends the broker as a crash would; its data stay.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.0.kill()
    }

    /// Starts the broker again after a kill, at the same address.
    ///
    /// # Errors
    /// When it does not start, or another program has taken its port.
    pub fn revive(&self) -> anyhow::Result<()> {
        self.0.revive(&[])
    }

    /// The same with further settings of the broker, a line each, for as long as it runs.
    ///
    /// # Errors
    /// As [`Kafka::revive`].
    pub fn revive_with(&self, settings: &str) -> anyhow::Result<()> {
        let file = self.0.folder().join("further.properties");
        std::fs::write(&file, settings)?;
        self.0.revive(&[("KAFKA_PROPERTIES", &file.to_string_lossy())])
    }

    /// Leaves the broker running; `scripts/kafka down FOLDER` stops it.
    pub fn leave(self) {
        self.0.leave();
    }
}

/// Settings of a broker that sends its controller too few heartbeats: it is fenced most of the time, and names no
/// broker to anybody then.
pub const FENCED: &str = "broker.session.timeout.ms=300\nbroker.heartbeat.interval.ms=1000\n";

/// The real broker that tests may use: `TEST_KAFKA_BROKERS`, which `make test` sets where there is a JDK.
pub fn given() -> Option<String> {
    std::env::var("TEST_KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty())
}

/// The same for a test that needs one.
///
/// Without one the test says on the terminal that it was skipped, and is to end.
///
/// # Panics
/// On CI, where nothing may be skipped.
pub fn for_tests(test: &str) -> Option<String> {
    let brokers = given();
    if brokers.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI=true, and there is no real Kafka: run make test");
        // Written past the test harness, which captures what a passing test prints.
        let line = format!("skipped: {test}: there is no real Kafka (make test with a JDK)\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap_or_default();
    }
    brokers
}

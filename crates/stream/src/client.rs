//! What all clients of Kafka have in common: how they connect to brokers, and why that fails.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, Statistics,
    consumer::{BaseConsumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use secrecy::ExposeSecret;
use service::settings::{KafkaSettings, Login, Tls};

use crate::kafka_errors::{Decision, decide};

/// How often a client's events are drained, and how long each time. That is more often than a failed request leaves log
/// lines and errors behind, and costs little compared with the seconds that the request took.
const DRAIN: (u32, Duration) = (20, Duration::from_millis(1));

/// How often a client that is polled reports its statistics, milliseconds.
pub(crate) const STATISTICS_MS: &str = "5000";

/// What every client's settings begin with.
pub(crate) fn config(kafka: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    let protocol = match (&kafka.tls, &kafka.login) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("bootstrap.servers", &kafka.brokers).set("security.protocol", protocol);
    if let Some(tls) = &kafka.tls {
        encrypt(&mut config, tls);
    }
    if let Some(Login { mechanism, username, password }) = &kafka.login {
        config.set("sasl.mechanism", mechanism.name()).set("sasl.username", username);
        config.set("sasl.password", password.expose_secret());
    }
    config
}

fn encrypt(config: &mut ClientConfig, tls: &Tls) {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    // OpenSSL is built in, and knows of no system's store: the library has to find one.
    config.set("ssl.ca.location", tls.ca.as_deref().map_or_else(|| "probe".to_owned(), path));
    // The certificate has to be that of the host we connect to: the library's default, which we promise.
    config.set("ssl.endpoint.identification.algorithm", "https");
    if let Some(identity) = &tls.identity {
        config.set("ssl.certificate.location", path(&identity.certificate));
        config.set("ssl.key.location", path(&identity.key));
    }
}

/// Whether a client knows any broker, as its statistics say.
///
/// librdkafka (2.12) believes a response that names none, as a broker that its controller has fenced gives, and drops
/// even the bootstrap servers: <https://github.com/confluentinc/librdkafka/issues/5301>, open as of 2.15. It never
/// reaches Kafka again then.
#[derive(Debug, Default)]
pub(crate) struct KnownBrokers {
    /// How many statistics in a row have named none.
    missed: AtomicU32,
}

impl KnownBrokers {
    /// Takes in the client's statistics.
    pub(crate) fn on_statistics(&self, statistics: &Statistics) {
        // Any other source is another name of one of these, such as the coordinator's.
        let known =
            statistics.brokers.values().any(|broker| matches!(broker.source.as_str(), "configured" | "learned"));
        let missed = if known { 0 } else { self.missed.load(Ordering::Relaxed) + 1 };
        self.missed.store(missed, Ordering::Relaxed);
    }

    /// Whether the client has forgotten all of them. Missed once, it may be about to turn to the bootstrap servers again.
    pub(crate) fn are_forgotten(&self) -> bool {
        self.missed.load(Ordering::Relaxed) > 1
    }
}

/// Drains a consumer's events, so that its context receives why a request failed.
///
/// Only for one that is subscribed to nothing, whose records would be lost.
pub(crate) fn drain_events<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    let (times, wait) = DRAIN;
    (0..times).for_each(|_| drop(consumer.poll(wait)));
}

/// Remembers why connections to Kafka fail, and says it once when a broker and we refuse each other.
///
/// The library tries again for ever, several times a second, and reports each time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<LastFailure>>);

#[derive(Debug, Default)]
struct LastFailure {
    /// What the last connection failed of, and whether it was a refusal.
    last: Option<(String, bool)>,
    /// Whether a refusal was logged.
    is_logged: bool,
}

impl Connections {
    /// Takes in what the library reports.
    pub(crate) fn on_error(&self, error: &KafkaError, reason: &str) {
        // "all brokers are down" says less than the failure before it, and the end of a partition is not a failure.
        let is_down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if is_down || decide(error) == Decision::Event {
            return;
        }
        let mut last_failure = self.last_failure();
        let refused = is_refusal(error, reason);
        if refused && !std::mem::replace(&mut last_failure.is_logged, true) {
            tracing::warn!("kafka refuses us, or is not trusted: {}", with_cause(reason));
        }
        last_failure.last = Some((with_cause(reason), refused));
    }

    /// Takes in a line of the library's log, where no error is reported; it counts only while no error was reported.
    pub(crate) fn on_log(&self, facility: &str, text: &str) {
        if facility == "FAIL" {
            // The line begins with the thread's name.
            let reason = text.split_once("]: ").map_or(text, |(_, reason)| reason);
            self.last_failure().last.get_or_insert_with(|| (with_cause(reason), false));
        }
    }

    /// Why the last connection failed, if one did.
    pub(crate) fn last(&self) -> Option<String> {
        self.last_failure().last.as_ref().map(|(reason, _)| reason.clone())
    }

    /// Why the last connection failed, if that was a refusal: of the login, or of a certificate.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.last_failure().last.as_ref().filter(|(_, refused)| *refused).map(|(reason, _)| reason.clone())
    }

    fn last_failure(&self) -> MutexGuard<'_, LastFailure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What OpenSSL says when either side does not take the other's certificate.
///
/// The library reports some of these as it reports any connection that was lost, so that only its text shows it: a
/// broker that refuses our certificate does so after the handshake.
const REFUSALS: [&str; 2] = [UNVERIFIED, "SSL alert"];
const UNVERIFIED: &str = "certificate verify failed";

/// A failure with what to check. The library says so itself of a certificate, but only where it meets that in the handshake and not in
/// the first request, which is a matter of timing.
fn with_cause(reason: &str) -> String {
    if reason.contains(UNVERIFIED) && !reason.contains("could not be verified") {
        return format!(
            "{reason}: the broker's certificate could not be verified: check its name, and KAFKA_SSL_CA_LOCATION"
        );
    }
    reason.to_owned()
}

fn is_refusal(error: &KafkaError, reason: &str) -> bool {
    use RDKafkaErrorCode::{Authentication, SSL, SaslAuthenticationFailed, UnsupportedSASLMechanism};
    let codes = [Authentication, SSL, SaslAuthenticationFailed, UnsupportedSASLMechanism];
    error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
        || REFUSALS.iter().any(|refusal| reason.contains(refusal))
}

#[cfg(test)]
mod tests {
    use rdkafka::statistics::Broker;
    use service::settings::Mechanism;

    use super::*;

    #[test]
    fn the_last_failure_counts() {
        let connections = Connections::default();
        assert_eq!(connections.last(), None);
        let on_error = |code, reason| connections.on_error(&KafkaError::Global(code), reason);
        on_error(RDKafkaErrorCode::SSL, "certificate verify failed");
        on_error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let refusal = connections.refusal().unwrap();
        assert!(refusal.starts_with("certificate verify failed") && refusal.contains("could not be verified"));
        on_error(RDKafkaErrorCode::BrokerTransportFailure, "Receive failed: SSL alert number 42");
        assert!(connections.refusal().is_some());
        on_error(RDKafkaErrorCode::BrokerTransportFailure, "connection refused");
        assert_eq!((connections.refusal(), connections.last().as_deref()), (None, Some("connection refused")));
    }

    #[test]
    fn the_log_counts_where_no_error_was_reported() {
        let connections = Connections::default();
        connections.on_log("CONNECT", "[thrd:k:1/1]: k:1/1: Connected");
        assert_eq!(connections.last(), None);
        connections.on_log("FAIL", "[thrd:k:1/1]: k:1/1: Failed to resolve 'k:1'");
        assert_eq!(connections.last().as_deref(), Some("k:1/1: Failed to resolve 'k:1'"));
        connections.on_error(&KafkaError::Global(RDKafkaErrorCode::Authentication), "wrong password");
        connections.on_log("FAIL", "[thrd:k:1/1]: k:1/1: Disconnected");
        assert_eq!(connections.refusal().as_deref(), Some("wrong password"));
    }

    #[test]
    fn brokers_are_forgotten_once_two_statistics_in_a_row_know_of_none() {
        let of = |sources: &[&str]| {
            let broker = |source: &&str| Broker { source: (*source).to_owned(), ..Broker::default() };
            let brokers = sources.iter().map(|source| ((*source).to_owned(), broker(source))).collect();
            Statistics { brokers, ..Statistics::default() }
        };
        let known = KnownBrokers::default();
        let forgets = |sources: &[&str]| {
            known.on_statistics(&of(sources));
            known.are_forgotten()
        };
        assert!(!forgets(&["configured"]) && !forgets(&["logical"]));
        assert!(!forgets(&["logical", "learned"]) && !forgets(&[]));
        assert!(forgets(&["logical"]));
    }

    #[test]
    fn a_password_is_not_shown() {
        let login = Login { mechanism: Mechanism::ScramSha512, username: "me".to_owned(), password: "s3cret".into() };
        let kafka = KafkaSettings { login: Some(login), ..KafkaSettings::plaintext("k:9092") };
        let config = config(&kafka);
        assert_eq!(config.get("security.protocol"), Some("sasl_plaintext"));
        assert!(!format!("{config:?} {kafka:?}").contains("s3cret"));
    }
}

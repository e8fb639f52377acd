//! What became of the messages handed to Kafka's client.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use rdkafka::{
    ClientContext, Message, Statistics,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{DeliveryResult, ProducerContext},
    types::RDKafkaErrorCode,
};

use crate::{
    client::{Connections, KnownBrokers},
    frontier::Frontier,
    kafka_errors::{Decision, decide},
    sending::SendError,
    source::Acknowledged,
};

/// Counts delivery reports, one for each message, and remembers the first failures by their line.
#[derive(Default)]
pub(crate) struct Deliveries {
    acknowledged: AtomicU64,
    in_turn: Option<InTurn>,
    lost: AtomicBool,
    /// The topic of the first that was lost because we may not write there.
    denied: OnceLock<String>,
    known_brokers: KnownBrokers,
    connections: Connections,
    failures: Mutex<Failures>,
}

/// Who wants to know how many of the first messages were acknowledged.
struct InTurn {
    frontier: Mutex<Frontier>,
    acknowledged: Acknowledged,
}

#[derive(Clone, Debug, Default)]
struct Failures {
    /// How many were too large, and the least of their lines.
    too_large: Option<(u64, u64)>,
    /// How many failed otherwise, the least of their lines, and why that one did.
    lost: Option<(u64, u64, KafkaError)>,
}

impl Deliveries {
    /// None yet; of a source that acknowledges its messages in turn, which numbers them by their lines.
    pub(crate) fn new(acknowledged: Option<Acknowledged>) -> Self {
        let in_turn = acknowledged.map(|acknowledged| InTurn { frontier: Mutex::default(), acknowledged });
        Self { in_turn, ..Self::default() }
    }

    /// Messages Kafka has acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Messages Kafka did not take.
    pub(crate) fn failed(&self) -> u64 {
        let failures = self.failures();
        failures.too_large.map_or(0, |(count, _)| count) + failures.lost.map_or(0, |(count, ..)| count)
    }

    /// Whether a message failed for another reason than its size.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// The topic that a message failed for because we may not write to it.
    pub(crate) fn denied(&self) -> Option<&str> {
        self.denied.get().map(String::as_str)
    }

    /// Whether the client has forgotten every broker, so that nothing more is acknowledged.
    pub(crate) fn has_forgotten_brokers(&self) -> bool {
        self.known_brokers.are_forgotten()
    }

    /// Notes a message that is too large.
    pub(crate) fn too_large(&self, line: usize) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, first) = failures.too_large.unwrap_or((0, u64::MAX));
        failures.too_large = Some((count + 1, first.min(line as u64)));
        drop(failures);
        // What can never be sent must not be waited for.
        self.settle(line);
    }

    /// Notes that a message is not waited for any more.
    fn settle(&self, number: usize) {
        let Some(in_turn) = &self.in_turn else { return };
        let moved = in_turn.frontier.lock().unwrap_or_else(PoisonError::into_inner).settle(number as u64);
        if let Some(through) = moved {
            (in_turn.acknowledged)(through);
        }
    }

    /// Whether all of `sent` messages were acknowledged, and if not, why.
    pub(crate) fn verdict(&self, sent: u64) -> Result<(), SendError> {
        let failures = self.failures();
        let missing = sent.saturating_sub(self.acknowledged());
        let unreported = missing.saturating_sub(self.failed());
        match (failures.lost, failures.too_large) {
            (Some((count, line, error)), _) => Err(self.unacknowledged(count, line, &error)),
            // This comes before what is too large: the rest may have been valid, and has to be sent again.
            (None, _) if unreported > 0 && self.has_forgotten_brokers() => Err(SendError::BrokersForgotten),
            (None, Some((count, line))) => Err(SendError::TooLarge { line, count }),
            (None, None) if missing > 0 => Err(SendError::Stopped),
            (None, None) => Ok(()),
        }
    }

    /// Why messages were abandoned. A timeout says little; the last failure of a connection explains it.
    fn unacknowledged(&self, count: u64, line: u64, error: &KafkaError) -> SendError {
        let passing = decide(error) == Decision::Retry;
        match (self.connections.refusal(), self.connections.last()) {
            (Some(refusal), _) if passing => SendError::AuthRefused(refusal),
            (None, Some(last)) if passing => SendError::Unacknowledged {
                line,
                reason: format!("{error}; the last connection failed: {last}"),
                count,
            },
            _ => SendError::Unacknowledged { line, reason: reason(error), count },
        }
    }

    fn lose(&self, line: usize, error: &KafkaError, topic: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line as u64;
        failures.lost = Some(match failures.lost.take() {
            Some((count, first, earlier)) if first <= line => (count + 1, first, earlier),
            later => (later.map_or(0, |(count, ..)| count) + 1, line, error.clone()),
        });
        if matches!(decide(error), Decision::Denied(_)) {
            self.denied.get_or_init(|| topic.to_owned());
        }
        self.lost.store(true, Ordering::Relaxed);
    }

    fn failures(&self) -> Failures {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why a message was not taken, for the person who has to fix it.
fn reason(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        // Of several refused in one request the library says `InvalidRecord`, no matter what the broker has found. Ours
        // have keys and are whole, so the cause is their time, or what the topic's settings refuse.
        Some(RDKafkaErrorCode::InvalidTimestamp | RDKafkaErrorCode::InvalidRecord) => {
            format!("{error}; compare this machine's clock with the broker's, and check the topic's settings")
        }
        _ => error.to_string(),
    }
}

impl ClientContext for Deliveries {
    fn stats(&self, statistics: Statistics) {
        self.known_brokers.on_statistics(&statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(?level, facility, "{text}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, "kafka: {reason}");
        self.connections.on_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    /// The line the message was read from.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, line: usize) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.settle(line);
            }
            Err((error, message)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                tracing::debug!(line, bytes = message.payload_len(), "kafka does not take so large a record");
                self.too_large(line);
            }
            Err((error, message)) => self.lose(line, error, message.topic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_too_large_does_not_hide_that_others_were_not_reported() {
        let deliveries = Deliveries::default();
        deliveries.too_large(3);
        let verdict = |sent| deliveries.verdict(sent).unwrap_err();
        assert!(matches!(verdict(2), SendError::TooLarge { line: 3, count: 1 }));
        (0..2).for_each(|_| deliveries.stats(Statistics::default()));
        assert!(matches!(verdict(2), SendError::BrokersForgotten));
        assert!(matches!(verdict(1), SendError::TooLarge { line: 3, count: 1 }), "nothing but that is missing");
    }

    #[test]
    fn a_record_that_timed_out_reports_the_last_connection_failure() {
        let lost = |code, last_failure: &[(RDKafkaErrorCode, &str)]| {
            let deliveries = Deliveries::default();
            last_failure.iter().for_each(|(code, reason)| deliveries.error(KafkaError::Global(*code), reason));
            deliveries.lose(7, &KafkaError::MessageProduction(code), "t");
            deliveries.verdict(1).unwrap_err().to_string()
        };
        let unresolved = (RDKafkaErrorCode::Resolve, "k-0:9092: failed to resolve");
        let expired = (RDKafkaErrorCode::SSL, "certificate expired");
        let sentence = lost(RDKafkaErrorCode::MessageTimedOut, &[expired, unresolved]);
        assert!(sentence.ends_with("failed: k-0:9092: failed to resolve (1 such, the first one named)"), "{sentence}");
        let sentence = lost(RDKafkaErrorCode::MessageTimedOut, &[unresolved, expired]);
        assert_eq!(sentence, "kafka refuses us, or is not trusted: certificate expired");
        let sentence = lost(RDKafkaErrorCode::InvalidRecord, &[unresolved]);
        assert!(!sentence.contains("k-0") && sentence.contains("clock"), "{sentence}");
    }
}

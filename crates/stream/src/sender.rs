//! Sends a source's rows to a topic, and counts what Kafka acknowledged.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use rdkafka::{
    error::KafkaError,
    producer::{BaseRecord, Producer},
    types::RDKafkaErrorCode,
};
use service::{Stop, backoff::Backoff, settings::KafkaSettings};

use crate::{
    kafka_errors::{Decision, Denial, Resource, decide, decide_code},
    pace::Pace,
    producing::Producing,
    source::{Outgoing, Row, Source, SourceError},
};

/// How long the last messages may take once stopping was asked for: within the stop deadline of 20 s.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How often progress is told; quicker than the eye needs, slower than costs anything.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How often a sent row is named.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Rows between two looks at the clock and the stop token; a look costs as much as a row.
const ROWS_A_LOOK: u64 = 64;
/// How long Kafka may be away at run time, unless another limit is given: a broker that is
/// restarted is back before, and a job that waits longer holds up its retry.
pub const AWAY_LIMIT: Duration = Duration::from_secs(300);

/// How rows are sent.
#[derive(Clone, Debug)]
pub struct SendSettings {
    /// Where Kafka is.
    pub kafka: KafkaSettings,
    /// The topic.
    pub topic: String,
    /// The largest batch the topic takes, in bytes, where it is known.
    pub max_message_bytes: Option<usize>,
    /// How long a right that is denied at the start is waited for: it may be granted after we were started.
    pub wait: Duration,
    /// How long Kafka may be away before a record is given up.
    pub away_limit: Duration,
    /// Records a second, or as many as Kafka takes.
    pub rate: Option<NonZeroU32>,
    /// What a row that cannot be read does.
    pub on_rejected: OnRejected,
}

/// What a row that cannot be read does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRejected {
    /// It is counted, and the rest is sent.
    GoOn,
    /// It ends the sending.
    Stop,
}

/// What was done with the input.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sent {
    /// Rows read.
    pub read: u64,
    /// Rows handed to Kafka's client.
    pub sent: u64,
    /// Rows that are sound and not wanted.
    pub filtered: u64,
    /// Rows that cannot be read.
    pub rejected: u64,
    /// Messages Kafka has acknowledged.
    pub acknowledged: u64,
    /// Messages it did not take.
    pub failed: u64,
    /// The time it took, from the first row to the last acknowledgement.
    pub seconds: f64,
}

/// Is told what happens meanwhile.
pub trait Watch {
    /// A row cannot be read.
    fn rejected(&mut self, line: u64, reason: &str);
    /// One of the rows sent: the first, then at most one a second.
    fn sample(&mut self, label: &str);
    /// The counts so far, several times a second.
    fn progress(&mut self, so_far: &Sent);
}

/// Why the sending is not complete.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The input cannot be read any further.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A row cannot be read, and that is to end the sending.
    #[error("line {line}: {reason}")]
    Rejected {
        /// The row's line.
        line: u64,
        /// Why it cannot be read.
        reason: String,
    },
    /// Kafka does not take records as large as these.
    #[error("line {line}: the record is larger than kafka takes ({count} such, the first one named)")]
    TooLarge {
        /// The first one's line.
        line: u64,
        /// How many there are.
        count: u64,
    },
    /// Kafka did not acknowledge some records.
    #[error("line {line}: kafka did not acknowledge the record: {reason} ({count} such, the first one named)")]
    Unacknowledged {
        /// The first one's line.
        line: u64,
        /// What the client said.
        reason: String,
        /// How many there are.
        count: u64,
    },
    /// Kafka denies us the right to write.
    #[error("{0}")]
    Denied(Denial),
    /// Kafka gives us no producer id: we may write nowhere, or its version wants another right for that.
    #[error("{0}; before Kafka 2.8 grant `--operation IdempotentWrite --cluster` too")]
    NoProducerId(Denial),
    /// Kafka refuses our login or certificate, or we do not trust its own, and records were given up for that.
    #[error("kafka refuses us, or is not trusted: {0}")]
    Unwelcome(String),
    /// Kafka's client cannot go on.
    #[error("kafka's client cannot go on: {0}")]
    Client(KafkaError),
    /// Kafka named no broker, and the client has forgotten all: only a new one reaches it again.
    #[error("kafka named no broker, not even itself")]
    BrokersForgotten,
    /// Stopping was asked for before the end of the input.
    #[error("stopped before the end of the input")]
    Stopped,
}

/// Sends all rows of a source, and waits until Kafka has acknowledged them; blocks.
///
/// Returns what was done together with how it ended, since both matter when it ends early. Memory
/// stays bounded: when the client's queue is full, no further row is read.
pub fn send(
    source: &mut dyn Source,
    settings: &SendSettings,
    watch: &mut dyn Watch,
    stop: &Stop,
) -> (Sent, Result<(), SendError>) {
    let client = match Producing::connect(settings) {
        Ok(client) => client,
        Err(error) => return (Sent::default(), Err(SendError::Client(error))),
    };
    let begun = Instant::now();
    let pace = settings.rate.map(|rate| Pace::new(rate, begun));
    let mut sender =
        Sender { client, settings, watch, stop, pace, sent: Sent::default(), begun, told: None, sampled: None };
    let result = sender.run(source);
    sender.drain();
    sender.tell();
    (sender.sent, result.and_then(|()| sender.verdict()))
}

/// A sending under way.
struct Sender<'a> {
    client: Producing,
    settings: &'a SendSettings,
    watch: &'a mut dyn Watch,
    stop: &'a Stop,
    pace: Option<Pace>,
    sent: Sent,
    begun: Instant,
    told: Option<Instant>,
    sampled: Option<Instant>,
}

impl Sender<'_> {
    fn run(&mut self, source: &mut dyn Source) -> Result<(), SendError> {
        let mut message = Outgoing::default();
        while let Some(row) = source.next(&mut message)? {
            self.sent.read += 1;
            match row {
                Row::Filtered => self.sent.filtered += 1,
                Row::Rejected(reason) => self.reject(source.line(), reason)?,
                Row::Send => self.hand_over(source, &message)?,
            }
            if self.pace.is_some() || self.sent.read % ROWS_A_LOOK == 1 {
                self.look(source)?;
            }
        }
        Ok(())
    }

    fn reject(&mut self, line: u64, reason: String) -> Result<(), SendError> {
        self.sent.rejected += 1;
        self.watch.rejected(line, &reason);
        match self.settings.on_rejected {
            OnRejected::GoOn => Ok(()),
            OnRejected::Stop => Err(SendError::Rejected { line, reason }),
        }
    }

    /// Gives a message to the client; the first one is waited for.
    fn hand_over(&mut self, source: &dyn Source, message: &Outgoing) -> Result<(), SendError> {
        self.keep_pace()?;
        let line = usize::try_from(source.line()).unwrap_or(usize::MAX);
        if self.sent.sent == 0 {
            self.sent.sent = 1;
            self.enqueue_first(line, message)?;
        } else {
            self.enqueue(line, message)?;
            self.sent.sent += 1;
        }
        tracing::trace!("sent: {}", source.label());
        Ok(())
    }

    /// Sends the first message, and again while a right to do so is denied: only sending shows whether we have it.
    fn enqueue_first(&mut self, line: usize, message: &Outgoing) -> Result<(), SendError> {
        let mut backoff = Backoff::new(self.settings.wait);
        loop {
            let denied = match self.enqueue(line, message).and_then(|()| self.settle()) {
                Err(denied @ (SendError::Denied(_) | SendError::NoProducerId(_))) => denied,
                ended => return ended,
            };
            let Some(wait) = backoff.wait() else { return Err(denied) };
            tracing::debug!("waiting for a right: {denied}");
            std::thread::sleep(wait);
            // The old one may have ended for good by the denial.
            self.client = Producing::connect(self.settings).map_err(SendError::Client)?;
        }
    }

    /// Waits until what was enqueued was taken, or was not.
    fn settle(&mut self) -> Result<(), SendError> {
        loop {
            self.check()?;
            if self.client.in_flight_count() == 0 {
                // It may have failed since.
                return self.check();
            }
            self.tell_sometimes();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Gives a message to the client, waiting while its queue is full.
    fn enqueue(&mut self, line: usize, message: &Outgoing) -> Result<(), SendError> {
        let mut record =
            BaseRecord::with_opaque_to(&self.settings.topic, line).key(&message.key).payload(&message.value);
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.check()?;
                    self.tell_sometimes();
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    self.client.context().too_large(line);
                    return Ok(());
                }
                Err((error, _)) if matches!(decide(&error), Decision::Denied(_)) => return Err(self.denied()),
                // A client that has ended says only that; why, it has kept.
                Err((error, _)) => return Err(self.ended().unwrap_or(SendError::Client(error))),
            }
        }
    }

    fn keep_pace(&mut self) -> Result<(), SendError> {
        while let Some(ahead) = self.pace.as_ref().and_then(|pace| pace.ahead(Instant::now())) {
            // In slices, so that a slow pace does not hold up the stop.
            std::thread::sleep(ahead.min(PROGRESS_EVERY));
            self.check()?;
            self.tell_sometimes();
        }
        if let Some(pace) = &mut self.pace {
            pace.step(Instant::now());
        }
        Ok(())
    }

    /// What is done only every so many rows.
    fn look(&mut self, source: &dyn Source) -> Result<(), SendError> {
        self.check()?;
        self.tell_sometimes();
        if self.sent.sent > 0 && is_due(&mut self.sampled, SAMPLE_EVERY) {
            self.watch.sample(&source.label());
        }
        Ok(())
    }

    fn check(&self) -> Result<(), SendError> {
        if self.stop.is_stopping() {
            return Err(SendError::Stopped);
        }
        if self.client.context().has_forgotten_brokers() {
            return Err(SendError::BrokersForgotten);
        }
        // A record too large is counted and passed over; anything else lost ends the sending.
        if self.client.context().has_lost() || self.client.client().fatal_error().is_some() {
            return self.verdict();
        }
        Ok(())
    }

    /// Waits for the acknowledgements that are still to come.
    fn drain(&mut self) {
        let mut stopping: Option<Instant> = None;
        while self.client.in_flight_count() > 0 {
            if self.stop.is_stopping() && stopping.get_or_insert_with(Instant::now).elapsed() > STOP_LIMIT {
                break;
            }
            if self.client.client().fatal_error().is_some() || self.client.context().has_forgotten_brokers() {
                break;
            }
            self.tell_sometimes();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn tell_sometimes(&mut self) {
        if is_due(&mut self.told, PROGRESS_EVERY) {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let deliveries = self.client.context();
        self.sent.acknowledged = deliveries.acknowledged();
        self.sent.failed = deliveries.failed();
        self.sent.seconds = self.begun.elapsed().as_secs_f64();
        self.watch.progress(&self.sent);
    }

    /// Whether all that was sent was acknowledged.
    fn verdict(&self) -> Result<(), SendError> {
        match self.client.context().is_denied() {
            true => Err(self.denied()),
            false => self.ended().map_or_else(|| self.client.context().verdict(self.sent.sent), Err),
        }
    }

    /// Why the client can do nothing more, if it cannot.
    fn ended(&self) -> Option<SendError> {
        let (code, reason) = self.client.client().fatal_error()?;
        tracing::debug!(reason, "fatal error of kafka's client");
        Some(match decide_code(code) {
            Decision::Denied(_) => SendError::NoProducerId(self.denial()),
            _ => SendError::Client(KafkaError::Global(code)),
        })
    }

    fn denied(&self) -> SendError {
        SendError::Denied(self.denial())
    }

    fn denial(&self) -> Denial {
        Denial::new(&self.settings.kafka, "Write", Resource::Topic, &self.settings.topic)
    }
}

/// Whether `every` has passed since `last`; notes the time when it has.
fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let now = Instant::now();
    let due = last.is_none_or(|last| now.duration_since(last) >= every);
    if due {
        *last = Some(now);
    }
    due
}

//! Sends a source's rows to a topic, and counts what Kafka acknowledged.

use std::time::{Duration, Instant};

use rdkafka::{
    error::KafkaError,
    producer::{BaseRecord, Producer},
    types::RDKafkaErrorCode,
};
use service::{Stop, backoff::Backoff};

use crate::{
    kafka_errors::{Decision, Denial, Resource, decide, decide_code},
    pace::Pace,
    producing::Producing,
    source::{Outgoing, RowOutcome, Source},
};

pub use crate::sending::{LINGER, OUTAGE_TIMEOUT, OnRejected, SHORT_LINGER, SendError, SendSettings, Sent, Watch};

/// How long the last messages may take once a stop was requested: within the stop deadline of 20 s.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How often progress is reported; quicker than the eye needs, and slow enough to cost nothing.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How often a sent row is named.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Rows between two checks of the clock and the stop token; a check costs as much as a row.
const ROWS_PER_POLL: u64 = 64;

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
    let client = match Producing::connect(settings, source.acknowledged()) {
        Ok(client) => client,
        Err(error) => return (Sent::default(), Err(SendError::Client(error))),
    };
    let begun = Instant::now();
    let pace = settings.rate.map(|rate| Pace::new(rate, begun));
    let mut sender =
        Sender { client, settings, watch, stop, pace, sent: Sent::default(), begun, reported: None, sampled: None };
    let result = sender.run(source);
    sender.drain();
    sender.report();
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
    reported: Option<Instant>,
    sampled: Option<Instant>,
}

impl Sender<'_> {
    fn run(&mut self, source: &mut dyn Source) -> Result<(), SendError> {
        let mut message = Outgoing::default();
        while let Some(row) = source.next(&mut message)? {
            self.sent.read += u64::from(!matches!(row, RowOutcome::Wait(_)));
            match row {
                RowOutcome::Filtered => self.sent.filtered += 1,
                RowOutcome::Rejected(reason) => self.reject(source.line(), reason)?,
                RowOutcome::Send => self.hand_over(source, &message)?,
                RowOutcome::Wait(time) => self.wait(time)?,
            }
            if self.pace.is_some() || self.sent.read % ROWS_PER_POLL == 1 {
                self.check_and_report(source)?;
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
        if self.sent.sent == 0 {
            self.sent.sent = 1;
            self.enqueue_first(source, message)?;
        } else {
            self.enqueue(line_of(source), message)?;
            self.sent.sent += 1;
        }
        tracing::trace!("sent: {}", source.label());
        Ok(())
    }

    /// Sends the first message, and again while a right to do so is denied: only sending shows whether we have it.
    fn enqueue_first(&mut self, source: &dyn Source, message: &Outgoing) -> Result<(), SendError> {
        let line = line_of(source);
        let mut backoff = Backoff::new(self.settings.wait);
        loop {
            let denied = match self.enqueue(line, message).and_then(|()| self.await_first()) {
                Err(denied @ (SendError::Denied(_) | SendError::NoProducerId(_))) => denied,
                ended => return ended,
            };
            let Some(wait) = backoff.wait() else { return Err(denied) };
            tracing::debug!("waiting for a right: {denied}");
            std::thread::sleep(wait);
            // The old one may have ended for good by the denial.
            self.client = Producing::connect(self.settings, source.acknowledged()).map_err(SendError::Client)?;
        }
    }

    /// Waits until what was enqueued was taken, or was not.
    fn await_first(&mut self) -> Result<(), SendError> {
        loop {
            self.check()?;
            if self.client.in_flight_count() == 0 {
                // It may have failed since.
                return self.check();
            }
            self.report_if_due();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Gives a message to the client, waiting while its queue is full.
    fn enqueue(&mut self, line: usize, message: &Outgoing) -> Result<(), SendError> {
        let topic = &self.settings.topics[message.topic];
        let mut record = BaseRecord::with_opaque_to(topic, line).key(&message.key).payload(&message.value);
        record.timestamp = message.timestamp_ms;
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.check()?;
                    self.report_if_due();
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    self.client.context().too_large(line);
                    return Ok(());
                }
                Err((error, _)) if matches!(decide(&error), Decision::Denied(_)) => return Err(self.denied(topic)),
                // A client that has ended says only that; `ended` knows why.
                Err((error, _)) => return Err(self.ended().unwrap_or(SendError::Client(error))),
            }
        }
    }

    fn keep_pace(&mut self) -> Result<(), SendError> {
        while let Some(ahead) = self.pace.as_ref().and_then(|pace| pace.ahead(Instant::now())) {
            self.rest(ahead)?;
        }
        if let Some(pace) = &mut self.pace {
            pace.step(Instant::now());
        }
        Ok(())
    }

    /// Waits for a source that has nothing yet; one that has waited itself gives no time, and is checked all the same.
    fn wait(&mut self, time: Duration) -> Result<(), SendError> {
        let until = Instant::now() + time;
        loop {
            self.rest(until.saturating_duration_since(Instant::now()))?;
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Sleeps for a slice of some time, so that a long one does not delay the stop.
    fn rest(&mut self, time: Duration) -> Result<(), SendError> {
        if !time.is_zero() {
            std::thread::sleep(time.min(PROGRESS_EVERY));
        }
        self.check()?;
        self.report_if_due();
        Ok(())
    }

    /// What is done only every so many rows.
    fn check_and_report(&mut self, source: &dyn Source) -> Result<(), SendError> {
        self.check()?;
        self.report_if_due();
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
            self.report_if_due();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn report_if_due(&mut self) {
        if is_due(&mut self.reported, PROGRESS_EVERY) {
            self.report();
        }
    }

    fn report(&mut self) {
        let deliveries = self.client.context();
        self.sent.acknowledged = deliveries.acknowledged();
        self.sent.failed = deliveries.failed();
        self.sent.seconds = self.begun.elapsed().as_secs_f64();
        self.watch.progress(&self.sent);
    }

    /// Whether all that was sent was acknowledged.
    fn verdict(&self) -> Result<(), SendError> {
        match self.client.context().denied() {
            Some(topic) => Err(self.denied(topic)),
            None => self.ended().map_or_else(|| self.client.context().verdict(self.sent.sent), Err),
        }
    }

    /// Why the client can do nothing more, if it cannot.
    fn ended(&self) -> Option<SendError> {
        let (code, reason) = self.client.client().fatal_error()?;
        tracing::debug!(reason, "fatal error of kafka's client");
        Some(match decide_code(code) {
            Decision::Denied(_) => SendError::NoProducerId(self.denial(&self.settings.topics[0])),
            _ => SendError::Client(KafkaError::Global(code)),
        })
    }

    fn denied(&self, topic: &str) -> SendError {
        SendError::Denied(self.denial(topic))
    }

    fn denial(&self, topic: &str) -> Denial {
        Denial::new(&self.settings.kafka, "Write", Resource::Topic, topic)
    }
}

/// The line of the row last read, as delivery reports bring it back.
fn line_of(source: &dyn Source) -> usize {
    usize::try_from(source.line()).unwrap_or(usize::MAX)
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

//! Sends a source's rows to a topic, and counts what Kafka acknowledged.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rdkafka::{
    config::FromClientConfigAndContext,
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer},
    types::RDKafkaErrorCode,
};
use service::{Stop, settings::KafkaSettings};

use crate::{
    client,
    deliveries::Deliveries,
    pace::Pace,
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
/// How long one poll waits for delivery reports; the last one ends the sending this much later.
const POLL: Duration = Duration::from_millis(10);
/// How long to wait for the client's first answer before it is given rows all the same.
const FIRST_ANSWER: Duration = Duration::from_secs(1);
/// Kafka's own bound of a batch, minus its frame.
const MAX_BATCH: usize = 1_000_000;

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
    let producer = match producer(settings) {
        Ok(producer) => producer,
        Err(error) => return (Sent::default(), Err(SendError::Client(error))),
    };
    hurry(&producer, &settings.topic);
    let begun = Instant::now();
    let pace = settings.rate.map(|rate| Pace::new(rate, begun));
    let mut sender = Sender {
        producer: &producer,
        settings,
        watch,
        stop,
        pace,
        sent: Sent::default(),
        begun,
        told: None,
        sampled: None,
    };
    let ended = with_polling(&producer, || {
        let result = sender.run(source);
        sender.drain();
        result
    });
    sender.tell();
    (sender.sent, ended.and_then(|()| sender.verdict()))
}

/// The client: nothing is lost or doubled while it lives, and batches are large.
fn producer(settings: &SendSettings) -> Result<BaseProducer<Deliveries>, KafkaError> {
    let batch_bytes = settings.max_message_bytes.map_or(MAX_BATCH, |bytes| bytes.min(MAX_BATCH)).max(1);
    let mut config = client::config(&settings.kafka);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        // As Java's clients do it, so that a key has one home whoever sends it.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "20")
        // A batch beyond the topic's limit would be refused whole, sound records and all.
        .set("batch.size", batch_bytes.to_string())
        .set("batch.num.messages", "20000")
        // Beside its bytes a queued message costs some 200 of bookkeeping: this bounds both.
        .set("queue.buffering.max.messages", "150000")
        .set("queue.buffering.max.kbytes", "32768")
        .set("statistics.interval.ms", client::STATISTICS_MS)
        .set("message.timeout.ms", settings.away_limit.as_millis().to_string());
    BaseProducer::from_config_and_context(&config, Deliveries::default())
}

/// Has the client ask for its producer id at once.
///
/// By itself it asks with the first answer of a broker it is connected to for good, or after half a
/// second. The first answer may come over the connection it gives up; the second does not. Whether
/// there are answers does not matter here.
fn hurry(producer: &BaseProducer<Deliveries>, topic: &str) {
    for _ in 0..2 {
        drop(producer.client().fetch_metadata(Some(topic), FIRST_ANSWER));
    }
}

/// Runs `work` while another thread takes in the delivery reports.
fn with_polling<T>(producer: &BaseProducer<Deliveries>, work: impl FnOnce() -> T) -> T {
    /// Ends the polling even when the work panics.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                producer.poll(POLL);
            }
        });
        let _done = Done(&done);
        work()
    })
}

/// A sending under way.
struct Sender<'a> {
    producer: &'a BaseProducer<Deliveries>,
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

    /// Gives a message to the client, waiting while its queue is full.
    fn hand_over(&mut self, source: &dyn Source, message: &Outgoing) -> Result<(), SendError> {
        self.keep_pace()?;
        let line = usize::try_from(source.line()).unwrap_or(usize::MAX);
        let mut record =
            BaseRecord::with_opaque_to(&self.settings.topic, line).key(&message.key).payload(&message.value);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.check()?;
                    self.tell_sometimes();
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    self.producer.context().too_large(line);
                    break;
                }
                Err((error, _)) => return Err(SendError::Client(error)),
            }
        }
        self.sent.sent += 1;
        tracing::trace!("sent: {}", source.label());
        Ok(())
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
        if self.producer.context().has_forgotten_brokers() {
            return Err(SendError::BrokersForgotten);
        }
        // A record too large is counted and passed over; anything else lost ends the sending.
        if self.producer.context().has_lost() { self.verdict() } else { Ok(()) }
    }

    /// Waits for the acknowledgements that are still to come.
    fn drain(&mut self) {
        let mut stopping: Option<Instant> = None;
        while self.producer.in_flight_count() > 0 {
            if self.stop.is_stopping() && stopping.get_or_insert_with(Instant::now).elapsed() > STOP_LIMIT {
                break;
            }
            if self.producer.client().fatal_error().is_some() || self.producer.context().has_forgotten_brokers() {
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
        let deliveries = self.producer.context();
        self.sent.acknowledged = deliveries.acknowledged();
        self.sent.failed = deliveries.failed();
        self.sent.seconds = self.begun.elapsed().as_secs_f64();
        self.watch.progress(&self.sent);
    }

    /// Whether all that was sent was acknowledged.
    fn verdict(&self) -> Result<(), SendError> {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            tracing::debug!(reason, "fatal error of kafka's client");
            return Err(SendError::Client(KafkaError::Global(code)));
        }
        self.producer.context().verdict(self.sent.sent)
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

//! Live inputs: readings that come over HTTP or from an MQTT broker, and are acknowledged once Kafka has them.

mod batch;
mod elements;
mod http;
mod mapping;
mod mqtt;
mod mqtt_url;
mod queue;
mod settings;
mod source;

use std::{sync::Arc, time::Duration};

use metrics::{Unit, describe_gauge, gauge};
use registry::producers;
use service::{Exit, Failure, Stop, health::Health};
use stream::Inlet;
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

use self::{mqtt::Mqtt, queue::Queue, source::LiveSource};
use crate::settings::Job;

pub(crate) use settings::LiveSettings;

/// How long what was taken may still be handed over once a stop was requested; its acknowledgements have 15 s more.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(2);
/// How long the last responses may take at the end, when Kafka has said all that it will.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);
/// How often the gauge is set.
const GAUGE_EVERY: Duration = Duration::from_secs(1);
/// The longest key and value together where the topics' limit is not known: Kafka's own, less the frame of a batch.
const LARGEST: usize = 1_000_000;
/// What a record needs of a topic's limit beside its key and value, bytes.
const FRAME: usize = 100;

const UNACKNOWLEDGED: &str = "tributary_producer_unacknowledged_messages";

/// Which live input there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Mqtt,
}

impl Kind {
    /// The one that `--source` names, if it names one.
    pub(crate) fn of(source: Option<&str>) -> Option<Self> {
        match source {
            Some(producers::HTTP) => Some(Self::Http),
            Some(producers::MQTT) => Some(Self::Mqtt),
            _ => None,
        }
    }
}

/// A live input that is not open yet: topics are looked up first.
pub(crate) struct Live {
    kind: Kind,
    queue: Arc<Queue>,
    /// Stops the sending, some time after the program's stop.
    sending: Stop,
    ended: Stop,
    tasks: Vec<JoinHandle<()>>,
}

impl Live {
    /// Checks the settings that depend on each other.
    ///
    /// # Errors
    /// Exit 64 where they contradict each other.
    pub(crate) fn new(kind: Kind, job: &Job) -> Result<Self, Failure> {
        let settings = &job.settings;
        if settings.strict {
            let why =
                "--strict goes with files only; a live input refuses what it cannot use, or has it kept as a reject";
            return Err(Failure::new(Exit::Usage, why));
        }
        if kind == Kind::Http {
            http::check_address(&settings.live.http, settings.listen)?;
        }
        let queue = Arc::new(Queue::new(settings.live.bounds()));
        Ok(Self { kind, queue, sending: Stop::default(), ended: Stop::default(), tasks: Vec::new() })
    }

    /// What it gives.
    pub(crate) fn source(&self, inlet: &dyn Inlet) -> LiveSource {
        LiveSource::new(Arc::clone(&self.queue), inlet.further_topics())
    }

    /// The stop of the sending: it comes once what was taken had time to be handed over.
    pub(crate) fn sending(&self) -> &Stop {
        &self.sending
    }

    /// Opens the input; `max_message_bytes` is the topics' limit, where it is known.
    ///
    /// # Errors
    /// Exit 64 when it cannot listen.
    pub(crate) fn open(
        &mut self,
        job: &Job,
        inlet: Box<dyn Inlet>,
        max_message_bytes: Option<usize>,
        health: Health,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let settings = &job.settings;
        let largest = max_message_bytes.unwrap_or(LARGEST).min(LARGEST).saturating_sub(FRAME);
        let runtime = Handle::current();
        describe_gauge!(UNACKNOWLEDGED, Unit::Count, "messages taken from live inputs that Kafka has not acknowledged");
        match self.kind {
            Kind::Http => {
                http::describe_metrics();
                let http = &settings.live.http;
                let intake = http::Intake::new(Arc::clone(&self.queue), inlet, http, largest);
                let server = runtime.block_on(http::serve(intake, http, stop.clone()))?;
                self.tasks.push(runtime.spawn(async move {
                    if let Ok(Err(error)) = server.await {
                        tracing::error!(%error, "the server for readings ended");
                    }
                }));
            }
            Kind::Mqtt => {
                mqtt::describe_metrics();
                let mqtt = Mqtt {
                    settings: settings.live.mqtt.clone(),
                    queue: Arc::clone(&self.queue),
                    inlet,
                    health,
                    default_id: format!("tributary-{}", job.pipeline.name),
                    receive_maximum: u16::try_from(settings.live.max_unacknowledged).unwrap_or(u16::MAX),
                    wait: settings.wait,
                    largest,
                    stop: stop.clone(),
                    ended: self.ended.clone(),
                };
                self.tasks.push(runtime.spawn(mqtt.run()));
            }
        }
        runtime.spawn(close_at(stop.clone(), Arc::clone(&self.queue), self.sending.clone()));
        runtime.spawn(report(Arc::clone(&self.queue)));
        Ok(())
    }

    /// Ends it when Kafka has acknowledged what it will: the last responses and acknowledgements go out.
    pub(crate) fn end(self) {
        self.queue.abandon();
        self.ended.stop();
        Handle::current().block_on(async {
            for task in self.tasks {
                // One that takes longer ends with the program.
                drop(timeout(LAST_WORDS_WITHIN, task).await);
            }
        });
    }
}

/// Has the queue take nothing more at the stop, and the sending end some time later.
async fn close_at(stop: Stop, queue: Arc<Queue>, sending: Stop) {
    stop.stopped().await;
    queue.close();
    tokio::time::sleep(HAND_OVER_WITHIN).await;
    sending.stop();
}

async fn report(queue: Arc<Queue>) {
    loop {
        #[expect(clippy::cast_precision_loss, reason = "a number of messages in memory")]
        gauge!(UNACKNOWLEDGED).set(queue.held() as f64);
        tokio::time::sleep(GAUGE_EVERY).await;
    }
}

//! A consumer from start to stop: waiting for what it needs, two threads, a bounded end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Once, mpsc},
    time::{Duration, Instant},
};

use rdkafka::consumer::Consumer;
use service::{Stop, backoff::Backoff, health::Health, settings::KafkaSettings};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::oneshot;

use crate::{
    Error, Pipeline, client,
    database::Database,
    group::{self, ASK, GroupConsumer, Watermarks},
    loader::Loader,
    offsets::Feed,
    reader::{JOBS, Parts, Reader},
    settings::ConsumeSettings,
    writer::Writer,
};

/// A stop takes no longer than this; the grace period of a pod is 30 s.
pub const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// How long one look takes whether the group was left.
const LEAVING: Duration = Duration::from_millis(1);
/// How long leaving the group may take once the exit code is decided: the client library is known to hang on close.
const CLOSE: Duration = Duration::from_secs(3);

/// What to carry where, and how.
#[derive(Clone, Debug)]
pub struct Consume {
    /// The Kafka topic.
    pub topic: String,
    /// Where Kafka is.
    pub kafka: KafkaSettings,
    /// The pipeline's database.
    pub database: PgConnectOptions,
    /// Batch sizes, times, modes.
    pub settings: ConsumeSettings,
    /// Readiness and liveness.
    pub health: Health,
    /// When to stop.
    pub stop: Stop,
}

/// Carries a topic into Postgres until it is time to stop, or with `until_end` until all is there.
///
/// # Errors
/// Whatever ends a consumer, see [`Error`].
pub async fn consume<P: Pipeline>(pipeline: P, consume: Consume) -> Result<(), Error> {
    let stop = consume.stop.clone();
    let encrypted = consume.kafka.tls.is_some();
    let (decided, result) = oneshot::channel();
    let (closed, close) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || {
            let (consumer, ended) = work(pipeline, consume, runtime);
            // Nobody listens any more when the deadline has passed.
            let _ = decided.send(ended);
            if let Some(consumer) = consumer {
                leave(consumer, encrypted);
            }
            let _ = closed.send(());
        })
        .map_err(|error| Error::Publication(error.into()))?;
    let overdue = async {
        stop.stopped().await;
        tokio::time::sleep(STOP_DEADLINE).await;
    };
    let ended = tokio::select! {
        ended = result => ended.unwrap_or(Err(Error::WriterGone)),
        () = overdue => {
            tracing::warn!("not done within the stop deadline of 20 s: what was not stored is read again at the next start");
            return Ok(());
        }
    };
    if tokio::time::timeout(CLOSE, close).await.is_err() {
        tracing::warn!("leaving the group takes longer than 3 s: not waiting for it");
    }
    ended
}

/// Leaves the group. The consumer's own drop would look only every 100 ms whether it has, and ends its threads.
fn leave(consumer: Arc<GroupConsumer>, encrypted: bool) {
    consumer.client().context().close();
    if encrypted {
        // OpenSSL clears up when the process ends; a thread that still speaks by it then crashes.
        drop(consumer);
        return;
    }
    let began = Instant::now();
    if consumer.close_queue().is_ok() {
        while !consumer.closed() && began.elapsed() < CLOSE {
            consumer.poll(LEAVING);
        }
    }
    // Its drop would close it once more, and report that as an error; the process ends anyway.
    std::mem::forget(consumer);
}

/// Runs both threads' work, anew whenever Kafka has answered what makes a client useless; gives the consumer back so that its end
/// is not in the way of the result.
fn work<P: Pipeline>(
    pipeline: P,
    consume: Consume,
    runtime: tokio::runtime::Handle,
) -> (Option<Arc<GroupConsumer>>, Result<(), Error>) {
    let group = consume.settings.group_id.clone().unwrap_or_else(|| format!("tributary-{}", P::NAME));
    let pipeline = Arc::new(pipeline);
    let (mut ends, mut forgotten) = (None, None);
    loop {
        let consumer = match group::consumer(&consume.kafka, &group, &consume.settings) {
            Ok(consumer) => Arc::new(consumer),
            Err(error) => return (None, Err(error)),
        };
        // A topic that was once there may be away for longer than one that never was.
        let patience = if ends.is_some() { consume.settings.away } else { consume.settings.wait };
        let client = (Arc::clone(&consumer), runtime.clone());
        match read(Arc::clone(&pipeline), (&consume, patience, &mut ends), client) {
            Err(error @ Error::BrokersForgotten { joined, .. }) => {
                // Only clients that never came to read anything are counted together.
                forgotten = forgotten.filter(|_| !joined).or_else(|| Some(Instant::now()));
                if forgotten.is_some_and(|since| since.elapsed() > patience) {
                    return (Some(consumer), Err(error));
                }
                tracing::warn!(%error, "going on with a new client, from what is stored");
                consume.health.fault("kafka", error.to_string());
                consume.health.clear("homes");
                retire(consumer, consume.kafka.tls.is_some());
            }
            ended => return (Some(consumer), ended),
        }
    }
}

/// Lets a client go that reaches nobody: the group will miss it by itself, and nothing waits for its threads, but for those
/// that speak by OpenSSL, as in [`leave`].
fn retire(consumer: Arc<GroupConsumer>, encrypted: bool) {
    consumer.client().context().close();
    if encrypted {
        drop(consumer);
        return;
    }
    let retired = std::thread::Builder::new().name("retired".to_owned()).spawn(move || drop(consumer));
    if let Err(error) = retired {
        tracing::warn!(%error, "the old client was ended without a thread of its own");
    }
}

fn read<P: Pipeline>(
    pipeline: Arc<P>,
    (consume, patience, first_ends): (&Consume, Duration, &mut Option<BTreeMap<i32, i64>>),
    (consumer, runtime): (Arc<GroupConsumer>, tokio::runtime::Handle),
) -> Result<(), Error> {
    let Some(marks) = wait_for_topic(&consumer, consume, patience)? else { return Ok(()) };
    let ends =
        first_ends.get_or_insert_with(|| marks.into_iter().map(|(partition, (_, end))| (partition, end)).collect());
    let cluster_id = consumer.client().fetch_cluster_id(ASK);
    let settings = Arc::new(consume.settings.clone());
    let database = Database::new(consume.database.clone());
    let feed = Arc::new(Feed { pipeline: P::NAME, topic: consume.topic.clone(), changelog: pipeline.changelog() });
    let (jobs, job_queue) = tokio::sync::mpsc::channel(JOBS);
    let (event_sender, events) = mpsc::channel();
    let writer = Writer {
        pipeline: Arc::clone(&pipeline),
        feed: Arc::clone(&feed),
        database: database.clone(),
        cluster_id: cluster_id.clone(),
        settings: Arc::clone(&settings),
        health: consume.health.clone(),
        events: event_sender,
        rejects_named: Once::new(),
    };
    let handle = runtime.clone();
    std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || handle.block_on(writer.run(job_queue)))
        .map_err(|error| Error::Publication(error.into()))?;
    consumer.subscribe(&[&consume.topic])?;
    let loader = Loader { database, feed: Arc::clone(&feed), owner: owner(), settings: Arc::clone(&settings) };
    let parts = Parts {
        consumer,
        pipeline,
        feed,
        settings,
        loader,
        runtime,
        jobs,
        events,
        health: consume.health.clone(),
        stop: consume.stop.clone(),
        ends: ends.clone(),
        cluster_id,
        brokers: consume.kafka.brokers.clone(),
    };
    let mut reader = Reader::new(parts);
    consume.health.connected();
    consume.health.clear("kafka");
    reader.run()
}

/// Waits for Kafka and the topic; `None` when it is time to stop.
fn wait_for_topic(
    consumer: &GroupConsumer,
    consume: &Consume,
    patience: Duration,
) -> Result<Option<Watermarks>, Error> {
    let began = Instant::now();
    let mut backoff = Backoff::new(patience);
    let mut said = false;
    while !consume.stop.is_stopping() {
        consume.health.turn();
        let missing = match group::watermarks(consumer, &consume.topic, patience.min(ASK)) {
            Ok(Some(ends)) => return Ok(Some(ends)),
            Ok(None) => Error::TopicMissing { topic: consume.topic.clone(), waited: began.elapsed() },
            Err(_) => away(consumer, consume, began.elapsed()),
        };
        if let Error::BrokersForgotten { .. } = missing {
            return Err(missing);
        }
        if !std::mem::replace(&mut said, true) {
            let (topic, brokers) = (&consume.topic, &consume.kafka.brokers);
            let why = consumer.client().context().connections().last();
            tracing::info!(topic, brokers, why, "waiting for kafka and the topic");
        }
        match backoff.wait() {
            Some(wait) => std::thread::sleep(wait),
            None => return Err(missing),
        }
    }
    Ok(None)
}

/// Why Kafka did not answer: it is not there, it and we refuse each other, or it named no broker.
fn away(consumer: &GroupConsumer, consume: &Consume, waited: Duration) -> Error {
    client::listen(consumer);
    let brokers = consume.kafka.brokers.clone();
    if consumer.client().context().has_forgotten_brokers() {
        return Error::BrokersForgotten { brokers, joined: false };
    }
    match consumer.client().context().connections().refusal() {
        Some(reason) => Error::KafkaRefused { brokers, reason },
        None => Error::KafkaAway { brokers, waited },
    }
}

/// Names this process in the claims: host and process id.
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
}

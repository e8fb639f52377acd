//! A consumer from start to stop: waiting for what it needs, two threads, a bounded end.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rdkafka::{consumer::Consumer as _, error::KafkaError, types::RDKafkaErrorCode};
use service::{Stop, backoff::Backoff, health::Health, settings::KafkaSettings};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::oneshot;

use crate::{
    Error, Pipeline, client,
    core::{Consumer, JOBS, offsets::Feed, watch::Client},
    identity::{Identity, Membership},
    kafka::{
        driver::{Driver, Guard, News, Parts},
        group::{self, GroupConsumer, REQUEST_TIMEOUT},
    },
    kafka_errors::{Decision, Denial, Resource, code_of, decide},
    memory_limit,
    pipeline::Residency,
    postgres::{database::Database, loader::Loader, lookup, retry::Postgres, session::PgServer, writer::Writer},
    settings::ConsumeSettings,
    topic,
    topic_client::Kafka,
};

/// A stop takes no longer than this; the grace period of a pod is 30 s.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// How long one check takes whether the group was left.
const LEAVING: Duration = Duration::from_millis(1);
/// How long leaving the group may take once the exit code is decided: the client library is known to hang on close.
const CLOSE: Duration = Duration::from_secs(3);

/// What to consume, where to store it, and how.
#[derive(Clone, Debug)]
pub struct Consume {
    /// The Kafka topic.
    pub topic: String,
    /// Where Kafka is.
    pub kafka: KafkaSettings,
    /// The pipeline's database.
    pub database: PgConnectOptions,
    /// Whose consumer this is: that of this database, and of no other.
    pub identity: Identity,
    /// Batch sizes, times, modes.
    pub settings: ConsumeSettings,
    /// Readiness and liveness.
    pub health: Health,
    /// When to stop.
    pub stop: Stop,
}

impl Consume {
    /// The consumer group.
    pub fn group(&self) -> String {
        self.settings.group_id.clone().unwrap_or_else(|| self.identity.group())
    }

    fn membership(&self) -> Membership {
        Membership { group: self.group(), client_id: self.identity.client_id() }
    }
}

/// Consumes a topic into PostgreSQL until it is time to stop, or with `until_end` until all is stored.
///
/// # Errors
/// The error that ends a consumer, see [`Error`].
pub async fn consume<P: Pipeline>(pipeline: P, consume: Consume) -> Result<(), Error> {
    if let Residency::Windows(windows) = pipeline.residency() {
        windows.check().map_err(Error::Settings)?;
    }
    let stop = consume.stop.clone();
    let (decided, result) = oneshot::channel();
    let (closed, close) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || {
            let mut run = Run::new(pipeline, consume, runtime);
            let (consumer, ended) = run.carry();
            // Nobody receives this any more when the deadline has passed.
            let _ = decided.send(ended);
            if let Some(consumer) = consumer {
                run.leave(consumer);
            }
            let _ = closed.send(());
        })
        .map_err(|source| Error::Thread { name: "reader", source })?;
    let overdue = async {
        stop.stopped().await;
        tokio::time::sleep(STOP_DEADLINE).await;
    };
    let ended = tokio::select! {
        ended = result => ended.unwrap_or(Err(Error::WriterStopped)),
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

/// A run, across the clients of Kafka that it may need one after another.
struct Run<P: Pipeline> {
    pipeline: Arc<P>,
    consume: Consume,
    runtime: tokio::runtime::Handle,
    /// What the first client saw of the topic.
    seen: Option<TopicAtStart>,
    /// Since when clients have come and gone without a part in the group.
    unjoined_since: Option<Instant>,
    /// The threads that wait for the ends of abandoned clients.
    abandoned: Vec<JoinHandle<()>>,
}

/// A topic as it was at start.
#[derive(Clone, Debug)]
struct TopicAtStart {
    /// The end of every partition, also where an open transaction is in front of it.
    ends: BTreeMap<i32, i64>,
    /// Whether Kafka compacts it.
    compacted: bool,
}

impl<P: Pipeline> Run<P> {
    fn new(pipeline: P, consume: Consume, runtime: tokio::runtime::Handle) -> Self {
        Self { pipeline: Arc::new(pipeline), consume, runtime, seen: None, unjoined_since: None, abandoned: Vec::new() }
    }

    /// Goes on, with a new client whenever a response of Kafka makes one useless. Returns the last client too, so that
    /// its end does not delay the result.
    fn carry(&mut self) -> (Option<Arc<GroupConsumer>>, Result<(), Error>) {
        let membership = self.consume.membership();
        loop {
            let consumer = match group::consumer(&self.consume.kafka, &membership, &self.consume.settings, P::NAME) {
                Ok(consumer) => Arc::new(consumer),
                Err(error) => return (None, Err(error)),
            };
            match self.read(&consumer, &membership.group) {
                Err(error @ Error::ClientLost { joined, .. }) if self.may_go_on(joined) => {
                    tracing::warn!(%error, "going on with a new client, from what is stored");
                    self.consume.health.set_unready(vec![error.to_string()]);
                    self.abandon_client(consumer);
                }
                ended => return (Some(consumer), ended),
            }
        }
    }

    /// How long Kafka and the topic may be unavailable: what was once there for longer than what never was.
    fn patience(&self) -> Duration {
        if self.seen.is_some() { self.consume.settings.outage_timeout } else { self.consume.settings.wait }
    }

    /// Whether another client may be tried: those that never had a part in the group are counted together.
    fn may_go_on(&mut self, joined: bool) -> bool {
        let since = self.unjoined_since.filter(|_| !joined).unwrap_or_else(Instant::now);
        self.unjoined_since = Some(since);
        since.elapsed() <= self.patience()
    }

    /// Abandons a client that reaches no broker: the group will notice, and nothing waits for its end. That may take
    /// for ever, as when an offset was yet to be committed to a coordinator that is not known any more.
    fn abandon_client(&mut self, consumer: Arc<GroupConsumer>) {
        consumer.client().context().close();
        self.end(consumer);
    }

    /// Ends a client without waiting for it.
    fn end(&mut self, client: impl Send + 'static) {
        self.abandoned.retain(|abandoned| !abandoned.is_finished());
        match std::thread::Builder::new().name("abandoned".to_owned()).spawn(move || drop(client)) {
            Ok(abandoned) => self.abandoned.push(abandoned),
            Err(error) => tracing::warn!(%error, "a client of kafka was ended without a separate thread"),
        }
    }

    /// Leaves the group. The consumer's own drop would check only every 100 ms whether it has, and ends its threads.
    fn leave(self, consumer: Arc<GroupConsumer>) {
        consumer.client().context().close();
        if self.consume.kafka.tls.is_some() {
            // OpenSSL clears up when the process ends; a thread that still uses it then crashes.
            // One that has panicked has ended as well.
            self.abandoned.into_iter().for_each(|abandoned| drop(abandoned.join()));
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

    /// Both threads' work, with one client.
    fn read(&mut self, consumer: &Arc<GroupConsumer>, group: &str) -> Result<(), Error> {
        let Some(TopicAtStart { ends, compacted }) = self.wait_for_topic(consumer)? else { return Ok(()) };
        self.refuse_others(consumer)?;
        let (consume, pipeline) = (&self.consume, &self.pipeline);
        let feed = Arc::new(Feed {
            name: P::NAME,
            topic: consume.topic.clone(),
            cluster_id: consumer.client().fetch_cluster_id(REQUEST_TIMEOUT),
        });
        let server = PgServer {
            database: Database::new(consume.database.clone()),
            pipeline: Arc::clone(pipeline),
            feed: Arc::clone(&feed),
        };
        let postgres = Postgres::new(server, consume.settings.outage_timeout);
        let (jobs, job_queue) = tokio::sync::mpsc::channel(JOBS);
        let (sender, news) = mpsc::channel();
        // Its end is noticed too where it answers nothing: it has panicked, or nobody receives its answers.
        let answers = Guard::new(&sender);
        let writer = Writer::new(postgres.clone(), move |answer| answers.say(News::Answer(answer)));
        let handle = self.runtime.clone();
        std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || handle.block_on(writer.run(job_queue)))
            .map_err(|source| Error::Thread { name: "writer", source })?;
        let (lookups, asked) = tokio::sync::mpsc::channel(1);
        let residency = Residency::of(pipeline.as_ref());
        if residency != Residency::Memory {
            let answers = Guard::new(&sender);
            let (handle, postgres) = (self.runtime.clone(), postgres.clone());
            let answer = move |number, rows| answers.say(News::LookedUp(number, rows));
            std::thread::Builder::new()
                .name("lookup".to_owned())
                .spawn(move || handle.block_on(lookup::run::<P, _>(postgres, asked, answer)))
                .map_err(|source| Error::Thread { name: "lookup", source })?;
        }
        consumer.subscribe(&[&consume.topic]).map_err(|error| Error::ClientLost {
            brokers: consume.kafka.brokers.clone(),
            reason: error.to_string(),
            joined: false,
        })?;
        let memory_limit_mib = consume.settings.max_facts_memory.or_else(memory_limit::default_limit_mib);
        let client = Client { settings: consume.kafka.clone(), group: group.to_owned(), topic: consume.topic.clone() };
        let settings = consume.settings.for_core(compacted);
        let core = Consumer::new(Instant::now(), Arc::clone(pipeline), Arc::clone(&feed), settings, client, ends);
        let parts = Parts {
            consumer: Arc::clone(consumer),
            kafka: consume.kafka.clone(),
            loader: Loader::new(
                postgres.clone(),
                owner(),
                &feed,
                residency,
                pipeline.noted_settings(),
                memory_limit_mib,
            ),
            feed,
            outages: postgres.outages().clone(),
            runtime: self.runtime.clone(),
            jobs,
            lookups,
            news: (sender, news),
            health: consume.health.clone(),
            stop: consume.stop.clone(),
            memory_limit_mib,
        };
        let watch = consume.membership().watch(Arc::clone(consumer), consume.stop.clone());
        let watch = watch.map_err(|source| Error::Thread { name: "watch", source })?;
        let mut driver = Driver::new(parts, core);
        let ended = driver.run();
        self.abandoned.extend(driver.take_topic_query());
        watch.end(ended)
    }

    /// Waits for Kafka and the topic; `None` when it is time to stop.
    fn wait_for_topic(&mut self, consumer: &GroupConsumer) -> Result<Option<TopicAtStart>, Error> {
        let patience = self.patience();
        let mut backoff = Backoff::new(patience);
        let mut said = false;
        while !self.consume.stop.is_stopping() {
            self.consume.health.turn();
            let found = self.find_topic(consumer, patience.min(REQUEST_TIMEOUT));
            let consume = &self.consume;
            let missing = match found {
                Ok(Some(seen)) => return Ok(Some(seen)),
                Ok(None) => Error::TopicMissing { topic: consume.topic.clone(), waited: backoff.elapsed() },
                Err(error) => unavailable(consumer, consume, &error, backoff.elapsed()),
            };
            if let Error::ClientLost { .. } | Error::TopicRefused { .. } = missing {
                return Err(missing);
            }
            consume.health.set_unready(vec![format!("waiting for kafka and the topic: {missing}")]);
            if !std::mem::replace(&mut said, true) {
                let (topic, brokers) = (&consume.topic, &consume.kafka.brokers);
                tracing::info!(topic, brokers, why = %missing, "waiting for kafka and the topic");
            }
            match backoff.wait() {
                Some(wait) => std::thread::sleep(wait),
                None => return Err(missing),
            }
        }
        Ok(None)
    }

    /// The state of the topic at the first query, once the topic exists; `None` while it is missing.
    fn find_topic(&mut self, consumer: &GroupConsumer, patience: Duration) -> Result<Option<TopicAtStart>, KafkaError> {
        let topic = &self.consume.topic;
        let Some(partitions) = group::partitions(consumer, topic, patience)? else { return Ok(None) };
        if self.seen.is_none() {
            let kafka = Kafka::connect(&self.consume.kafka)?;
            let ends = kafka.ends(topic, partitions)?;
            let compacted = kafka.settings(topic).is_compacted();
            if compacted {
                tracing::warn!(
                    topic,
                    "kafka compacts the topic: it keeps one record per key, so that facts may be missing; set \
                     cleanup.policy=delete, and send the file again"
                );
            }
            self.seen = Some(TopicAtStart { ends, compacted });
            self.end(kafka);
        }
        Ok(self.seen.clone())
    }

    /// Refuses to join a group whose members store elsewhere, once Kafka has said who they are.
    fn refuse_others(&self, consumer: &GroupConsumer) -> Result<(), Error> {
        let (consume, membership) = (&self.consume, self.consume.membership());
        let mut backoff = Backoff::new(self.patience());
        while !consume.stop.is_stopping() {
            consume.health.turn();
            match membership.refused(consumer) {
                Ok(None) => return Ok(()),
                Ok(Some(refused)) => return Err(refused),
                Err(error) => {
                    tracing::debug!(%error, "kafka does not say who is in the group");
                    let unavailable = unavailable(consumer, consume, &error, backoff.elapsed());
                    consume.health.set_unready(vec![format!("waiting for the members of the group: {unavailable}")]);
                    let Some(wait) = backoff.wait() else { return Err(unavailable) };
                    std::thread::sleep(wait);
                }
            }
        }
        Ok(())
    }
}

/// Why Kafka did not respond: it is unavailable, it denies a right, it and we refuse each other, or it named no broker.
fn unavailable(consumer: &GroupConsumer, consume: &Consume, error: &KafkaError, waited: Duration) -> Error {
    client::drain_events(consumer);
    let brokers = consume.kafka.brokers.clone();
    let context = consumer.client().context();
    if context.has_forgotten_brokers() {
        let reason = "kafka named no broker, not even itself".to_owned();
        return Error::ClientLost { brokers, reason, joined: false };
    }
    if code_of(error) == Some(RDKafkaErrorCode::InvalidTopic) {
        return Error::TopicRefused { topic: consume.topic.clone(), reason: topic::with_advice(error) };
    }
    if let Decision::Denied(resource) = decide(error) {
        let denial = match resource {
            Resource::Group => Denial::new(&consume.kafka, "Read", resource, consume.membership().group),
            _ => Denial::new(&consume.kafka, "Describe", Resource::Topic, &consume.topic).mended_by("Read"),
        };
        return Error::KafkaDenied { denial: denial.to_string() };
    }
    match context.connections().refusal() {
        Some(reason) => Error::KafkaRefused { brokers, reason },
        None => {
            let reason = context.connections().last().unwrap_or_else(|| error.to_string());
            Error::KafkaUnavailable { brokers, waited, reason }
        }
    }
}

/// Names this process in the claims: host and process id.
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
}

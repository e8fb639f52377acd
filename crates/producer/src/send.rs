//! One run: it opens the input, ensures the topic, sends every row and reports the result.

use std::{path::PathBuf, sync::Arc, time::Duration};

use service::{
    Exit, Failure, ResultExt, Stop,
    health::{self, Health},
    telemetry,
};
use stream::{
    Source,
    sender::{self, LINGER, OUTAGE_TIMEOUT, OnRejected, SHORT_LINGER, SendError, SendSettings, Sent},
    topic::{Lookup, Topic, TopicError, TopicSpec},
};

use crate::{
    follow::{Following, Open},
    input::{self, Wanted},
    live::{Kind, Live},
    progress::{self, Progress, grouped, records_per_s},
    raw::exit_of,
    settings::Job,
    usable::Watched,
};

/// A sending loop that has not turned for this long is dead: it turns several times a second, also while Kafka is unavailable.
const DEAD_AFTER: Duration = Duration::from_secs(60);
/// How long unfinished work may take after a stop signal; Kubernetes kills after 30 s.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Runs the job, and ends early at a stop signal.
pub(crate) async fn run(job: Job) -> anyhow::Result<()> {
    telemetry::start(&job.settings.log);
    tracing::info!(version = service::version!(), "producer starts");
    let health = Health::new(DEAD_AFTER);
    if let Some(address) = job.settings.listen {
        health::serve(address, health.clone()).await?;
        progress::describe_metrics();
    }
    let stop = Stop::on_signals().or_exit(Exit::Bug, || "cannot watch for signals")?;
    let token = stop.clone();
    // Reading and Kafka's client block, and a read of standard input cannot be called off.
    let job = Arc::new(job);
    let work = tokio::task::spawn_blocking(move || work(&job, health, &token));
    tokio::select! {
        ended = work => ended?,
        () = late(&stop) => Err(Failure::new(Exit::Unavailable, "stopped while waiting for the input or for kafka").into()),
    }
}

async fn late(stop: &Stop) {
    stop.stopped().await;
    tokio::time::sleep(STOP_DEADLINE).await;
}

fn work(job: &Arc<Job>, health: Health, stop: &Stop) -> anyhow::Result<()> {
    match job.live() {
        Some(kind) => work_live(kind, job, &health, stop),
        None => work_to_the_end(job, health, stop),
    }
}

/// Sends what a live input takes, until the stop.
fn work_live(kind: Kind, job: &Job, health: &Health, stop: &Stop) -> anyhow::Result<()> {
    let lacking = || Failure::new(Exit::Usage, format!("{} takes no live input", job.pipeline.name));
    let inlet = job.pipeline.inlet(&job.options).ok_or_else(lacking)??;
    let mut live = Live::new(kind, job)?;
    let mut parts = health.divide(if kind == Kind::Mqtt { &["kafka", "mqtt"] } else { &["kafka"] }).into_iter();
    let (kafka, input) = (parts.next(), parts.next());
    let mut progress = Progress::start(kafka.unwrap_or_else(|| health.clone()));
    let mut source = live.source(inlet.as_ref());
    let mut how = prepare(job, &source, stop)?;
    how.linger = SHORT_LINGER;
    live.open(job, inlet, how.max_message_bytes, input.unwrap_or_else(|| health.clone()), stop)?;
    progress.started();
    let (sent, ended) = sender::send(&mut source, &how, &mut progress, live.sending());
    live.end();
    progress.end();
    summarise(&sent);
    ended.map_err(|error| failure(error, &sent, &job.named()))
}

/// Sends an input that ends, or what is simulated.
fn work_to_the_end(job: &Arc<Job>, health: Health, stop: &Stop) -> anyhow::Result<()> {
    let mut progress = Progress::start(health);
    let mut source = Watched::new(source(job, &progress, stop)?, job.settings.strict);
    let how = prepare(job, &source, stop)?;
    progress.started();
    let (sent, ended) = sender::send(&mut source, &how, &mut progress, stop);
    progress.end();
    source.summarise();
    if sent.read == 0 {
        tracing::warn!("the input has a header and no rows");
    }
    summarise(&sent);
    let all_taken = sent.acknowledged + sent.failed == sent.sent;
    let ended = match ended {
        Err(SendError::Stopped) if source.is_endless() && all_taken => Ok(()),
        ended => ended,
    };
    ended.map_err(|error| failure(error, &sent, &job.named()))?;
    if source.is_endless() {
        return Ok(());
    }
    source.verdict().map_err(|why| Failure::new(Exit::Input, format!("cannot use {}: {why}", job.named())).into())
}

/// Ensures the topics, and says how a source is sent to them.
fn prepare(job: &Job, source: &dyn Source, stop: &Stop) -> anyhow::Result<SendSettings> {
    let settings = &job.settings;
    let first = settings.topic.clone().unwrap_or_else(|| job.pipeline.topic.to_owned());
    let topics: Vec<String> = std::iter::once(first).chain(source.further_topics()).collect();
    let spec = TopicSpec { partitions: settings.partitions, keeps_all: source.is_of_the_past() };
    let mut max_message_bytes = None;
    for topic in &topics {
        let lookup = Lookup { kafka: settings.kafka.clone(), topic: topic.clone(), wait: settings.wait };
        let limit = ensure(&lookup, spec, stop)?.settings.max_message_bytes;
        max_message_bytes = limit.into_iter().chain(max_message_bytes).min();
    }
    Ok(SendSettings {
        kafka: settings.kafka.clone(),
        topics,
        max_message_bytes,
        wait: settings.wait,
        outage_timeout: OUTAGE_TIMEOUT,
        linger: LINGER,
        rate: settings.rate,
        on_rejected: if settings.strict { OnRejected::Stop } else { OnRejected::GoOn },
    })
}

fn source(job: &Arc<Job>, progress: &Progress, stop: &Stop) -> anyhow::Result<Box<dyn Source>> {
    let settings = &job.settings;
    if settings.from_end && !settings.follow {
        return Err(Failure::new(Exit::Usage, "--from-end goes with --follow only").into());
    }
    let opened = match &settings.input {
        Some(location) if !job.simulates() => {
            let wanted = Wanted { location, sha256: settings.sha256, wait: settings.wait };
            match settings.follow {
                true => follow(job, input::followed(&wanted)?, stop),
                false => job.pipeline.source(input::open(&wanted, progress, stop)?, &job.options),
            }
        }
        _ if settings.follow => return Err(Failure::new(Exit::Usage, "--follow goes with --input only").into()),
        _ => {
            let lacking = || Failure::new(Exit::Usage, format!("{} has no simulator", job.pipeline.name));
            job.pipeline.simulated(&job.options).ok_or_else(lacking)?
        }
    };
    opened.map_err(|error| {
        let failure = Failure::new(exit_of(error.as_ref()), format!("cannot use {}", job.named()));
        error.context(failure)
    })
}

fn follow(job: &Arc<Job>, path: PathBuf, stop: &Stop) -> anyhow::Result<Box<dyn Source>> {
    let open: Open = {
        let job = Arc::clone(job);
        Arc::new(move |input| job.pipeline.source(input, &job.options))
    };
    Ok(Box::new(Following::new(path, job.settings.from_end, open, stop)?))
}

/// Looks a topic up, and makes it where it is missing.
fn ensure(lookup: &Lookup, spec: TopicSpec, stop: &Stop) -> anyhow::Result<Topic> {
    let found = lookup.ensure(spec, stop).map_err(|error| {
        let (exit, advice) = match error {
            TopicError::Unavailable { .. } => {
                (Exit::Unavailable, "cannot send; check --kafka-brokers, or try again later")
            }
            TopicError::AuthRefused { .. } => (Exit::Usage, "cannot send; check the --kafka-… settings"),
            TopicError::Denied(_) => (Exit::Usage, "nothing was sent"),
            TopicError::Refused { .. } => (Exit::Usage, "cannot send; check --kafka-brokers, --topic and --partitions"),
            TopicError::Stopped => (Exit::Unavailable, "nothing was sent"),
        };
        anyhow::Error::new(error).context(Failure::new(exit, advice))
    })?;
    let (topic, has) = (&lookup.topic, found.partitions);
    if found.settings.is_compacted() {
        let policy = found.settings.cleanup_policy.unwrap_or_default();
        return Err(Failure::new(Exit::Usage, compacted(topic, &policy)).into());
    }
    if found.created {
        tracing::info!(topic, partitions = has, "topic created");
    }
    if spec.keeps_all && found.settings.retention_ms.is_some_and(|kept| kept >= 0) {
        tracing::warn!(
            topic,
            retention_ms = found.settings.retention_ms,
            "kafka removes records of such an age from topic {topic}; set retention.ms=-1"
        );
    }
    if has != spec.partitions {
        tracing::info!(
            topic,
            partitions = has,
            "the topic has {has} partitions; --partitions counts only when it is made"
        );
    }
    Ok(found)
}

fn compacted(topic: &str, policy: &str) -> String {
    format!(
        "nothing was sent: topic `{topic}` has cleanup.policy={policy}, and kafka would keep only the last record of \
         each key; set it with `kafka-configs.sh --alter --topic {topic} --add-config cleanup.policy=delete`"
    )
}

fn summarise(sent: &Sent) {
    let Sent { read, sent: handed_over, filtered, rejected, acknowledged, failed, seconds } = *sent;
    if rejected > 0 {
        let rows = if rejected == 1 { ("row", "was") } else { ("rows", "were") };
        tracing::warn!(rejected, "{rejected} {} could not be read and {} not sent", rows.0, rows.1);
    }
    tracing::info!(
        acknowledged,
        failed,
        seconds,
        "read {read}, sent {handed_over}, filtered {filtered}, rejected {rejected}, {} records/s",
        grouped(records_per_s(sent))
    );
}

/// Which exit code an early end deserves, and what to do about it.
fn failure(error: SendError, sent: &Sent, named: &str) -> anyhow::Error {
    let (exit, advice) = match &error {
        SendError::Source(_) => (exit_of(&error), format!("cannot use {named}")),
        SendError::Rejected { .. } => (Exit::Input, format!("cannot use {named}")),
        SendError::TooLarge { .. } => (
            Exit::Input,
            format!("not all of {named} was sent; raise the topic's max.message.bytes or shorten the record"),
        ),
        SendError::Denied(_) | SendError::NoProducerId(_) if sent.acknowledged == 0 => {
            (Exit::Usage, "nothing was sent".to_owned())
        }
        SendError::Denied(_) | SendError::NoProducerId(_) => {
            (Exit::Usage, format!("not all of {named} was acknowledged; send it again after that"))
        }
        SendError::AuthRefused(_) => (
            Exit::Usage,
            format!("not all of {named} was acknowledged; check the --kafka-… settings, and send it again"),
        ),
        SendError::Client(_) if error.is_setting() => {
            (Exit::Usage, format!("not all of {named} was acknowledged; check --kafka-brokers and --topic"))
        }
        SendError::Unacknowledged { .. } | SendError::BrokersForgotten | SendError::Client(_) => {
            (Exit::Unavailable, format!("not all of {named} was acknowledged; send it again"))
        }
        SendError::Stopped => (Exit::Unavailable, format!("not all of {named} was sent; send it again")),
    };
    anyhow::Error::new(error).context(Failure::new(exit, advice))
}

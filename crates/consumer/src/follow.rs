//! Carrying records: until the end, or until a stop signal.

use std::time::Duration;

use service::{Stop, health};
use stream::{Consume, metrics};

use crate::{schema, settings::Job};

/// A reading loop that has not turned for this long is dead: longer than any request to Kafka,
/// shorter than a person's patience.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// Waits for what it needs, then carries the topic into Postgres.
pub(crate) async fn run(job: Job) -> anyhow::Result<()> {
    tracing::info!(version = service::version!(), "consumer starts");
    let stop = Stop::on_signals()?;
    let health = health::Health::new(DEAD_AFTER);
    if let Some(address) = job.settings.listen {
        health::serve(address, health.clone()).await?;
        metrics::register(env!("CARGO_PKG_VERSION"), env!("TRIBUTARY_REVISION"));
    }
    let identity = tokio::select! {
        waited = schema::wait(&job, &health) => waited?,
        () = stop.stopped() => return Ok(()),
    };
    health.started();
    let consume = Consume {
        topic: job.topic(),
        kafka: job.settings.kafka.clone(),
        database: job.database(),
        identity,
        settings: job.settings.consume.clone(),
        health,
        stop,
    };
    tracing::info!(group = consume.group(), client_id = consume.identity.client_id(), "consuming for this database");
    job.pipeline.start(&job.options, consume)?.await
}

/// Reads to the end, alone, and moves every group to the partition of its records.
pub(crate) async fn repartition(mut job: Job) -> anyhow::Result<()> {
    job.settings.consume.until_end = true;
    job.settings.consume.repartition = true;
    run(job).await
}

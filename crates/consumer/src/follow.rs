//! Carrying records: until the end, or until a stop signal.

use std::time::Duration;

use service::{Stop, health};
use stream::{Consume, ConsumeSettings, feeds::side_by_side, metrics};

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
        metrics::register(env!("CARGO_PKG_VERSION"), env!("TRIBUTARY_REVISION"), &job.pipeline.feed_names());
    }
    let identities = tokio::select! {
        waited = schema::wait(&job, &health) => waited?,
        () = stop.stopped() => return Ok(()),
    };
    health.started();
    let parts = health.divide(&job.pipeline.feed_names());
    let mut running = Vec::new();
    for (((feed, topic), identity), health) in job.pipeline.feeds.iter().zip(job.topics()).zip(identities).zip(parts) {
        let consume = Consume {
            topic,
            kafka: job.settings.kafka.clone(),
            database: job.database(),
            settings: settings_of(&job, feed.tables.feed),
            identity,
            health,
            stop: stop.clone(),
        };
        let (group, client_id) = (consume.group(), consume.identity.client_id());
        tracing::info!(group, client_id, "consuming for this database");
        running.push(feed.start(&job.options, consume)?);
    }
    side_by_side(&stop, running).await
}

/// The settings of a feed. A group that is given gets the suffix of a further feed's name: each has a group of its own.
fn settings_of(job: &Job, feed: &str) -> ConsumeSettings {
    let mut settings = job.settings.consume.clone();
    let suffix = feed.strip_prefix(job.pipeline.name).unwrap_or(feed);
    settings.group_id = settings.group_id.map(|group| group + suffix);
    settings.facts_memory = share_of(settings.facts_memory, job.pipeline.feeds.len(), suffix.is_empty());
    settings
}

/// A feed's share of the memory for facts: of several, seven eighths are the first one's.
fn share_of(facts_memory: u32, feeds: usize, is_first: bool) -> u32 {
    let further = u32::try_from(feeds.saturating_sub(1)).unwrap_or(u32::MAX);
    let theirs = facts_memory / 8;
    match (further, is_first) {
        (0, _) => facts_memory,
        (_, true) => facts_memory - theirs,
        (_, false) => theirs / further,
    }
}

/// Reads to the end, alone, and moves every group to the partition of its records.
pub(crate) async fn repartition(mut job: Job) -> anyhow::Result<()> {
    job.settings.consume.until_end = true;
    job.settings.consume.repartition = true;
    run(job).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_for_facts_is_that_of_all_feeds_together() {
        assert_eq!(share_of(8, 1, true), 8);
        assert_eq!([share_of(8, 2, true), share_of(8, 2, false)], [7, 1]);
        assert_eq!([share_of(64, 3, true), share_of(64, 3, false)], [56, 4]);
        assert_eq!([share_of(0, 2, true), share_of(1, 2, false)], [0, 0]);
    }
}

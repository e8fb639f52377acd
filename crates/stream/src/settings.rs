//! How a topic is carried into Postgres; the same for every pipeline.

use std::time::Duration;

use clap::{Args, builder::NonEmptyStringValueParser};
use service::settings::{span, switch};

/// Settings of the consumer that no pipeline differs in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Consuming")]
pub struct ConsumeSettings {
    /// Stop at the end the topic had at start, and publish once, then; without it, follow the topic.
    #[arg(long, env = "UNTIL_END", value_parser = switch)]
    pub until_end: bool,
    /// The least time between two publications (a span such as 5s or 1m).
    #[arg(long, env = "PUBLISH_EVERY", default_value = "5s", value_parser = span, value_name = "SPAN")]
    pub publish_every: Duration,
    /// The most records in one transaction; a batch is also sent at 8 MiB.
    #[arg(long, env = "BATCH_SIZE", default_value = "10000", value_name = "RECORDS",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::core::batch::MAX_BATCH_RECORDS)))]
    pub batch_size: u32,
    /// The consumer group; by default one of the database's own.
    ///
    /// The default is `tributary-`, the pipeline's name, and twelve digits that `migrate up` drew for the database. All replicas
    /// of one database share a group. A group that a consumer of another database, or another program, is in is refused.
    #[arg(long, env = "GROUP_ID", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub group_id: Option<String>,
    /// How long to wait at start for Kafka, the topic, Postgres and the schema.
    #[arg(long, env = "STARTUP_WAIT", default_value = "60s", value_parser = span, value_name = "SPAN")]
    pub wait: Duration,
    /// How long Kafka or Postgres may be away while running; then exit 69.
    #[arg(long, env = "AWAY", default_value = "5m", value_parser = span, value_name = "SPAN")]
    pub away: Duration,
    /// Accept that the topic was made again, or has lost offsets: keep the facts, begin at the topic's
    /// earliest offset, and publish nothing before its end is reached.
    #[arg(long, env = "RESET_OFFSETS", value_parser = switch)]
    pub reset_offsets: bool,
    /// The most memory the process may use, MiB; by default three quarters of the container's limit, or of the machine.
    #[arg(long, env = "MAX_FACTS_MEMORY", value_name = "MIB")]
    pub max_facts_memory: Option<u64>,
    /// Move groups to the partitions their records come from, at the end. Set by `consumer rehome`.
    #[arg(skip)]
    pub rehome: bool,
    /// The most memory for records that were fetched and not yet read, KiB.
    #[arg(long, env = "FETCH_QUEUE", default_value = "8192", value_name = "KIB",
          value_parser = clap::value_parser!(u32).range(1..=2_097_151))]
    pub fetch_queue_kib: u32,
}

impl ConsumeSettings {
    /// What decides; `compacted` says whether Kafka compacts the topic.
    pub(crate) fn for_core(&self, compacted: bool) -> crate::core::Settings {
        crate::core::Settings {
            until_end: self.until_end,
            refresh_every: self.publish_every,
            batch_size: usize::try_from(self.batch_size).unwrap_or(usize::MAX),
            reset_offsets: self.reset_offsets,
            repartition: self.rehome,
            wait: self.wait,
            away: self.away,
            compacted,
        }
    }
}

//! How a topic is consumed into PostgreSQL; the same for every pipeline.

use std::time::Duration;

use clap::{Args, builder::NonEmptyStringValueParser};
use service::settings::{duration, switch};

use crate::pipeline::Windows;

/// Settings of the consumer that no pipeline differs in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Consuming")]
pub struct ConsumeSettings {
    /// Stop at the end the topic had at start, and refresh once, then; without it, follow the topic.
    #[arg(long, env = "UNTIL_END", value_parser = switch)]
    pub until_end: bool,
    /// The least time between two refreshes (a duration such as 5s or 1m).
    #[arg(long, env = "REFRESH_EVERY", default_value = "5s", value_parser = duration, value_name = "DURATION")]
    pub refresh_every: Duration,
    /// The most records in one transaction; a batch is also sent at 8 MiB.
    #[arg(long, env = "BATCH_SIZE", default_value = "10000", value_name = "RECORDS",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::core::segments::MAX_BATCH_RECORDS)))]
    pub batch_size: u32,
    /// The consumer group; by default one of the database's own.
    ///
    /// The default is `tributary-`, the pipeline's name, and twelve digits that `migrate up` drew for the database. All replicas
    /// of one database share a group. A group that a consumer of another database, or another program, is in is refused.
    #[arg(long, env = "GROUP_ID", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub group_id: Option<String>,
    /// How long to wait at start for Kafka, the topic, Postgres and the schema.
    #[arg(long, env = "STARTUP_WAIT", default_value = "60s", value_parser = duration, value_name = "DURATION")]
    pub wait: Duration,
    /// How long Kafka or Postgres may be unavailable while running; then exit 69.
    #[arg(long, env = "OUTAGE_TIMEOUT", default_value = "5m", value_parser = duration, value_name = "DURATION")]
    pub outage_timeout: Duration,
    /// Accept that the topic was recreated, or has lost offsets: keep the facts, begin at the topic's
    /// earliest offset, and refresh nothing before its end is reached.
    #[arg(long, env = "RESET_OFFSETS", value_parser = switch)]
    pub reset_offsets: bool,
    /// The most memory the process may use, MiB; by default three quarters of the container's limit, or of the machine.
    #[arg(long, env = "MAX_FACTS_MEMORY", value_name = "MIB")]
    pub max_facts_memory: Option<u64>,
    /// What facts may take in memory, MiB, in pipelines whose groups leave memory; those that were not used for the longest time are
    /// then read from the database when they are needed.
    #[arg(long, env = "FACTS_MEMORY", default_value = "8", value_name = "MIB",
          value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub facts_memory: u32,
    /// Move groups to the partitions their records come from, at the end. Set by `consumer repartition`.
    #[arg(skip)]
    pub repartition: bool,
    /// The payload of records that were fetched and not yet read, KiB; each record takes some 300 bytes more.
    #[arg(long, env = "FETCH_QUEUE", default_value = "1024", value_name = "KIB",
          value_parser = clap::value_parser!(u32).range(1..=2_097_151))]
    pub fetch_queue_kib: u32,
}

/// How many facts a load may have to read where groups leave memory: about a second.
const TAIL_FACTS: usize = 2_000_000;

impl ConsumeSettings {
    /// The settings of the core; `compacted` says whether Kafka compacts the topic.
    pub(crate) fn for_core(&self, compacted: bool) -> crate::core::Settings {
        crate::core::Settings {
            until_end: self.until_end,
            refresh_every: self.refresh_every,
            batch_size: usize::try_from(self.batch_size).unwrap_or(usize::MAX),
            reset_offsets: self.reset_offsets,
            repartition: self.repartition,
            wait: self.wait,
            outage_timeout: self.outage_timeout,
            compacted,
            facts_memory: usize::try_from(self.facts_memory).unwrap_or(usize::MAX).saturating_mul(1 << 20),
            tail_facts: TAIL_FACTS,
        }
    }
}

/// Settings of pipelines with windows.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Windows")]
pub struct WindowSettings {
    /// How long a window is (a duration such as 15m); it divides a day. What is stored with one keeps it.
    #[arg(long, env = "WINDOW", default_value = "15m", value_parser = window, value_name = "DURATION")]
    pub window: Duration,
    /// How long after its end a window becomes final, by the event times of its own key.
    ///
    /// Later events are not lost: they correct the window, and are counted as late.
    #[arg(long, env = "LATENESS", default_value = "20m", value_parser = duration, value_name = "DURATION")]
    pub lateness: Duration,
    /// How far ahead of its record's Kafka timestamp an event may be; one beyond is rejected.
    #[arg(long, env = "AHEAD", default_value = "1h", value_parser = duration, value_name = "DURATION")]
    pub ahead: Duration,
    /// How long windows take events, behind the newest event of their key; older events are filtered, and their facts removed.
    #[arg(long, env = "KEEP_WINDOWS", default_value = "forever", value_parser = Keep::parse, value_name = "DURATION|forever")]
    pub keep: Keep,
    /// How long the changelog keeps facts that are also stored by window.
    #[arg(long, env = "KEEP_HISTORY", default_value = "7days", value_parser = Keep::parse, value_name = "DURATION|forever")]
    pub keep_history: Keep,
    /// How many rejected records of a message key and day are kept with their bytes, and of all keys a hundred times as many.
    ///
    /// The others are counted, and not kept. A day begins with the first of them, and with a start of the process.
    #[arg(long, env = "REJECTS_PER_DAY", default_value = "1000", value_parser = RejectsPerDay::parse, value_name = "N|all")]
    pub rejects_per_day: RejectsPerDay,
}

/// How many rejected records of a key and day are kept; `None` is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectsPerDay(pub Option<u64>);

impl RejectsPerDay {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self(None)),
            _ => text.parse().map(|most| Self(Some(most))).map_err(|_| "neither a number nor `all`".to_owned()),
        }
    }
}

impl WindowSettings {
    /// Windows of that size, with the other settings.
    pub fn windows_of(&self, size: Duration) -> Windows {
        Windows {
            size_ms: millis(size),
            lateness_ms: millis(self.lateness),
            ahead_ms: millis(self.ahead),
            keep_ms: self.keep.0.map(millis),
            history_ms: self.keep_history.0.map(millis),
        }
    }

    /// The windows.
    pub fn windows(&self) -> Windows {
        self.windows_of(self.window)
    }
}

/// How long something is kept; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep(pub Option<Duration>);

impl Keep {
    fn parse(text: &str) -> anyhow::Result<Self> {
        if text == "forever" { Ok(Self(None)) } else { duration(text).map(|time| Self(Some(time))) }
    }
}

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Whole milliseconds.
pub fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn window(text: &str) -> anyhow::Result<Duration> {
    let size = duration(text)?;
    let whole = size.subsec_nanos() == 0 && !size.is_zero();
    anyhow::ensure!(
        whole && DAY_MS % millis(size) == 0,
        "`{text}` is not whole seconds that divide a day, such as 15m"
    );
    Ok(size)
}

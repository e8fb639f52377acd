//! The consumer's settings: its own, and those of the chosen pipeline.

use std::{ffi::OsString, net::SocketAddr, num::NonZeroU64, time::Duration};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, builder::PossibleValuesParser};
use registry::{consumers, databases, pipeline_arg};
use service::{
    settings::{KafkaSettings, PostgresSettings, duration, switch},
    telemetry::LogSettings,
};
use sqlx::postgres::PgConnectOptions;
use stream::ConsumeSettings;

/// Stores a Kafka topic in Postgres exactly once, and keeps the tables computed from it up to date.
///
/// Exit codes: 0 done; 64 usage; 65 the input is at fault, do not retry; 69 Kafka or Postgres is
/// unavailable, retry; 70 a bug.
#[derive(Clone, Debug, Parser)]
#[command(name = "consumer", version = service::version!(), args_conflicts_with_subcommands = false)]
pub(crate) struct Settings {
    /// The pipeline the topic belongs to.
    ///
    /// Each has its own options: `--pipeline NAME --help` shows them.
    #[arg(long, global = true, env = pipeline_arg::VARIABLE, default_value = pipeline_arg::DEFAULT, value_name = "NAME",
          value_parser = PossibleValuesParser::new(consumers::names()))]
    pub(crate) pipeline: String,
    /// The topic to read [default: the pipeline's own].
    #[arg(long, global = true, env = "TOPIC", value_name = "NAME")]
    pub(crate) topic: Option<String>,
    /// Where /startupz, /readyz, /livez and /metrics are served, `address:port` [default: nowhere].
    #[arg(long, env = "LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// What to do instead of carrying records.
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
    #[command(flatten)]
    pub(crate) consume: ConsumeSettings,
    #[command(flatten)]
    pub(crate) kafka: KafkaSettings,
    #[command(flatten)]
    pub(crate) postgres: PostgresSettings,
    #[command(flatten)]
    pub(crate) log: LogSettings,
}

/// What to do instead of carrying records.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Task {
    /// Print the hash of the state tables: equal facts give equal hashes.
    Hash,
    /// Empty facts, results and offsets; without --yes only say what that would remove.
    Reset {
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
    /// Drop facts that later ones have superseded from the changelog.
    Compact {
        /// Keep what was stored within this time (a duration such as 30days).
        #[arg(long, env = "KEEP", default_value = "30days", value_parser = duration, value_name = "DURATION")]
        keep: Duration,
    },
    /// Print the topic's records as they lie in Kafka: partition, offset, timestamp, key and value, separated by tabs.
    ///
    /// It joins no group and stores nothing. It goes on until it is stopped.
    Monitor {
        /// End after so many records.
        #[arg(long, env = "MAX_MESSAGES", value_name = "N")]
        max_messages: Option<NonZeroU64>,
        /// Begin with what comes from now on, instead of the topic's earliest record.
        #[arg(long, env = "FROM_END", value_parser = switch)]
        from_end: bool,
    },
    /// Read to the end, alone, then move each group to the partition of its records.
    Repartition,
}

/// All settings of one run of the consumer.
pub(crate) struct Job {
    pub(crate) settings: Settings,
    pub(crate) pipeline: consumers::Consumer,
    /// Holds the pipeline's own options.
    pub(crate) options: ArgMatches,
}

impl Job {
    /// Parses the command line; which options there are depends on the pipeline.
    pub(crate) fn from_args(args: Vec<OsString>) -> Result<Self, clap::Error> {
        let (mut pipeline, options) = pipeline_arg::parse(&Settings::command(), consumers::all(), args)?;
        let settings = Settings::from_arg_matches(&options)?;
        // Maintenance is of all feeds, whatever is consumed.
        if matches!(settings.task, None | Some(Task::Repartition)) {
            pipeline.feeds.retain(|feed| feed.topic(&options).is_some());
        }
        Ok(Self { settings, pipeline, options })
    }

    /// The topic of each feed; `--topic` names the first one's.
    pub(crate) fn topics(&self) -> Vec<String> {
        let own = self.pipeline.feeds.iter().filter_map(|feed| feed.topic(&self.options));
        self.settings.topic.iter().cloned().chain(own.skip(usize::from(self.settings.topic.is_some()))).collect()
    }

    /// How to connect to the pipeline's database.
    pub(crate) fn database(&self) -> PgConnectOptions {
        let database = databases::find(self.pipeline.name).map_or("", |database| database.name);
        self.settings.postgres.database_url.options(database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Job, String> {
        Job::from_args(args.split(' ').map(OsString::from).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pipeline_brings_its_own_options() {
        let job = parse("consumer --pipeline emissions --clusters auto --until-end --batch-size 500").unwrap();
        assert!(job.settings.consume.until_end);
        assert_eq!(job.topics(), ["emissions-topic"]);
        assert_eq!(job.database().get_database(), Some("co2_emissions"));
        assert_eq!(parse("consumer --topic other").unwrap().topics(), ["other"]);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for wrong in
            ["--clusters 1", "--batch-size 0", "--refresh-every soon", "--features gdp", "--pipeline x", "dance"]
        {
            assert!(parse(&format!("consumer {wrong}")).is_err_and(|error| error.starts_with("error: ")), "{wrong}");
        }
    }

    #[test]
    fn a_task_may_be_asked_for_on_either_side_of_its_settings() {
        for args in ["consumer reset --pipeline emissions --yes", "consumer --pipeline emissions reset --yes"] {
            assert!(matches!(parse(args).unwrap().settings.task, Some(Task::Reset { yes: true })), "{args}");
        }
    }
}

//! The settings of a run.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use service::{
    settings::{PostgresSettings, duration, switch},
    telemetry::LogSettings,
};

/// Computes what is stored beside a pipeline's tables, in runs of its own.
///
/// Exit codes: 0 done; 64 usage; 65 the data are at fault, do not retry; 69 Postgres is unavailable, retry; 70 a bug.
#[derive(Clone, Debug, Parser)]
#[command(name = "warehouse", version = service::version!())]
pub(crate) struct Settings {
    /// The pipeline whose tables they are.
    #[arg(long, global = true, env = "PIPELINE", default_value = "sensors", value_parser = ["sensors"], value_name = "NAME")]
    pub(crate) pipeline: String,
    /// How long a run may take; it then ends with 69, and nothing is stored.
    #[arg(long, global = true, env = "DEADLINE", default_value = "30m", value_parser = duration, value_name = "DURATION")]
    pub(crate) deadline: Duration,
    /// How long to wait at start for Postgres.
    #[arg(long, global = true, env = "STARTUP_WAIT", default_value = "60s", value_parser = duration, value_name = "DURATION")]
    pub(crate) wait: Duration,
    /// What to compute.
    #[command(subcommand)]
    pub(crate) task: Task,
    #[command(flatten)]
    pub(crate) postgres: PostgresSettings,
    #[command(flatten)]
    pub(crate) log: LogSettings,
}

/// What to compute.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Task {
    /// Store the daily reports of days that have changed since the last run.
    Report(Report),
}

/// How reports are made.
#[derive(Args, Clone, Debug)]
pub(crate) struct Report {
    /// The time zone whose days are reported, as PostgreSQL names it; that of the first run, from then on.
    #[arg(long, env = "TIMEZONE", default_value = "UTC", value_name = "ZONE")]
    pub(crate) timezone: String,
    /// Only say what would be stored.
    #[arg(long, env = "DRY_RUN", value_parser = switch)]
    pub(crate) dry_run: bool,
}

//! Log lines to stderr: text for people, JSON for collectors.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The HTTP client's lines below this level quote whole addresses, in which there may be a password or a token.
const HTTP_CLIENT: &str = "ureq=warn";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text; colours on a terminal only.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how it looks.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogSettings {
    /// How log lines look on stderr.
    #[arg(long, global = true, env = "LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Which lines are logged: error, warn, info, debug, trace, or a filter such as `stream=debug,info`.
    #[arg(long, global = true, env = "LOG_LEVEL", default_value = "info", value_name = "FILTER")]
    pub log_level: String,
}

/// A span in whole milliseconds, for a log field: collectors take a larger type than this for text.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Starts logging; call it once, first.
///
/// # Errors
/// When the filter cannot be parsed.
pub fn start(settings: &LogSettings) -> anyhow::Result<()> {
    use crate::{Exit, ResultExt};
    let filter = EnvFilter::try_new(&settings.log_level)
        .or_exit(Exit::Usage, || format!("--log-level `{}` is not a filter", settings.log_level))?
        .add_directive(HTTP_CLIENT.parse()?);
    let lines = tracing_subscriber::registry().with(filter);
    match settings.log_format {
        LogFormat::Json => {
            lines.with(fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(io::stderr)).init()
        }
        LogFormat::Text => lines
            .with(fmt::layer().with_ansi(io::stderr().is_terminal()).with_target(false).with_writer(io::stderr))
            .init(),
    }
    Ok(())
}

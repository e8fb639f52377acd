//! Log lines to stderr: text for people, JSON for collectors.

use std::{
    io::{self, IsTerminal},
    str::FromStr,
    time::Duration,
};

use clap::{Args, ValueEnum};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The HTTP client's lines below WARN quote whole addresses, in which there may be a password or a token.
const HTTP_CLIENT: &str = "ureq";

/// The levels by name. `off` is not among them: whatever is asked for, errors are logged.
const LEVELS: [(&str, LevelFilter); 5] = [
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

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
    /// Which lines are logged: error, warn, info, debug or trace, or a list such as `stream=debug,warn` with a level for
    /// the lines of one crate or module. Errors are always logged.
    #[arg(long, global = true, env = "LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub log_level: LogLevel,
}

/// Which lines are logged, ERROR always among them.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLevel(Targets);

impl FromStr for LogLevel {
    type Err = String;

    /// Reads a level, or a list with levels for targets; what it does not name is logged from INFO on.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut targets, mut whole) = (Targets::new(), None);
        for directive in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            let (target, level) = match directive.split_once('=') {
                Some((target, level)) => (Some(target.trim()), level.trim()),
                None => (None, directive),
            };
            let level = level_named(level)?;
            let twice = match target {
                Some(target) => {
                    check_target(target)?;
                    let twice = targets.iter().any(|(known, _)| known == target);
                    targets = targets.with_target(target, level);
                    twice
                }
                None => whole.replace(level).is_some(),
            };
            if twice {
                return Err(format!("`{}` has two levels; give one", target.unwrap_or(text)));
            }
        }
        let whole = whole.unwrap_or(LevelFilter::INFO);
        Ok(Self(targets.with_default(whole).with_target(HTTP_CLIENT, whole.min(LevelFilter::WARN))))
    }
}

fn level_named(text: &str) -> Result<LevelFilter, String> {
    let named = LEVELS.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    named.map(|(_, level)| level).ok_or_else(|| {
        format!("`{text}` is not a level: give error, warn, info, debug or trace, or a list such as stream=debug,info")
    })
}

fn check_target(target: &str) -> Result<(), String> {
    let of_path = |c: char| c.is_ascii_alphanumeric() || "_:-.".contains(c);
    match target {
        _ if target.is_empty() || !target.chars().all(of_path) => {
            Err(format!("`{target}` is not a crate or module: give a list such as stream=debug,info"))
        }
        _ if target.starts_with(HTTP_CLIENT) => {
            Err(format!("`{target}` cannot have its own level: its lines may quote passwords in addresses"))
        }
        _ => Ok(()),
    }
}

/// A duration in whole milliseconds, for a log field: collectors take a larger type than this for text.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Starts logging; call it once, first.
pub fn start(settings: &LogSettings) {
    let lines = tracing_subscriber::registry().with(settings.log_level.0.clone());
    match settings.log_format {
        LogFormat::Json => {
            lines.with(fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(io::stderr)).init();
        }
        LogFormat::Text => lines
            .with(fmt::layer().with_ansi(io::stderr().is_terminal()).with_target(false).with_writer(io::stderr))
            .init(),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn logs(text: &str, target: &str, level: Level) -> bool {
        text.parse::<LogLevel>().unwrap_or_else(|error| panic!("{text}: {error}")).0.would_enable(target, &level)
    }

    #[test]
    fn every_level_that_is_taken_logs_errors() {
        for text in ["", " ", "error", "WARN", "Info", "debug", "trace", " warn ", "stream=error", "stream=debug, warn"]
        {
            for target in ["stream::postgres::writer", "service::exit", "ureq", "sqlx"] {
                assert!(logs(text, target, Level::ERROR), "{text}: {target}");
            }
        }
    }

    #[test]
    fn what_is_no_level_is_refused_with_what_is_one() {
        for text in [
            "warning",
            "verbose",
            "1",
            "off",
            "err or",
            "info,warning",
            "info,",
            ",",
            "stream=warning",
            "stream=",
            "=info",
            "stream=off",
            "stream[span]=info",
            "stream==info",
            "stream:debug",
            "stream=debug;info",
            "\u{feff}info",
        ] {
            let error = text.parse::<LogLevel>().expect_err(text);
            assert!(error.contains(" such as stream=debug,info"), "{text}: {error}");
        }
        for text in ["info,debug", "stream=info,stream=debug"] {
            assert!(text.parse::<LogLevel>().unwrap_err().contains("has two levels"), "{text}");
        }
    }

    #[test]
    fn a_target_has_its_own_level() {
        assert!(logs("", "stream", Level::INFO) && !logs("", "stream", Level::DEBUG));
        assert!(
            logs("stream=debug", "stream::postgres::writer", Level::DEBUG)
                && !logs("stream=debug", "sqlx", Level::DEBUG)
        );
        assert!(logs("stream=debug", "service", Level::INFO) && !logs("stream=debug,warn", "service", Level::INFO));
    }

    #[test]
    fn the_http_client_never_quotes_an_address() {
        for text in ["", "debug", "trace", "stream=trace,trace"] {
            assert!(!logs(text, "ureq::run", Level::INFO) && logs(text, "ureq::run", Level::ERROR), "{text}");
        }
        assert!(!logs("error", "ureq", Level::WARN));
        for text in ["ureq=trace", "ureq::run=debug", "ureq_proto=trace"] {
            assert!(text.parse::<LogLevel>().unwrap_err().contains("passwords"), "{text}");
        }
    }
}

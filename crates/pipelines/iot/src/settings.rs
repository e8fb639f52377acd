//! The options that the consumer has for this pipeline besides those of all.

use std::time::Duration;

use anyhow::ensure;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};
use service::settings::{duration, switch};
use stream::WindowSettings;

/// A longer window could have more readings than a deviation can be computed of: one in each millisecond.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Settings of the consumer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "IoT")]
pub struct IotSettings {
    /// Store no row a reading: `sensor_readings` gets none from now on, and the windows are the same.
    #[arg(long, env = "NO_RAW_ROWS", value_parser = switch)]
    pub(crate) no_raw_rows: bool,
    #[command(flatten)]
    pub(crate) windows: MinuteWindows,
}

/// The settings of windows, which are a minute long unless another length is given.
#[derive(Clone, Debug)]
pub struct MinuteWindows(pub(crate) WindowSettings);

impl Args for MinuteWindows {
    fn augment_args(command: Command) -> Command {
        let command = WindowSettings::augment_args(command);
        command
            .mut_arg("window", |window| window.default_value("1m").value_parser(window_of))
            .mut_arg("lateness", |lateness| lateness.default_value("5m"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for MinuteWindows {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        WindowSettings::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

fn window_of(text: &str) -> anyhow::Result<Duration> {
    let size = duration(text)?;
    let ms = size.as_millis();
    ensure!(
        size <= LONGEST && ms % 1_000 == 0 && ms > 0 && (24 * 60 * 60 * 1_000) % ms == 0,
        "`{text}` is not whole seconds that divide a day, of at most 15m"
    );
    Ok(size)
}

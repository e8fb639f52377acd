//! The options that this pipeline has besides those of all.

use std::time::Duration;

use clap::{Args, builder::NonEmptyStringValueParser};
use service::settings::{duration, switch};
use stream::{WindowSettings, millis};

use crate::{
    events,
    range::{Range, USUAL},
};

/// What producer and consumer have to agree on.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sensors")]
pub struct SharedSettings {
    /// The temperatures that are readings, degrees Celsius; those beyond, the bounds included, are events.
    #[arg(long, env = "RANGE", default_value_t = USUAL, value_name = "LOW..HIGH", allow_hyphen_values = true)]
    pub range: Range,
    /// The topic of events.
    #[arg(long, env = "EVENTS_TOPIC", default_value = events::TOPIC, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub events_topic: String,
    /// Leave events out: the producer does not send them, and the consumer does not read their topic.
    #[arg(long, env = "NO_EVENTS", value_parser = switch)]
    pub no_events: bool,
}

/// Settings of the consumer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sensors")]
pub struct SensorSettings {
    #[command(flatten)]
    pub(crate) shared: SharedSettings,
    /// How often a sensor reports: what a window's coverage is counted by.
    #[arg(long, env = "PERIOD", default_value = "1s", value_parser = duration, value_name = "DURATION")]
    pub(crate) period: Duration,
    /// For how long nothing need be heard of a sensor before its windows are shown as silent.
    #[arg(long, env = "IDLE_AFTER", default_value = "10m", value_parser = duration, value_name = "DURATION")]
    pub(crate) idle_after: Duration,
    #[command(flatten)]
    pub(crate) windows: WindowSettings,
}

impl SensorSettings {
    /// What the views of the database need of them.
    pub(crate) fn noted(&self) -> Vec<(&'static str, String)> {
        let times =
            [("lateness_ms", self.windows.lateness), ("idle_after_ms", self.idle_after), ("period_ms", self.period)];
        times.into_iter().map(|(name, time)| (name, millis(time).to_string())).collect()
    }
}

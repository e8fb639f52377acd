//! The settings of `demo`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum, builder::FalseyValueParser};

use crate::pipeline::{EMISSIONS, ENERGY, IOT, Pipeline, SENSORS};

/// The pipelines that can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PipelineArg {
    /// Countries by their emissions, in clusters.
    Emissions,
    /// A household's energy, by quarter.
    Energy,
    /// Temperature sensors, by window.
    Sensors,
    /// Readings of devices, by the minute.
    Iot,
}

impl PipelineArg {
    /// What is known of it.
    pub(crate) fn pipeline(self) -> &'static Pipeline {
        match self {
            Self::Emissions => &EMISSIONS,
            Self::Energy => &ENERGY,
            Self::Sensors => &SENSORS,
            Self::Iot => &IOT,
        }
    }
}

/// Takes a file, or simulated records, through the whole pipeline on this machine: migrate, producer, consumer; then shows the tables.
#[derive(Debug, Parser)]
pub(crate) struct Settings {
    /// The pipeline that the file is for.
    #[arg(long, value_enum, default_value = "emissions", value_name = "NAME")]
    pub(crate) pipeline: PipelineArg,
    /// The file as published, plain or packed with gzip, xz or zip; without one, the made sample in data/, or what is simulated.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Leaves the private PostgreSQL running, so that psql can query it.
    #[arg(long, env = "DEMO_KEEP", value_parser = FalseyValueParser::new())]
    pub(crate) keep: bool,
    /// A PostgreSQL to use instead of a private one; its tables are added to, never dropped.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// A Kafka to use instead of an embedded or private one.
    #[arg(long, env = "KAFKA_BROKERS", value_name = "HOST:PORT,…")]
    kafka_brokers: Option<String>,
}

impl Settings {
    /// The PostgreSQL that the caller names, if any.
    pub(crate) fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }

    /// The Kafka that the caller names, if any.
    pub(crate) fn kafka_brokers(&self) -> Option<&str> {
        self.kafka_brokers.as_deref().filter(|brokers| !brokers.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_none() {
        let settings = Settings::parse_from(["demo", "--database-url", "", "--kafka-brokers", ""]);
        assert_eq!((settings.database_url(), settings.kafka_brokers()), (None, None));
    }
}

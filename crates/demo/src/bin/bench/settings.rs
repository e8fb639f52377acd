//! The settings of `bench`.

use std::{ffi::OsString, path::PathBuf};

use anyhow::ensure;
use clap::{Parser, ValueEnum as _};

use crate::{replicas::PARTITIONS, subject::Choice};

/// Measures producer and consumer on a private Kafka and PostgreSQL, beside the ceilings of both.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Settings {
    /// The pipeline that is measured.
    #[arg(long, env = "PIPELINE", default_value = "emissions", value_parser = choice, value_name = "NAME")]
    pub(crate) pipeline: Choice,
    /// Rows of the large made files.
    ///
    /// Fewer than the least tell nothing of memory a fact; more than the most need more disk than most have.
    #[arg(long, env = "ROWS", default_value = "1000000", value_name = "N",
          value_parser = clap::value_parser!(u32).range(100_000..=50_000_000))]
    pub(crate) rows: u32,
    /// A real file as published: of emissions the small file, instead of 31,076 made rows; of energy the large one,
    /// plain or packed.
    #[arg(long, env = "DATA", value_name = "FILE")]
    data: Option<OsString>,
    /// The Python of the peers' environment, as `scripts/peers` prints it; without one, no peer is run.
    #[arg(long, env = "PEERS_PYTHON", value_name = "FILE")]
    peers: Option<OsString>,
    /// How often everything is measured; the median is what counts. Once is a look.
    #[arg(long, env = "REPEAT", default_value = "1", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) repeat: u32,
    /// The most consumers at once that share a topic of 12 partitions; every smaller number is tried too.
    #[arg(long, env = "REPLICAS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PARTITIONS)))]
    pub(crate) replicas: Option<u32>,
}

impl Settings {
    /// Whether what was asked for goes together.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let reads_it = self.pipeline == Choice::Emissions;
        ensure!(self.peers().is_none() || reads_it, "the peers read emissions only: leave out PEERS, or PIPELINE");
        Ok(())
    }

    /// The file of the person who calls, if they name one.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        path(self.data.as_ref())
    }

    /// What the peers are run with, if they are.
    pub(crate) fn peers(&self) -> Option<PathBuf> {
        path(self.peers.as_ref())
    }
}

/// A path that was given; an empty variable gives none.
fn path(given: Option<&OsString>) -> Option<PathBuf> {
    given.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The pipeline of that name; an empty variable names none.
fn choice(name: &str) -> Result<Choice, String> {
    if name.is_empty() { Ok(Choice::Emissions) } else { Choice::from_str(name, false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_names_no_file() {
        let settings = Settings::parse_from(["bench", "--data", "", "--pipeline", "", "--peers", ""]);
        assert_eq!((settings.data(), settings.peers()), (None, None));
        assert_eq!((settings.rows, settings.repeat, settings.pipeline), (1_000_000, 1, Choice::Emissions));
    }

    #[test]
    fn the_peers_read_one_pipeline() {
        let allowed = |pipeline: &str| {
            Settings::parse_from(["bench", "--peers", "python3", "--pipeline", pipeline]).check().is_ok()
        };
        assert_eq!([allowed("emissions"), allowed("energy")], [true, false]);
    }
}

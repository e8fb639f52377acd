//! The settings of `bench`.

use std::{error::Error as _, ffi::OsString, path::PathBuf};

use anyhow::ensure;
use clap::{
    CommandFactory as _, Parser, ValueEnum,
    error::{ContextKind, Error},
};
use service::{Exit, Failure, ResultExt as _};

use crate::{host, replicas::PARTITIONS, workload::Wanted};

/// The pipelines that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PipelineArg {
    /// Countries and years.
    Emissions,
    /// A household's minutes.
    Energy,
    /// Simulated readings of twenty sensors.
    Sensors,
    /// Simulated readings of twenty devices.
    Iot,
}

/// Measures producer and consumer on a private Kafka and PostgreSQL, and the ceilings of both.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Settings {
    /// The pipeline that is measured.
    #[arg(long, env = "PIPELINE", default_value = "emissions", value_parser = choice, value_name = "NAME")]
    pub(crate) pipeline: PipelineArg,
    /// Rows of the large made files, or readings that are simulated.
    ///
    /// Below a million, memory a fact is not reported; more rows than the maximum would need too much disk.
    #[arg(long, env = "ROWS", default_value = "1000000", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1_000..=150_000_000))]
    pub(crate) rows: u32,
    /// A real file as published: of emissions the small file, instead of 31,076 made rows; of energy the large one,
    /// plain or packed.
    #[arg(long, env = "DATA", value_name = "FILE")]
    data: Option<OsString>,
    /// The Python of the peers' environment, as `scripts/peers` prints it; without one, no peer is run.
    #[arg(long, env = "PEERS_PYTHON", value_name = "FILE")]
    peers: Option<OsString>,
    /// How often everything is measured; the median is what counts. Once gives only a rough figure.
    #[arg(long, env = "REPEAT", default_value = "1", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) repeat: u32,
    /// The most consumers at once that share a topic of 12 partitions; every smaller number is measured too.
    #[arg(long, env = "REPLICAS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PARTITIONS)))]
    pub(crate) replicas: Option<u32>,
    /// Measure by turns with the programs of another build, in this folder, and nothing else.
    #[arg(long, env = "BASE", value_name = "FOLDER")]
    base: Option<OsString>,
    /// Measure what a rebalance costs the partitions that stay, and nothing else: with 10,000,000 rows, 5,000,000 facts are taken over.
    #[arg(long, env = "REBALANCE", default_value = "false", action = clap::ArgAction::Set, value_name = "BOOL",
          value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) rebalance: bool,
    /// Of sensors: measure so many of them at five times real time, for ROWS readings, and nothing else.
    #[arg(long, env = "SENSORS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) sensors: Option<u32>,
    /// Check the settings, and end.
    #[arg(long)]
    pub(crate) check: bool,
}

impl Settings {
    /// Reads command line and environment; a mistake names the variable that most set.
    ///
    /// # Errors
    /// At a mistake, and where help is requested.
    pub(crate) fn read() -> Result<Self, Error> {
        Self::try_parse().map_err(named)
    }

    /// Whether the files that are given are there, which is known before a server is started.
    ///
    /// # Errors
    /// Exit 65 when one is not.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for program in host::BINARIES.iter().filter_map(|name| Some(self.base()?.join(name))) {
            let missing = || Failure::new(Exit::Input, format!("BASE: there is no {}", program.display()));
            ensure!(program.is_file(), missing());
        }
        let Some(data) = self.data() else { return Ok(()) };
        let shown = data.display();
        let cannot = || format!("cannot open DATA={shown}");
        // Before it is opened: opening a pipe would wait for a writer.
        let about = std::fs::metadata(&data).or_exit(Exit::Input, cannot)?;
        let not_a_file = || Failure::new(Exit::Input, format!("DATA={shown} is not a file, or is empty"));
        ensure!(about.is_file() && about.len() > 0, not_a_file());
        std::fs::File::open(&data).or_exit(Exit::Input, cannot)?;
        Ok(())
    }

    /// The file that the caller names, if any.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        path(self.data.as_ref())
    }

    /// The folder of the programs to compare with, if any.
    pub(crate) fn base(&self) -> Option<PathBuf> {
        path(self.base.as_ref())
    }

    /// The input that is measured.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { rows: self.rows, data: self.data() }
    }

    /// The peers' Python, if they are run.
    pub(crate) fn peers(&self) -> Option<PathBuf> {
        path(self.peers.as_ref())
    }
}

/// A path that was given; an empty variable gives none.
fn path(given: Option<&OsString>) -> Option<PathBuf> {
    given.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The pipeline of that name; an empty variable names none.
fn choice(name: &str) -> Result<PipelineArg, String> {
    if name.is_empty() {
        return Ok(PipelineArg::Emissions);
    }
    let known = || PipelineArg::value_variants().iter().filter_map(PipelineArg::to_possible_value);
    let names = || known().map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(" or ");
    PipelineArg::from_str(name, false).map_err(|_| format!("{} is wanted", names()))
}

/// A mistake in a value, with the name of its variable; other mistakes stay as they are.
fn named(error: Error) -> Error {
    let text = |kind| error.get(kind).map(ToString::to_string);
    let (Some(arg), Some(value), Some(why)) =
        (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue), error.source())
    else {
        return error;
    };
    let mut command = Settings::command();
    command.build();
    let variable = command.get_arguments().find(|known| known.to_string() == arg).and_then(clap::Arg::get_env);
    let Some(variable) = variable else { return error };
    let said = format!("{}={value}: {why}\n", variable.display());
    Error::raw(error.kind(), said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_names_no_file() {
        let settings = Settings::parse_from(["bench", "--data", "", "--pipeline", "", "--peers", ""]);
        assert_eq!((settings.data(), settings.peers()), (None, None));
        assert_eq!((settings.rows, settings.repeat, settings.pipeline), (1_000_000, 1, PipelineArg::Emissions));
    }

    #[test]
    fn a_mistake_names_the_variable() {
        let check = |args: [&str; 2], expected: &str| {
            let error = named(Settings::try_parse_from([&["bench"], args.as_slice()].concat()).unwrap_err());
            assert!(error.use_stderr());
            assert_eq!(error.to_string(), format!("error: {expected}\n"));
        };
        check(["--rows", "999"], "ROWS=999: 999 is not in 1000..=150000000");
        check(["--repeat", "x"], "REPEAT=x: invalid digit found in string");
        check(["--pipeline", "foo"], "PIPELINE=foo: emissions or energy or sensors or iot is wanted");
    }

    #[test]
    fn the_file_is_checked() {
        let code = |file: &str| {
            let checked = Settings::parse_from(["bench", "--data", file]).check();
            checked.map_or_else(|error| service::exit::exit_of(&error), |()| Exit::Done)
        };
        assert_eq!(
            ["", "Cargo.toml", "src", "/dev/null", "missing.csv"].map(code),
            [Exit::Done, Exit::Done, Exit::Input, Exit::Input, Exit::Input]
        );
    }
}

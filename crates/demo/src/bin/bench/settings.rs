//! The settings of `bench`.

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, ValueEnum as _};

use crate::subject::Choice;

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
}

impl Settings {
    /// The file of the person who calls, if they name one.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        self.data.as_ref().filter(|path| !path.is_empty()).map(PathBuf::from)
    }
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
        let settings = Settings::parse_from(["bench", "--data", "", "--pipeline", ""]);
        assert_eq!((settings.data(), settings.rows, settings.pipeline), (None, 1_000_000, Choice::Emissions));
    }
}

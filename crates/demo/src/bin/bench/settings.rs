//! The settings of `bench`.

use std::{ffi::OsString, path::PathBuf};

use clap::Parser;

/// Measures producer and consumer on a private Kafka and PostgreSQL, beside the ceilings of both.
#[derive(Debug, Parser)]
pub(crate) struct Settings {
    /// Rows of the large made files, sorted and shuffled.
    ///
    /// Fewer than the least tell nothing of memory a fact; more than the most need more disk than most have.
    #[arg(long, env = "ROWS", default_value = "1000000", value_name = "N",
          value_parser = clap::value_parser!(u32).range(100_000..=50_000_000))]
    pub(crate) rows: u32,
    /// The small file, as published or reduced; without one, 31,076 made rows.
    #[arg(long, env = "DATA", value_name = "FILE")]
    data: Option<OsString>,
}

impl Settings {
    /// The small file of the person who calls, if they name one.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        self.data.as_ref().filter(|path| !path.is_empty()).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_names_no_file() {
        let settings = Settings::parse_from(["bench", "--data", ""]);
        assert_eq!((settings.data(), settings.rows), (None, 1_000_000));
    }
}

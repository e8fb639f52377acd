//! The CSV as a source of messages.

use std::io::Read;

use clap::Args;
use formats::{CsvRecord, CsvRecords};
use stream::{Outgoing, ReadError, RowOutcome, Source};

use crate::{
    csv_row::{Columns, LAYOUT},
    message,
};

/// What the emissions pipeline lets its producer choose.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Emissions")]
pub struct CsvSettings {
    /// The first calendar year that is sent; rows of earlier years are filtered.
    #[arg(long, env = "FROM_YEAR", default_value_t = 1900, value_name = "YEAR", value_parser = clap::value_parser!(u16).range(1..=9999))]
    pub from_year: u16,
}

/// The rows of a CSV with a header, one message each.
pub struct CsvSource<R> {
    rows: CsvRecords<R>,
    columns: Columns,
    from_year: u16,
}

impl<R: Read> CsvSource<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the input cannot be read, or is no such file: it lacks a column, for one.
    pub fn open(input: R, settings: &CsvSettings) -> Result<Self, ReadError> {
        let (rows, columns) = LAYOUT.open(input)?;
        Ok(Self { rows, columns: Columns(columns), from_year: settings.from_year })
    }
}

impl<R: Read + Send> Source for CsvSource<R> {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
        Ok(self.rows.read()?.map(|record| match record {
            CsvRecord::Unreadable(why) => RowOutcome::Rejected(why.to_owned()),
            CsvRecord::Read => match self.columns.read(&self.rows) {
                Err(reason) => RowOutcome::Rejected(reason.into_owned()),
                Ok(observation) if observation.year < self.from_year => RowOutcome::Filtered,
                Ok(observation) => {
                    message::encode(&observation, message);
                    RowOutcome::Send
                }
            },
        }))
    }

    fn line(&self) -> u64 {
        self.rows.line()
    }

    fn label(&self) -> String {
        self.columns.label(&self.rows)
    }
}

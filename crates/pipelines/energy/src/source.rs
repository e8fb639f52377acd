//! The file as a source of messages.

use std::io::Read;

use clap::Args;
use stream::{
    Outgoing, Row, Source, SourceError,
    csv_records::{CsvRecord, CsvRecords},
};

use crate::csv_row::{Columns, LAYOUT};

/// The topic, unless `--topic` names another.
pub const TOPIC: &str = "raw_energy";

/// What the energy pipeline lets its producer choose: nothing yet.
#[derive(Args, Clone, Debug)]
pub struct MeterSettings {}

/// The rows of a `;`-separated file with a header, one message each.
pub struct MeterSource<R> {
    rows: CsvRecords<R>,
    columns: Columns,
    /// Why the consumer will reject the row last read.
    unusable: Option<String>,
}

impl<R: Read> MeterSource<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the input cannot be read, or is no such file: it lacks a column, for one.
    pub fn open(input: R, _: &MeterSettings) -> Result<Self, SourceError> {
        let (rows, places) = LAYOUT.open(input)?;
        Ok(Self { rows, columns: Columns::from(places), unusable: None })
    }
}

impl<R: Read + Send> Source for MeterSource<R> {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<Row>, SourceError> {
        Ok(self.rows.read()?.map(|record| match record {
            CsvRecord::Unreadable(why) => Row::Rejected(why.to_owned()),
            CsvRecord::Read => match self.columns.encode(&self.rows, message) {
                Err(reason) => Row::Rejected(reason),
                Ok(why_rejected) => {
                    self.unusable = why_rejected;
                    Row::Send
                }
            },
        }))
    }

    fn unusable(&self) -> Option<&str> {
        self.unusable.as_deref()
    }

    fn line(&self) -> u64 {
        self.rows.line()
    }

    fn label(&self) -> String {
        self.columns.label(&self.rows)
    }
}

//! A file of readings as a source of messages.

use std::io::Read;

use formats::{ColumnIndexes, CsvRecord, CsvRecords, Layout, json};
use stream::{Decoded, Outgoing, ReadError, RowOutcome, Source};

use crate::{
    message::{self, NAMES},
    simulator::SimulatorSettings,
};

/// The columns, and what usually separates them: those of a message.
pub const LAYOUT: Layout<7> = Layout { names: NAMES, delimiter: b',' };

/// Which of them hold numbers or booleans; the others hold texts.
const IS_TEXT: [bool; 7] = [true, true, true, false, true, false, false];

/// The rows of a file with a header, one message each.
pub struct ReadingsFile<R> {
    rows: CsvRecords<R>,
    columns: ColumnIndexes<7>,
    unusable: Option<String>,
}

impl<R: Read> ReadingsFile<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the input cannot be read, or is no such file: it lacks a column, for one.
    pub fn open(input: R, _: &SimulatorSettings) -> Result<Self, ReadError> {
        let (rows, columns) = LAYOUT.open(input)?;
        Ok(Self { rows, columns, unusable: None })
    }

    fn field(&self, column: usize) -> &[u8] {
        self.rows.field(self.columns.at[column]).unwrap_or_default().trim_ascii()
    }

    /// Writes the row that was read last as a message.
    fn encode(&mut self, message: &mut Outgoing) -> RowOutcome {
        let Outgoing { key, value, .. } = message;
        key.clear();
        key.extend_from_slice(self.field(1));
        value.clear();
        for (column, name) in NAMES.iter().enumerate() {
            value.extend_from_slice(if column == 0 { b"{\"" } else { b",\"" });
            value.extend_from_slice(name.as_bytes());
            value.extend_from_slice(b"\":");
            json::write_field(self.field(column), IS_TEXT[column], value);
        }
        value.push(b'}');
        self.unusable = match message::decode(value) {
            Decoded::Rejected(reason) => Some(reason.into_owned()),
            // The consumer would take the time of sending for it.
            Decoded::Record(reading) if reading.at_ms.is_none() => {
                return RowOutcome::Rejected("it has no time".to_owned());
            }
            _ => None,
        };
        RowOutcome::Send
    }
}

impl<R: Read + Send> Source for ReadingsFile<R> {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
        let Some(record) = self.rows.read()? else { return Ok(None) };
        if let CsvRecord::Unreadable(why) = record {
            return Ok(Some(RowOutcome::Rejected(why.to_owned())));
        }
        if let Err(reason) = self.rows.expect_len(self.columns.width) {
            return Ok(Some(RowOutcome::Rejected(reason)));
        }
        Ok(Some(self.encode(message)))
    }

    fn unusable(&self) -> Option<&str> {
        self.unusable.as_deref()
    }

    fn line(&self) -> u64 {
        self.rows.line()
    }

    fn label(&self) -> String {
        let field = |column| String::from_utf8_lossy(self.field(column)).into_owned();
        format!("{} at {}", field(1), field(0))
    }
}

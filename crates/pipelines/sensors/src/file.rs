//! A file of readings as a source of messages.

use std::io::Read;

use formats::{
    ColumnIndexes, CsvRecord, CsvRecords, Layout, instant,
    json::{self, Value},
};
use stream::{Decoded, Outgoing, ReadError, RowOutcome, Source};

use crate::{range, reading_message, routing::Routing, simulator::SimulatorSettings};

/// The columns, and what usually separates them. A time is seconds since 1970, or such as `2026-01-31T12:00:00Z`.
pub const LAYOUT: Layout<3> = Layout { names: ["sensor_id", "timestamp", "temperature"], delimiter: b',' };

/// The rows of a file with a header, one message each.
pub struct ReadingsFile<R> {
    rows: CsvRecords<R>,
    columns: ColumnIndexes<3>,
    routing: Routing,
    unusable: Option<String>,
}

impl<R: Read> ReadingsFile<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the input cannot be read, or is no such file: it lacks a column, for one.
    pub fn open(input: R, settings: &SimulatorSettings) -> Result<Self, ReadError> {
        let (rows, columns) = LAYOUT.open(input)?;
        Ok(Self { rows, columns, routing: Routing::of(&settings.shared), unusable: None })
    }

    fn field(&self, column: usize) -> &[u8] {
        self.rows.field(self.columns.at[column]).unwrap_or_default().trim_ascii()
    }

    /// Writes the row that was read last as a message.
    fn encode(&self, message: &mut Outgoing) -> Result<RowOutcome, String> {
        // The consumer would take the time of sending for it.
        if self.field(1).is_empty() {
            return Ok(RowOutcome::Rejected("it has no time".to_owned()));
        }
        let sensor = std::str::from_utf8(self.field(0)).ok().and_then(|text| text.parse().ok()).map(Value::Number);
        let sensor = reading_message::sensor_of(sensor.as_ref()).ok();
        let (at_ms, value) = (time(self.field(1)), temperature(self.field(2)));
        match (sensor, at_ms, value) {
            (Some(sensor), Some(at_ms), Ok(value)) => Ok(self.routing.write(sensor, Some(at_ms), value, message)),
            _ => Err(self.write_unchanged(message)),
        }
    }

    /// Writes a row that the consumer will reject, so that it keeps it; gives the reason.
    #[cold]
    fn write_unchanged(&self, message: &mut Outgoing) -> String {
        message.key.clear();
        message.key.extend_from_slice(self.field(0));
        message.value.clear();
        message.topic = 0;
        for (column, name) in LAYOUT.names.iter().enumerate() {
            message.value.extend_from_slice(if column == 0 { b"{\"" } else { b",\"" });
            message.value.extend_from_slice(name.as_bytes());
            message.value.extend_from_slice(b"\":");
            json::write_field(self.field(column), false, &mut message.value);
        }
        message.value.push(b'}');
        match reading_message::decode(&message.value, self.routing.range) {
            Decoded::Rejected(reason) => reason.into_owned(),
            _ => "it has no time as seconds since 1970 or yyyy-mm-ddThh:mm:ssZ".to_owned(),
        }
    }
}

/// Reads a time, of 1970 or later, in milliseconds.
fn time(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let ms = match text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "small enough")]
        Ok(seconds) if (0.0..9e12).contains(&seconds) => (seconds * 1_000.0).round() as i64,
        Ok(_) => return None,
        Err(_) => instant::parse(text)?,
    };
    u64::try_from(ms).ok()
}

/// Reads a temperature; an empty field is that of a disconnected sensor.
fn temperature(text: &[u8]) -> Result<Option<i32>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.and_then(range::of_number).map(Some).ok_or(())
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
        let encoded = self.encode(message);
        let outcome = encoded.as_ref().map_or(RowOutcome::Send, Clone::clone);
        self.unusable = encoded.err();
        Ok(Some(outcome))
    }

    fn unusable(&self) -> Option<&str> {
        self.unusable.as_deref()
    }

    fn further_topics(&self) -> Vec<String> {
        self.routing.further_topics()
    }

    fn line(&self) -> u64 {
        self.rows.line()
    }

    fn label(&self) -> String {
        let field = |column| String::from_utf8_lossy(self.field(column)).into_owned();
        format!("sensor {} at {}", field(0), field(1))
    }
}

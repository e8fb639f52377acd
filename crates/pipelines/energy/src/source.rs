//! The file as a source of messages.

use std::io::Read;

use clap::Args;
use formats::{CsvRecord, CsvRecords};
use stream::{Outgoing, ReadError, RowOutcome, Source};

use crate::{
    csv_row::{Columns, LAYOUT},
    date::Order,
};

/// What the energy pipeline lets its producer choose: nothing yet.
#[derive(Args, Clone, Debug)]
pub struct MeterSettings {}

/// The rows of a `;`-separated file with a header, one message each.
pub struct MeterSource<R> {
    rows: CsvRecords<R>,
    columns: Columns,
    /// Why the consumer will reject the row last read.
    unusable: Option<String>,
    /// Whether it is of a minute without power.
    is_without_power: bool,
    /// Whether a date has shown that the day comes before the month.
    day_first: bool,
    /// The slip there was since, which has them swapped.
    slip: Option<String>,
}

impl<R: Read> MeterSource<R> {
    /// Reads the header, and reads ahead to the first date that shows the file's order.
    ///
    /// # Errors
    /// When the input cannot be read, or is no such file: it lacks a column, for one, or has day and month swapped.
    pub fn open(input: R, _: &MeterSettings) -> Result<Self, ReadError> {
        let (mut rows, indexes) = LAYOUT.open(input)?;
        let columns = Columns::from(indexes);
        let mut ahead = rows.ahead();
        while let Some(record) = ahead.read()? {
            match columns.order(&ahead) {
                Order::MonthFirst if record == CsvRecord::Read => return Err(swapped(&columns, &ahead)),
                Order::YearFirst | Order::DayFirst => break,
                Order::Unknown | Order::MonthFirst => {}
            }
        }
        Ok(Self { rows, columns, unusable: None, is_without_power: false, day_first: false, slip: None })
    }

    /// What becomes of a row whose date has day and month swapped.
    ///
    /// In a file that has shown before that the day comes first, one such date is a slip, and costs itself alone. In
    /// any other, or where a second one follows, rows of days up to the twelfth would be taken for other days.
    #[cold]
    fn month_first(&mut self) -> Result<RowOutcome, ReadError> {
        let why = self.columns.swapped(&self.rows);
        if self.day_first && self.slip.as_ref().is_none_or(|slip| *slip == why) {
            self.slip = Some(why.clone());
            self.unusable = Some(why);
            return Ok(RowOutcome::Send);
        }
        Err(swapped(&self.columns, &self.rows))
    }
}

fn swapped<R: Read>(columns: &Columns, rows: &CsvRecords<R>) -> ReadError {
    ReadError::Unusable(format!("line {}: {}", rows.line(), columns.swapped(rows)))
}

impl<R: Read + Send> Source for MeterSource<R> {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
        let Some(record) = self.rows.read()? else { return Ok(None) };
        if let CsvRecord::Unreadable(why) = record {
            return Ok(Some(RowOutcome::Rejected(why.to_owned())));
        }
        let encoded = match self.columns.encode(&self.rows, message) {
            Err(reason) => return Ok(Some(RowOutcome::Rejected(reason))),
            Ok(encoded) => encoded,
        };
        if encoded.order == Order::MonthFirst {
            return self.month_first().map(Some);
        }
        self.day_first |= encoded.order == Order::DayFirst;
        self.unusable = encoded.why_rejected;
        self.is_without_power = encoded.is_without_power;
        Ok(Some(RowOutcome::Send))
    }

    fn unusable(&self) -> Option<&str> {
        self.unusable.as_deref()
    }

    fn is_without_fact(&self) -> bool {
        self.is_without_power
    }

    fn line(&self) -> u64 {
        self.rows.line()
    }

    fn label(&self) -> String {
        self.columns.label(&self.rows)
    }
}

//! A line of the file: nine columns, found by name, written as a message.

use std::{borrow::Cow, io::Read};

use formats::{ColumnIndexes, CsvRecords, Layout};
use stream::{Decoded, Outgoing};

use crate::{
    date::{Date, Order},
    message,
    record::{MEASURES, digits},
    thousandths::Thousandths,
};

/// Day and time, then [`MEASURES`].
const NAMES: [&str; 2 + MEASURES.len()] = {
    let [a, b, c, d, e, f, g] = MEASURES;
    ["Date", "Time", a, b, c, d, e, f, g]
};
/// The nine columns, and the file's usual delimiter.
pub const LAYOUT: Layout<{ NAMES.len() }> = Layout { names: NAMES, delimiter: b';' };
/// The text of a value that was not measured; an empty field means the same.
const MISSING: &[u8] = b"?";
/// So many characters of a field are shown: more than any date or time has.
const SHOWN: usize = 30;

/// What is known of a row that was written as a message.
pub struct Encoded {
    /// What its date shows of the file's order.
    pub order: Order,
    /// Why the consumer will reject it, if it will.
    pub why_rejected: Option<String>,
    /// Whether it is of a minute without power, which has no fact.
    pub is_without_power: bool,
}

/// Where the columns are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The number of fields every row has.
    width: usize,
    date: usize,
    time: usize,
    /// The index of each of [`MEASURES`].
    measures: [usize; MEASURES.len()],
}

impl From<ColumnIndexes<{ NAMES.len() }>> for Columns {
    fn from(indexes: ColumnIndexes<{ NAMES.len() }>) -> Self {
        let [date, time, measures @ ..] = indexes.at;
        Self { width: indexes.width, date, time, measures }
    }
}

impl Columns {
    /// Writes the record that `row` is at as a message.
    ///
    /// An invalid date, time or value is sent too, and the consumer keeps it among the rejects.
    ///
    /// # Errors
    /// The reason, when it has too few or too many fields.
    pub fn encode<R: Read>(&self, row: &CsvRecords<R>, message: &mut Outgoing) -> Result<Encoded, String> {
        row.expect_len(self.width)?;
        let field = |at: usize| row.field(at).unwrap_or_default().trim_ascii();
        let (date, time) = (field(self.date), field(self.time));
        let written = Date::read(date);
        let mut valid = true;
        match (written.and_then(Date::of_calendar), minute(time)) {
            (Some(day), Some(minute)) => message::begin(day, minute, message),
            _ => {
                begin_with_no_minute(date, time, message);
                valid = false;
            }
        }
        for (name, &at) in MEASURES.iter().zip(&self.measures) {
            message::begin_field(name, &mut message.value);
            valid &= write_value(field(at), &mut message.value);
        }
        message.value.push(b'}');
        let why_rejected = if valid { None } else { why_rejected(date, time, message) };
        let is_without_power = is_missing(field(self.measures[message::POWER]));
        Ok(Encoded { order: written.map_or(Order::Unknown, Date::order), why_rejected, is_without_power })
    }

    /// What the date of the record that `row` is at shows of the file's order; nothing where it has another width.
    pub fn order<R: Read>(&self, row: &CsvRecords<R>) -> Order {
        let date = row.field(self.date).filter(|_| row.len() == self.width);
        date.and_then(|date| Date::read(date.trim_ascii())).map_or(Order::Unknown, Date::order)
    }

    /// What is wrong with the date of the record that `row` is at, where day and month are swapped.
    pub fn swapped<R: Read>(&self, row: &CsvRecords<R>) -> String {
        let date = shown(row.field(self.date).unwrap_or_default().trim_ascii());
        format!("Date `{date}` has day and month swapped; write all dates as d/m/yyyy or yyyy-mm-dd")
    }

    /// What a person would call the record that `row` is at: `16/12/2006 17:24:00`.
    pub fn label<R: Read>(&self, row: &CsvRecords<R>) -> String {
        let text = |at: usize| String::from_utf8_lossy(row.field(at).unwrap_or_default());
        format!("{} {}", text(self.date).trim_ascii(), text(self.time).trim_ascii())
    }
}

/// Reads `17:24:00` as a minute of the day, 0 to 1439; a record is of a minute, so that seconds are 00.
fn minute(text: &[u8]) -> Option<u16> {
    let (hour, minute, second) = time_numbers(text)?;
    (hour < 24 && minute < 60 && second == 0).then(|| hour * 60 + minute)
}

/// Hour, minute and second as the row has them, whether or not there is such a time.
fn time_numbers(text: &[u8]) -> Option<(u16, u16, u16)> {
    let mut parts = text.splitn(3, |&byte| byte == b':');
    let mut next = || parts.next().and_then(digits);
    Some((next()?, next()?, next()?))
}

fn is_missing(text: &[u8]) -> bool {
    text.is_empty() || text == MISSING
}

/// Writes a value, and says whether it is one.
fn write_value(text: &[u8], out: &mut Vec<u8>) -> bool {
    match Thousandths::parse(text) {
        Some(value) => value.write(out),
        None if is_missing(text) => Thousandths::MISSING.write(out),
        None => {
            write_unchanged(text, out);
            return false;
        }
    }
    true
}

/// Why the consumer will reject a message that was made of a row with such a date and time, in the words of the file.
#[cold]
fn why_rejected(date: &[u8], time: &[u8], message: &Outgoing) -> Option<String> {
    let Decoded::Rejected(reason) = message::decode(&message.value) else { return None };
    Some(match (Date::read(date).and_then(Date::of_calendar), minute(time)) {
        (None, _) => format!("Date `{}` is no day as d/m/yyyy or yyyy-mm-dd", shown(date)),
        (_, None) => format!("Time `{}` is no whole minute as HH:MM:SS", shown(time)),
        _ => reason.into_owned(),
    })
}

/// A field as a sentence may have it: not long, and without control characters.
fn shown(field: &[u8]) -> String {
    String::from_utf8_lossy(field).chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

/// Begins a message of no minute: numbers in the message's form, so that its reader can say what is wrong with them,
/// and anything else unchanged.
#[cold]
fn begin_with_no_minute(date: &[u8], time: &[u8], message: &mut Outgoing) {
    let date = match Date::read(date) {
        Some(Date { year, month: month @ ..=99, day: day @ ..=99, .. }) => {
            Cow::from(format!("{year:04}-{month:02}-{day:02}").into_bytes())
        }
        _ => Cow::from(date),
    };
    let time = match time_numbers(time) {
        Some((hour @ ..=99, minute @ ..=99, second @ ..=99)) => {
            Cow::from(format!("{hour:02}:{minute:02}:{second:02}").into_bytes())
        }
        _ => Cow::from(time),
    };
    message.key.clear();
    message.key.extend_from_slice(&date);
    message.value.clear();
    message.value.extend_from_slice(b"{\"Datetime\":");
    write_unchanged(&[&date, b" ".as_slice(), &time].concat(), &mut message.value);
}

/// Writes what JSON has for it: a number, or else a string.
#[cold]
fn write_unchanged(text: &[u8], out: &mut Vec<u8>) {
    if serde_json::from_slice::<serde_json::Number>(text).is_ok() {
        out.extend_from_slice(text);
    } else {
        let text = String::from_utf8_lossy(text);
        serde_json::to_writer(out, &*text).expect("a Vec takes all that is written to it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(row: &str, expected: &str) {
        let columns = Columns::from(LAYOUT.find(&NAMES.map(str::to_owned)).unwrap());
        let mut rows = CsvRecords::with_delimiter(row.as_bytes(), b';');
        rows.read().unwrap();
        let mut message = Outgoing::default();
        let said = match columns.encode(&rows, &mut message) {
            Ok(_) => format!("{} {}", String::from_utf8_lossy(&message.key), String::from_utf8_lossy(&message.value)),
            Err(reason) => format!("! {reason}"),
        };
        assert_eq!(said, expected, "{row}");
    }

    #[test]
    fn a_row_becomes_a_message() {
        check(
            "16/12/2006;17:24:00;4.216;0.418;234.840;18.400;0.000;1.000;17.000\r\n",
            r#"2006-12-16 {"Datetime":"2006-12-16 17:24:00","Global_active_power":4.216,"Global_reactive_power":0.418,"Voltage":234.84,"Global_intensity":18.4,"Sub_metering_1":0,"Sub_metering_2":1,"Sub_metering_3":17}"#,
        );
        check(
            "1/2/2007;00:05:00;?;?;?;?;?;?;\n",
            r#"2007-02-01 {"Datetime":"2007-02-01 00:05:00","Global_active_power":null,"Global_reactive_power":null,"Voltage":null,"Global_intensity":null,"Sub_metering_1":null,"Sub_metering_2":null,"Sub_metering_3":null}"#,
        );
    }

    #[test]
    fn what_cannot_be_read_is_sent_unchanged() {
        check(
            "1/2/07;00:05:00;1.2345;-1;\"a\"\"b\";1e2;0;0;0\n",
            r#"1/2/07 {"Datetime":"1/2/07 00:05:00","Global_active_power":1.2345,"Global_reactive_power":-1,"Voltage":"a\"b","Global_intensity":1e2,"Sub_metering_1":0,"Sub_metering_2":0,"Sub_metering_3":0}"#,
        );
        check("16/12/2006;17:24:00;4.216\n", "! 3 fields where the header has 9");
    }

    #[test]
    fn numbers_that_are_no_minute_are_sent_in_the_message_s_form() {
        let rest = r#","Global_active_power":1,"Global_reactive_power":null,"Voltage":null,"Global_intensity":null,"Sub_metering_1":null,"Sub_metering_2":null,"Sub_metering_3":null}"#;
        for (date, time, key, datetime) in [
            ("31/2/2007", "0:5:00", "2007-02-31", "2007-02-31 00:05:00"),
            ("1/2/2007", "24:00:00", "2007-02-01", "2007-02-01 24:00:00"),
            ("1/2/2007", "0:05:30", "2007-02-01", "2007-02-01 00:05:30"),
            ("1/1/0000", "00:00:00", "0000-01-01", "0000-01-01 00:00:00"),
            ("100/1/2007", "100:00:00", "100/1/2007", "100/1/2007 100:00:00"),
            ("1/2/2007", "noon", "2007-02-01", "2007-02-01 noon"),
        ] {
            check(&format!("{date};{time};1;?;?;?;?;?;?\n"), &format!("{key} {{\"Datetime\":\"{datetime}\"{rest}"));
        }
    }

    #[test]
    fn a_day_has_1440_minutes() {
        let times = (0..24).flat_map(|hour| (0..60).map(move |minute| format!("{hour:02}:{minute:02}:00")));
        let minutes: Vec<Option<u16>> = times.map(|time| minute(time.as_bytes())).collect();
        assert_eq!(minutes, (0..1440).map(Some).collect::<Vec<_>>());
        for text in ["24:00:00", "23:60:00", "23:59:01", "23:59", "23:59:00:00", "", "::", "-1:00:00", "9999:00:00"] {
            assert_eq!(minute(text.as_bytes()), None, "{text}");
        }
    }
}

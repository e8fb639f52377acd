//! The Kafka message: the day as key, and the minute's figures as JSON, encoded and decoded.

use formats::json::{self, Value};
use stream::{Decoded, Outgoing};

use crate::{
    record::{self, MEASURES, Reason, Record},
    thousandths::Thousandths,
};

/// The fields of a message: the time, then the measures.
const NAMES: [&str; 1 + MEASURES.len()] = {
    let [a, b, c, d, e, f, g] = MEASURES;
    ["Datetime", a, b, c, d, e, f, g]
};
/// The index of the power among the measures.
pub(crate) const POWER: usize = 0;

/// Reads a message's value.
///
/// Unknown fields are passed over; `null` and the bare `NaN` are missing values. A field that comes twice is
/// rejected: which of the two is meant, nobody can say. So is a record without the power's field: only an explicit
/// missing value retracts a minute, never a misspelt name. Allocates only where a text holds an escape.
pub fn decode(value: &[u8]) -> Decoded<Record> {
    match as_written(value).map_or_else(|| any_json(value), Ok) {
        Ok(record) => Decoded::Record(record),
        Err(reason) => Decoded::Rejected(reason),
    }
}

/// The fields' names and the punctuation around them, as [`encode`] writes them.
const WRITTEN: [&[u8]; MEASURES.len()] = [
    b",\"Global_active_power\":",
    b",\"Global_reactive_power\":",
    b",\"Voltage\":",
    b",\"Global_intensity\":",
    b",\"Sub_metering_1\":",
    b",\"Sub_metering_2\":",
    b",\"Sub_metering_3\":",
];

/// Reads a value that is exactly as [`encode`] writes it, several times faster than JSON is read; `None` for any other.
fn as_written(value: &[u8]) -> Option<Record> {
    let (time, rest) = value.strip_prefix(b"{\"Datetime\":\"")?.split_first_chunk::<{ record::TIME_LEN }>()?;
    let (day, minute) = record::datetime(time).ok()?;
    let mut rest = rest.strip_prefix(b"\"")?;
    let mut values = [Thousandths::MISSING; MEASURES.len()];
    for (value, field) in values.iter_mut().zip(WRITTEN) {
        rest = rest.strip_prefix(field)?;
        rest = match rest {
            [b'n', b'u', b'l', b'l', rest @ ..] => rest,
            // JSON knows no such number.
            [b'0', b'0'..=b'9', ..] => return None,
            _ => {
                let (number, len) = Thousandths::read(rest)?;
                *value = number;
                &rest[len..]
            }
        };
    }
    (rest == b"}").then_some(Record { day, minute, values })
}

fn any_json(value: &[u8]) -> Result<Record, Reason> {
    let [time, found @ ..] = json::fields(value, &NAMES)?;
    let (day, minute) = match time {
        Some(Value::Text(text)) => record::datetime(text.as_bytes())?,
        None | Some(Value::Missing) => return Err("Datetime is missing".into()),
        Some(Value::Number(_) | Value::Bool(_) | Value::Other(_)) => return Err("Datetime is not a text".into()),
    };
    let mut values = [Thousandths::MISSING; MEASURES.len()];
    for ((name, value), found) in MEASURES.iter().zip(&mut values).zip(&found) {
        *value = found.as_ref().map_or(Ok(Thousandths::MISSING), |found| measure(name, found))?;
    }
    if found[POWER].is_none() {
        return Err(format!("{} is missing; a minute without power has `null` there", MEASURES[POWER]).into());
    }
    Ok(Record { day, minute, values })
}

fn measure(name: &str, value: &Value<'_>) -> Result<Thousandths, Reason> {
    match value {
        Value::Missing => Ok(Thousandths::MISSING),
        Value::Number(number) => Thousandths::new(*number).map_err(|error| format!("{name} {error}").into()),
        Value::Text(_) | Value::Bool(_) | Value::Other(_) => {
            Err(format!("{name} is not a number of at most three decimals").into())
        }
    }
}

/// Writes a field's name and the punctuation around it: `,"Voltage":`.
pub fn begin_field(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writes a record as a message: its day as the key, missing as `null`, a number without superfluous zeros.
pub fn encode(record: &Record, message: &mut Outgoing) {
    begin(record.day, record.minute, message);
    for (name, value) in MEASURES.iter().zip(record.values) {
        begin_field(name, &mut message.value);
        value.write(&mut message.value);
    }
    message.value.push(b'}');
}

/// Begins a message of a minute: its key, and the value as far as the time.
pub fn begin(day: crate::day::Day, minute: u16, message: &mut Outgoing) {
    let (year, month, of_month) = day.date();
    let (hour, minute) = record::clock(minute);
    message.key.clear();
    decimal(year, 4, &mut message.key);
    message.key.push(b'-');
    decimal(month, 2, &mut message.key);
    message.key.push(b'-');
    decimal(of_month, 2, &mut message.key);
    let Outgoing { key, value, .. } = message;
    value.clear();
    value.extend_from_slice(b"{\"Datetime\":\"");
    value.extend_from_slice(key);
    value.push(b' ');
    decimal(hour.into(), 2, value);
    value.push(b':');
    decimal(minute.into(), 2, value);
    value.extend_from_slice(b":00\"");
}

/// Writes a number with so many digits at least.
fn decimal(number: u32, width: u32, out: &mut Vec<u8>) {
    for exponent in (0..width).rev() {
        let digit = number / 10_u32.pow(exponent) % 10;
        out.push(b'0' + u8::try_from(digit).expect("a digit"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::day::Day;

    fn check(text: &str, expected: &str) {
        let read = match decode(text.as_bytes()) {
            Decoded::Record(Record { day, minute, values }) => {
                let values: Vec<String> =
                    values.iter().map(|value| value.get().map_or("-".to_owned(), |value| value.to_string())).collect();
                format!("{day} {minute} {}", values.join(" "))
            }
            Decoded::Filtered => "filtered".to_owned(),
            Decoded::Rejected(reason) => format!("! {reason}"),
        };
        assert_eq!(read, expected, "{text}");
    }

    fn check_with(field: &str, expected: &str) {
        check(&format!(r#"{{"Datetime":"2007-01-01 00:01:00",{field}}}"#), expected);
    }

    #[test]
    fn fields_are_known_by_name_in_any_order() {
        check(
            r#"{"Voltage":234.84,"Global_active_power":4.216,"extra":{"a":[1]},"Datetime":"2006-12-16 17:24:00","Sub_metering_3":17}"#,
            "2006-12-16 1044 4216 - 234840 - - - 17000",
        );
        check_with(r#""Global_active_power":null"#, "2007-01-01 1 - - - - - - -");
        check_with(r#""Global_active_power":NaN"#, "2007-01-01 1 - - - - - - -");
    }

    #[test]
    fn what_cannot_be_used_is_rejected_with_a_reason() {
        check("", "! not JSON: expected an object");
        check("{}", "! Datetime is missing");
        check(r#"{"Datetime":7}"#, "! Datetime is not a text");
        check(r#"{"Datetime":"31/12/2007 00:00:00"}"#, "! Datetime is not `yyyy-MM-dd HH:mm:ss`");
        check_with(r#""Voltage":"240""#, "! Voltage is not a number of at most three decimals");
        check_with(r#""Voltage":Infinity"#, "! Voltage is not within 0 to 2000000");
        check_with(r#""Voltage":-1"#, "! Voltage is not within 0 to 2000000");
        check_with(r#""Voltage":1.0001"#, "! Voltage has more than three decimals");
        check_with(r#""Voltage":1,"Voltage":1"#, "! Voltage appears twice");
    }

    #[test]
    fn a_record_says_something_of_the_power() {
        let said = "! Global_active_power is missing; a minute without power has `null` there";
        check(r#"{"Datetime":"2007-01-01 00:01:00"}"#, said);
        check_with(r#""Voltage":240"#, said);
        check_with(r#""global_active_power":1.5"#, said);
        check_with(r#""Voltage":240,"Global_active_power":null"#, "2007-01-01 1 - - 240000 - - - -");
    }

    #[test]
    fn the_key_is_the_day() {
        let mut message = Outgoing::default();
        let mut values = [Thousandths::MISSING; 7];
        values[0] = Thousandths::from_thousandths(4216).unwrap();
        encode(&Record { day: Day::new(2006, 12, 16).unwrap(), minute: 1044, values }, &mut message);
        assert_eq!(message.key, b"2006-12-16");
        assert_eq!(
            String::from_utf8(message.value).unwrap(),
            r#"{"Datetime":"2006-12-16 17:24:00","Global_active_power":4.216,"Global_reactive_power":null,"Voltage":null,"Global_intensity":null,"Sub_metering_1":null,"Sub_metering_2":null,"Sub_metering_3":null}"#
        );
    }

    prop_compose! {
        fn any_record()(
            days in -730_119_i32..2_900_000,
            minute in 0_u16..1440,
            values in proptest::array::uniform7(proptest::option::of(0..Thousandths::LIMIT * 1000)),
        ) -> Record {
            let value = |known: Option<i32>| known.map_or(Thousandths::MISSING, |known| Thousandths::from_thousandths(known).unwrap());
            Record { day: Day::from_days(days).unwrap(), minute, values: values.map(value) }
        }
    }

    proptest! {
        #[test]
        fn encode_then_decode_is_the_identity(record in any_record()) {
            let mut message = Outgoing::default();
            encode(&record, &mut message);
            prop_assert_eq!(decode(&message.value), Decoded::Record(record));
        }

        #[test]
        fn no_mutation_makes_it_panic(
            record in any_record(),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut message = Outgoing::default();
            encode(&record, &mut message);
            for (position, byte) in edits {
                let at = position.index(message.value.len());
                message.value[at] = byte;
            }
            let _ = decode(&message.value);
        }

        /// What is read fast is what is read as JSON.
        #[test]
        fn both_ways_of_reading_agree(
            record in any_record(),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), "[0-9.,:\"{}null e+-]"), 0..4),
        ) {
            let mut message = Outgoing::default();
            encode(&record, &mut message);
            prop_assert_eq!(as_written(&message.value), Some(record));
            for (position, byte) in edits {
                let at = position.index(message.value.len());
                message.value[at] = byte.as_bytes()[0];
            }
            if let Some(fast) = as_written(&message.value) {
                prop_assert_eq!(any_json(&message.value), Ok(fast));
            }
        }
    }
}

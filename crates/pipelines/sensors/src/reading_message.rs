//! The Kafka message of a reading: the sensor as key, and JSON as value, encoded and decoded.

use formats::{
    instant::{self, decimal, digits},
    json::{self, Reason, Value},
    milli,
};
use stream::{Decoded, Outgoing};

use crate::range::{self, Range};

/// The fields of a message, in the order in which ours are written.
const NAMES: [&str; 4] = ["sensor_id", "timestamp", "timestamp_ms", "temperature"];

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The sensor.
    pub sensor: i32,
    /// When it was taken, milliseconds since 1970 UTC; `None` where the message does not say, and the time of its record counts.
    pub at_ms: Option<i64>,
    /// The temperature, thousandths of a degree Celsius.
    pub milli: i32,
}

/// Reads a message's value.
///
/// Unknown fields are passed over. A temperature outside of the range is rejected: it belongs to the events, and would spoil
/// an average.
pub fn decode(value: &[u8], range: Range) -> Decoded<Reading> {
    match read(value) {
        Ok(reading) if range.has(reading.milli) => Decoded::Record(reading),
        Ok(Reading { milli, .. }) => {
            Decoded::Rejected(format!("temperature {} is not within {range}", milli::text(milli.into())).into())
        }
        Err(reason) => Decoded::Rejected(reason),
    }
}

/// Reads a message's value, whatever the temperature.
pub(crate) fn read(value: &[u8]) -> Result<Reading, Reason> {
    as_written(value).map_or_else(|| of_fields(json::fields(value, &NAMES)?), Ok)
}

/// The same of an element that somebody posted, whose time may also be a text such as `2026-01-31T12:00:00Z`.
pub(crate) fn read_element(json: &[u8]) -> Result<Reading, Reason> {
    read(json).or_else(|reason| with_text_time(json).ok_or(reason))
}

#[cold]
fn with_text_time(json: &[u8]) -> Option<Reading> {
    let [sensor, time, millis, temperature] = json::fields(json, &NAMES).ok()?;
    let (Some(Value::Text(text)), None | Some(Value::Missing)) = (time, millis) else { return None };
    let at_ms = Some(instant::parse(&text)?);
    Some(Reading { at_ms, ..of_fields([sensor, None, None, temperature]).ok()? })
}

/// Reads a value that is exactly as [`encode`] writes it, several times faster than JSON is read; `None` for any other.
fn as_written(value: &[u8]) -> Option<Reading> {
    let (sensor, rest) = digits(value.strip_prefix(b"{\"sensor_id\":")?)?;
    let (seconds, rest) = digits(rest.strip_prefix(b",\"timestamp\":")?)?;
    let (at_ms, rest) = digits(rest.strip_prefix(b",\"timestamp_ms\":")?)?;
    let rest = rest.strip_prefix(b",\"temperature\":")?;
    let (milli, len) = range::read(rest)?;
    if &rest[len..] != b"}" || at_ms / 1_000 != seconds || at_ms >= instant::LAST_MS {
        return None;
    }
    Some(Reading { sensor: i32::try_from(sensor).ok()?, at_ms: Some(at_ms), milli })
}

fn of_fields([sensor, seconds, millis, temperature]: [Option<Value<'_>>; 4]) -> Result<Reading, Reason> {
    let milli = match temperature {
        None | Some(Value::Missing) => return Err("temperature is missing".into()),
        Some(Value::Number(number)) => range::of_number(number).ok_or("temperature is not below a thousand")?,
        Some(Value::Text(_) | Value::Bool(_) | Value::Other(_)) => return Err("temperature is not a number".into()),
    };
    Ok(Reading {
        sensor: sensor_of(sensor.as_ref())?,
        at_ms: instant::of_fields(seconds.as_ref(), millis.as_ref())?,
        milli,
    })
}

/// The number of a sensor: 0 to 2³¹ − 1.
pub(crate) fn sensor_of(field: Option<&Value<'_>>) -> Result<i32, Reason> {
    match field {
        None | Some(Value::Missing) => Err("sensor_id is missing".into()),
        #[expect(clippy::cast_possible_truncation, reason = "in range and whole")]
        Some(Value::Number(number)) if number.fract() == 0.0 && (0.0..=f64::from(i32::MAX)).contains(number) => {
            Ok(*number as i32)
        }
        Some(_) => Err("sensor_id is not a whole number from 0 to 2147483647".into()),
    }
}

/// Writes a reading as a message.
///
/// # Panics
/// When its time is before 1970.
pub fn encode(reading: &Reading, message: &mut Outgoing) {
    let at_ms = reading.at_ms.map(|at_ms| u64::try_from(at_ms).expect("a reading that is sent has a time since 1970"));
    begin(reading.sensor, at_ms, message);
    message.value.extend_from_slice(b",\"temperature\":");
    milli::write(reading.milli.into(), &mut message.value);
    message.value.push(b'}');
}

/// Begins a message of a sensor: its key, and the value as far as the time, if it has one.
pub(crate) fn begin(sensor: i32, at_ms: Option<u64>, message: &mut Outgoing) {
    let Outgoing { key, value, .. } = message;
    key.clear();
    decimal(sensor.unsigned_abs().into(), key);
    value.clear();
    value.extend_from_slice(b"{\"sensor_id\":");
    value.extend_from_slice(key);
    if let Some(at_ms) = at_ms {
        value.extend_from_slice(b",\"timestamp\":");
        decimal(at_ms / 1_000, value);
        value.extend_from_slice(b",\"timestamp_ms\":");
        decimal(at_ms, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::range::USUAL;

    fn check(value: &str, expected: Result<Reading, &str>) {
        match (decode(value.as_bytes(), USUAL), expected) {
            (Decoded::Record(reading), Ok(expected)) => assert_eq!(reading, expected, "{value}"),
            (Decoded::Rejected(reason), Err(expected)) => assert!(reason.contains(expected), "{value}: {reason}"),
            other => panic!("{value}: {other:?}"),
        }
    }

    const READING: Reading = Reading { sensor: 7, at_ms: Some(1_767_225_600_000), milli: 21_530 };

    #[test]
    fn the_predecessors_format_is_read() {
        check(r#"{"sensor_id": 7, "timestamp": 1767225600, "temperature": 21.53}"#, Ok(READING));
        check(r#"{"sensor_id":7,"timestamp":1767225600,"temperature":21.529999999999998}"#, Ok(READING));
    }

    #[test]
    fn a_reading_without_a_time_has_that_of_its_record() {
        check(r#"{"sensor_id":7,"temperature":21.53}"#, Ok(Reading { at_ms: None, ..READING }));
    }

    #[test]
    fn what_is_wrong_is_said() {
        check(r#"{"sensor_id":7,"timestamp":1,"temperature":50}"#, Err("temperature 50 is not within -10..50"));
        check(r#"{"sensor_id":7,"timestamp":1,"temperature":1e9}"#, Err("not below a thousand"));
        check(r#"{"sensor_id":7,"timestamp":1,"temperature":null}"#, Err("temperature is missing"));
        check(r#"{"sensor_id":7,"timestamp":1,"temperature":"21"}"#, Err("temperature is not a number"));
        check(r#"{"sensor_id":-7,"timestamp":1,"temperature":21}"#, Err("sensor_id is not a whole number"));
        check(r#"{"timestamp":1,"temperature":21}"#, Err("sensor_id is missing"));
        check(r#"{"sensor_id":7,"timestamp":"now","temperature":21}"#, Err("timestamp is not a number"));
        check("21.5", Err("not JSON"));
    }

    proptest! {
        #[test]
        fn written_then_read_is_the_identity(
            sensor in 0..=i32::MAX, at_ms in 0..253_402_300_800_000_i64, milli in -9_999..50_000_i32
        ) {
            let reading = Reading { sensor, at_ms: Some(at_ms), milli };
            let mut message = Outgoing::default();
            encode(&reading, &mut message);
            prop_assert_eq!(as_written(&message.value), Some(reading));
            prop_assert_eq!(of_fields(json::fields(&message.value, &NAMES).unwrap()), Ok(reading));
            prop_assert_eq!(message.key, sensor.to_string().into_bytes());
        }
    }
}

//! The Kafka message of an event: the sensor as key, and JSON as value, encoded and decoded.

use formats::{
    instant,
    json::{self, Reason, Value},
};
use stream::{Decoded, Outgoing};

use crate::{
    range::Level,
    reading_message::{self, sensor_of},
};

/// The fields of a message.
const NAMES: [&str; 5] = ["sensor_id", "timestamp", "timestamp_ms", "level", "message"];
/// The longest text of an event, bytes.
const LONGEST: usize = 1_000;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The sensor.
    pub sensor: i32,
    /// When it happened, milliseconds since 1970 UTC; `None` where the message does not say, and the time of its record counts.
    pub at_ms: Option<i64>,
    /// How bad it is.
    pub level: Level,
    /// What happened.
    pub text: String,
}

/// Reads a message's value. Unknown fields are passed over.
pub fn decode(value: &[u8]) -> Decoded<Event> {
    read(value).map_or_else(Decoded::Rejected, Decoded::Record)
}

fn read(value: &[u8]) -> Result<Event, Reason> {
    let [sensor, seconds, millis, level, text] = json::fields(value, &NAMES)?;
    let level = match level {
        Some(Value::Text(name)) => Level::of_name(&name),
        _ => None,
    };
    let text = match text {
        None | Some(Value::Missing) => return Err("message is missing".into()),
        Some(Value::Text(text)) if text.len() <= LONGEST && !text.contains('\0') => text.into_owned(),
        Some(_) => return Err(format!("message is not a text of at most {LONGEST} bytes without NUL").into()),
    };
    Ok(Event {
        sensor: sensor_of(sensor.as_ref())?,
        at_ms: instant::of_fields(seconds.as_ref(), millis.as_ref())?,
        level: level.ok_or("level is neither ERROR nor WARNING")?,
        text,
    })
}

/// Writes an event as a message.
pub(crate) fn encode(sensor: i32, at_ms: Option<u64>, level: Level, text: &str, message: &mut Outgoing) {
    reading_message::begin(sensor, at_ms, message);
    message.value.extend_from_slice(b",\"level\":\"");
    message.value.extend_from_slice(level.name().as_bytes());
    message.value.extend_from_slice(b"\",\"message\":");
    serde_json::to_writer(&mut message.value, text).expect("a Vec takes all that is written to it");
    message.value.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_then_read_is_the_identity() {
        let mut message = Outgoing::default();
        encode(7, Some(1_767_225_600_123), Level::Warning, "\"hot\"\n", &mut message);
        let (at_ms, text) = (Some(1_767_225_600_123), "\"hot\"\n".to_owned());
        assert_eq!(read(&message.value), Ok(Event { sensor: 7, at_ms, level: Level::Warning, text }));
    }

    #[test]
    fn the_predecessors_format_has_no_time() {
        let event = read(br#"{"sensor_id": 3, "level": "ERROR", "message": "sensor disconnected"}"#);
        assert_eq!(event.map(|event| (event.sensor, event.at_ms, event.level)), Ok((3, None, Level::Error)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (value, expected) in [
            (r#"{"sensor_id":7,"level":"FATAL","message":"x"}"#.to_owned(), "level is neither"),
            (r#"{"sensor_id":7,"level":"ERROR"}"#.to_owned(), "message is missing"),
            (r#"{"sensor_id":7,"level":"ERROR","message":"\u0000"}"#.to_owned(), "without NUL"),
            (format!(r#"{{"sensor_id":7,"level":"ERROR","message":"{}"}}"#, "x".repeat(1_001)), "at most 1000 bytes"),
        ] {
            let reason = read(value.as_bytes()).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
    }
}

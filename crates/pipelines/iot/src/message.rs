//! The Kafka message of a reading: the device as key, and JSON as value, encoded and decoded.

use std::borrow::Cow;

use formats::{
    instant::{self, WRITTEN},
    json::{self, Reason, Value},
    milli,
};
use stats::exact::LARGEST;
use stream::{Decoded, Outgoing};

use crate::window::Name;

/// The fields of a message that are read.
pub(crate) const NAMES: [&str; 7] =
    ["time", "device_id", "device_type", "value", "unit", "quality_score", "is_anomaly"];
/// The longest unit, bytes.
const LONGEST_UNIT: usize = 20;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// When it was taken, milliseconds since 1970 UTC; `None` where the message does not say, and the time of its record counts.
    pub at_ms: Option<i64>,
    /// The device.
    pub device: Name,
    /// What it measures.
    pub kind: Name,
    /// The value, thousandths of its unit.
    pub milli: i64,
    /// The unit; empty: none.
    pub unit: Cow<'a, str>,
    /// How good it is, from 0 to 100; `None`: the message does not say.
    pub quality: Option<u8>,
    /// Whether the device says that it is abnormal.
    pub is_anomaly: bool,
}

/// Reads a message's value. Unknown fields are passed over.
pub fn decode(value: &[u8]) -> Decoded<Reading<'_>> {
    match as_written(value).map_or_else(|| any_json(value), Ok) {
        Ok(reading) => Decoded::Record(reading),
        Err(reason) => Decoded::Rejected(reason),
    }
}

/// Reads a value that is exactly as [`encode`] writes it, several times faster than JSON is read; `None` for any other.
fn as_written(value: &[u8]) -> Option<Reading<'_>> {
    let rest = value.strip_prefix(b"{\"time\":\"")?;
    let at_ms = instant::read(rest.first_chunk::<WRITTEN>()?)?;
    let (device, rest) = text(rest[WRITTEN..].strip_prefix(b"\",\"device_id\":\"")?)?;
    let (kind, rest) = text(rest.strip_prefix(b",\"device_type\":\"")?)?;
    let rest = rest.strip_prefix(b",\"value\":")?;
    let (milli, len) = milli::read(rest)?;
    let (unit, rest) = text(rest[len..].strip_prefix(b",\"unit\":\"")?)?;
    let (quality, rest) = instant::digits(rest.strip_prefix(b",\"quality_score\":")?)?;
    let rest = rest.strip_prefix(b",\"is_anomaly\":")?;
    let (is_anomaly, rest) = match rest.strip_prefix(b"true") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix(b"false")?),
    };
    let is_whole = rest.strip_prefix(BEFORE_GENERATED).is_some_and(|rest| {
        rest.split_at_checked(WRITTEN).is_some_and(|(at, rest)| {
            rest == b"\"}}" && at.iter().all(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1F | 0x80..))
        })
    });
    let fits = is_whole && milli.abs() <= LARGEST && is_unit(unit) && quality <= 100;
    fits.then_some(())?;
    Some(Reading {
        at_ms: Some(at_ms),
        device: name(device, "").ok()?,
        kind: kind_of(kind).ok()?,
        milli,
        unit: unit.into(),
        quality: u8::try_from(quality).ok(),
        is_anomaly,
    })
}

/// What follows the last field that is read, up to when the message was made.
const BEFORE_GENERATED: &[u8] = b",\"metadata\":{\"simulator_version\":\"1.0\",\"generated_at\":\"";

/// A text without escapes up to its closing quote, and what follows that.
fn text(rest: &[u8]) -> Option<(&str, &[u8])> {
    let len = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F))?;
    (rest[len] == b'"').then_some(())?;
    Some((std::str::from_utf8(&rest[..len]).ok()?, &rest[len + 1..]))
}

fn any_json(value: &[u8]) -> Result<Reading<'_>, Reason> {
    let [time, device, kind, measured, unit, quality, is_anomaly] = json::fields(value, &NAMES)?;
    let text = |field: Option<Value<'_>>, what: &str| match field {
        None | Some(Value::Missing) => Err(Reason::from(format!("{what} is missing"))),
        Some(Value::Text(text)) => Ok(text.into_owned()),
        Some(_) => Err(format!("{what} is not a text").into()),
    };
    Ok(Reading {
        at_ms: time_of(time.as_ref())?,
        device: name(&text(device, "device_id")?, "device_id")?,
        kind: kind_of(&text(kind, "device_type")?)?,
        milli: match measured {
            None | Some(Value::Missing) => return Err("value is missing".into()),
            Some(Value::Number(number)) => milli::of_number(number, LARGEST).ok_or("value is beyond 8796093022")?,
            Some(Value::Bool(is)) => i64::from(is) * 1_000,
            Some(_) => return Err("value is not a number".into()),
        },
        unit: match unit {
            None | Some(Value::Missing) => "".into(),
            Some(Value::Text(unit)) if is_unit(&unit) => unit,
            Some(_) => return Err("unit is not a text of at most 20 bytes without control characters".into()),
        },
        quality: match quality {
            None | Some(Value::Missing) => None,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100, and whole")]
            Some(Value::Number(number)) if (0.0..=100.0).contains(&number) => Some(number.round() as u8),
            Some(_) => return Err("quality_score is not a number from 0 to 100".into()),
        },
        is_anomaly: match is_anomaly {
            None | Some(Value::Missing) => false,
            Some(Value::Bool(is)) => is,
            Some(_) => return Err("is_anomaly is neither true nor false".into()),
        },
    })
}

/// The name of a device or of a type: 1 to 50 bytes without control characters.
fn name(text: &str, what: &str) -> Result<Name, Reason> {
    let name = Name::from(text).ok().filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
    name.ok_or_else(|| format!("{what} is not 1 to 50 bytes without control characters").into())
}

fn is_unit(text: &str) -> bool {
    text.len() <= LONGEST_UNIT && !text.chars().any(char::is_control)
}

/// That of a type has no slash, so that the partition key can be read.
fn kind_of(text: &str) -> Result<Name, Reason> {
    let kind = name(text, "device_type")?;
    if kind.contains('/') { Err("device_type has a slash".into()) } else { Ok(kind) }
}

/// Seconds since 1970, or a text such as `2026-01-31T12:00:00.123Z`; one without a zone is UTC.
fn time_of(field: Option<&Value<'_>>) -> Result<Option<i64>, Reason> {
    let at_ms = match field {
        None | Some(Value::Missing) => return Ok(None),
        Some(Value::Text(text)) => instant::parse_any(text).ok_or("time is not such as 2026-01-31T12:00:00Z")?,
        seconds @ Some(Value::Number(_)) => instant::of_fields(seconds, None)?.unwrap_or_default(),
        Some(_) => return Err("time is neither a text nor a number of seconds".into()),
    };
    if (0..instant::LAST_MS).contains(&at_ms) { Ok(Some(at_ms)) } else { Err("its time is before 1970".into()) }
}

/// Writes a reading as a message, as simulators write it: with when it was made, which is when it was measured.
///
/// # Panics
/// When it has no time, or one beyond year 9999.
pub fn encode(reading: &Reading<'_>, message: &mut Outgoing) {
    let Outgoing { key, value, .. } = message;
    key.clear();
    key.extend_from_slice(reading.device.as_bytes());
    let at_ms = reading.at_ms.expect("a reading that is sent has a time");
    value.clear();
    value.extend_from_slice(b"{\"time\":\"");
    instant::write(at_ms, value);
    let mut texts = [(&b"\",\"device_id\":"[..], &*reading.device), (b",\"device_type\":", &*reading.kind)].into_iter();
    texts.by_ref().for_each(|(before, text)| write_text(before, text, value));
    value.extend_from_slice(b",\"value\":");
    milli::write(reading.milli, value);
    write_text(b",\"unit\":", &reading.unit, value);
    if let Some(quality) = reading.quality {
        value.extend_from_slice(b",\"quality_score\":");
        instant::decimal(quality.into(), value);
    }
    value.extend_from_slice(if reading.is_anomaly { b",\"is_anomaly\":true" } else { b",\"is_anomaly\":false" });
    value.extend_from_slice(BEFORE_GENERATED);
    instant::write(at_ms, value);
    value.extend_from_slice(b"\"}}");
}

fn write_text(before: &[u8], text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    if text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
        serde_json::to_writer(out, text).expect("a Vec takes all that is written to it");
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading() -> Reading<'static> {
        let name = |text| Name::from(text).unwrap();
        Reading {
            at_ms: Some(1_767_225_600_123),
            device: name("TEMP-001"),
            kind: name("temperature"),
            milli: 22_310,
            unit: "°C".into(),
            quality: Some(97),
            is_anomaly: false,
        }
    }

    fn check(value: &str, expected: Result<Reading<'_>, &str>) {
        match (decode(value.as_bytes()), expected) {
            (Decoded::Record(reading), Ok(expected)) => assert_eq!(reading, expected, "{value}"),
            (Decoded::Rejected(reason), Err(expected)) => assert!(reason.contains(expected), "{value}: {reason}"),
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn the_predecessors_format_is_read() {
        check(
            r#"{"time": "2026-01-01T00:00:00.123456", "device_id": "TEMP-001", "device_type": "temperature", "value": 22.31,
                "unit": "\u00b0C", "quality_score": 97, "is_anomaly": false,
                "metadata": {"simulator_version": "1.0", "generated_at": "2026-01-01T00:00:00.123456"}}"#,
            Ok(reading()),
        );
    }

    #[test]
    fn what_devices_leave_out_is_not_known() {
        check(
            r#"{"device_id":"TEMP-001","device_type":"temperature","value":22.31}"#,
            Ok(Reading { at_ms: None, unit: "".into(), quality: None, ..reading() }),
        );
        check(
            r#"{"device_id":"MOT-001","device_type":"motion","value":true,"time":1767225600.123}"#,
            Ok(Reading {
                device: Name::from("MOT-001").unwrap(),
                kind: Name::from("motion").unwrap(),
                milli: 1_000,
                unit: "".into(),
                quality: None,
                ..reading()
            }),
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let of = |field: &str, value: &str| {
            let mut fields = serde_json::json!({"device_id": "d", "device_type": "t", "value": 1});
            fields[field] = serde_json::from_str(value).unwrap();
            fields.to_string()
        };
        for (field, value, expected) in [
            ("device_id", "null", "device_id is missing"),
            ("device_id", "7", "device_id is not a text"),
            ("device_id", "\"\"", "device_id is not 1 to 50 bytes"),
            ("device_id", "\"a\\u0000\"", "without control characters"),
            ("device_type", "\"a/b\"", "has a slash"),
            ("value", "null", "value is missing"),
            ("value", "\"22\"", "value is not a number"),
            ("value", "1e10", "value is beyond"),
            ("unit", "\"a unit that is too long\"", "unit is not a text"),
            ("quality_score", "101", "from 0 to 100"),
            ("quality_score", "-1", "from 0 to 100"),
            ("is_anomaly", "1", "neither true nor false"),
            ("time", "\"noon\"", "time is not such as"),
            ("time", "-1", "before 1970"),
            ("time", "\"1969-12-31T00:00:00Z\"", "before 1970"),
            ("time", "[]", "neither a text nor"),
        ] {
            check(&of(field, value), Err(expected));
        }
        check("22.31", Err("not JSON"));
    }

    proptest! {
        #[test]
        fn written_then_read_is_the_identity(
            at_ms in 0..253_402_300_800_000_i64, device in "\\PC{1,12}", kind in "[^/\\p{C}]{1,12}", milli in -LARGEST..=LARGEST,
            unit in "\\PC{0,5}", quality in prop::option::of(0..=100_u8), is_anomaly in any::<bool>(),
        ) {
            let device = Name::from(&device).unwrap();
            let kind = Name::from(&kind).unwrap();
            let reading = Reading { at_ms: Some(at_ms), device, kind, milli, unit: unit.into(), quality, is_anomaly };
            let mut message = Outgoing::default();
            encode(&reading, &mut message);
            prop_assert!(as_written(&message.value).is_none_or(|read| read == reading));
            prop_assert_eq!(any_json(&message.value), Ok(reading));
            prop_assert_eq!(&message.key, &device.as_bytes());
        }
    }

    #[test]
    fn what_is_usual_is_read_fast() {
        let mut message = Outgoing::default();
        encode(&reading(), &mut message);
        assert_eq!(as_written(&message.value), Some(reading()));
    }
}

//! Instants: milliseconds since 1970 UTC.

use chrono::{DateTime, SecondsFormat};
use formats::json::{Reason, Value};

/// No message has such a time, or a later one: a double does not hold every whole number from there on.
pub(crate) const LAST_MS: i64 = 9_000_000_000_000_000;
const LAST: f64 = 9e15;
/// Milliseconds from 1970-01-01, as here, to 2000-01-01, from which PostgreSQL counts.
const EPOCH_MS: i64 = 946_684_800_000;

/// PostgreSQL's form of an instant: microseconds since 2000-01-01.
pub(crate) fn to_postgres(ms: i64) -> i64 {
    ms.saturating_sub(EPOCH_MS).saturating_mul(1_000)
}

/// The instant of PostgreSQL's form; what is finer than a millisecond is left out.
pub(crate) fn from_postgres(micros: i64) -> i64 {
    micros.div_euclid(1_000).saturating_add(EPOCH_MS)
}

/// An instant as people read it: `2026-01-31T12:00:00Z`.
pub(crate) fn text(ms: i64) -> String {
    match DateTime::from_timestamp_millis(ms) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{ms} ms since 1970"),
    }
}

/// Reads an instant such as `2026-01-31T12:00:00Z`.
pub(crate) fn parse(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

/// Writes a whole number.
pub(crate) fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let (mut digits, mut at) = ([0; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Reads the digits that a text begins with, and gives what follows; of at most eighteen.
pub(crate) fn digits(text: &[u8]) -> Option<(i64, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 || len > 18 || (len > 1 && text[0] == b'0') {
        return None;
    }
    let number = text[..len].iter().fold(0, |number, byte| number * 10 + i64::from(byte - b'0'));
    Some((number, &text[len..]))
}

/// The instant of a message's two fields: `timestamp` in seconds, which may have a fraction, and `timestamp_ms`. `None` where it has
/// neither, and the time of its record counts.
pub(crate) fn of_fields(seconds: Option<&Value<'_>>, millis: Option<&Value<'_>>) -> Result<Option<i64>, Reason> {
    let number = |name: &str, field: Option<&Value<'_>>| match field {
        None | Some(Value::Missing) => Ok(None),
        Some(Value::Number(number)) if number.abs() < LAST => Ok(Some(*number)),
        Some(_) => Err(Reason::from(format!("{name} is not a number"))),
    };
    let (seconds, millis) = (number("timestamp", seconds)?, number("timestamp_ms", millis)?);
    #[expect(clippy::cast_possible_truncation, reason = "whole, and small enough for a double to hold it")]
    let rounded = |number: f64| number.round() as i64;
    let ms =
        millis.map(|millis| if millis.fract() == 0.0 { Ok(rounded(millis)) } else { Err("timestamp_ms is not whole") });
    let at_ms = match (seconds, ms.transpose()?) {
        (None, ms) => ms,
        (Some(seconds), None) if seconds * 1_000.0 < LAST => Some(rounded(seconds * 1_000.0)),
        // A writer of both may have cut or rounded the seconds.
        (Some(seconds), Some(ms)) if (seconds * 1_000.0 - millis.unwrap_or_default()).abs() <= 1_000.0 => Some(ms),
        (Some(_), None) => return Err("timestamp is no time in seconds".into()),
        (Some(_), Some(_)) => return Err("timestamp and timestamp_ms are more than a second apart".into()),
    };
    if at_ms < Some(0) && at_ms.is_some() { Err("its time is before 1970".into()) } else { Ok(at_ms) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_and_back() {
        for ms in [0, EPOCH_MS, 1_767_225_600_123, -1] {
            assert_eq!(from_postgres(to_postgres(ms)), ms);
        }
        assert_eq!(to_postgres(EPOCH_MS + 1), 1_000);
    }

    #[test]
    fn an_instant_is_read_and_written() {
        assert_eq!(parse(&text(1_767_225_600_123)), Some(1_767_225_600_123));
        assert_eq!(text(1_767_225_600_000), "2026-01-01T00:00:00Z");
        assert_eq!(parse("2026-01-01 00:00"), None);
    }

    #[test]
    fn a_messages_time_is_in_one_field_or_both() {
        let of = |seconds: Option<f64>, millis: Option<f64>| {
            of_fields(seconds.map(Value::Number).as_ref(), millis.map(Value::Number).as_ref())
        };
        assert_eq!(of(None, None), Ok(None));
        assert_eq!(of(Some(1_767_225_600.0), None), Ok(Some(1_767_225_600_000)));
        assert_eq!(of(Some(1_767_225_600.123), None), Ok(Some(1_767_225_600_123)));
        assert_eq!(of(Some(1_767_225_600.0), Some(1_767_225_600_999.0)), Ok(Some(1_767_225_600_999)));
        assert!(of(Some(1_767_225_600.0), Some(1_767_225_602_000.0)).unwrap_err().contains("apart"));
        assert!(of(None, Some(0.5)).is_err() && of(Some(f64::MAX), None).is_err());
        assert!(of(Some(9e12), None).is_err() && of(Some(-1.0), None).unwrap_err().contains("before 1970"));
    }
}

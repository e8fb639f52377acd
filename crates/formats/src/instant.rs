//! Instants: milliseconds since 1970 UTC.

use chrono::{DateTime, Datelike as _, NaiveDateTime, SecondsFormat, Timelike as _};

use crate::json::{Reason, Value};

/// No message has such a time, or a later one: a double does not hold every whole number from there on.
pub const LAST_MS: i64 = 9_000_000_000_000_000;
const LAST: f64 = 9e15;
/// Milliseconds from 1970-01-01, as here, to 2000-01-01, from which PostgreSQL counts.
const EPOCH_MS: i64 = 946_684_800_000;

/// PostgreSQL's form of an instant: microseconds since 2000-01-01.
pub fn to_postgres(ms: i64) -> i64 {
    ms.saturating_sub(EPOCH_MS).saturating_mul(1_000)
}

/// The instant of PostgreSQL's form; what is finer than a millisecond is left out.
pub fn from_postgres(micros: i64) -> i64 {
    micros.div_euclid(1_000).saturating_add(EPOCH_MS)
}

/// An instant as people read it: `2026-01-31T12:00:00Z`.
pub fn text(ms: i64) -> String {
    match DateTime::from_timestamp_millis(ms) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{ms} ms since 1970"),
    }
}

/// Reads an instant such as `2026-01-31T12:00:00Z`.
pub fn parse(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

/// Days from 1970-01-01 to a day of the calendar, which is not checked (`days_from_civil` of Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Reads an instant that is exactly as [`write()`] writes it, much faster than [`parse`]; `None` of any other.
pub fn read(text: &[u8; WRITTEN]) -> Option<i64> {
    let number = |from: usize, to: usize| {
        text[from..to].iter().try_fold(0, |number, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then_some(number * 10 + i64::from(digit))
        })
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if separators.iter().any(|&(at, byte)| text[at] != byte) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, ms) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
    // The last days of short months are left to the calendar.
    let is_plain = (1..=12).contains(&month) && (1..=28).contains(&day) && hour < 24 && minute < 60 && second < 60;
    is_plain.then(|| (((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + ms)
}

/// How long what [`write()`] writes is, bytes.
pub const WRITTEN: usize = 24;

/// Writes an instant of the years 0 to 9999 as `2026-01-31T12:00:00.000Z`.
///
/// # Panics
/// When it is of another year.
pub fn write(ms: i64, out: &mut Vec<u8>) {
    let time = DateTime::from_timestamp_millis(ms).filter(|time| (0..10_000).contains(&time.year()));
    let time = time.expect("a year of four digits").naive_utc();
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |from: usize, to: usize, mut number: u32| {
        for at in (from..to).rev() {
            text[at] = b'0' + u8::try_from(number % 10).expect("a digit");
            number /= 10;
        }
    };
    put(0, 4, time.year().unsigned_abs());
    put(5, 7, time.month());
    put(8, 10, time.day());
    put(11, 13, time.hour());
    put(14, 16, time.minute());
    put(17, 19, time.second());
    put(20, 23, time.and_utc().timestamp_subsec_millis());
    out.extend_from_slice(&text);
}

/// Reads an instant as programs write it: as [`parse`] does, or with a blank for the `T`, or without a zone, which is then UTC.
pub fn parse_any(text: &str) -> Option<i64> {
    if let Some(ms) = text.as_bytes().try_into().ok().and_then(read) {
        return Some(ms);
    }
    let naive = |format| NaiveDateTime::parse_from_str(text, format).ok().map(|time| time.and_utc().timestamp_millis());
    parse(text).or_else(|| naive("%Y-%m-%dT%H:%M:%S%.f")).or_else(|| naive("%Y-%m-%d %H:%M:%S%.f"))
}

/// Writes a whole number.
///
/// # Panics
/// Never.
pub fn decimal(mut number: u64, out: &mut Vec<u8>) {
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
pub fn digits(text: &[u8]) -> Option<(i64, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 || len > 18 || (len > 1 && text[0] == b'0') {
        return None;
    }
    let number = text[..len].iter().fold(0, |number, byte| number * 10 + i64::from(byte - b'0'));
    Some((number, &text[len..]))
}

/// The instant of a message's two fields: `timestamp` in seconds, which may have a fraction, and `timestamp_ms`. `None` where it has
/// neither, and the time of its record counts.
///
/// # Errors
/// The reason, when a field is no such time, or the two disagree.
pub fn of_fields(seconds: Option<&Value<'_>>, millis: Option<&Value<'_>>) -> Result<Option<i64>, Reason> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn written_then_read_is_the_identity(ms in -62_167_219_200_000..253_402_300_800_000_i64) {
            let mut written = vec![];
            write(ms, &mut written);
            let read = read(written.as_slice().try_into().unwrap());
            prop_assert!(read.is_none_or(|read| read == ms));
            let text = std::str::from_utf8(&written).unwrap();
            prop_assert_eq!(parse_any(text), Some(ms));
            prop_assert_eq!(read.is_none(), text[8..10].parse::<u8>().unwrap() > 28);
        }
    }

    #[test]
    fn times_are_read_as_programs_write_them() {
        for text in [
            "2026-01-31T12:00:00.123Z",
            "2026-01-31T12:00:00.123456",
            "2026-01-31 12:00:00.123",
            "2026-01-31 12:00:00.123+00:00",
            "2026-01-31T13:00:00.123+01:00",
        ] {
            assert_eq!(parse_any(text), Some(1_769_860_800_123), "{text}");
        }
        for text in ["2026-02-29T12:00:00.000Z", "2026-01-31", "noon", "", "2026-13-01T00:00:00.000Z"] {
            assert_eq!(parse_any(text), None, "{text}");
        }
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

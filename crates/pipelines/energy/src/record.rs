//! A record, parsed once and valid: no later code checks it again.

use crate::{
    day::{Day, MINUTES},
    thousandths::Thousandths,
};

/// The seven measured fields, as the input names them, in the order in which they are written.
///
/// Kilowatts, kilovolt-ampere reactive, volts, amperes, and three times watt-hours in the minute.
pub const MEASURES: [&str; 7] = [
    "Global_active_power",
    "Global_reactive_power",
    "Voltage",
    "Global_intensity",
    "Sub_metering_1",
    "Sub_metering_2",
    "Sub_metering_3",
];

pub use formats::json::Reason;

/// The meter's figures of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The day, by the clock on the wall.
    pub day: Day,
    /// The minute of the day, 0 to 1439.
    pub minute: u16,
    /// The values of [`MEASURES`]; without the first, the power, the minute counts as missing.
    pub values: [Thousandths; 7],
}

/// The length of a time as [`datetime`] reads it, in bytes.
pub const TIME_LEN: usize = 19;

/// Reads `2006-12-16 17:24:00`; seconds must be 00, because a record is of a minute.
///
/// # Errors
/// The reason, when it is no such time.
pub fn datetime(text: &[u8]) -> Result<(Day, u16), Reason> {
    let wrong = || Reason::from("Datetime is not `yyyy-MM-dd HH:mm:ss`");
    let bytes: &[u8; TIME_LEN] = text.try_into().map_err(|_| wrong())?;
    let separators = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| bytes[at] != byte) {
        return Err(wrong());
    }
    let number = |from: usize, to: usize| digits(&bytes[from..to]).ok_or_else(wrong);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let day = Day::new(year, month, day).ok_or("Datetime is a day the calendar does not have")?;
    if hour > 23 || minute > 59 {
        return Err("Datetime is a time the clock does not have".into());
    }
    if second != 0 {
        return Err("Datetime is not a whole minute".into());
    }
    Ok((day, hour * 60 + minute))
}

/// The number that digits stand for; `None` where there is anything else, or nothing, or more than a `u16` holds.
pub fn digits(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 4 {
        return None;
    }
    text.iter().try_fold(0_u16, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u16::from(byte - b'0')))
}

/// Hours and minutes of a minute of the day.
pub fn clock(minute: u16) -> (u16, u16) {
    debug_assert!(minute < MINUTES, "a day has {MINUTES} minutes");
    (minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read = datetime(text.as_bytes());
        let read = read.map_or_else(|reason| reason.into_owned(), |(day, minute)| format!("{day} {minute}"));
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn a_time_is_a_minute_of_a_day() {
        check("2006-12-16 17:24:00", "2006-12-16 1044");
        check("2008-02-29 00:00:00", "2008-02-29 0");
        check("2010-11-26 23:59:00", "2010-11-26 1439");
    }

    #[test]
    fn anything_else_is_refused() {
        check("2007-02-29 00:00:00", "Datetime is a day the calendar does not have");
        check("2007-13-01 00:00:00", "Datetime is a day the calendar does not have");
        check("0000-01-01 00:00:00", "Datetime is a day the calendar does not have");
        check("2007-01-01 24:00:00", "Datetime is a time the clock does not have");
        check("2007-01-01 00:60:00", "Datetime is a time the clock does not have");
        check("2007-01-01 00:00:30", "Datetime is not a whole minute");
        for text in
            ["", "2007-01-01", "16/12/2006 17:24:00", "2007-01-01T00:00:00", "2007-1-1 00:00:00", "２007-01-01 00:00:"]
        {
            check(text, "Datetime is not `yyyy-MM-dd HH:mm:ss`");
        }
    }
}

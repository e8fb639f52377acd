//! Calendar days and minutes, by the clock on the wall.
//!
//! The input names no zone, and its times are taken as they are: every day has 1,440 minutes, the
//! days on which clocks were changed included.

use std::fmt;

/// Minutes of a day.
pub const MINUTES: u16 = 24 * 60;

/// A day of the (proleptic) Gregorian calendar, as days since 2000-01-01, which is how Postgres counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day of a year from 1 to 9999; `None` when the calendar has no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return None;
        }
        Some(Self(days_before(year, month) + i32::from(day) - 1 - EPOCH))
    }

    /// Days since 2000-01-01.
    pub fn days(self) -> i32 {
        self.0
    }

    /// The day that is so many days after 2000-01-01; `None` outside the years 1 to 9999.
    pub fn from_days(days: i32) -> Option<Self> {
        let (first, last) = (Self::new(1, 1, 1)?, Self::new(9999, 12, 31)?);
        (first.0..=last.0).contains(&days).then_some(Self(days))
    }

    /// Year, month and day of the month.
    pub fn date(self) -> (u16, u8, u8) {
        // Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
        let z = self.0 + EPOCH + 306;
        let era = z.div_euclid(146_097);
        let of_era = z.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i32::from(month <= 2);
        let part = |value: i32| u8::try_from(value).expect("a month or a day of one");
        (u16::try_from(year).expect("a year from 1 to 9999"), part(month), part(day))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Days from 0001-01-01 to 2000-01-01.
const EPOCH: i32 = 730_119;

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u16, month: u8) -> u8 {
    match month {
        2 => 28 + u8::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 0001-01-01 to the first of a month.
fn days_before(year: u16, month: u8) -> i32 {
    let years = i32::from(year) - 1;
    let before_year = years * 365 + years / 4 - years / 100 + years / 400;
    (1..month).fold(before_year, |days, month| days + i32::from(days_in(year, month)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_postgres_does() {
        for (date, days) in [((2000, 1, 1), 0), ((1999, 12, 31), -1), ((2006, 12, 16), 2541), ((2008, 2, 29), 2981)] {
            assert_eq!(Day::new(date.0, date.1, date.2).map(Day::days), Some(days), "{date:?}");
        }
    }

    #[test]
    fn days_the_calendar_lacks_are_refused() {
        for (year, month, day) in [
            (2007, 2, 29),
            (1900, 2, 29),
            (2007, 13, 1),
            (2007, 0, 1),
            (2007, 4, 31),
            (0, 1, 1),
            (10_000, 1, 1),
            (2007, 1, 0),
        ] {
            assert_eq!(Day::new(year, month, day), None, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn every_day_is_its_date_again() {
        let (first, last) = (Day::new(1, 1, 1).unwrap(), Day::new(9999, 12, 31).unwrap());
        for days in first.days()..=last.days() {
            let (year, month, day) = Day(days).date();
            assert_eq!(Day::new(year, month, day).map(Day::days), Some(days));
        }
        assert_eq!(Day::from_days(first.days() - 1), None);
        assert_eq!(Day::from_days(last.days() + 1), None);
        assert_eq!(Day::new(2006, 12, 16).unwrap().to_string(), "2006-12-16");
    }
}

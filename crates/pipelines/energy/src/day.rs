//! Calendar days, by the clock on the wall.
//!
//! The input names no zone, and its times are taken as they are: every day has 1,440 minutes, the
//! days on which clocks were changed included.

use std::fmt;

use chrono::{Datelike, NaiveDate};

/// Minutes of a day.
pub const MINUTES: u16 = 24 * 60;

/// Days from 1970-01-01, from which chrono counts, to 2000-01-01, from which Postgres does.
const EPOCH: i32 = 10_957;

/// A day of the (proleptic) Gregorian calendar, of a year from 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(NaiveDate);

impl Day {
    /// The day of such a year, month and day of the month; `None` when the calendar has no such day.
    pub fn new(year: u16, month: u16, day: u16) -> Option<Self> {
        NaiveDate::from_ymd_opt(year.into(), month.into(), day.into()).and_then(Self::of)
    }

    /// The day that is so many days after 2000-01-01; `None` outside the years 1 to 9999.
    pub fn from_days(days: i32) -> Option<Self> {
        NaiveDate::from_epoch_days(days.checked_add(EPOCH)?).and_then(Self::of)
    }

    fn of(date: NaiveDate) -> Option<Self> {
        (1..=9999).contains(&date.year()).then_some(Self(date))
    }

    /// Days since 2000-01-01.
    pub fn days(self) -> i32 {
        self.0.to_epoch_days() - EPOCH
    }

    /// Year, month and day of the month.
    pub fn date(self) -> (u32, u32, u32) {
        (self.0.year().unsigned_abs(), self.0.month(), self.0.day())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
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
    fn only_days_of_the_years_1_to_9999_come_back_from_their_number() {
        for (year, month, day, outside) in [(1, 1, 1, -1), (9999, 12, 31, 1)] {
            let end = Day::new(year, month, day).unwrap();
            assert_eq!((Day::from_days(end.days()), Day::from_days(end.days() + outside)), (Some(end), None));
        }
        assert_eq!((Day::from_days(i32::MIN), Day::from_days(i32::MAX)), (None, None));
    }

    #[test]
    fn a_day_is_printed_as_a_date_and_takes_four_bytes() {
        assert_eq!(Day::new(6, 2, 1).unwrap().to_string(), "0006-02-01");
        assert_eq!(size_of::<Option<Day>>(), 4);
    }
}

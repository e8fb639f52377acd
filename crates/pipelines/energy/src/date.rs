//! The file's dates: `16/12/2006`, as published; also with `-` or `.`, or with the year first.

use crate::{day::Day, record::digits};

/// What a date shows of the order in which a file writes day and month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing: both numbers may be a month, or there is no such day.
    Unknown,
    /// The year comes first, and the order of what follows is certain.
    YearFirst,
    /// The first number is no month.
    DayFirst,
    /// The second number is no month, and the first is: day and month are swapped.
    MonthFirst,
}

/// Year, month and day as a row has them, whether or not there is such a day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Date {
    pub(crate) year: u16,
    pub(crate) month: u16,
    pub(crate) day: u16,
    year_first: bool,
}

impl Date {
    /// Reads three numbers of which one is a year of four digits: two digits of a year may be of any century.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let separator = *text.iter().find(|byte| !byte.is_ascii_digit())?;
        if !matches!(separator, b'/' | b'-' | b'.') {
            return None;
        }
        let mut parts = text.splitn(3, |&byte| byte == separator);
        let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
        let month = digits(second)?;
        match (first.len(), third.len()) {
            (_, 4) => Some(Self { year: digits(third)?, month, day: digits(first)?, year_first: false }),
            (4, _) => Some(Self { year: digits(first)?, month, day: digits(third)?, year_first: true }),
            _ => None,
        }
    }

    /// The day, where the calendar has it.
    pub(crate) fn of_calendar(self) -> Option<Day> {
        Day::new(self.year, self.month, self.day)
    }

    /// What it shows of the file's order.
    pub(crate) fn order(self) -> Order {
        let Self { year, month, day, year_first } = self;
        match (year_first, month > 12, day > 12) {
            (true, ..) => Order::YearFirst,
            (_, true, _) if Day::new(year, day, month).is_some() => Order::MonthFirst,
            (_, false, true) if Day::new(year, month, day).is_some() => Order::DayFirst,
            _ => Order::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_need_no_zeros() {
        for (text, expected) in [
            ("1/2/2007", Some("2007-02-01")),
            ("01/02/2007", Some("2007-02-01")),
            ("29/2/2008", Some("2008-02-29")),
            ("2008-02-29", Some("2008-02-29")),
            ("29/2/2007", None),
            ("1/2/07", None),
            ("1/2/2007/", None),
            ("1/2", None),
            ("1/+2/2007", None),
            ("2006/12/2006", None),
            ("", None),
            ("/", None),
        ] {
            let day = Date::read(text.as_bytes()).and_then(Date::of_calendar);
            assert_eq!(day.map(|day| day.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_number_above_12_shows_the_order() {
        for (text, expected) in [
            ("12/1/2007", Order::Unknown),
            ("13/1/2007", Order::DayFirst),
            ("1/13/2007", Order::MonthFirst),
            ("13/13/2007", Order::Unknown),
            ("31/2/2007", Order::Unknown),
            ("2/31/2007", Order::Unknown),
            ("1/32/2007", Order::Unknown),
            ("0/13/2007", Order::Unknown),
            ("2007-01-13", Order::YearFirst),
        ] {
            assert_eq!(Date::read(text.as_bytes()).unwrap().order(), expected, "{text}");
        }
    }
}

//! Made minutes from 2007 on, in the shape of the real file: `;`, CRLF, dates without leading zeros, `?` for what is missing.
//!
//! A row is a function of its index.

use std::io::Write;

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore as _, SeedableRng as _},
};
use testkit::sample::household::HEADER;

/// The first year, which is no leap year.
const FIRST_YEAR: u32 = 2007;
/// Minutes of a day.
const DAY: u32 = 1_440;
/// Of so many minutes the last has no figures: as many as in the real file.
const MISSING_EVERY: u32 = 80;
/// Any number would do; it is named so that two runs measure the same rows.
const SEED: u64 = 42;

/// Writes a header and so many minutes.
pub(crate) fn write(file: &mut impl Write, rows: u32) -> std::io::Result<()> {
    write!(file, "{HEADER}\r\n")?;
    (0..rows).try_for_each(|index| write_row(file, index))
}

fn write_row(file: &mut impl Write, index: u32) -> std::io::Result<()> {
    let (day, month, year) = date(index / DAY);
    let minute = index % DAY;
    write!(file, "{day}/{month}/{year};{:02}:{:02}:00;", minute / 60, minute % 60)?;
    if index % MISSING_EVERY == MISSING_EVERY - 1 {
        return file.write_all(b"?;?;?;?;?;?;\r\n");
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED ^ u64::from(index));
    let mut between = |low: u32, high: u32| low + random.next_u32() % (high - low);
    let (watts, vars, millivolts) = (between(76, 6_000), between(0, 800), between(225_000, 252_000));
    let intensity = watts * 10_000 / (millivolts / 100) / 20 * 20;
    let subs = [between(0, 40), between(0, 40), between(0, 20)];
    let decimal = |value: u32| format!("{}.{:03}", value / 1000, value % 1000);
    let [power, reactive, voltage, intensity] = [watts, vars, millivolts, intensity].map(decimal);
    write!(file, "{power};{reactive};{voltage};{intensity};{}.000;{}.000;{}.000\r\n", subs[0], subs[1], subs[2])
}

/// Day of the month, month and year of the day that is so many days after the first of the first year.
fn date(mut days: u32) -> (u32, u32, u32) {
    let mut year = FIRST_YEAR;
    loop {
        let february =
            if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) { 29 } else { 28 };
        for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
            if days < length {
                return (days + 1, month, year);
            }
            days -= length;
        }
        year += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_calendar() {
        assert_eq!(
            [0, 31, 364, 365, 424, 425, 730].map(date),
            [(1, 1, 2007), (1, 2, 2007), (31, 12, 2007), (1, 1, 2008), (29, 2, 2008), (1, 3, 2008), (31, 12, 2008),]
        );
    }

    #[test]
    fn rows_look_like_the_real_ones() {
        let mut file = Vec::new();
        write(&mut file, 1_441).unwrap();
        let text = String::from_utf8(file).unwrap();
        let rows: Vec<&str> = text.split_terminator("\r\n").skip(1).collect();
        assert!(rows.iter().all(|row| row.split(';').count() == 9));
        assert!(rows[0].starts_with("1/1/2007;00:00:00;") && rows[1_440].starts_with("2/1/2007;00:00:00;"));
        let known = rows.iter().filter(|row| !row.contains('?')).count();
        assert_eq!((rows[79], known), ("1/1/2007;01:19:00;?;?;?;?;?;?;", 1_441 - 1_441 / 80));
    }
}

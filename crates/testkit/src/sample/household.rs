//! The sample of the energy pipeline: a made household, in the shape of the real file.
//!
//! Nothing in it was measured. Every half hour has a row instead of every minute, so that a week of each season fits
//! into a small file. The same seed gives the same bytes everywhere: the code only adds, multiplies and divides.

use std::fmt::Write as _;

use rand_xoshiro::{Xoshiro256PlusPlus, rand_core::SeedableRng as _};

use super::Random;

/// The file's header, as that of the real one.
pub const HEADER: &str = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;\
                          Sub_metering_2;Sub_metering_3";

/// The committed sample, from the repository's top folder. The name says what a CSV has no comment to say.
pub const PATH: &str = "data/energy_made.csv";

/// A week of the made household. Each crosses the end of a month, and all but the leap year's February of a quarter.
struct Week {
    /// Day of the month, month, year.
    first: (u32, u32, u32),
    /// Days of that month.
    days_of_month: u32,
    /// 0 Monday to 6 Sunday.
    weekday: u32,
    /// How much is heated and lit.
    season: f64,
    /// The half hours of the week without a value, as after a power cut.
    outage: std::ops::Range<u32>,
}

const WEEKS: [Week; 4] = [
    Week { first: (27, 12, 2003), days_of_month: 31, weekday: 5, season: 1.4, outage: 0..0 },
    Week { first: (26, 2, 2004), days_of_month: 29, weekday: 3, season: 1.2, outage: 27..75 },
    Week { first: (28, 6, 2004), days_of_month: 30, weekday: 0, season: 0.6, outage: 100..104 },
    Week { first: (27, 9, 2004), days_of_month: 30, weekday: 0, season: 0.9, outage: 0..0 },
];
const HALF_HOURS: u32 = 48;
const SATURDAY: u32 = 5;

/// Mean power of each hour of an ordinary day, kilowatts.
const DAY: [f64; 24] = [
    0.5, 0.4, 0.35, 0.35, 0.4, 0.5, 0.9, 1.6, 1.5, 1.1, 0.9, 1.0, 1.2, 1.0, 0.8, 0.7, 0.8, 1.1, 1.6, 2.1, 2.2, 1.8,
    1.2, 0.8,
];

/// Makes the whole file: a header and one line per half hour.
pub fn make(seed: u64) -> String {
    let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(seed));
    let mut file = format!("{HEADER}\r\n");
    for week in &WEEKS {
        for half_hour in 0..7 * HALF_HOURS {
            write_row(&mut file, week, half_hour, &mut random);
        }
    }
    file
}

fn write_row(file: &mut String, week: &Week, half_hour: u32, random: &mut Random) {
    let (day, month, year) = week.date(half_hour / HALF_HOURS);
    let (hour, minute) = (half_hour % HALF_HOURS / 2, half_hour % 2 * 30);
    // No zeros before a day or a month, as in the real file.
    let values = values(week, half_hour, random);
    // One row in a hundred lacks its values by chance.
    let lacks = random.between((0.0, 100.0)) < 1.0;
    let values = if lacks || week.outage.contains(&half_hour) { "?;?;?;?;?;?;" } else { &values };
    write!(file, "{day}/{month}/{year};{hour:02}:{minute:02}:00;{values}\r\n").expect("a String takes all text");
}

/// The seven values as the real file writes them.
fn values(week: &Week, half_hour: u32, random: &mut Random) -> String {
    let hour = usize::try_from(half_hour % HALF_HOURS / 2).unwrap_or_default();
    let weekday = (week.weekday + half_hour / HALF_HOURS) % 7;
    let at_home = if weekday >= SATURDAY && (9..18).contains(&hour) { 1.5 } else { 1.0 };
    let power_kw = DAY[hour] * week.season * at_home * random.between((0.6, 1.4));
    let reactive_kvar = random.between((0.0, 0.3));
    let voltage = random.between((236.0, 246.0)) - power_kw;
    let intensity = power_kw * 1000.0 / voltage;
    // What a sub-meter counts in the minute is a part of the energy of that minute.
    let energy_wh = power_kw * 1000.0 / 60.0;
    let [kitchen, laundry, heating] = [(0.0, 0.2), (0.0, 0.2), (0.1, 0.5)].map(|part| energy_wh * random.between(part));
    format!(
        "{power_kw:.3};{reactive_kvar:.3};{voltage:.3};{intensity:.3};{:.3};{:.3};{:.3}",
        kitchen.floor(),
        laundry.floor(),
        heating.floor()
    )
}

impl Week {
    /// Day of the month, month and year of a day of the week, 0 to 6.
    fn date(&self, number: u32) -> (u32, u32, u32) {
        let (day, month, year) = self.first;
        match (day + number <= self.days_of_month, month) {
            (true, _) => (day + number, month, year),
            (false, 12) => (day + number - self.days_of_month, 1, year + 1),
            (false, _) => (day + number - self.days_of_month, month + 1, year),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_oddities_of_the_real_file() {
        let file = make(1);
        let rows: Vec<&str> = file.split_terminator("\r\n").collect();
        let has = |text: &str| rows.iter().filter(|row| row.contains(text)).count();
        assert_eq!((rows[0], rows.len()), (HEADER, 1 + 4 * 7 * 48));
        assert!(rows.iter().all(|row| row.matches(';').count() == 8 && !row.contains(['\r', '\n'])));
        assert_eq!((has("29/2/2004;"), has("1/1/2004;"), has("1/3/2004;"), has("30/2/")), (48, 48, 48, 0));
        let missing = has(";?;?;?;?;?;?;");
        assert!((53..80).contains(&missing), "{missing}");
        assert!(rows[1].starts_with("27/12/2003;00:00:00;"), "{}", rows[1]);
    }

    #[test]
    fn sub_meters_count_a_part_of_the_energy() {
        for row in make(2).split_terminator("\r\n").skip(1) {
            let fields: Vec<f64> = row.split(';').skip(2).filter_map(|field| field.parse().ok()).collect();
            if let [power_kw, _, _, _, sub @ ..] = fields.as_slice() {
                assert!(sub.iter().sum::<f64>() <= power_kw * 1000.0 / 60.0, "{row}");
            }
        }
    }
}

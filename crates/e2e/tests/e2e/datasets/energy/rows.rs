//! Quarters, months and hours from the facts, in whole numbers.

use std::collections::BTreeMap;

use super::Energy;
use crate::{datasets::Facts, env::Env};

/// What is counted of a quarter or a month.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    expected_minutes: i64,
    minutes: i64,
    watt_minutes: i64,
    peak_w: i64,
    /// Of the three sub-meters.
    meters_mwh: [i64; 3],
    voltage_mv: i64,
    voltage_minutes: i64,
}

/// Asserts that the quarters, the months and the hours of the load profile are the sums of the facts.
pub(crate) fn check(env: &Env<Energy>, facts: &Facts<Energy>) {
    check_periods(env, "quarterly_energy_data", "quarter", &periods(facts, 3));
    check_periods(env, "monthly_energy", "month", &periods(facts, 1));
    check_hours(env, facts);
}

/// Asserts that each row of a table is what its sums give; what is divided in the table is multiplied back.
fn check_periods(env: &Env<Energy>, table: &str, first_day: &str, expected: &BTreeMap<String, Sums>) {
    let rows: Vec<(String, Vec<i64>)> = env.query(&format!(
        "SELECT {first_day}::text,
                ARRAY[expected_minutes, record_count, missing_minutes, watt_minutes, round(peak_kw * 1000)::bigint,
                      round(sub_metering_1_wh * 1000)::bigint, round(sub_metering_2_wh * 1000)::bigint,
                      round(sub_metering_3_wh * 1000)::bigint, round(unmetered_wh * 3000)::bigint,
                      round(total_energy_wh * 60)::bigint, round(average_kw * record_count * 1000)::bigint,
                      round(coverage * expected_minutes)::bigint]
         FROM {table} ORDER BY {first_day}"
    ));
    let row = |(day, sums): (&String, &Sums)| {
        let [kitchen, laundry, heater] = sums.meters_mwh;
        // Three thousand times a watt-hour is fifty times its sixty watt-minutes, and three times its milliwatt-hours.
        let rest = sums.watt_minutes * 50 - 3 * (kitchen + laundry + heater);
        let (minutes, energy) = (sums.minutes, sums.watt_minutes);
        let counts = [sums.expected_minutes, minutes, sums.expected_minutes - minutes, energy, sums.peak_w];
        let row = [counts.as_slice(), &[kitchen, laundry, heater, rest, energy, energy, minutes]].concat();
        (day.clone(), row)
    };
    assert_eq!(rows, expected.iter().map(row).collect::<Vec<_>>(), "{table}");
    let volts: Vec<(f64,)> = env.query(&format!("SELECT mean_voltage FROM {table} ORDER BY {first_day}"));
    for ((mean_v,), sums) in volts.into_iter().zip(expected.values()) {
        let minutes = f64::from(i32::try_from(sums.voltage_minutes).unwrap());
        let sum_mv = f64::from(i32::try_from(sums.voltage_mv).unwrap());
        assert!((mean_v * 1000.0 * minutes - sum_mv).abs() < 0.5, "mean voltage of {table}: {mean_v}");
    }
}

/// Asserts that the load profile has the minutes and the energy of each hour.
fn check_hours(env: &Env<Energy>, facts: &Facts<Energy>) {
    let rows: Vec<(i32, i64, i64)> = env.query(
        "SELECT hour, sum(record_count)::bigint, round(sum(average_kw * record_count * 1000))::bigint
         FROM daily_load_profile GROUP BY hour HAVING sum(record_count) > 0 ORDER BY hour",
    );
    let mut hours: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for ((_, minute), figures) in facts {
        let (minutes, watt_minutes) = hours.entry(i32::from(*minute) / 60).or_default();
        *minutes += 1;
        *watt_minutes += i64::from(figures[0].unwrap());
    }
    let expected: Vec<_> = hours.into_iter().map(|(hour, (minutes, energy))| (hour, minutes, energy)).collect();
    assert_eq!(rows, expected, "daily_load_profile");
}

/// The facts by periods of so many months, each under its first day.
fn periods(facts: &Facts<Energy>, months: u32) -> BTreeMap<String, Sums> {
    let mut periods: BTreeMap<String, Sums> = BTreeMap::new();
    for ((day, _), figures) in facts {
        let number = |at: std::ops::Range<usize>| day[at].parse::<u32>().unwrap();
        let (year, month) = (number(0..4), number(5..7));
        let first = (month - 1) / months * months + 1;
        let sums = periods.entry(format!("{year:04}-{first:02}-01")).or_default();
        let [power, _, voltage, _, meters @ ..] = figures.map(|figure| figure.map(i64::from));
        sums.expected_minutes = 1_440 * (first..first + months).map(|month| days_of(year, month)).sum::<i64>();
        sums.minutes += 1;
        sums.watt_minutes += power.unwrap();
        sums.peak_w = sums.peak_w.max(power.unwrap());
        for (sum, meter) in sums.meters_mwh.iter_mut().zip(meters) {
            *sum += meter.unwrap_or(0);
        }
        sums.voltage_mv += voltage.unwrap_or(0);
        sums.voltage_minutes += i64::from(voltage.is_some());
    }
    periods
}

fn days_of(year: u32, month: u32) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        _ => 31,
    }
}

//! Figures of energy for people.

use crate::words::figure;

/// The circuits of the sub-meters, and the rest.
pub(crate) const METERS: [&str; 4] = ["kitchen", "laundry", "heater, a/c", "rest"];

/// A share as a percentage; a dash where there is none.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

/// From this coverage on, per cent, a quarter counts as measured; the dashboard has the same bound.
pub(crate) const WELL_COVERED_PERCENT: i64 = 95;

/// Coverage as a percentage: two decimals, rounded down, so that 100 % is all of it and 0 % is nothing. Whole numbers
/// avoid rounding errors of doubles, and the dashboard computes the same.
pub(crate) fn coverage(minutes: i64, missing: i64) -> String {
    match minutes * 10_000 / (minutes + missing).max(1) {
        0 if minutes > 0 => "<0.01 %".to_owned(),
        10_000 => "100 %".to_owned(),
        hundredths => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
    }
}

/// Whether so much is missing that a quarter's energy cannot be compared with another's.
pub(crate) fn is_poorly_covered(minutes: i64, missing: i64) -> bool {
    minutes * 100 < WELL_COVERED_PERCENT * (minutes + missing)
}

/// Watt-hours as kilowatt-hours.
pub(crate) fn kwh(wh: f64) -> String {
    figure(Some(wh / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_rounded_down() {
        let check = |minutes, missing, expected| assert_eq!(coverage(minutes, missing), expected);
        check(129_600, 0, "100 %");
        check(129_599, 1, "99.99 %");
        check(29, 71, "29.00 %");
        check(220, 129_380, "0.16 %");
        check(12, 129_588, "<0.01 %");
        check(0, 0, "0.00 %");
    }

    #[test]
    fn the_dashboard_calls_the_same_quarters_measured() {
        let dataset = include_str!("../../../../../../superset/assets/datasets/energy/quarters_shown.yaml");
        let bound = format!("record_count * 100 >= {WELL_COVERED_PERCENT} * expected_minutes");
        assert!(dataset.contains(&bound), "no `{bound}` in it");
        let named = format!("at least {WELL_COVERED_PERCENT} % of the minutes");
        assert!(dataset.contains(&named), "no `{named}` in it");
        assert_eq!([is_poorly_covered(95, 5), is_poorly_covered(949, 51)], [false, true]);
    }

    #[test]
    fn shares_are_shown() {
        assert_eq!([percent(Some(0.0642)), percent(None)], ["6.4 %", "–"]);
    }

    #[test]
    fn energy_is_shown_in_kilowatt_hours() {
        assert_eq!([kwh(2_343_900.4), kwh(5_972.0)], ["2,344", "5.97"]);
    }
}

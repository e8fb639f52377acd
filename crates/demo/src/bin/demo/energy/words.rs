//! Figures of energy as people read them.

use crate::words::figure;

/// What hangs on the sub-meters, and what is left.
pub(crate) const METERS: [&str; 4] = ["kitchen", "laundry", "heater, a/c", "rest"];

/// A share as a percentage; a dash where there is none.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

/// Coverage as a percentage, never rounded up to all.
pub(crate) fn coverage(share: f64) -> String {
    if share < 1.0 { format!("{:.2} %", (share * 10_000.0).floor() / 100.0) } else { "100 %".to_owned() }
}

/// Watt-hours as kilowatt-hours.
pub(crate) fn kwh(wh: f64) -> String {
    figure(Some(wh / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_without_flattery() {
        assert_eq!([coverage(1.0), coverage(0.999_999), coverage(0.1184)], ["100 %", "99.99 %", "11.84 %"]);
        assert_eq!([percent(Some(0.0642)), percent(None)], ["6.4 %", "–"]);
    }

    #[test]
    fn energy_is_told_in_kilowatt_hours() {
        assert_eq!([kwh(2_343_900.4), kwh(5_972.0)], ["2,344", "5.97"]);
    }
}

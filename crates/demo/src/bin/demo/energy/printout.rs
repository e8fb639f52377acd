//! The quarters on the terminal.

use super::{
    tables::{Quarter, Tables},
    words::{METERS, coverage, kwh, percent},
};
use crate::words::grouped;

/// Shows the quarters, and what each sub-meter counted of them.
pub(crate) fn show(tables: &Tables) {
    if tables.quarters.is_empty() {
        return println!("\nNo minute has power, so there is no quarter.");
    }
    let [first, second, third, rest] = METERS;
    println!("\nQuarters, by wall-clock time; the shares are of the quarter's energy");
    println!(
        "  {:<8}{:>8}{:>10}{:>9}{:>10}{:>9}{:>9}{first:>10}{second:>10}{third:>13}{rest:>9}",
        "", "kWh", "minutes", "missing", "coverage", "mean kW", "peak kW",
    );
    tables.quarters.iter().for_each(quarter);
    let sum = |count: fn(&Quarter) -> i64| grouped(tables.quarters.iter().map(count).sum::<i64>());
    let energy: f64 = tables.quarters.iter().map(|quarter| quarter.total_energy_wh).sum();
    let (minutes, missing) = (sum(|quarter| quarter.record_count), sum(|quarter| quarter.missing_minutes));
    println!("  {:<8}{:>8}{minutes:>10}{missing:>9}", "all", kwh(energy));
}

fn quarter(quarter: &Quarter) {
    let [first, second, third, rest] = quarter.shares().map(percent);
    println!(
        "  {:<8}{:>8}{:>10}{:>9}{:>10}{:>9.3}{:>9.3}{first:>10}{second:>10}{third:>13}{rest:>9}",
        quarter.label,
        kwh(quarter.total_energy_wh),
        grouped(quarter.record_count),
        grouped(quarter.missing_minutes),
        coverage(quarter.record_count, quarter.missing_minutes),
        quarter.average_kw,
        quarter.peak_kw,
    );
}

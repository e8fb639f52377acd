//! The quarters and the load profile as HTML.

use std::fmt::Write as _;

use super::{
    bars::{Bar, colour, draw},
    profile,
    tables::{Quarter, Tables},
    words::{METERS, WELL_COVERED_PERCENT, coverage, is_poorly_covered, kwh, percent},
};
use crate::words::grouped;

/// What readers should know about the figures.
pub(crate) const REMARKS: &str = "<h2>How to read it</h2>\n\
    <p>A minute without power is counted as missing and never guessed, so a quarter with little coverage shows less energy than \
    was used. Times are by the clock on the wall, without a zone: every day has 1,440 minutes, and the hours in which \
    clocks were changed are shown as the meter wrote them. Coverage is of the whole calendar quarter.</p>\n";

/// The bars, the profile and the quarters.
pub(crate) fn result(tables: &Tables) -> String {
    if tables.quarters.is_empty() {
        return "<h2>Quarters</h2>\n<p>No minute has power, so there is no quarter.</p>\n".to_owned();
    }
    let bars: Vec<Bar> = tables.quarters.iter().map(bar).collect();
    [
        format!("<h2>Energy by quarter</h2>\n{}{}", legend(), draw(&bars, "kWh")),
        format!(
            "<p class=\"soft\">Below each quarter: its coverage, the share of its minutes that have power, rounded down; \
             in orange where it is under {WELL_COVERED_PERCENT} %.</p>\n"
        ),
        format!("<h2>Mean power by weekday and hour, kW</h2>\n{}", profile::draw(&tables.profile)),
        quarters(&tables.quarters),
    ]
    .concat()
}

fn bar(quarter: &Quarter) -> Bar {
    let part = |(wh, (meter, share)): (f64, (&str, Option<f64>))| {
        // Meters may count more than the whole, by a little; a bar has no part below nothing.
        (wh.max(0.0) / 1000.0, format!("{}, {meter}: {} kWh, {}", quarter.label, kwh(wh), percent(share)))
    };
    let parts = quarter.by_meter_wh().into_iter().zip(METERS.into_iter().zip(quarter.shares())).map(part);
    let (year, name) = quarter.label.split_once('-').unwrap_or(("", &quarter.label));
    Bar {
        name: name.to_owned(),
        family: year.to_owned(),
        note: coverage(quarter.record_count, quarter.missing_minutes),
        stressed: is_poorly_covered(quarter.record_count, quarter.missing_minutes),
        parts: parts.collect(),
    }
}

fn legend() -> String {
    let keys = METERS.iter().enumerate().map(|(part, meter)| {
        format!("<li><span class=\"key\" style=\"background:{}\"></span>{meter}</li>", colour(part))
    });
    format!("<ul class=\"legend\">{}</ul>\n", keys.collect::<String>())
}

fn quarters(quarters: &[Quarter]) -> String {
    let meters: String = METERS.iter().map(|meter| format!("<th class=\"n\">{meter}")).collect();
    let mut html = format!(
        "<h2>Quarters</h2>\n<table class=\"narrow\">\n<tr><th>quarter<th class=\"n\">kWh<th class=\"n\">minutes\
         <th class=\"n\">missing<th class=\"n\">coverage<th class=\"n\">mean kW<th class=\"n\">peak kW{meters}\n"
    );
    for quarter in quarters {
        let shares: String =
            quarter.shares().map(|share| format!("<td class=\"n\">{}", percent(share))).into_iter().collect();
        writeln!(
            html,
            "<tr><td class=\"label\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}\
             <td class=\"n\">{:.3}<td class=\"n\">{:.3}{shares}",
            quarter.label,
            kwh(quarter.total_energy_wh),
            grouped(quarter.record_count),
            grouped(quarter.missing_minutes),
            coverage(quarter.record_count, quarter.missing_minutes),
            quarter.average_kw,
            quarter.peak_kw,
        )
        .expect("a String takes all text");
    }
    html + "</table>\n"
}

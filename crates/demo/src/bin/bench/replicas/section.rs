//! The result's section about several consumers at once.

use super::{PARTITIONS, Turn};
use crate::{
    spread::{Spread, within_rounds},
    table::{grouped, table},
};

const HEADER: [&str; 8] = [
    "consumers at once",
    "records/s",
    "against one",
    "wall s",
    "peak MiB, together",
    "machine busy",
    "waiting for the disk",
    "records of each",
];

/// Writes the section.
pub(crate) fn section(turns: &[Turn]) -> String {
    let most = turns.iter().map(|turn| turn.replicas).max().unwrap_or(0);
    let rows: Vec<_> = (1..=most).map(|replicas| row(turns, replicas)).collect();
    [
        format!("\n## Several consumers at once, {PARTITIONS} partitions\n\n"),
        table(HEADER, &rows),
        "\nOf consumers that follow the topic, from the moment that all may commit to the last record stored; *busy* and \
         *waiting* are of all processors, broker and database included; *records of each* are the shares of one turn.\n"
            .to_owned(),
    ]
    .concat()
}

fn row(turns: &[Turn], replicas: u32) -> [String; 8] {
    let of = |figure: fn(&Turn) -> f64| spread(turns, replicas, figure);
    let percent = |figure: f64| format!("{figure:.0} %");
    let rate: fn(&Turn) -> f64 = |turn| f64::from(turn.records) / turn.took.as_secs_f64();
    let against_one = within_rounds(each(turns, replicas, rate), each(turns, 1, rate));
    [
        replicas.to_string(),
        of(rate).told(grouped),
        format!("{} ×", against_one.told(|times| format!("{times:.2}"))),
        format!("{:.2}", of(|turn| turn.took.as_secs_f64()).median),
        of(|turn| turn.peak_mib).told(|mib| format!("{mib:.0}")),
        of(|turn| turn.ticks.busy_percent()).told(percent),
        of(|turn| turn.ticks.waiting_percent()).told(percent),
        turns.iter().find(|turn| turn.replicas == replicas).map(shares).unwrap_or_default(),
    ]
}

fn spread(turns: &[Turn], replicas: u32, figure: fn(&Turn) -> f64) -> Spread {
    Spread::of(each(turns, replicas, figure))
}

/// A figure of each round.
fn each(turns: &[Turn], replicas: u32, figure: fn(&Turn) -> f64) -> impl Iterator<Item = f64> {
    turns.iter().filter(move |turn| turn.replicas == replicas).map(figure)
}

/// What part of the records each consumer stored, by its own log, the largest first.
fn shares(turn: &Turn) -> String {
    let mut shares: Vec<f64> = turn.stored.iter().map(|stored| 100.0 * stored / f64::from(turn.records)).collect();
    shares.sort_by(|one, other| other.total_cmp(one));
    shares.iter().map(|share| format!("{share:.0} %")).collect::<Vec<_>>().join(", ")
}

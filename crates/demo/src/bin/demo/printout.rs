//! What the terminal shows.

use std::path::Path;

use crate::{
    books::Books,
    input::{Input, PARTITIONS},
    outcome::Outcome,
    pipeline::Pipeline,
    road::Road,
    servers::{Servers, folder},
    settings::Settings,
    words::{grouped, seconds},
};

/// Says what is about to happen, and where.
pub(crate) fn opening(input: &Input, servers: &Servers) {
    println!("input     {}", input.in_words());
    println!("kafka     {}, topic {}", servers.kafka_in_words(), input.place.topic);
    println!("postgres  {}\n", servers.postgres_in_words());
}

/// Shows what came out.
pub(crate) fn result<P: Pipeline>(input: &Input, road: &Road, outcome: &Outcome<P::Tables>) {
    println!("\nThe road of {}", input.in_words());
    let counts = counts::<P>(input, road, outcome);
    let width = counts.iter().map(|(_, count)| count.len()).max().unwrap_or(0);
    for (name, count) in counts {
        println!("  {count:>width$}  {name}");
    }
    println!("\nTime");
    for step in &road.steps {
        println!("  {:>width$}  {}", seconds(step.took), step.name);
    }
    P::print(&outcome.tables);
}

/// Each station of the road with its count, in order; the printout and the report show the same.
pub(crate) fn counts<P: Pipeline>(input: &Input, road: &Road, outcome: &Outcome<P::Tables>) -> Vec<(String, String)> {
    let held_back = i128::from(input.rows) - i128::from(road.sent);
    let held_back = match held_back {
        0 => String::new(),
        held_back => format!("; {} stayed behind ({}: see producer.log)", grouped(held_back), P::HELD_BACK),
    };
    let line = |name: String, count: String| (name, count);
    let mut lines = vec![
        line("rows in the file".to_owned(), grouped(input.rows)),
        line(format!("sent to {}, {PARTITIONS} partitions{held_back}", input.place.topic), grouped(road.sent)),
        line(format!("read = {}", sum_in_words(&outcome.books)), grouped(outcome.books.read)),
    ];
    lines.extend(P::counts(&outcome.tables));
    lines
}

/// What the records that were read add up from: `26,814 new + 0 unchanged + …`.
fn sum_in_words(books: &Books) -> String {
    books.parts().map(|(name, count)| format!("{} {name}", grouped(count))).join(" + ")
}

/// Says where to look next.
pub(crate) fn closing(report: &Path, settings: &Settings, servers: &Servers) {
    println!("\nreport    {}", report.display());
    println!("logs      {}/*.log", folder().display());
    if servers.postgres_stays(settings.keep) {
        println!("look      psql '{}'", servers.database_url);
        println!("stop      scripts/postgres down {} --wipe", folder().join("postgres").display());
    }
}

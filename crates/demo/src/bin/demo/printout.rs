//! What the terminal shows.

use std::path::Path;

use crate::{
    input::{Input, PARTITIONS},
    road::Road,
    servers::{Servers, folder},
    settings::Settings,
    tables::{Books, Tables},
    words::{billions, figure, grouped, input_in_words, label, run_in_words, seconds},
};

/// Names that are listed of the countries left out for one reason; the report lists all.
const SHOWN_LEFT_OUT: usize = 6;

/// Says what is about to happen, and where.
pub(crate) fn opening(input: &Input, servers: &Servers) {
    println!("input     {}", input_in_words(input));
    println!("kafka     {}, topic {}", servers.kafka_in_words(), input.topic);
    println!("postgres  {}\n", servers.postgres_in_words());
}

/// Shows what came out.
pub(crate) fn result(input: &Input, road: &Road, tables: &Tables) {
    println!("\nThe road of {}", input_in_words(input));
    for (name, count) in counts(input, road, tables) {
        println!("  {count:>10}  {name}");
    }
    println!("\nTime");
    for step in &road.steps {
        println!("  {:>10}  {}", seconds(step.took), step.name);
    }
    clusters(tables);
    left_out(tables);
}

/// Each station of the road with its count, in order; the printout and the report show the same.
pub(crate) fn counts(input: &Input, road: &Road, tables: &Tables) -> Vec<(String, String)> {
    let held_back = i128::from(input.rows) - i128::from(road.sent);
    let held_back = match held_back {
        0 => String::new(),
        held_back => {
            format!("; {} stayed behind (too early a year, or unreadable: see producer.log)", grouped(held_back))
        }
    };
    let clustered = tables.run.as_ref().map_or(0, |run| run.num_countries);
    let line = |name: String, count: String| (name, count);
    vec![
        line("rows in the file".to_owned(), grouped(input.rows)),
        line(format!("sent to {}, {PARTITIONS} partitions{held_back}", input.topic), grouped(road.sent)),
        line(format!("read = {}", sum_in_words(&tables.books)), grouped(tables.books.read)),
        line(format!("facts stored, of {} countries", grouped(tables.countries)), grouped(tables.facts)),
        line(format!("countries clustered, {} not", grouped(tables.not_clustered())), grouped(clustered)),
    ]
}

/// What the records that were read add up from: `26,814 new + 0 unchanged + …`.
fn sum_in_words(books: &Books) -> String {
    books.parts().map(|(name, count)| format!("{} {name}", grouped(count))).join(" + ")
}

fn clusters(tables: &Tables) {
    let Some(run) = &tables.run else { return println!("\nNo model has run.") };
    println!("\nClusters, {}", run_in_words(run));
    println!(
        "  {:<26}{:>9}{:>12}{:>12}{:>15}  best known",
        "", "countries", "co2 Mt/y", "t/person/y", "gdp bn int-$/y"
    );
    for cluster in &tables.clusters {
        println!(
            "  {:<26}{:>9}{:>12}{:>12}{:>15}  {}",
            label(cluster.cluster, tables.clusters.len()),
            grouped(cluster.num_countries),
            figure(cluster.co2_mt),
            figure(cluster.co2_per_capita_t),
            billions(cluster.gdp),
            tables.best_known(cluster.cluster).join(", "),
        );
    }
}

fn left_out(tables: &Tables) {
    if tables.left_out.is_empty() {
        return;
    }
    println!("\nNot clustered");
    for left_out in &tables.left_out {
        let countries = &left_out.countries;
        let mut names: Vec<&str> = countries.iter().take(SHOWN_LEFT_OUT).map(String::as_str).collect();
        if countries.len() > names.len() {
            names.push("…");
        }
        println!("  {:>4}  {}: {}", grouped(countries.len()), left_out.reason, names.join(", "));
    }
}

/// Says where to look next.
pub(crate) fn closing(report: &Path, settings: &Settings, servers: &Servers) {
    println!("\nreport    {}", report.display());
    println!("logs      {}/*.log", folder().display());
    if settings.keep && settings.database_url().is_none() {
        println!("look      psql '{}'", servers.database_url);
        println!("stop      scripts/postgres down {} --wipe", folder().join("postgres").display());
    }
}

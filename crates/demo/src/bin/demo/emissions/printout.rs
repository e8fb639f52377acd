//! Countries and clusters on the terminal.

use super::{
    tables::Tables,
    words::{billions, label, run_in_words},
};
use crate::words::{figure, grouped};

/// Names that are listed of the countries left out for one reason; the report lists all.
const SHOWN_LEFT_OUT: usize = 6;

/// Shows the clusters, and who is in none.
pub(crate) fn show(tables: &Tables) {
    clusters(tables);
    left_out(tables);
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

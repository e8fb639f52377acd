//! What the terminal shows.

use std::path::Path;

use crate::{
    accounting::Accounting,
    input::{Input, PARTITIONS},
    outcome::Outcome,
    pipeline::Pipeline,
    servers::{Servers, folder},
    settings::Settings,
    transfer::Transfer,
    words::{grouped, seconds},
};

/// Shows the input and the servers.
pub(crate) fn opening(input: &Input, servers: &Servers) {
    println!("input     {}", input.in_words());
    println!("kafka     {}, topic {}", servers.kafka_in_words(), input.target.topic);
    println!("postgres  {}\n", servers.postgres_in_words());
}

/// Shows the result.
pub(crate) fn result<P: Pipeline>(input: &Input, transfer: &Transfer, outcome: &Outcome<P::Tables>) {
    println!("\nThe transfer of {}", input.in_words());
    let counts = counts::<P>(input, transfer, outcome);
    let width = counts.iter().map(|(_, count)| count.len()).max().unwrap_or(0);
    for (name, count) in counts {
        println!("  {count:>width$}  {name}");
    }
    println!("\nTime");
    for step in &transfer.steps {
        println!("  {:>width$}  {}", seconds(step.took), step.name);
    }
    P::print(&outcome.tables);
}

/// Each step of the transfer with its count, in order; the printout and the report show the same.
pub(crate) fn counts<P: Pipeline>(
    input: &Input,
    transfer: &Transfer,
    outcome: &Outcome<P::Tables>,
) -> Vec<(String, String)> {
    let not_sent = i128::from(input.rows) - i128::from(transfer.sent);
    let not_sent = match not_sent {
        0 => String::new(),
        not_sent => format!("; {} not sent ({}: see producer.log)", grouped(not_sent), P::KEPT_BACK),
    };
    let line = |name: String, count: String| (name, count);
    let mut lines = vec![
        line("rows in the file".to_owned(), grouped(input.rows)),
        line(format!("sent to {}, {PARTITIONS} partitions{not_sent}", input.target.topic), grouped(transfer.sent)),
        line(format!("read = {}", sum_in_words(&outcome.accounting)), grouped(outcome.accounting.read)),
    ];
    lines.extend(P::counts(&outcome.tables));
    lines
}

/// What the records that were read add up from: `26,814 new + 0 unchanged + …`.
fn sum_in_words(accounting: &Accounting) -> String {
    accounting.parts().map(|(name, count)| format!("{} {name}", grouped(count))).join(" + ")
}

/// Shows where the results are.
pub(crate) fn closing(report: &Path, settings: &Settings, servers: &Servers) {
    println!("\nreport    {}", report.display());
    println!("logs      {}/*.log", folder().display());
    if servers.postgres_stays(settings.keep) {
        println!("query     psql '{}'", servers.database_url);
        println!("stop      scripts/postgres down {} --wipe", folder().join("postgres").display());
    }
}

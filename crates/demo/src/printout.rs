//! What the terminal shows.

use std::time::Duration;

use testkit::numbers::grouped;

use crate::{
    accounting::Accounting,
    input::{Input, PARTITIONS},
    outcome::{Outcome, Table},
    pipeline::Pipeline,
    servers::{Servers, folder},
    settings::Settings,
    transfer::Transfer,
};

/// Shows the input and the servers.
pub(crate) fn opening(input: &Input, servers: &Servers) {
    println!("input     {}", input.in_words());
    let topics: Vec<&str> = input.topics().collect();
    println!("kafka     {}, topic {}", servers.kafka_in_words(), topics.join(" and "));
    println!("postgres  {}\n", servers.postgres_in_words());
}

/// Shows the result.
pub(crate) fn result(pipeline: &Pipeline, input: &Input, transfer: &Transfer, outcome: &Outcome) {
    println!("\nThe transfer of {}", input.in_words());
    let mut counts = counts(pipeline, input, transfer, &outcome.accounting);
    let again = outcome.again.iter();
    counts.extend(again.map(|again| (grouped(again.read), format!("read when sent once more = {}", sum(again)))));
    let width = counts.iter().map(|(count, _)| count.len()).max().unwrap_or(0);
    for (count, name) in counts {
        println!("  {count:>width$}  {name}");
    }
    println!("\nTime");
    for step in &transfer.steps {
        println!("  {:>width$}  {}", seconds(step.took), step.name);
    }
    for (heading, table) in &outcome.tables {
        println!("\n{heading}\n{}", aligned(table));
    }
}

/// Each step of the transfer, with its count.
fn counts(pipeline: &Pipeline, input: &Input, transfer: &Transfer, accounting: &Accounting) -> Vec<(String, String)> {
    let rows = input.rows().map(|rows| (grouped(rows), "rows in the file".to_owned()));
    let not_sent = match input.rows().map_or(0, |rows| i128::from(rows) - i128::from(transfer.sent)) {
        0 => String::new(),
        not_sent => format!("; {} not sent ({}: see producer.log)", grouped(not_sent), pipeline.kept_back),
    };
    let topics: Vec<&str> = input.topics().collect();
    let sent = format!("sent to {}, {PARTITIONS} partitions{not_sent}", topics.join(" and "));
    let read = format!("read = {}", sum(accounting));
    rows.into_iter().chain([(grouped(transfer.sent), sent), (grouped(accounting.read), read)]).collect()
}

fn sum(accounting: &Accounting) -> String {
    accounting.parts().map(|(name, count)| format!("{} {name}", grouped(count))).join(" + ")
}

/// A table with its columns aligned: numbers to the right, all else to the left.
fn aligned(table: &Table) -> String {
    let header = table.columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let lines: Vec<&Vec<String>> = [&header].into_iter().chain(&table.rows).collect();
    if table.rows.is_empty() {
        return "  (no rows)".to_owned();
    }
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let cell = |(at, text): (usize, &String)| match table.columns[at].1 {
        true => format!("  {text:>0$}", widths[at]),
        false => format!("  {text:<0$}", widths[at]),
    };
    let line = |line: &&Vec<String>| line.iter().enumerate().map(cell).collect::<String>().trim_end().to_owned();
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Shows where the results are.
pub(crate) fn closing(pipeline: &Pipeline, settings: &Settings, servers: &Servers) {
    println!("\nlogs        {}/*.log", folder().display());
    if servers.postgres_stays(settings.keep) {
        println!("query       psql '{}'", servers.database_url);
        println!("dashboards  make superset");
        println!("stop        scripts/postgres down {} --wipe", folder().join("postgres").display());
    } else {
        println!("dashboards  DEMO_KEEP=1 make demo PIPELINE={} && make superset", pipeline.name);
    }
}

/// Seconds with two decimals.
fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let columns = vec![("cluster".to_owned(), false), ("n".to_owned(), true)];
        let rows = vec![vec!["0 low".to_owned(), "156".to_owned()], vec!["1".to_owned(), "5".to_owned()]];
        assert_eq!(aligned(&Table { columns, rows }), "  cluster    n\n  0 low    156\n  1          5");
    }
}

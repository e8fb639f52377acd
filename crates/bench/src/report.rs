//! The result, as Markdown that is also readable at a terminal.

use crate::{
    ceilings::Ceilings,
    env::Run,
    figures::records_per_s,
    host, programs, refreshes,
    results::Results,
    rounds::{Round, spread},
    table::{grouped, table},
    workload::{Input, Workload},
};

/// All that is reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) workload: &'static Workload,
    pub(crate) input: &'a Input,
    pub(crate) host: &'a [String],
    pub(crate) rounds: &'a [Round],
}

/// Writes the whole result.
pub(crate) fn write(measured: &Measured<'_>) -> String {
    let Measured { workload, input, host, rounds } = measured;
    let Some(Round { results, .. }) = rounds.first() else { return String::new() };
    let rows = f64::from(results.sorted.producer.records);
    [
        format!("# The results of {} with {} rows\n\n", workload.pipeline, grouped(rows)),
        host.iter().map(|line| format!("- {line}\n")).collect(),
        format!("- load when it ended: {}\n", host::load()),
        format!("- command: {}\n- {}\n\n", command(), (workload.in_words)(input, &results.counts())),
        "## The programs, from start to end\n\n".to_owned(),
        programs::section(rounds),
        refreshes::section(rounds),
        "\n".to_owned(),
        "## Compared with the ceilings of the same run\n\n".to_owned(),
        ceilings(rounds),
    ]
    .concat()
}

fn command() -> String {
    let set = ["PIPELINE", "ROWS", "DATA", "REPEAT", "PEERS", "REPLICAS"].into_iter().filter_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        // Only the file's name: its folder is private.
        Some(format!(" {name}={}", value.rsplit('/').next().unwrap_or_default()))
    });
    format!("`make bench-e2e{}`", set.collect::<String>())
}

fn ceilings(rounds: &[Round]) -> String {
    let row = |name: &str, ceiling: fn(&Ceilings) -> f64, (whose, ours): (&str, fn(&Results) -> &Run)| {
        let share = |round: &Round| 100.0 * records_per_s(ours(&round.results)) / ceiling(&round.ceilings);
        [
            name.to_owned(),
            spread(rounds, |round| ceiling(&round.ceilings)).shown(grouped),
            format!("{whose} {} %", spread(rounds, share).shown(percent)),
        ]
    };
    let producer: (&str, fn(&Results) -> &Run) = ("our producer", |results| &results.sorted.producer);
    let consumer: (&str, fn(&Results) -> &Run) = ("our consumer", |results| &results.sorted.consumer);
    let rows = [
        row("`wc -l` of the file", |ceilings| ceilings.scan.lines, producer),
        row("csv crate, fields of the file", |ceilings| ceilings.scan.fields, producer),
        row("Kafka's producer tool, as it ships", |ceilings| ceilings.producer, producer),
        row("Kafka's producer tool, tuned", |ceilings| ceilings.producer_tuned, producer),
        row("Kafka's consumer tool, with its join", |ceilings| ceilings.consumer.with_join, consumer),
        row("Kafka's consumer tool, fetching alone", |ceilings| ceilings.consumer.fetching, consumer),
        row("bare COPY, the consumer's batches", |ceilings| ceilings.copy.batches, consumer),
        row("bare COPY, one transaction", |ceilings| ceilings.copy.whole, consumer),
    ];
    table(["ceiling", "records/s", "sorted, of that"], &rows)
}

/// Small shares get one more digit.
fn percent(share: f64) -> String {
    if share < 10.0 { format!("{share:.1}") } else { format!("{share:.0}") }
}

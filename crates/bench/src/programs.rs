//! The result's section about the three binaries: what each run of them cost, start to end.

use crate::{
    env::Run,
    figures::{ENOUGH_ROWS, bytes_a_fact, join_s, load_s, ready_without_join_ms, records_per_s},
    results::Results,
    rounds::{Round, spread},
    spread::Spread,
    table::{grouped, table},
};

const HEADER: [&str; 9] =
    ["run", "records", "wall s", "records/s", "peak MiB", "cpu s user + sys", "ready ms", "join ms", "load ms"];

/// Writes the section.
pub(crate) fn section(rounds: &[Round]) -> String {
    let results = || rounds.iter().map(|round| &round.results);
    let (small, shuffled) =
        (|| results().flat_map(|results| &results.small), || results().filter_map(|results| results.shuffled.as_ref()));
    let (sorted, again) = (|| results().map(|results| &results.sorted), || results().map(|results| &results.again));
    let mut rows = vec![
        row("small: producer", small().map(|transfer| &transfer.producer)),
        row("small: consumer", small().map(|transfer| &transfer.consumer)),
        row("sorted: producer", sorted().map(|transfer| &transfer.producer)),
        row("sorted: consumer", sorted().map(|transfer| &transfer.consumer)),
        row("sorted again: producer", again().map(|transfer| &transfer.producer)),
        row("sorted again: consumer, nothing new", again().map(|transfer| &transfer.consumer)),
        row("restart: consumer, nothing to read", results().map(|results| &results.restart)),
    ];
    if shuffled().next().is_some() {
        rows.push(row("shuffled: producer", shuffled().map(|transfer| &transfer.producer)));
        rows.push(row("shuffled: consumer", shuffled().map(|transfer| &transfer.consumer)));
    }
    [table(HEADER, &rows), format!("\n{}\n{}{}\n", legend(rounds), memory(rounds), written(rounds))].concat()
}

fn row<'a>(name: &str, runs: impl Iterator<Item = &'a Run>) -> [String; 9] {
    let runs: Vec<&Run> = runs.collect();
    let of = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(|run| figure(run)));
    let consumer_only = |figure: fn(&Run) -> f64| match runs.iter().any(|run| run.cost.ready.is_some()) {
        true => of(figure).shown(|ms| format!("{ms:.0}")),
        false => String::new(),
    };
    let records = of(|run| run.records.into()).median;
    let (user, system) = (of(|run| run.cost.cpu_s.0).median, of(|run| run.cost.cpu_s.1).median);
    let cpu = of(|run| run.cost.cpu_s.0 + run.cost.cpu_s.1).around(|seconds| format!("{seconds:.2}"));
    [
        name.to_owned(),
        grouped(records),
        format!("{:.2}", of(|run| run.cost.took.as_secs_f64()).median),
        if records > 0.0 { of(records_per_s).shown(grouped) } else { String::new() },
        of(|run| run.cost.peak_mib).shown(|mib| format!("{mib:.1}")),
        format!("{user:.2} + {system:.2}{cpu}"),
        consumer_only(|run| ready_without_join_ms(run).unwrap_or(f64::NAN)),
        consumer_only(|run| join_s(run) * 1e3),
        consumer_only(|run| load_s(run) * 1e3),
    ]
}

fn legend(rounds: &[Round]) -> String {
    format!(
        "Rounds: {}, and the small file three times in each. Every figure is the median, with the least and the most in \
         brackets where there are several; those of cpu are of user and sys together. `ready` is from the process's start \
         until it says so, with the load and without the group join, which has its own column.",
        rounds.len()
    )
}

/// What PostgreSQL wrote, a record.
fn written(rounds: &[Round]) -> String {
    let of = |name: &str, run: fn(&Results) -> Option<&Run>| {
        let figure = |bytes: fn(&Run) -> f64| {
            let a_record = |run: &Run| bytes(run) / f64::from(run.records);
            spread(rounds, |round| run(&round.results).map_or(f64::NAN, a_record)).shown(|bytes| format!("{bytes:.1}"))
        };
        format!("{name} {} B of log and {} B of disk", figure(|run| run.usage.log), figure(|run| run.usage.disk))
    };
    let mut runs = vec![
        of("sorted", |results| Some(&results.sorted.consumer)),
        of("sorted again", |results| Some(&results.again.consumer)),
    ];
    if rounds.iter().any(|round| round.results.shuffled.is_some()) {
        runs.push(of("shuffled", |results| Some(&results.shuffled.as_ref()?.consumer)));
    }
    format!(
        "\nPostgreSQL wrote, a record: {}. Log is the write-ahead log; disk is what the database grew by.\n",
        runs.join(", ")
    )
}

/// Nothing for a small input: there, constant memory would look like growth.
fn memory(rounds: &[Round]) -> String {
    if rounds.iter().any(|round| round.results.sorted.producer.records < ENOUGH_ROWS) {
        return String::new();
    }
    let figure = |run: fn(&Results) -> Option<&Run>| {
        let bytes = |results: &Results| run(results).map(|run| bytes_a_fact(run, &results.typical_small().consumer));
        spread(rounds, |round| bytes(&round.results).unwrap_or(f64::NAN)).shown(|bytes| format!("{bytes:.0}"))
    };
    let shuffled = match rounds.iter().any(|round| round.results.shuffled.is_some()) {
        true => format!("shuffled {} B, ", figure(|results| Some(&results.shuffled.as_ref()?.consumer))),
        false => String::new(),
    };
    format!(
        "\nMemory a fact (peak above that of the small run of median time, by facts above its): sorted {} B, {shuffled}\
         loaded at a restart {} B; sorted, sent and read again {} B.\n",
        figure(|results| Some(&results.sorted.consumer)),
        figure(|results| Some(&results.restart)),
        figure(|results| Some(&results.again.consumer)),
    )
}

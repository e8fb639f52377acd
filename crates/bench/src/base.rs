//! Two builds by turns. Who comes first changes from round to round, since an earlier run warms caches and fills disks.

use std::path::Path;

use crate::{
    env::Run,
    figures::{bytes_a_fact, load_s, records_per_s},
    results::{self, Results},
    servers::Servers,
    spread::{Spread, within_rounds},
    table::{grouped, table},
    workload::{Input, Workload},
};

/// The results of the other build and of ours, of one round.
pub(crate) type Pair = (Results, Results);

/// Measures both `repeat` times.
///
/// # Errors
/// When a program or a server fails, or the tables do not contain what was sent.
pub(crate) async fn measure(
    workload: &Workload,
    input: &Input,
    servers: &Servers,
    base: &Path,
    repeat: u32,
) -> anyhow::Result<Vec<Pair>> {
    let mut rounds = Vec::new();
    for round in 1..=repeat {
        eprintln!("── round {round} of {repeat}");
        let pair = if round % 2 == 1 {
            let before = measure_one(workload, input, servers, Some(base)).await?;
            (before, measure_one(workload, input, servers, None).await?)
        } else {
            let now = measure_one(workload, input, servers, None).await?;
            (measure_one(workload, input, servers, Some(base)).await?, now)
        };
        rounds.push(pair);
    }
    Ok(rounds)
}

async fn measure_one(
    workload: &Workload,
    input: &Input,
    servers: &Servers,
    programs: Option<&Path>,
) -> anyhow::Result<Results> {
    eprintln!("── {}", programs.map_or_else(|| "ours".to_owned(), |folder| format!("those of {}", folder.display())));
    let results = results::measure(workload, input, servers, programs).await?;
    results::clear(servers).await?;
    Ok(results)
}

/// A figure of one build in one round; `None` where it is not measured.
type Figure = fn(&Results) -> Option<f64>;

/// Writes the table.
pub(crate) fn section(host: &[String], rounds: &[Pair]) -> String {
    let shown: [(&str, Figure); 13] = [
        ("sorted, records/s of the consumer", |of| Some(records_per_s(&of.sorted.consumer))),
        ("shuffled, records/s of the consumer", |of| shuffled(of).map(records_per_s)),
        ("sorted again, nothing new, records/s", |of| Some(records_per_s(&of.again.consumer))),
        ("sorted, records/s of the producer", |of| Some(records_per_s(&of.sorted.producer))),
        ("load of all facts, s", |of| Some(load_s(&of.restart))),
        ("memory a fact, B: sorted", |of| Some(bytes_a_fact(&of.sorted.consumer, &of.typical_small().consumer))),
        ("memory a fact, B: shuffled", |of| Some(bytes_a_fact(shuffled(of)?, &of.typical_small().consumer))),
        ("memory a fact, B: loaded", |of| Some(bytes_a_fact(&of.restart, &of.typical_small().consumer))),
        ("log a record, B: sorted", |of| Some(a_record(&of.sorted.consumer, |run| run.usage.log))),
        ("log a record, B: shuffled", |of| Some(a_record(shuffled(of)?, |run| run.usage.log))),
        ("disk a record, B: sorted", |of| Some(a_record(&of.sorted.consumer, |run| run.usage.disk))),
        ("disk a record, B: shuffled", |of| Some(a_record(shuffled(of)?, |run| run.usage.disk))),
        ("small file, s of the consumer", |of| Some(of.typical_small().consumer.cost.took.as_secs_f64())),
    ];
    let rows: Vec<[String; 4]> = shown.iter().filter_map(|(name, figure)| row(name, *figure, rounds)).collect();
    [
        format!("# Two builds by turns, medians of {} rounds\n\n", rounds.len()),
        host.iter().map(|line| format!("- {line}\n")).collect(),
        "\n".to_owned(),
        table(["figure", "before", "now", "now ÷ before, within a round"], &rows),
    ]
    .concat()
}

fn row(name: &str, figure: Figure, rounds: &[Pair]) -> Option<[String; 4]> {
    let before: Vec<f64> = rounds.iter().map(|(before, _)| figure(before)).collect::<Option<_>>()?;
    let now: Vec<f64> = rounds.iter().map(|(_, now)| figure(now)).collect::<Option<_>>()?;
    let ratio = within_rounds(now.iter().copied(), before.iter().copied());
    let shown = |figures: Vec<f64>| {
        Spread::of(figures).shown(|figure| if figure < 1_000.0 { format!("{figure:.2}") } else { grouped(figure) })
    };
    Some([name.to_owned(), shown(before), shown(now), ratio.shown(|ratio| format!("{ratio:.2}"))])
}

fn shuffled(results: &Results) -> Option<&Run> {
    Some(&results.shuffled.as_ref()?.consumer)
}

fn a_record(run: &Run, bytes: fn(&Run) -> f64) -> f64 {
    bytes(run) / f64::from(run.records)
}

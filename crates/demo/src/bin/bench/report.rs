//! The result, as Markdown that also reads well at a terminal.

use crate::{
    ceilings::Ceilings,
    copy::BATCH,
    host::{self, Host},
    place::Run,
    programs, publications,
    rating::{self, Rating, records_per_s},
    road::Road,
    rounds::{Round, spread},
    subject::{Input, Subject},
    table::{grouped, table},
};

/// All that is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) subject: &'static Subject,
    pub(crate) input: &'a Input,
    pub(crate) host: &'a Host,
    pub(crate) rounds: &'a [Round],
}

/// Writes the whole result.
pub(crate) fn write(measured: &Measured<'_>) -> String {
    let Measured { subject, input, host, rounds } = measured;
    let Some(Round { road, .. }) = rounds.first() else { return String::new() };
    let rows = f64::from(road.sorted.producer.records);
    [
        format!("# The road of {} with {} rows\n\n", subject.pipeline, grouped(rows)),
        host.lines.iter().map(|line| format!("- {line}\n")).collect(),
        format!("- load when it ended: {}\n", host::load()),
        format!("- command: {}\n- {}\n\n", command(), (subject.in_words)(input, road)),
        "## The programs, from start to end\n\n".to_owned(),
        programs::section(rounds),
        publications::section(rounds),
        "\n".to_owned(),
        "## Beside the ceilings of the same run\n\n".to_owned(),
        beside(rounds),
        "\n## Against the targets\n\n".to_owned(),
        targets(subject, rounds, host),
    ]
    .concat()
}

fn command() -> String {
    let set = ["PIPELINE", "ROWS", "DATA", "REPEAT", "PEERS", "REPLICAS"].into_iter().filter_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        // Where someone's file lies is nobody's business; what it is called says enough.
        Some(format!(" {name}={}", value.rsplit('/').next().unwrap_or_default()))
    });
    format!("`make bench-road{}`", set.collect::<String>())
}

fn beside(rounds: &[Round]) -> String {
    let row = |name: &str, ceiling: fn(&Ceilings) -> f64, (whose, ours): (&str, fn(&Road) -> &Run)| {
        let share = |round: &Round| 100.0 * records_per_s(ours(&round.road)) / ceiling(&round.ceilings);
        [
            name.to_owned(),
            spread(rounds, |round| ceiling(&round.ceilings)).told(grouped),
            format!("{whose} {} %", spread(rounds, share).told(percent)),
        ]
    };
    let producer: (&str, fn(&Road) -> &Run) = ("our producer", |road| &road.sorted.producer);
    let consumer: (&str, fn(&Road) -> &Run) = ("our consumer", |road| &road.sorted.consumer);
    let in_batches = format!("bare COPY, {} rows a transaction", grouped(batch()));
    let rows = [
        row("`wc -l` of the file", |ceilings| ceilings.scan.lines, producer),
        row("csv crate, fields of the file", |ceilings| ceilings.scan.fields, producer),
        row("Kafka's producer tool, as it ships", |ceilings| ceilings.producer, producer),
        row("Kafka's producer tool, tuned", |ceilings| ceilings.producer_tuned, producer),
        row("Kafka's consumer tool, with its join", |ceilings| ceilings.consumer.with_join, consumer),
        row("Kafka's consumer tool, fetching alone", |ceilings| ceilings.consumer.fetching, consumer),
        row(&in_batches, |ceilings| ceilings.copy.batches, consumer),
        row("bare COPY, one transaction", |ceilings| ceilings.copy.whole, consumer),
    ];
    table(["ceiling", "records/s", "sorted, of that"], &rows)
}

/// Of small ones a digit more, which is all that they have.
fn percent(share: f64) -> String {
    if share < 10.0 { format!("{share:.1}") } else { format!("{share:.0}") }
}

fn batch() -> f64 {
    u32::try_from(BATCH).map_or(f64::INFINITY, f64::from)
}

fn targets(subject: &Subject, rounds: &[Round], host: &Host) -> String {
    let each: Vec<Vec<Rating>> = rounds.iter().map(|round| (subject.ratings)(round)).collect();
    let mut ratings = rating::middle(&each);
    ratings.push(Rating::at_most("largest binary", 15.0, host.largest_binary_mib, "MiB"));
    let rows: Vec<_> = ratings.iter().map(Rating::cells).collect();
    table(["target", "asked for", "measured", "verdict"], &rows)
}

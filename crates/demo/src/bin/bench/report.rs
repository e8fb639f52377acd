//! The result, as Markdown that also reads well at a terminal.

use crate::{
    ceilings::Ceilings,
    copy::BATCH,
    host::{self, Host},
    rating::{self, Rating, records_per_s},
    road::{Road, Run},
    subject::{Input, Subject},
    table::{grouped, table},
};

/// All that is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) subject: &'static Subject,
    pub(crate) input: &'a Input,
    pub(crate) host: &'a Host,
    pub(crate) road: &'a Road,
    pub(crate) ceilings: &'a Ceilings,
}

/// Writes the whole result.
pub(crate) fn write(measured: &Measured<'_>) -> String {
    let Measured { subject, input, host, road, ceilings } = measured;
    let rows = f64::from(road.sorted.producer.records);
    [
        format!("# The road of {} with {} rows\n\n", subject.pipeline, grouped(rows)),
        host.lines.iter().map(|line| format!("- {line}\n")).collect(),
        format!("- load when it ended: {}\n", host::load()),
        format!("- command: {}\n- {}\n\n", command(), (subject.in_words)(input, road)),
        "## The programs, from start to end\n\n".to_owned(),
        programs(road),
        format!("\n{}\n\n", memory(road)),
        "## Beside the ceilings of the same run\n\n".to_owned(),
        beside(road, ceilings),
        "\n## Against the targets\n\n".to_owned(),
        targets(subject, road, host),
    ]
    .concat()
}

fn command() -> String {
    let set = ["PIPELINE", "ROWS", "DATA"].into_iter().filter_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        // Where someone's file lies is nobody's business; what it is called says enough.
        Some(format!(" {name}={}", value.rsplit('/').next().unwrap_or_default()))
    });
    format!("`make bench-road{}`", set.collect::<String>())
}

fn programs(road: &Road) -> String {
    let header =
        ["run", "records", "wall s", "records/s", "peak MiB", "cpu s user + sys", "ready ms", "join ms", "load ms"];
    let mut rows = Vec::new();
    for (trip, number) in road.small.iter().zip(1..) {
        rows.push(row(&format!("small {number}: producer"), &trip.producer));
        rows.push(row(&format!("small {number}: consumer"), &trip.consumer));
    }
    rows.extend([
        row("sorted: producer", &road.sorted.producer),
        row("sorted: consumer", &road.sorted.consumer),
        row("sorted again: producer", &road.again.producer),
        row("sorted again: consumer, nothing new", &road.again.consumer),
        row("restart: consumer, nothing to read", &road.restart),
    ]);
    if let Some(shuffled) = &road.shuffled {
        rows.push(row("shuffled: producer", &shuffled.producer));
        rows.push(row("shuffled: consumer", &shuffled.consumer));
    }
    table(header, &rows)
}

fn row(name: &str, run: &Run) -> [String; 9] {
    let (user, system) = run.cost.cpu_s;
    let consumer_only = |value: f64| if run.cost.ready.is_some() { format!("{value:.0}") } else { String::new() };
    let ready = rating::ready_without_join_ms(run);
    [
        name.to_owned(),
        grouped(run.records.into()),
        format!("{:.2}", run.cost.took.as_secs_f64()),
        if run.records == 0 { String::new() } else { grouped(records_per_s(run)) },
        format!("{:.1}", run.cost.peak_mib),
        format!("{user:.2} + {system:.2}"),
        ready.map(|ready| format!("{ready:.0}")).unwrap_or_default(),
        consumer_only(rating::join_s(run) * 1e3),
        consumer_only(rating::load_s(run) * 1e3),
    ]
}

fn memory(road: &Road) -> String {
    let small = &road.typical_small().consumer;
    let figure = |run: &Run| format!("{:.0}", rating::bytes_a_fact(run, small));
    let shuffled = road.shuffled.as_ref().map(|trip| format!("shuffled {} B, ", figure(&trip.consumer)));
    let shuffled = shuffled.unwrap_or_default();
    format!(
        "`ready` is from the process's start until it says so, without the group join, which stands beside it, and with the load. \
         Memory a fact (peak above that of the small run of median time, by facts above its): sorted {} B, {shuffled}\
         loaded at a restart {} B; sorted, sent and stored again {} B.",
        figure(&road.sorted.consumer),
        figure(&road.restart),
        figure(&road.again.consumer),
    )
}

fn beside(road: &Road, ceilings: &Ceilings) -> String {
    let producer = ("our producer", records_per_s(&road.sorted.producer));
    let consumer = ("our consumer", records_per_s(&road.sorted.consumer));
    let row = |name: String, ceiling: f64, (whose, ours): (&str, f64)| {
        [name, grouped(ceiling), format!("{whose} {:.0} %", 100.0 * ours / ceiling)]
    };
    let rows = [
        row("Kafka's producer tool, as it ships".to_owned(), ceilings.producer, producer),
        row("Kafka's producer tool, tuned".to_owned(), ceilings.producer_tuned, producer),
        row("Kafka's consumer tool, with its join".to_owned(), ceilings.consumer.with_join, consumer),
        row("Kafka's consumer tool, fetching alone".to_owned(), ceilings.consumer.fetching, consumer),
        row(format!("bare COPY, {} rows a transaction", grouped(batch())), ceilings.copy.batches, consumer),
        row("bare COPY, one transaction".to_owned(), ceilings.copy.whole, consumer),
    ];
    table(["ceiling", "records/s", "sorted, of that"], &rows)
}

fn batch() -> f64 {
    u32::try_from(BATCH).map_or(f64::INFINITY, f64::from)
}

fn targets(subject: &Subject, road: &Road, host: &Host) -> String {
    let mut ratings = (subject.ratings)(road);
    ratings.push(Rating::at_most("largest binary", 15.0, host.largest_binary_mib, "MiB"));
    let rows: Vec<_> = ratings.iter().map(Rating::cells).collect();
    table(["target", "asked for", "measured", "verdict"], &rows)
}

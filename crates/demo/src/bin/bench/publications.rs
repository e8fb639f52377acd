//! The result's sections about what a publication takes, the same file again, and recovery.

use crate::{
    place::Run,
    rating::{join_s, load_s},
    rounds::{Round, spread},
    spread::Spread,
    table::{grouped, table},
};

const HEADER: [&str; 7] =
    ["published by", "rows written", "publish ms", "groups ms", "model ms", "of countries", "the rest ms"];

/// One run's publication, as its log tells it; what it does not tell is no number.
#[derive(Clone, Copy, Debug)]
struct Publication {
    rows_written: f64,
    publish_ms: f64,
    groups_ms: f64,
    model_ms: f64,
    countries: f64,
}

impl Publication {
    fn of(run: &Run) -> Self {
        let field = |text, key| run.cost.field(text, key).unwrap_or(f64::NAN);
        Self {
            rows_written: field("publish_ms=", "rows_written"),
            publish_ms: field("publish_ms=", "publish_ms"),
            groups_ms: field("publish_ms=", "groups_ms"),
            model_ms: field("clusters for", "model_ms"),
            countries: run.cost.numbers_before(("clusters for", "countries")).next().unwrap_or(f64::NAN),
        }
    }

    /// All but the groups and the model's own time.
    fn rest_ms(self) -> f64 {
        self.publish_ms - self.groups_ms - if self.model_ms.is_nan() { 0.0 } else { self.model_ms }
    }
}

/// What the groups that changed took of a run's publication, milliseconds.
pub(crate) fn groups_ms(run: &Run) -> f64 {
    Publication::of(run).groups_ms
}

/// Writes the sections.
pub(crate) fn section(rounds: &[Round]) -> String {
    let roads = || rounds.iter().map(|round| &round.road);
    let mut rows = vec![
        row("small", roads().flat_map(|road| &road.small).map(|trip| &trip.consumer)),
        row("sorted", roads().map(|road| &road.sorted.consumer)),
        row("sorted again, nothing new", roads().map(|road| &road.again.consumer)),
    ];
    let changes = roads().next().map_or(0, |road| road.changes.len());
    for place in 0..changes {
        let groups = roads().next().map_or(0, |road| road.changes[place].0);
        let name = format!("sorted, {} corrected", grouped(groups.into()));
        rows.push(row(&name, roads().map(|road| &road.changes[place].1.consumer)));
    }
    let shuffled = || roads().filter_map(|road| road.shuffled.as_ref());
    if shuffled().next().is_some() {
        rows.push(row("shuffled", shuffled().map(|trip| &trip.consumer)));
    }
    [
        "## Publication\n\n".to_owned(),
        table(HEADER, &rows),
        format!("\n{LEGEND}\n\n## The same file again, and recovery\n\n"),
        again(rounds),
        recovery(rounds),
    ]
    .concat()
}

const LEGEND: &str = "One transaction each: *groups* is the writing of the groups that changed, *model* its computing, and the rest \
    reads all countries for the model, writes each one's cluster and commits; milliseconds by the consumer's own log.";

fn row<'a>(name: &str, runs: impl Iterator<Item = &'a Run>) -> [String; 7] {
    let publications: Vec<Publication> = runs.map(Publication::of).collect();
    let told = |figure: fn(&Publication) -> f64| {
        let spread = Spread::of(publications.iter().map(figure).filter(|figure| !figure.is_nan()));
        if spread.median.is_nan() { String::new() } else { spread.told(grouped) }
    };
    let first = |figure: fn(&Publication) -> f64| {
        let figure = publications.first().map_or(f64::NAN, figure);
        if figure.is_nan() { String::new() } else { grouped(figure) }
    };
    [
        name.to_owned(),
        first(|publication| publication.rows_written),
        told(|publication| publication.publish_ms),
        told(|publication| publication.groups_ms),
        told(|publication| publication.model_ms),
        first(|publication| publication.countries),
        told(|publication| publication.rest_ms()),
    ]
}

/// What the second run of the same file wrote.
fn again(rounds: &[Round]) -> String {
    let Some(Round { road, .. }) = rounds.first() else { return String::new() };
    let (sent, facts) = (road.again.producer.records, road.sorted.consumer.facts);
    let by_table: Vec<String> = road.writes.0.iter().map(|(table, rows)| format!("{rows} of `{table}`")).collect();
    format!(
        "- The producer sent the same {} records again, and the consumer read them: the changelog had {} rows before and {} \
         after. Rows written, as PostgreSQL counts them: {}.\n",
        grouped(sent.into()),
        grouped(facts.into()),
        grouped(road.again.consumer.facts.into()),
        if by_table.is_empty() { "none".to_owned() } else { by_table.join(", ") },
    )
}

/// What a consumer takes that starts on a full database.
fn recovery(rounds: &[Round]) -> String {
    let Some(Round { road, .. }) = rounds.first() else { return String::new() };
    let facts = f64::from(road.restart.facts);
    let seconds = |seconds: f64| format!("{seconds:.2} s");
    let restart = |figure: fn(&Run) -> f64| spread(rounds, |round| figure(&round.road.restart));
    let ready: fn(&Run) -> f64 = |run| run.cost.ready.map_or(f64::NAN, |ready| ready.as_secs_f64());
    format!(
        "- A consumer that starts on a database of {} facts has loaded them in {}, {} a second, and is ready {} after its \
         start, the join of {} included. On an empty one it is ready after {}.\n",
        grouped(facts),
        restart(load_s).told(seconds),
        grouped(spread(rounds, |round| facts / load_s(&round.road.restart)).median),
        restart(ready).told(seconds),
        restart(join_s).told(seconds),
        spread(rounds, |round| ready(&round.road.sorted.consumer)).told(seconds),
    )
}

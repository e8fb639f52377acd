//! The result's sections about refreshes, the same file sent again, and recovery.

use crate::{
    env::Run,
    figures::{join_s, load_s},
    rounds::{Round, spread},
    spread::Spread,
    table::{grouped, table},
};

const HEADER: [&str; 7] =
    ["refreshed by", "rows written", "refresh ms", "groups ms", "model ms", "of countries", "the rest ms"];

/// One run's refresh, from its log; NaN for what the log does not have.
#[derive(Clone, Copy, Debug)]
struct Refresh {
    rows_written: f64,
    refresh_ms: f64,
    groups_ms: f64,
    model_ms: f64,
    countries: f64,
}

impl Refresh {
    fn of(run: &Run) -> Self {
        let field = |text, key| run.cost.field(text, key).unwrap_or(f64::NAN);
        Self {
            rows_written: field("refresh_ms=", "rows_written"),
            refresh_ms: field("refresh_ms=", "refresh_ms"),
            groups_ms: field("refresh_ms=", "groups_ms"),
            model_ms: field("clusters for", "model_ms"),
            countries: run.cost.numbers_before("clusters for", "countries").next().unwrap_or(f64::NAN),
        }
    }

    /// All but the groups and the model's own time.
    fn rest_ms(self) -> f64 {
        self.refresh_ms - self.groups_ms - if self.model_ms.is_nan() { 0.0 } else { self.model_ms }
    }
}

/// Writes the sections.
pub(crate) fn section(rounds: &[Round]) -> String {
    let results = || rounds.iter().map(|round| &round.results);
    let mut rows = vec![
        row("small", results().flat_map(|results| &results.small).map(|transfer| &transfer.consumer)),
        row("sorted", results().map(|results| &results.sorted.consumer)),
        row("sorted again, nothing new", results().map(|results| &results.again.consumer)),
    ];
    let changes = results().next().map_or(0, |results| results.changes.len());
    for index in 0..changes {
        let groups = results().next().map_or(0, |results| results.changes[index].0);
        let name = format!("sorted, {} corrected", grouped(groups.into()));
        rows.push(row(&name, results().map(|results| &results.changes[index].1.consumer)));
    }
    let shuffled = || results().filter_map(|results| results.shuffled.as_ref());
    if shuffled().next().is_some() {
        rows.push(row("shuffled", shuffled().map(|transfer| &transfer.consumer)));
    }
    [
        "## Refresh\n\n".to_owned(),
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
    let refreshes: Vec<Refresh> = runs.map(Refresh::of).collect();
    let middle = |figure: fn(&Refresh) -> f64| {
        let spread = Spread::of(refreshes.iter().map(figure).filter(|figure| !figure.is_nan()));
        if spread.median.is_nan() { String::new() } else { spread.shown(grouped) }
    };
    let first = |figure: fn(&Refresh) -> f64| {
        let figure = refreshes.first().map_or(f64::NAN, figure);
        if figure.is_nan() { String::new() } else { grouped(figure) }
    };
    [
        name.to_owned(),
        first(|refresh| refresh.rows_written),
        middle(|refresh| refresh.refresh_ms),
        middle(|refresh| refresh.groups_ms),
        middle(|refresh| refresh.model_ms),
        first(|refresh| refresh.countries),
        middle(|refresh| refresh.rest_ms()),
    ]
}

/// What the second run of the same file wrote.
fn again(rounds: &[Round]) -> String {
    let Some(Round { results, .. }) = rounds.first() else { return String::new() };
    let (sent, facts) = (results.again.producer.records, results.sorted.consumer.facts);
    let by_table: Vec<String> = results.writes.0.iter().map(|(table, rows)| format!("{rows} of `{table}`")).collect();
    format!(
        "- The producer sent the same {} records again, and the consumer read them: the changelog had {} rows before and {} \
         after. Rows written, as PostgreSQL counts them: {}.\n",
        grouped(sent.into()),
        grouped(facts.into()),
        grouped(results.again.consumer.facts.into()),
        if by_table.is_empty() { "none".to_owned() } else { by_table.join(", ") },
    )
}

/// What a consumer takes that starts on a full database.
fn recovery(rounds: &[Round]) -> String {
    let Some(Round { results, .. }) = rounds.first() else { return String::new() };
    let facts = f64::from(results.restart.facts);
    let seconds = |seconds: f64| format!("{seconds:.2} s");
    let restart = |figure: fn(&Run) -> f64| spread(rounds, |round| figure(&round.results.restart));
    let ready: fn(&Run) -> f64 = |run| run.cost.ready.map_or(f64::NAN, |ready| ready.as_secs_f64());
    format!(
        "- A consumer that starts on a database of {} facts has loaded them in {}, {} a second, and is ready {} after its \
         start, the join of {} included. On an empty one it is ready after {}.\n",
        grouped(facts),
        restart(load_s).shown(seconds),
        grouped(spread(rounds, |round| facts / load_s(&round.results.restart)).median),
        restart(ready).shown(seconds),
        restart(join_s).shown(seconds),
        spread(rounds, |round| ready(&round.results.sorted.consumer)).shown(seconds),
    )
}

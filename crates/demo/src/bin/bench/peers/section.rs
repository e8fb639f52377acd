//! The result's section about the peers.

use demo::repository;

use super::{Contest, contender::Contender};
use crate::{
    child::Cost,
    emissions::LARGE,
    rating::Rating,
    spread::Spread,
    table::{grouped, table},
};

/// The packages that the peers' rate hangs on.
const PACKAGES: [&str; 4] = ["bytewax", "confluent-kafka", "orjson", "psycopg"];

/// Writes the section; where no peer was run, nothing.
pub(crate) fn section(contests: &[Contest], rows: u32) -> String {
    let Some(first) = contests.first() else { return String::new() };
    let repeat = first.runs.first().map_or(0, |(_, costs)| costs.len());
    let header = ["run", "records", "records/s", "of ours", "wall s", "peak MiB", "cpu s", "ready ms"];
    [
        "\n## Beside the peers\n\n".to_owned(),
        format!(
            "Rounds: {repeat}. The median of them, from the process's start to its end, with the least and the most; `ready` with the group join; {}. Everyone's \
             aggregates were ours. The peers keep no facts and promise less: `peers/README.md`.\n\n",
            versions()
        ),
        table(header, &contests.iter().flat_map(rows_of).collect::<Vec<_>>()),
        "\n".to_owned(),
        table(["target", "asked for", "measured", "verdict"], &ratings(contests, rows)),
    ]
    .concat()
}

fn rows_of(contest: &Contest) -> Vec<[String; 8]> {
    let ours = rate(contest, Contender::Ours).median;
    contest.runs.iter().map(|(who, costs)| row(contest, *who, costs, ours)).collect()
}

fn row(contest: &Contest, who: Contender, costs: &[Cost], ours: f64) -> [String; 8] {
    let rate = rate(contest, who);
    let spread = |figure: fn(&Cost) -> f64| Spread::of(costs.iter().map(figure));
    [
        format!("{}: {}", contest.input, who.name()),
        grouped(contest.records),
        rate.told(grouped),
        format!("{:.0} %", 100.0 * rate.median / ours),
        format!("{:.2}", spread(|cost| cost.took.as_secs_f64()).median),
        spread(|cost| cost.peak_mib).told(|mib| format!("{mib:.1}")),
        spread(|cost| cost.cpu_s.0 + cost.cpu_s.1).told(|cpu| format!("{cpu:.2}")),
        spread(|cost| cost.ready.map_or(f64::NAN, |ready| ready.as_secs_f64() * 1e3)).told(|ms| format!("{ms:.0}")),
    ]
}

/// Records a second.
fn rate(contest: &Contest, who: Contender) -> Spread {
    let runs = contest.runs.iter().filter(|(runner, _)| *runner == who).flat_map(|(_, costs)| costs);
    Spread::of(runs.map(|cost| contest.records / cost.took.as_secs_f64()))
}

/// How many times the best peer we are, of the large inputs.
fn ratings(contests: &[Contest], rows: u32) -> Vec<[String; 4]> {
    let target = if rows < LARGE { 2.5 } else { 3.0 };
    let rating = |what, input: &str| {
        let contest = contests.iter().find(|contest| contest.input == input)?;
        let peers = Contender::ALL.into_iter().filter(|who| *who != Contender::Ours);
        let best = Spread::of(peers.map(|who| rate(contest, who).median)).most;
        Some(Rating::at_least(what, target, rate(contest, Contender::Ours).median / best, "×").cells())
    };
    [("sorted: beside the best peer", "sorted"), ("shuffled: beside the best peer", "shuffled")]
        .into_iter()
        .filter_map(|(what, input)| rating(what, input))
        .collect()
}

/// What the peers are made of, as their requirements pin it.
fn versions() -> String {
    let text = std::fs::read_to_string(repository().join("peers/requirements.txt")).unwrap_or_default();
    let pins = text.lines().filter_map(|line| line.split_once("=="));
    let known: Vec<String> =
        pins.filter(|(name, _)| PACKAGES.contains(name)).map(|(name, version)| format!("{name} {version}")).collect();
    known.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_peers_there_is_no_section() {
        assert_eq!(section(&[], 1_000_000), "");
    }

    #[test]
    fn every_package_is_pinned() {
        assert_eq!(versions().split(", ").count(), PACKAGES.len());
    }
}

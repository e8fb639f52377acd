//! The result's section about the peers.

use demo::repository;

use super::{Contest, contender::Contender};
use crate::{
    child::Cost,
    emissions::LARGE,
    rating::Rating,
    spread::{Spread, within_rounds},
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
    contest.runs.iter().map(|(who, costs)| row(contest, *who, costs)).collect()
}

fn row(contest: &Contest, who: Contender, costs: &[Cost]) -> [String; 8] {
    let of_ours = within_rounds(rates(contest, who), rates(contest, Contender::Ours));
    let spread = |figure: fn(&Cost) -> f64| Spread::of(costs.iter().map(figure));
    [
        format!("{}: {}", contest.input, who.name()),
        grouped(contest.records),
        Spread::of(rates(contest, who)).told(grouped),
        match who {
            Contender::Ours => "100 %".to_owned(),
            _ => format!("{} %", of_ours.told(|share| format!("{:.0}", 100.0 * share))),
        },
        format!("{:.2}", spread(|cost| cost.took.as_secs_f64()).median),
        spread(|cost| cost.peak_mib).told(|mib| format!("{mib:.1}")),
        spread(|cost| cost.cpu_s.0 + cost.cpu_s.1).told(|cpu| format!("{cpu:.2}")),
        spread(|cost| cost.ready.map_or(f64::NAN, |ready| ready.as_secs_f64() * 1e3)).told(|ms| format!("{ms:.0}")),
    ]
}

/// Records a second, round by round.
fn rates(contest: &Contest, who: Contender) -> impl Iterator<Item = f64> {
    let runs = contest.runs.iter().filter(move |(runner, _)| *runner == who).flat_map(|(_, costs)| costs);
    runs.map(|cost| contest.records / cost.took.as_secs_f64())
}

/// What the best peer of each round reached, records a second.
fn best(contest: &Contest) -> Vec<f64> {
    let peers = contest.runs.iter().map(|(who, _)| *who).filter(|who| *who != Contender::Ours);
    let peers: Vec<Vec<f64>> = peers.map(|who| rates(contest, who).collect()).collect();
    let rounds = rates(contest, Contender::Ours).count();
    (0..rounds).map(|round| Spread::of(peers.iter().filter_map(|rates| rates.get(round).copied())).most).collect()
}

/// How many times the best peer we are, of the large inputs.
fn ratings(contests: &[Contest], rows: u32) -> Vec<[String; 4]> {
    let target = if rows < LARGE { 2.5 } else { 3.0 };
    let rating = |what, input: &str| {
        let contest = contests.iter().find(|contest| contest.input == input)?;
        let times = within_rounds(rates(contest, Contender::Ours), best(contest));
        Some(Rating::at_least(what, target, times.median, "×").cells())
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
    fn the_best_peer_is_that_of_the_round() {
        let cost = |seconds: f64| Cost::of(std::time::Duration::from_secs_f64(seconds));
        let runs = [
            (Contender::Ours, [1.0, 2.0, 4.0]),
            (Contender::Loop, [2.0, 8.0, 8.0]),
            (Contender::Dataflow, [3.0, 2.0, 16.0]),
        ];
        let runs = runs.map(|(who, seconds)| (who, seconds.map(cost).into()));
        let contest = Contest { input: "sorted", records: 16.0, runs: runs.into() };
        assert_eq!(best(&contest), [8.0, 8.0, 2.0]);
        // 2, 1 and 2 times within the rounds; 8 to 5.33 between the medians.
        assert_eq!(ratings(&[contest], 1_000_000)[0][2], "2.00 ×");
    }

    #[test]
    fn every_package_is_pinned() {
        assert_eq!(versions().split(", ").count(), PACKAGES.len());
    }
}

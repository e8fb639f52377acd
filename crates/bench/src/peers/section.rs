//! The peers' section of the report.

use super::{
    Contest, Outcome,
    contender::{ALL, Contender},
};
use crate::{
    spread::{Spread, within_rounds},
    table::{grouped, table},
};

/// The packages that the peers' rate depends on.
const PACKAGES: [&str; 6] = ["bytewax", "confluent-kafka", "orjson", "psycopg", "apache-flink-libraries", "faucet-cli"];
/// The files that pin them.
const PINS: [&str; 3] = ["requirements.txt", "flink/requirements.txt", "faucet/cargo-install.txt"];

/// Writes the section; where no peer was run, nothing.
pub(crate) fn section(contests: &[Contest]) -> String {
    let Some(first) = contests.first() else { return String::new() };
    let repeat = first.runs.first().map_or(0, Vec::len);
    let costs = [
        "run",
        "guarantee",
        "records/s",
        "CPU s, it + PostgreSQL",
        "peak MiB",
        "B of log a record",
        "B of disk a record",
    ];
    let rates = ["run", "records", "wall s", "ready ms", "our rate, of its"];
    [
        "\n## Compared with the peers\n\n".to_owned(),
        table(costs, &rows(contests, costs_row)),
        format!(
            "\nRounds: {repeat}. The median of them, from the process's start to its end, with the least and the most; `ready` with the group join; {}. \
             PostgreSQL's processor time is that of all its processes, log its write-ahead log, disk what the database grew by. All averages \
             were equal, and faucet-stream's rows complete. What each guarantees and leaves out: `peers/README.md`.\n\n",
            versions()
        ),
        table(rates, &rows(contests, rates_row)),
        "\n".to_owned(),
        table(["input", "our rate, of the best peer's"], &contests.iter().map(against_the_best).collect::<Vec<_>>()),
    ]
    .concat()
}

fn rows<const N: usize>(
    contests: &[Contest],
    row: fn(&Contest, &Contender, &[Outcome]) -> [String; N],
) -> Vec<[String; N]> {
    let runs =
        contests.iter().flat_map(|contest| ALL.iter().zip(&contest.runs).map(move |(who, runs)| (contest, who, runs)));
    runs.map(|(contest, who, runs)| row(contest, who, runs)).collect()
}

fn costs_row(contest: &Contest, who: &Contender, runs: &[Outcome]) -> [String; 7] {
    let spread = |figure: fn(&Outcome) -> f64| Spread::of(runs.iter().map(figure));
    let a_record = |bytes: fn(&Outcome) -> f64| Spread::of(runs.iter().map(|run| bytes(run) / contest.records));
    let (own, servers) = (spread(own_cpu_s).median, spread(|run| run.usage.cpu_s).median);
    let both = spread(|run| own_cpu_s(run) + run.usage.cpu_s).around(|seconds| format!("{seconds:.2}"));
    [
        format!("{}: {}", contest.input, who.name),
        who.guarantee.to_owned(),
        Spread::of(contest.rates(runs)).shown(grouped),
        format!("{own:.2} + {servers:.2}{both}"),
        spread(|run| run.cost.peak_mib).shown(|mib| format!("{mib:.1}")),
        a_record(|run| run.usage.log).shown(|bytes| format!("{bytes:.1}")),
        a_record(|run| run.usage.disk).shown(|bytes| format!("{bytes:.1}")),
    ]
}

fn rates_row(contest: &Contest, who: &Contender, runs: &[Outcome]) -> [String; 5] {
    let spread = |figure: fn(&Outcome) -> f64| Spread::of(runs.iter().map(figure));
    let ready = spread(|run| run.cost.ready.map_or(f64::NAN, |ready| ready.as_secs_f64() * 1e3));
    let times = within_rounds(contest.our_rates(), contest.rates(runs));
    [
        format!("{}: {}", contest.input, who.name),
        grouped(contest.records),
        format!("{:.2}", spread(|run| run.cost.took.as_secs_f64()).median),
        if ready.median.is_nan() { String::new() } else { ready.shown(|ms| format!("{ms:.0}")) },
        format!("{:.2} ×{}", times.median, times.around(|times| format!("{times:.2}"))),
    ]
}

fn own_cpu_s(run: &Outcome) -> f64 {
    run.cost.cpu_s.0 + run.cost.cpu_s.1
}

/// What the best peer of each round reached, records a second.
fn best(contest: &Contest) -> Vec<f64> {
    let peers: Vec<Vec<f64>> = contest.runs.iter().skip(1).map(|runs| contest.rates(runs).collect()).collect();
    let rounds = contest.our_rates().count();
    (0..rounds).map(|round| Spread::of(peers.iter().filter_map(|rates| rates.get(round).copied())).most).collect()
}

/// Our rate as a multiple of the best peer's in the same round.
fn against_the_best(contest: &Contest) -> [String; 2] {
    let times = within_rounds(contest.our_rates(), best(contest));
    [contest.input.to_owned(), format!("{:.2} ×", times.median)]
}

/// The versions of the packages, as the files pin them: `name==version` or `name@version`.
fn versions() -> String {
    let read = |file: &str| std::fs::read_to_string(testkit::repository().join("peers").join(file)).unwrap_or_default();
    let text = PINS.map(read).concat();
    let pins = text.lines().filter_map(|line| line.split(' ').next()?.split_once(['=', '@']));
    let known = pins.filter(|(name, _)| PACKAGES.contains(name));
    known.map(|(name, version)| format!("{name} {}", version.trim_start_matches('='))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{child::Cost, usage::Usage};

    #[test]
    fn without_peers_there_is_no_section() {
        assert_eq!(section(&[]), "");
    }

    #[test]
    fn the_best_peer_is_that_of_the_round() {
        let run =
            |seconds| Outcome { cost: Cost::of(std::time::Duration::from_secs_f64(seconds)), usage: Usage::default() };
        let runs = [[1.0, 2.0, 4.0], [2.0, 8.0, 8.0], [3.0, 2.0, 16.0]];
        let contest =
            Contest { input: "sorted", records: 16.0, runs: runs.map(|seconds| seconds.map(run).into()).into() };
        assert_eq!(best(&contest), [8.0, 8.0, 2.0]);
        // 2, 1 and 2 times within the rounds; 8 to 5.33 between the medians.
        assert_eq!(against_the_best(&contest)[1], "2.00 ×");
        let [.., ours_of_its] = rates_row(&contest, &ALL[1], &contest.runs[1]);
        assert_eq!(ours_of_its, "2.00 × (2.00 – 4.00)");
    }

    #[test]
    fn every_package_is_pinned() {
        assert_eq!(versions().split(", ").count(), PACKAGES.len());
    }
}

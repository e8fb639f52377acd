//! The peers: other programs that aggregate the same topics by country, as often as ours does.
//!
//! They are in `peers/`, store no facts and guarantee less; its README says what. Every run has its own
//! new database, dropped after it. In each round every program runs once, so that other load on the machine affects all
//! of them. Each peer's aggregates are compared with ours of the same round.

mod agreement;
mod contender;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use demo::process::Program;

use self::{agreement::Aggregate, contender::Contender};
use crate::{
    child::{self, Cost},
    env::PARTITIONS,
    servers::{Servers, folder},
    spread::{Spread, within_rounds},
    table::{grouped, table},
    workload::{File, Input},
};

/// The database of every run; only one exists at a time.
const DATABASE: &str = "bench_contest";

/// How the peers are run.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    /// The Python of their environment.
    pub(crate) python: PathBuf,
    /// How often every program runs on each input.
    pub(crate) repeat: u32,
}

/// One input, and what it cost every program.
#[derive(Clone, Debug)]
pub(crate) struct Contest {
    /// What the input is called.
    input: &'static str,
    /// Records of the topic.
    records: f64,
    /// The runs of every program, ours first.
    runs: Vec<(Contender, Vec<Cost>)>,
}

/// Sends each input once; every program aggregates it in every round.
///
/// # Errors
/// When a program fails, or a peer's aggregates are not ours.
pub(crate) async fn compare(input: &Input, servers: &Servers, peers: &Peers) -> anyhow::Result<Vec<Contest>> {
    let _cleared = Cleared;
    let mut contests = Vec::new();
    let shuffled = input.shuffled.iter().map(|file| ("shuffled", file));
    for (name, file) in [("small", &input.small), ("sorted", &input.sorted)].into_iter().chain(shuffled) {
        let arena = Arena { input: name, topic: format!("bench_peers_{name}"), servers, python: &peers.python };
        let mut contest = Contest {
            input: name,
            records: arena.send(file).await?,
            runs: Contender::ALL.map(|who| (who, Vec::new())).into(),
        };
        for round in 1..=peers.repeat {
            arena.round(round, &mut contest).await?;
        }
        contests.push(contest);
    }
    Ok(contests)
}

/// Where a peer stores its snapshots while it runs.
fn snapshots() -> PathBuf {
    folder().join("snapshots")
}

/// Removes the snapshots, however the runs end.
struct Cleared;

impl Drop for Cleared {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(snapshots()));
    }
}

/// A topic, and all that is needed to read it.
struct Arena<'a> {
    input: &'static str,
    topic: String,
    servers: &'a Servers,
    python: &'a Path,
}

impl Arena<'_> {
    /// Sends the file; returns the number of records.
    async fn send(&self, file: &File) -> anyhow::Result<f64> {
        let partitions = PARTITIONS.to_string();
        let program = Program::new("producer")?
            .args(["--pipeline", "emissions", "--topic", &self.topic, "--partitions", &partitions, "--input"])
            .args([&file.path])
            .env("KAFKA_BROKERS", self.servers.brokers());
        let cost = self.run("producer", program).await?;
        cost.field("records/s", "acknowledged").context("the producer gave no summary")
    }

    /// Every program runs once.
    async fn round(&self, round: u32, contest: &mut Contest) -> anyhow::Result<()> {
        let mut ours: Vec<Aggregate> = Vec::new();
        for (who, costs) in &mut contest.runs {
            self.make_database(*who).await?;
            self.servers.settle().await?;
            let cost = self.run(&format!("{}-{round}", who.slug()), self.program(*who, round)?).await?;
            costs.push(cost);
            let found = agreement::read(&self.servers.database(DATABASE)).await?;
            if *who == Contender::Ours {
                ensure!(!found.is_empty(), "we stored no country");
                ours = found;
            } else {
                agreement::check(&ours, &found).with_context(|| format!("{} does not agree with us", who.name()))?;
            }
        }
        self.servers.drop_database(DATABASE).await
    }

    fn program(&self, who: Contender, round: u32) -> anyhow::Result<Program> {
        let (url, program) = match who.script() {
            None => {
                let ours = Program::new("consumer")?.args(["--pipeline", "emissions", "--until-end"]);
                (self.servers.writer(DATABASE), ours)
            }
            Some(script) => {
                let python = Program::at(who.slug(), self.python).args([demo::repository().join("peers").join(script)]);
                // A peer creates the folder, or reads an existing one; it must not read that of another run.
                drop(std::fs::remove_dir_all(snapshots()));
                let group = format!("{}-{}-{round}", self.topic, who.slug());
                (self.servers.database(DATABASE), python.args(who.args(&group, &snapshots())))
            }
        };
        let brokers = self.servers.brokers();
        Ok(program.args(["--topic", &self.topic]).env("DATABASE_URL", url).env("KAFKA_BROKERS", brokers))
    }

    /// A new database: ours with its schema, a peer's empty.
    async fn make_database(&self, who: Contender) -> anyhow::Result<()> {
        self.servers.drop_database(DATABASE).await?;
        if who == Contender::Ours {
            let program = Program::new("migrate")?
                .args(["--pipeline", "emissions", "up"])
                .env("DATABASE_URL", self.servers.database(DATABASE))
                .env("WRITER_PASSWORD", self.servers.password());
            child::run(program, &self.log("migrate")).await?;
            return Ok(());
        }
        self.servers.make_database(DATABASE).await
    }

    async fn run(&self, step: &str, program: Program) -> anyhow::Result<Cost> {
        eprintln!("▸ peers, {}: {step}", self.input);
        child::run(program, &self.log(step)).await
    }

    fn log(&self, step: &str) -> PathBuf {
        folder().join(format!("logs/{}-{step}.log", self.topic))
    }
}

/// The packages that the peers' rate depends on.
const PACKAGES: [&str; 4] = ["bytewax", "confluent-kafka", "orjson", "psycopg"];

/// Writes the section; where no peer was run, nothing.
pub(crate) fn section(contests: &[Contest]) -> String {
    let Some(first) = contests.first() else { return String::new() };
    let repeat = first.runs.first().map_or(0, |(_, costs)| costs.len());
    let header = ["run", "records", "records/s", "of ours", "wall s", "peak MiB", "cpu s", "ready ms"];
    [
        "\n## Compared with the peers\n\n".to_owned(),
        format!(
            "Rounds: {repeat}. The median of them, from the process's start to its end, with the least and the most; `ready` with the group join; {}. All \
             aggregates were equal. The peers store no facts and guarantee less: `peers/README.md`.\n\n",
            versions()
        ),
        table(header, &contests.iter().flat_map(rows_of).collect::<Vec<_>>()),
        "\n".to_owned(),
        table(["input", "our rate, of the best peer's"], &contests.iter().map(against_the_best).collect::<Vec<_>>()),
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
        Spread::of(rates(contest, who)).shown(grouped),
        match who {
            Contender::Ours => "100 %".to_owned(),
            _ => format!("{} %", of_ours.shown(|share| format!("{:.0}", 100.0 * share))),
        },
        format!("{:.2}", spread(|cost| cost.took.as_secs_f64()).median),
        spread(|cost| cost.peak_mib).shown(|mib| format!("{mib:.1}")),
        spread(|cost| cost.cpu_s.0 + cost.cpu_s.1).shown(|cpu| format!("{cpu:.2}")),
        spread(|cost| cost.ready.map_or(f64::NAN, |ready| ready.as_secs_f64() * 1e3)).shown(|ms| format!("{ms:.0}")),
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

/// Our rate as a multiple of the best peer's in the same round.
fn against_the_best(contest: &Contest) -> [String; 2] {
    let times = within_rounds(rates(contest, Contender::Ours), best(contest));
    [contest.input.to_owned(), format!("{:.2} ×", times.median)]
}

/// The versions of the packages, as the requirements pin them.
fn versions() -> String {
    let text = std::fs::read_to_string(demo::repository().join("peers/requirements.txt")).unwrap_or_default();
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
        assert_eq!(section(&[]), "");
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
        assert_eq!(against_the_best(&contest)[1], "2.00 ×");
    }

    #[test]
    fn every_package_is_pinned() {
        assert_eq!(versions().split(", ").count(), PACKAGES.len());
    }
}

//! The peers: other programs that aggregate the same topics by country, beside ours and as often.
//!
//! They live in `peers/` of the repository, keep no facts and promise less; its README says what. Every run has a database
//! of its own, new and dropped after it, and in each round everyone runs once, so that what else happens on the machine
//! meets all of them. Each peer's aggregates are compared with ours of the same round.

mod agreement;
mod contender;
mod section;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use demo::process::Program;

pub(crate) use self::section::section;
use self::{agreement::Aggregate, contender::Contender};
use crate::{
    child::{self, Cost},
    road::PARTITIONS,
    servers::{Servers, folder},
    subject::{File, Input},
};

/// The database of every run; there is one at a time.
const DATABASE: &str = "bench_contest";

/// How the peers are run.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    /// The Python of their environment.
    pub(crate) python: PathBuf,
    /// How often everyone runs on each input.
    pub(crate) repeat: u32,
}

/// One input, and what it cost everyone.
#[derive(Clone, Debug)]
pub(crate) struct Contest {
    /// What the input is called.
    input: &'static str,
    /// Records of the topic.
    records: f64,
    /// Everyone's runs, ours first.
    runs: Vec<(Contender, Vec<Cost>)>,
}

/// Sends each input once, and has everyone aggregate it in every round.
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

/// Where a peer keeps its snapshots while it runs.
fn snapshots() -> PathBuf {
    folder().join("snapshots")
}

/// Leaves no snapshots behind, however the runs end.
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
    /// Sends the file; gives the number of records.
    async fn send(&self, file: &File) -> anyhow::Result<f64> {
        let partitions = PARTITIONS.to_string();
        let program = Program::new("producer")?
            .args(["--pipeline", "emissions", "--topic", &self.topic, "--partitions", &partitions, "--input"])
            .args([&file.path])
            .env("KAFKA_BROKERS", self.servers.brokers());
        let cost = self.run("producer", program).await?;
        cost.field("records/s", "acknowledged").context("the producer gave no summary")
    }

    /// Everyone runs once.
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
                // Made when it is missing, and read where it is there, which another run's must not be.
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

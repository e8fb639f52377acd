//! The peers: other programs that read the same topics into PostgreSQL, as often as ours does.
//!
//! They are in `peers/`, whose README says what each guarantees and leaves out. Every run has its own
//! new database, dropped after it. In each round every program runs once, so that other load on the machine affects all
//! of them. What each peer has stored is compared with ours of the same round.

mod agreement;
mod contender;
mod section;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use testkit::process::Program;

pub(crate) use self::section::section;
use self::{
    agreement::Aggregate,
    contender::{ALL, Contender, Start, Stores},
};
use crate::{
    child::{self, Cost},
    env::PARTITIONS,
    servers::{Servers, folder},
    usage::Usage,
    workload::{File, Input},
    writes::SESSIONS_END,
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

/// One run of a program: what it cost, and what it made PostgreSQL do.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    cost: Cost,
    usage: Usage,
}

/// One input, and every program's runs on it.
#[derive(Clone, Debug)]
pub(crate) struct Contest {
    /// What the input is called.
    input: &'static str,
    /// Records of the topic.
    records: f64,
    /// In the order of [`ALL`], so ours first.
    runs: Vec<Vec<Outcome>>,
}

impl Contest {
    /// Records a second, round by round.
    fn rates(&self, runs: &[Outcome]) -> impl Iterator<Item = f64> {
        runs.iter().map(|run| self.records / run.cost.took.as_secs_f64())
    }

    fn our_rates(&self) -> impl Iterator<Item = f64> {
        self.rates(self.runs.first().map_or(&[], Vec::as_slice))
    }
}

/// Sends each input once; every program reads it in every round.
///
/// # Errors
/// When a program fails, or what a peer has stored is not what we have.
pub(crate) async fn compare(input: &Input, servers: &Servers, peers: &Peers) -> anyhow::Result<Vec<Contest>> {
    let _cleared = Cleared;
    let mut contests = Vec::new();
    let shuffled = input.shuffled.iter().map(|file| ("shuffled", file));
    for (name, file) in [("small", &input.small), ("sorted", &input.sorted)].into_iter().chain(shuffled) {
        let arena = Arena { input: name, topic: format!("bench_peers_{name}"), servers, python: &peers.python };
        let mut contest = Contest { input: name, records: arena.send(file).await?, runs: vec![Vec::new(); ALL.len()] };
        for round in 1..=peers.repeat {
            arena.round(round, &mut contest).await?;
        }
        contests.push(contest);
    }
    Ok(contests)
}

/// Where a peer stores its state while it runs.
fn state() -> PathBuf {
    folder().join("state")
}

/// Removes the state, however the runs end.
struct Cleared;

impl Drop for Cleared {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(state()));
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
        let (mut averages, mut years): (Vec<Aggregate>, u32) = (Vec::new(), 0);
        let records = contest.records;
        for (who, runs) in ALL.iter().zip(&mut contest.runs) {
            self.make_database(who).await?;
            self.servers.settle().await?;
            let before = Usage::so_far(self.servers, DATABASE).await?;
            let cost = self.run(&format!("{}-{round}", who.slug), self.program(who, round, records)?).await?;
            tokio::time::sleep(SESSIONS_END).await;
            runs.push(Outcome { cost, usage: Usage::so_far(self.servers, DATABASE).await?.since(before) });
            if who.start == Start::Ours {
                averages = agreement::read(&self.servers.database(DATABASE)).await?;
                ensure!(!averages.is_empty(), "we stored no country");
                years = self.servers.count(DATABASE, "SELECT count(*) FROM emissions_facts").await?;
            } else {
                self.compare(who, &averages, years)
                    .await
                    .with_context(|| format!("{} does not agree with us", who.name))?;
            }
        }
        self.servers.drop_database(DATABASE).await
    }

    /// Whether a peer has stored our averages, or as many years as we have.
    async fn compare(&self, who: &Contender, averages: &[Aggregate], years: u32) -> anyhow::Result<()> {
        match who.stores {
            Stores::Averages => agreement::check(averages, &agreement::read(&self.servers.database(DATABASE)).await?),
            Stores::Rows(query) => {
                let found = self.servers.count(DATABASE, query).await?;
                ensure!(found == years, "we have {years} years of countries, it has {found}");
                Ok(())
            }
        }
    }

    fn program(&self, who: &Contender, round: u32, records: f64) -> anyhow::Result<Program> {
        let url = match who.start {
            Start::Ours => self.servers.writer(DATABASE),
            Start::Python(..) | Start::Script(_) => self.servers.database(DATABASE),
        };
        // A peer creates the folder, or reads an existing one; it must not read that of another run.
        drop(std::fs::remove_dir_all(state()));
        let program = who.program(self.python, &state())?;
        let program = program.env("DATABASE_URL", url).env("KAFKA_BROKERS", self.servers.brokers());
        let group = format!("{}-{}-{round}", self.topic, who.slug);
        Ok(program.env("TOPIC", &self.topic).env("GROUP", group).env("RECORDS", format!("{records:.0}")))
    }

    /// A new database: ours with its schema, a peer's with the tables that it does not make.
    async fn make_database(&self, who: &Contender) -> anyhow::Result<()> {
        self.servers.drop_database(DATABASE).await?;
        if who.start == Start::Ours {
            let program = Program::new("migrate")?
                .args(["--pipeline", "emissions", "up"])
                .env("DATABASE_URL", self.servers.database(DATABASE))
                .env("WRITER_PASSWORD", self.servers.password());
            child::run(program, &self.log("migrate")).await?;
            return Ok(());
        }
        self.servers.make_database(DATABASE).await?;
        let Some(tables) = who.tables else { return Ok(()) };
        let tables = testkit::repository().join("peers").join(tables);
        let text = std::fs::read_to_string(&tables).with_context(|| format!("cannot read {}", tables.display()))?;
        self.servers.run_in(DATABASE, text).await
    }

    async fn run(&self, step: &str, program: Program) -> anyhow::Result<Cost> {
        eprintln!("▸ peers, {}: {step}", self.input);
        child::run(program, &self.log(step)).await
    }

    fn log(&self, step: &str) -> PathBuf {
        folder().join(format!("logs/{}-{step}.log", self.topic))
    }
}

//! The road: the real binaries on each input, one after another, and what each run cost.

use anyhow::{Context, ensure};
use demo::process::Program;

use crate::{
    child::{self, Cost},
    servers::{Servers, folder},
    subject::{File, Input, Subject},
};

/// The large input in order: its topic and database; the ceilings are measured on them too.
pub(crate) const SORTED: &str = "bench_sorted";
/// The small input is sent three times, each to a topic and a database of its own: one run of half a second tells little.
const SMALL: [&str; 3] = ["bench_small_1", "bench_small_2", "bench_small_3"];
const SHUFFLED: &str = "bench_shuffled";
/// The producer's own default.
pub(crate) const PARTITIONS: u32 = 6;

/// One program's run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Records it sent or read.
    pub(crate) records: u32,
    /// Facts in the changelog afterwards.
    pub(crate) facts: u32,
    /// What it cost.
    pub(crate) cost: Cost,
}

/// A file sent and stored.
#[derive(Clone, Debug)]
pub(crate) struct Trip {
    pub(crate) producer: Run,
    pub(crate) consumer: Run,
}

/// All runs, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Road {
    pub(crate) small: Vec<Trip>,
    /// What making the schema for the sorted file cost.
    pub(crate) migrate: Cost,
    pub(crate) sorted: Trip,
    /// The same file a second time: every record is read, and tells nothing new.
    pub(crate) again: Trip,
    /// The consumer once more, with nothing to read: it claims, loads and ends.
    pub(crate) restart: Run,
    pub(crate) shuffled: Option<Trip>,
}

impl Road {
    /// The small trip whose consumer took neither the least time nor the most.
    pub(crate) fn typical_small(&self) -> &Trip {
        let mut trips: Vec<&Trip> = self.small.iter().collect();
        trips.sort_by_key(|trip| trip.consumer.cost.took);
        trips[trips.len() / 2]
    }
}

/// Sends and stores everything.
///
/// # Errors
/// When a program fails, or the tables do not hold what was sent.
pub(crate) async fn travel(subject: &Subject, input: &Input, servers: &Servers) -> anyhow::Result<Road> {
    std::fs::create_dir_all(folder().join("logs"))?;
    let mut small = Vec::new();
    for name in SMALL {
        let place = Place { name, subject, servers };
        place.migrate().await?;
        small.push(place.trip(&input.small, "first").await?);
    }
    let place = Place { name: SORTED, subject, servers };
    let migrate = place.migrate().await?;
    let sorted = place.trip(&input.sorted, "first").await?;
    let again = place.trip(&input.sorted, "again").await?;
    let restart = place.consume("restart").await?;
    let (records, facts) = (sorted.consumer.records, sorted.consumer.facts);
    ensure!(again.consumer.facts == facts, "the same file again grew the changelog to {}", again.consumer.facts);
    ensure!(again.consumer.records == records && restart.records == 0, "records were read twice or not at all");
    let mut shuffled = None;
    if let Some(file) = &input.shuffled {
        let place = Place { name: SHUFFLED, subject, servers };
        place.migrate().await?;
        shuffled = Some(place.trip(file, "first").await?);
    }
    Ok(Road { small, migrate, sorted, again, restart, shuffled })
}

/// A topic and a database, both of one name.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'static str,
    subject: &'a Subject,
    servers: &'a Servers,
}

impl Place<'_> {
    async fn migrate(self) -> anyhow::Result<Cost> {
        let program = Program::new("migrate")?
            .args(["--pipeline", self.subject.pipeline, "up"])
            .env("DATABASE_URL", self.servers.database(self.name))
            .env("WRITER_PASSWORD", self.servers.password());
        self.run("migrate", program).await
    }

    async fn trip(self, file: &File, when: &str) -> anyhow::Result<Trip> {
        let producer = self.produce(file, when).await?;
        let consumer = self.consume(when).await?;
        ensure!(
            consumer.records == producer.records,
            "{} records were sent and {} read",
            producer.records,
            consumer.records
        );
        if let Some(expected) = file.facts {
            let (path, facts) = (file.path.display(), consumer.facts);
            ensure!(facts == expected, "{path} tells {expected} facts, and {facts} were stored");
        }
        Ok(Trip { producer, consumer })
    }

    async fn produce(self, file: &File, when: &str) -> anyhow::Result<Run> {
        let program = Program::new("producer")?
            .args(["--pipeline", self.subject.pipeline, "--topic", self.name])
            .args(["--partitions", &PARTITIONS.to_string(), "--input"])
            .args([&file.path])
            .env("KAFKA_BROKERS", self.servers.brokers());
        let cost = self.run(&format!("producer-{when}"), program).await?;
        let summary = cost.field("records/s", "acknowledged").context("the producer gave no summary")?;
        Ok(Run { records: whole(summary)?, facts: 0, cost })
    }

    async fn consume(self, when: &str) -> anyhow::Result<Run> {
        let read_before = self.read().await?;
        self.servers.settle().await?;
        let program = Program::new("consumer")?
            .args(["--pipeline", self.subject.pipeline, "--until-end", "--topic", self.name])
            .env("DATABASE_URL", self.servers.writer(self.name))
            .env("KAFKA_BROKERS", self.servers.brokers());
        let cost = self.run(&format!("consumer-{when}"), program).await?;
        let count = format!("SELECT count(*) FROM {}", self.subject.changelog);
        let facts = self.servers.count(self.name, &count).await?;
        Ok(Run { records: self.read().await? - read_before, facts, cost })
    }

    async fn read(self) -> anyhow::Result<u32> {
        self.servers.count(self.name, "SELECT coalesce(sum(read), 0)::bigint FROM ingest_accounting").await
    }

    async fn run(self, step: &str, program: Program) -> anyhow::Result<Cost> {
        eprintln!("▸ {} {step}", self.name);
        child::run(program, &folder().join(format!("logs/{}-{step}.log", self.name))).await
    }
}

/// A count that was read as a number from a log line.
fn whole(number: f64) -> anyhow::Result<u32> {
    Ok(format!("{number:.0}").parse()?)
}

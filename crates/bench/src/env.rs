//! A topic and a database of one name, and the binaries run between them.

use std::path::Path;

use anyhow::{Context, ensure};
use testkit::process::Program;

use crate::{
    child::{self, Cost},
    servers::{Servers, folder},
    usage::Usage,
    workload::{File, Workload},
};

/// One program's run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Records it sent or read.
    pub(crate) records: u32,
    /// Facts in the changelog afterwards.
    pub(crate) facts: u32,
    /// What it cost.
    pub(crate) cost: Cost,
    /// What it made PostgreSQL do.
    pub(crate) usage: Usage,
}

/// A file sent and stored.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) producer: Run,
    pub(crate) consumer: Run,
}

/// The producer's default.
pub(crate) const PARTITIONS: u32 = 6;

/// A topic and a database, both of one name.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) name: &'static str,
    pub(crate) workload: &'a Workload,
    pub(crate) servers: &'a Servers,
    /// Of the topic.
    pub(crate) partitions: u32,
    /// The folder of the programs, where they are not the ones next to this one.
    pub(crate) programs: Option<&'a Path>,
}

impl Env<'_> {
    /// Creates the database and its schema.
    pub(crate) async fn migrate(self) -> anyhow::Result<Cost> {
        let program = self
            .program("migrate")?
            .args(["--pipeline", self.workload.pipeline, "up"])
            .env("DATABASE_URL", self.servers.database(self.name))
            .env("WRITER_PASSWORD", self.servers.password());
        self.run("migrate", program).await
    }

    /// Sends a file and stores it.
    pub(crate) async fn transfer(self, file: &File, when: &str) -> anyhow::Result<Transfer> {
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
            ensure!(facts == expected, "{path} has {expected} facts, and {facts} were stored");
        }
        Ok(Transfer { producer, consumer })
    }

    /// Sends a file.
    pub(crate) async fn produce(self, file: &File, when: &str) -> anyhow::Result<Run> {
        let cost = self.run(&format!("producer-{when}"), self.producer(file)?).await?;
        let summary = cost.field("records/s", "acknowledged").context("the producer gave no summary")?;
        Ok(Run { records: whole(summary)?, facts: 0, cost, usage: Usage::default() })
    }

    /// The producer of a file.
    pub(crate) fn producer(self, file: &File) -> anyhow::Result<Program> {
        Ok(self
            .program("producer")?
            .args(["--pipeline", self.workload.pipeline, "--topic", self.name])
            .args(["--partitions", &self.partitions.to_string(), "--input"])
            .args([&file.path])
            .env("KAFKA_BROKERS", self.servers.brokers()))
    }

    /// Stores what was sent.
    pub(crate) async fn consume(self, when: &str) -> anyhow::Result<Run> {
        let read_before = self.read().await?;
        self.servers.settle().await?;
        let before = Usage::so_far(self.servers, self.name).await?;
        let cost = self.run(&format!("consumer-{when}"), self.consumer()?).await?;
        let usage = Usage::so_far(self.servers, self.name).await?.since(before);
        Ok(Run { records: self.read().await? - read_before, facts: self.facts().await?, cost, usage })
    }

    /// The consumer, until the end of the topic.
    pub(crate) fn consumer(self) -> anyhow::Result<Program> {
        Ok(self.follower()?.args(["--until-end"]))
    }

    /// The consumer, following the topic, as the role that may only write.
    pub(crate) fn follower(self) -> anyhow::Result<Program> {
        Ok(self
            .program("consumer")?
            .args(["--pipeline", self.workload.pipeline, "--topic", self.name])
            .env("DATABASE_URL", self.servers.writer(self.name))
            .env("KAFKA_BROKERS", self.servers.brokers()))
    }

    /// Facts in the changelog.
    pub(crate) async fn facts(self) -> anyhow::Result<u32> {
        self.servers.count(self.name, &format!("SELECT count(*) FROM {}", self.workload.changelog)).await
    }

    /// Records that were read so far.
    pub(crate) async fn read(self) -> anyhow::Result<u32> {
        self.servers.count(self.name, "SELECT coalesce(sum(read), 0)::bigint FROM ingest_accounting").await
    }

    fn program(self, name: &str) -> anyhow::Result<Program> {
        self.programs.map_or_else(|| Program::new(name), |folder| Ok(Program::at(name, &folder.join(name))))
    }

    async fn run(self, step: &str, program: Program) -> anyhow::Result<Cost> {
        eprintln!("▸ {} {step}", self.name);
        child::run(program, &folder().join(format!("logs/{}-{step}.log", self.name))).await
    }
}

/// A count that was read as a number from a log line.
pub(crate) fn whole(number: f64) -> anyhow::Result<u32> {
    Ok(format!("{number:.0}").parse()?)
}

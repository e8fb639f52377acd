//! The transfer: the three real binaries, one after another.

use std::{io::IsTerminal, time::Duration};

use anyhow::{Context, ensure};
use sqlx::{Connection, PgConnection};
use testkit::{
    broker,
    process::{Ended, Program},
};

use crate::{
    accounting::{self, Accounting, Batches},
    failure::Failure,
    input::{Input, Origin, PARTITIONS},
    pipeline::Pipeline,
    servers::{Servers, folder},
};

/// How often a running program is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A program that was run, and how long it took.
#[derive(Debug)]
pub(crate) struct Step {
    /// The command, without its settings.
    pub(crate) name: &'static str,
    /// From its start to its end.
    pub(crate) took: Duration,
}

/// What happened during the transfer.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The programs, in order.
    pub(crate) steps: Vec<Step>,
    /// Records that the producer added to the topic.
    pub(crate) sent: i64,
    /// Whether nothing but this run's records was in the topic and the database.
    pub(crate) fresh: bool,
    /// The batches of the file.
    pub(crate) batches: Batches,
    /// Those of the same file sent once more, which only the sample is.
    pub(crate) again: Option<Batches>,
}

/// Runs the whole transfer of the input.
pub(crate) async fn send_and_store(pipeline: &Pipeline, input: &Input, servers: &Servers) -> anyhow::Result<Transfer> {
    let mut steps = Vec::new();
    steps.push(run("migrate up", migrate(pipeline, servers)?).await?);
    let after = last_batch(servers).await?;
    let before = written(input, servers).await?;
    steps.push(run("producer", producer(pipeline, input, servers)?).await?);
    let sent = written(input, servers).await? - before;
    steps.push(run("consumer --until-end", consumer(pipeline, input, servers)?).await?);
    let batches = Batches { after, through: last_batch(servers).await? };
    let mut again = None;
    if input.made.is_some() && servers.are_fresh() {
        steps.push(run("producer once more", producer(pipeline, input, servers)?).await?);
        // The embedded broker takes the first one's member for alive for some seconds more.
        let consumer = consumer(pipeline, input, servers)?.args(["--group-id", "once-more"]);
        steps.push(run("consumer --until-end once more", consumer).await?);
        again = Some(Batches { after: batches.through, through: last_batch(servers).await? });
    }
    Ok(Transfer { steps, sent, fresh: servers.are_fresh(), batches, again })
}

/// Checks that the figures agree with each other.
pub(crate) fn check_accounting(transfer: &Transfer, accounting: &Accounting) -> anyhow::Result<()> {
    ensure!(accounting.adds_up(), "the accounting does not add up: {accounting:?}");
    ensure!(
        !transfer.fresh || accounting.read == transfer.sent,
        "{} records were sent to the topic and {} were read from it",
        transfer.sent,
        accounting.read
    );
    Ok(())
}

fn migrate(pipeline: &Pipeline, servers: &Servers) -> anyhow::Result<Program> {
    let program = with_postgres_variables(Program::new("migrate")?).args(["--pipeline", pipeline.name, "up"]);
    let program = program.env("DATABASE_URL", &servers.database_url);
    Ok(match servers.writer() {
        Some((_, password)) => program.env("WRITER_PASSWORD", password),
        None => program,
    })
}

fn producer(pipeline: &Pipeline, input: &Input, servers: &Servers) -> anyhow::Result<Program> {
    let partitions = PARTITIONS.to_string();
    let program = Program::new("producer")?
        .args(["--pipeline", pipeline.name, "--topic", input.target.topic, "--partitions", &partitions])
        .args(further(input));
    let program = match &input.origin {
        Origin::File(path, _) => program.args(["--input"]).args([path]),
        Origin::Simulated(options, _) => program.args(["--source", "simulator"]).args(options.iter()),
    };
    Ok(program.env("KAFKA_BROKERS", &servers.brokers))
}

fn consumer(pipeline: &Pipeline, input: &Input, servers: &Servers) -> anyhow::Result<Program> {
    let url = servers.writer().map_or_else(|| servers.database_url.clone(), |(url, _)| url);
    let program = with_postgres_variables(Program::new("consumer")?)
        .args(["--pipeline", pipeline.name, "--until-end", "--topic", input.target.topic])
        .args(further(input))
        .args(servers.topic_is_newer_than_database().then_some("--reset-offsets"));
    let program = match &input.origin {
        Origin::File(..) => program,
        Origin::Simulated(_, shared) => shared.iter().fold(program, |program, (name, value)| program.env(name, value)),
    };
    Ok(program.env("DATABASE_URL", url).env("KAFKA_BROKERS", &servers.brokers))
}

/// The option that names the topic of a further feed.
fn further(input: &Input) -> impl Iterator<Item = &'static str> {
    input.target.further.into_iter().flat_map(|(topic, option)| [option, topic])
}

/// Passes the caller's variables for PostgreSQL, besides the URL, to a program: a password, certificates.
fn with_postgres_variables(program: Program) -> Program {
    let variables = std::env::vars().filter(|(name, _)| name.starts_with("PG"));
    variables.fold(program, |program, (name, value)| program.env(&name, value))
}

/// Runs a program to its end; its log goes to `target/demo/`, and its last lines to the terminal.
async fn run(name: &'static str, program: Program) -> anyhow::Result<Step> {
    eprintln!("▸ {name}");
    let mut running = program.start()?;
    let ended = loop {
        match running.poll()? {
            Some(ended) => break ended,
            None => tokio::time::sleep(POLL_INTERVAL).await,
        }
    };
    keep_log(name, &ended)?;
    if ended.code() != Some(0) {
        let code = ended.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(70);
        return Err(Failure::new(ended.to_string(), code).into());
    }
    let shown = ended.stderr.len().saturating_sub(5);
    ended.stderr[shown..].iter().for_each(|line| eprintln!("  {}", dimmed(line)));
    Ok(Step { name, took: ended.took })
}

fn keep_log(name: &str, ended: &Ended) -> anyhow::Result<()> {
    let file = format!("{}.log", name.split(' ').next().unwrap_or(name));
    let text: String = ended.stderr.iter().flat_map(|line| [line, "\n"]).collect();
    let path = folder().join(file);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn dimmed(line: &str) -> String {
    if std::io::stderr().is_terminal() { format!("\u{1b}[2m{line}\u{1b}[0m") } else { line.to_owned() }
}

/// Records ever written to the topics; of one that does not exist yet, 0.
async fn written(input: &Input, servers: &Servers) -> anyhow::Result<i64> {
    let mut written = 0;
    for topic in input.topics() {
        let (brokers, fresh) = (servers.brokers.clone(), servers.are_fresh());
        let ends = tokio::task::spawn_blocking(move || broker::ends(&brokers, topic)).await?;
        let ends = ends.map_err(|error| {
            let silent = Failure::unavailable(format!("kafka at {} does not answer", servers.brokers));
            anyhow::Error::new(error).context(silent)
        })?;
        ensure!(!fresh || ends.iter().all(|(earliest, _)| *earliest == 0), "the broker has deleted the oldest records");
        written += ends.iter().map(|(_, next)| next).sum::<i64>();
    }
    Ok(written)
}

async fn last_batch(servers: &Servers) -> anyhow::Result<i64> {
    let mut database = PgConnection::connect(&servers.database_url).await.context("the database does not answer")?;
    let last = accounting::last_batch(&mut database).await?;
    database.close().await?;
    Ok(last)
}

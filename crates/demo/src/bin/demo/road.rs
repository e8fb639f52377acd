//! The road: the three real binaries, one after another.

use std::{fmt, io::IsTerminal, time::Duration};

use anyhow::{Context, ensure};
use demo::{
    broker,
    process::{Ended, Program},
};
use sqlx::{Connection, PgConnection};

use crate::{
    books::{self, Books},
    input::{Input, PARTITIONS},
    pipeline::Pipeline,
    servers::{Servers, folder},
};

/// How often a program that runs is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why the road ended early, and the exit code that a caller should see.
#[derive(Debug)]
pub(crate) struct Stuck {
    message: String,
    code: u8,
}

impl Stuck {
    /// The input is at fault.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 65 }
    }

    /// A server is missing.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 69 }
    }

    /// The exit code an error deserves; one that nobody judged is a bug of ours.
    pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
        error.downcast_ref::<Self>().map_or(70, |stuck| stuck.code)
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Stuck {}

/// A program that was run, and how long it took.
#[derive(Debug)]
pub(crate) struct Step {
    /// The command, without its settings.
    pub(crate) name: &'static str,
    /// From its start to its end.
    pub(crate) took: Duration,
}

/// What happened on the way.
#[derive(Debug)]
pub(crate) struct Road {
    /// The programs, in order.
    pub(crate) steps: Vec<Step>,
    /// Records that the producer added to the topic.
    pub(crate) sent: i64,
    /// Whether nothing but this run's records was in the topic and the database.
    pub(crate) fresh: bool,
    /// The greatest batch that was stored before; 0 where there was none.
    pub(crate) batches_before: i64,
}

/// Takes the input down the road.
pub(crate) async fn travel<P: Pipeline>(input: &Input, servers: &Servers) -> anyhow::Result<Road> {
    let mut steps = Vec::new();
    steps.push(run("migrate up", migrate::<P>(servers)?).await?);
    let batches_before = last_batch(servers).await?;
    let before = written(input, servers).await?;
    steps.push(run("producer", producer::<P>(input, servers)?).await?);
    let sent = written(input, servers).await? - before;
    steps.push(run("consumer --until-end", consumer::<P>(input, servers)?).await?);
    Ok(Road { steps, sent, fresh: servers.are_fresh(), batches_before })
}

/// Refuses to show figures that contradict each other.
pub(crate) fn check_balance(road: &Road, books: &Books) -> anyhow::Result<()> {
    ensure!(books.balance(), "the books do not balance: {books:?}");
    ensure!(
        !road.fresh || books.read == road.sent,
        "{} records were sent to the topic and {} were read from it",
        road.sent,
        books.read
    );
    Ok(())
}

fn migrate<P: Pipeline>(servers: &Servers) -> anyhow::Result<Program> {
    let program = with_postgres_variables(Program::new("migrate")?).args(["--pipeline", P::NAME, "up"]);
    let program = program.env("DATABASE_URL", &servers.database_url);
    Ok(match servers.writer() {
        Some((_, password)) => program.env("WRITER_PASSWORD", password),
        None => program,
    })
}

fn producer<P: Pipeline>(input: &Input, servers: &Servers) -> anyhow::Result<Program> {
    let partitions = PARTITIONS.to_string();
    let program = Program::new("producer")?
        .args(["--pipeline", P::NAME, "--topic", input.place.topic, "--partitions", &partitions, "--input"])
        .args([&input.path]);
    Ok(program.env("KAFKA_BROKERS", &servers.brokers))
}

fn consumer<P: Pipeline>(input: &Input, servers: &Servers) -> anyhow::Result<Program> {
    let url = servers.writer().map_or_else(|| servers.database_url.clone(), |(url, _)| url);
    let program = with_postgres_variables(Program::new("consumer")?)
        .args(["--pipeline", P::NAME, "--until-end", "--topic", input.place.topic])
        .args(servers.topic_is_newer_than_database().then_some("--reset-offsets"));
    Ok(program.env("DATABASE_URL", url).env("KAFKA_BROKERS", &servers.brokers))
}

/// Gives a program what the caller's shell says of PostgreSQL beside the URL: a password, certificates.
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
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    };
    keep_log(name, &ended)?;
    if ended.code() != Some(0) {
        let code = ended.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(70);
        return Err(Stuck { message: ended.to_string(), code }.into());
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

/// Records ever written to the topic; 0 when it is not there yet.
async fn written(input: &Input, servers: &Servers) -> anyhow::Result<i64> {
    let (brokers, topic, fresh) = (servers.brokers.clone(), input.place.topic, servers.are_fresh());
    let ends = tokio::task::spawn_blocking(move || broker::ends(&brokers, topic)).await?;
    let ends = ends.map_err(|error| {
        anyhow::Error::new(error).context(Stuck::unavailable(format!("kafka at {} does not answer", servers.brokers)))
    })?;
    ensure!(!fresh || ends.iter().all(|(earliest, _)| *earliest == 0), "the broker has forgotten the oldest records");
    Ok(ends.iter().map(|(_, next)| next).sum())
}

async fn last_batch(servers: &Servers) -> anyhow::Result<i64> {
    let mut database = PgConnection::connect(&servers.database_url).await.context("the database does not answer")?;
    let last = books::last_batch(&mut database).await?;
    database.close().await?;
    Ok(last)
}

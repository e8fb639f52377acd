//! Several consumers at once on one topic: how throughput grows with them, and what the machine does meanwhile.
//!
//! Every number of consumers has one turn in each round, on its own new topic and database, both deleted after it. They
//! join an empty topic and follow it; when the group is stable, a lock blocks their commits until the file is sent.
//! The time counts from its release to the last record stored, so it includes neither joins nor the producer. Until
//! then each may have read ahead as much as its queues allow. The stored facts are checked as in the other runs.

use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::{Connection, PgConnection};
use testkit::process::{Ended, Running};

use crate::{
    child,
    env::Env,
    kafka_tools,
    machine::Ticks,
    servers::{Servers, folder},
    spread::{Spread, within_rounds},
    table::{grouped, table},
    workload::{File, Workload},
};

/// As many as 1, 2, 3, 4 and 6 consumers share evenly.
pub(crate) const PARTITIONS: u32 = 12;
/// The topic and the database of every turn; only one of each exists at a time.
const NAME: &str = "bench_replicas";
/// Until the group is stable: a partition changes its owner in two steps, and members learn of each at a heartbeat,
/// every two seconds.
const GATHERING: Duration = Duration::from_secs(7);
/// No consumer can commit while this lock is held.
pub(crate) const HOLD_BACK: &str = "LOCK TABLE stream_offsets IN SHARE ROW EXCLUSIVE MODE";
/// How often the bench polls for stored records, log lines and ends: the precision of a turn.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How many at once, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replicas {
    /// The most; every smaller number is tried too.
    pub(crate) most: u32,
    /// Turns of each number.
    pub(crate) repeat: u32,
}

/// So many consumers at once, once.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    replicas: u32,
    /// Records of the topic.
    records: u32,
    /// From the moment that all may commit to the last record stored.
    took: Duration,
    /// The most memory that all had resident, MiB.
    peak_mib: f64,
    /// What all processors did meanwhile, for any program.
    ticks: Ticks,
    /// How many records each stored, by its own log.
    stored: Vec<f64>,
}

/// Has 1, 2, … consumers store a file.
///
/// # Errors
/// When a program fails, or the tables do not contain what was sent.
pub(crate) async fn compare(
    workload: &Workload,
    file: &File,
    servers: &Servers,
    replicas: Replicas,
) -> anyhow::Result<Vec<Turn>> {
    let env = Env { name: NAME, workload, servers, partitions: PARTITIONS, programs: None };
    let mut turns = Vec::new();
    for _ in 1..=replicas.repeat {
        for count in 1..=replicas.most {
            env.migrate().await?;
            kafka_tools::make_topic(servers, NAME, PARTITIONS).await?;
            let turn = turn(env, count, file).await?;
            let (facts, records) = (env.facts().await?, turn.records);
            let expected = file.facts.unwrap_or(facts);
            ensure!(facts == expected, "{records} records bring {expected} facts; {count} consumers stored {facts}");
            turns.push(turn);
            servers.drop_database(NAME).await?;
            kafka_tools::delete_topics(servers).await?;
        }
    }
    Ok(turns)
}

/// One turn, on an empty topic and an empty database.
async fn turn(env: Env<'_>, replicas: u32, file: &File) -> anyhow::Result<Turn> {
    let running = gather(env, replicas).await?;
    let mut connection = PgConnection::connect(&env.servers.database(NAME)).await?;
    let mut gate = connection.begin().await?;
    sqlx::query(HOLD_BACK).execute(&mut *gate).await?;
    let records = env.produce(file, &format!("for-{replicas}")).await?.records;
    eprintln!("▸ {NAME} consumers: {replicas}");
    let (before, began) = (Ticks::now()?, Instant::now());
    gate.rollback().await?;
    while stored(&mut connection).await? < i64::from(records) {
        ensure!(began.elapsed() < child::LIMIT, "{replicas} consumers do not store {records} records");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let (took, ticks) = (began.elapsed(), Ticks::now()?.since(before));
    let peaks = running.iter().map(|consumer| consumer.memory_kib("VmHWM").unwrap_or(f64::NAN));
    let peak_mib = peaks.sum::<f64>() / 1024.0;
    let read = i64::from(env.read().await?);
    ensure!(read == i64::from(records), "{records} records were sent, and {replicas} consumers read {read}");
    connection.close().await?;
    let mut stored = Vec::new();
    for (consumer, number) in running.into_iter().zip(1..) {
        stored.push(end(consumer, &format!("{number}-of-{replicas}")).await?);
    }
    Ok(Turn { replicas, records, took, peak_mib, ticks, stored })
}

/// Starts so many consumers, and waits until each has its share of the partitions.
pub(crate) async fn gather(env: Env<'_>, replicas: u32) -> anyhow::Result<Vec<Running>> {
    let mut running = Vec::new();
    for _ in 0..replicas {
        running.push(env.follower()?.start()?);
    }
    let began = Instant::now();
    while !running.iter().all(|consumer| consumer.stderr().iter().any(|line| line.contains(child::READY))) {
        ensure!(began.elapsed() < child::LIMIT, "{replicas} consumers do not become ready");
        for consumer in &mut running {
            ensure!(consumer.poll()?.is_none(), "a consumer ended before it was ready: {:?}", consumer.stderr());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    tokio::time::sleep(GATHERING).await;
    env.servers.settle().await?;
    Ok(running)
}

/// Records that are stored so far.
pub(crate) async fn stored(connection: &mut PgConnection) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar("SELECT coalesce(sum(read), 0)::bigint FROM ingest_accounting").fetch_one(connection).await?)
}

/// Stops a program, and waits until it has ended.
pub(crate) async fn stop(mut running: Running) -> anyhow::Result<Ended> {
    running.signal("TERM")?;
    loop {
        match running.poll()? {
            Some(ended) => return Ok(ended),
            None => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Stops a consumer, saves its log, and returns how many records it stored by that log.
pub(crate) async fn end(consumer: Running, name: &str) -> anyhow::Result<f64> {
    let ended = stop(consumer).await?.expect_code(0)?;
    child::keep_log(&folder().join(format!("logs/{NAME}-consumer-{name}.log")), &ended)?;
    Ok(child::numbers_before(&ended.stderr, "saved to PostgreSQL", "records").fold(0.0, |sum, records| sum + records))
}

const HEADER: [&str; 8] = [
    "consumers at once",
    "records/s",
    "against one",
    "wall s",
    "peak MiB, together",
    "machine busy",
    "waiting for the disk",
    "records of each",
];

/// Writes the section.
pub(crate) fn section(turns: &[Turn]) -> String {
    let most = turns.iter().map(|turn| turn.replicas).max().unwrap_or(0);
    let rows: Vec<_> = (1..=most).map(|replicas| row(turns, replicas)).collect();
    [
        format!("\n## Several consumers at once, {PARTITIONS} partitions\n\n"),
        table(HEADER, &rows),
        "\nOf consumers that follow the topic, from the moment that all may commit to the last record stored; *busy* and \
         *waiting* are of all processors, broker and database included; *records of each* are the shares of one turn.\n"
            .to_owned(),
    ]
    .concat()
}

fn row(turns: &[Turn], replicas: u32) -> [String; 8] {
    let of = |figure: fn(&Turn) -> f64| spread(turns, replicas, figure);
    let percent = |figure: f64| format!("{figure:.0} %");
    let rate: fn(&Turn) -> f64 = |turn| f64::from(turn.records) / turn.took.as_secs_f64();
    let against_one = within_rounds(each(turns, replicas, rate), each(turns, 1, rate));
    [
        replicas.to_string(),
        of(rate).shown(grouped),
        format!("{} ×", against_one.shown(|times| format!("{times:.2}"))),
        format!("{:.2}", of(|turn| turn.took.as_secs_f64()).median),
        of(|turn| turn.peak_mib).shown(|mib| format!("{mib:.0}")),
        of(|turn| turn.ticks.busy_percent()).shown(percent),
        of(|turn| turn.ticks.waiting_percent()).shown(percent),
        turns.iter().find(|turn| turn.replicas == replicas).map(shares).unwrap_or_default(),
    ]
}

fn spread(turns: &[Turn], replicas: u32, figure: fn(&Turn) -> f64) -> Spread {
    Spread::of(each(turns, replicas, figure))
}

/// A figure of each round.
fn each(turns: &[Turn], replicas: u32, figure: fn(&Turn) -> f64) -> impl Iterator<Item = f64> {
    turns.iter().filter(move |turn| turn.replicas == replicas).map(figure)
}

/// What part of the records each consumer stored, by its own log, the largest first.
fn shares(turn: &Turn) -> String {
    let mut shares: Vec<f64> = turn.stored.iter().map(|stored| 100.0 * stored / f64::from(turn.records)).collect();
    shares.sort_by(|one, other| other.total_cmp(one));
    shares.iter().map(|share| format!("{share:.0} %")).collect::<Vec<_>>().join(", ")
}

//! Several consumers at once on one topic: how throughput grows with them, and what the machine does meanwhile.
//!
//! Every number of consumers has its turn in each round, on a topic and a database of its own, new and gone after it. They
//! join an empty topic and follow it; when the group has settled, a lock keeps them from committing until the file is
//! sent. From its release to the last record stored counts, so that neither joins nor the producer are in it. Until then
//! each may have read ahead as much as its queues hold. What they have stored is checked as on the road.

mod section;

use std::time::{Duration, Instant};

use anyhow::ensure;
use demo::process::{Ended, Running};
use sqlx::{Connection, PgConnection};

pub(crate) use self::section::section;
use crate::{
    child, kafka_tools,
    machine::Ticks,
    place::Place,
    servers::{Servers, folder},
    subject::{File, Subject},
};

/// As many as 1, 2, 3, 4 and 6 consumers share evenly.
pub(crate) const PARTITIONS: u32 = 12;
/// The topic and the database of every turn; there is one at a time.
const NAME: &str = "bench_replicas";
/// Until the group has settled: a partition changes hands in two steps, and members learn of each at a heartbeat, every
/// two seconds.
const GATHERING: Duration = Duration::from_secs(7);
/// Nobody can commit while it is held.
pub(crate) const HOLD_BACK: &str = "LOCK TABLE stream_offsets IN SHARE ROW EXCLUSIVE MODE";
/// How often it is looked whether all is stored, or said, or over: turns are known this exactly.
const LOOK_EVERY: Duration = Duration::from_millis(10);

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
    /// What all processors did meanwhile, for whomever.
    ticks: Ticks,
    /// How many records each stored, by its own log.
    stored: Vec<f64>,
}

/// Has 1, 2, … consumers store a file.
///
/// # Errors
/// When a program fails, or the tables do not hold what was sent.
pub(crate) async fn compare(
    subject: &Subject,
    (file, servers): (&File, &Servers),
    replicas: Replicas,
) -> anyhow::Result<Vec<Turn>> {
    let place = Place { name: NAME, subject, servers, partitions: PARTITIONS };
    let mut turns = Vec::new();
    for _ in 1..=replicas.repeat {
        for count in 1..=replicas.most {
            place.migrate().await?;
            kafka_tools::make_topic(servers, (NAME, PARTITIONS)).await?;
            let turn = turn(place, (count, file)).await?;
            let (facts, records) = (place.facts().await?, turn.records);
            let expected = file.facts.unwrap_or(facts);
            ensure!(facts == expected, "{records} records tell {expected} facts; {count} consumers stored {facts}");
            turns.push(turn);
            servers.drop_database(NAME).await?;
            kafka_tools::delete_topics(servers).await?;
        }
    }
    Ok(turns)
}

/// One turn, on an empty topic and an empty database.
async fn turn(place: Place<'_>, (replicas, file): (u32, &File)) -> anyhow::Result<Turn> {
    let running = gather(place, replicas).await?;
    let mut connection = PgConnection::connect(&place.servers.database(NAME)).await?;
    let mut gate = connection.begin().await?;
    sqlx::query(HOLD_BACK).execute(&mut *gate).await?;
    let records = place.produce(file, &format!("for-{replicas}")).await?.records;
    eprintln!("▸ {NAME} consumers: {replicas}");
    let (before, began) = (Ticks::now()?, Instant::now());
    gate.rollback().await?;
    while stored(&mut connection).await? < i64::from(records) {
        ensure!(began.elapsed() < child::LIMIT, "{replicas} consumers do not store {records} records");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let (took, ticks) = (began.elapsed(), Ticks::now()?.since(before));
    let peaks = running.iter().map(|consumer| consumer.memory_kib("VmHWM").unwrap_or(f64::NAN));
    let peak_mib = peaks.sum::<f64>() / 1024.0;
    let read = i64::from(place.read().await?);
    ensure!(read == i64::from(records), "{records} records were sent, and {replicas} consumers read {read}");
    connection.close().await?;
    let mut stored = Vec::new();
    for (consumer, number) in running.into_iter().zip(1..) {
        stored.push(end(consumer, &format!("{number}-of-{replicas}")).await?);
    }
    Ok(Turn { replicas, records, took, peak_mib, ticks, stored })
}

/// Starts so many consumers, and waits until each has its share of the partitions.
pub(crate) async fn gather(place: Place<'_>, replicas: u32) -> anyhow::Result<Vec<Running>> {
    let mut running = Vec::new();
    for _ in 0..replicas {
        running.push(place.follower()?.start()?);
    }
    let began = Instant::now();
    while !running.iter().all(|consumer| consumer.stderr().iter().any(|line| line.contains(child::READY))) {
        ensure!(began.elapsed() < child::LIMIT, "{replicas} consumers do not become ready");
        for consumer in &mut running {
            ensure!(consumer.poll()?.is_none(), "a consumer ended before it was ready: {:?}", consumer.stderr());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tokio::time::sleep(GATHERING).await;
    place.servers.settle().await?;
    Ok(running)
}

/// Records that are stored so far.
pub(crate) async fn stored(connection: &mut PgConnection) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar("SELECT coalesce(sum(read), 0)::bigint FROM ingest_accounting").fetch_one(connection).await?)
}

/// Has a program stop, and waits until it has.
pub(crate) async fn stop(mut running: Running) -> anyhow::Result<Ended> {
    running.signal("TERM")?;
    loop {
        match running.poll()? {
            Some(ended) => return Ok(ended),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Has a consumer stop, keeps its log, and tells how many records it says to have stored.
pub(crate) async fn end(consumer: Running, name: &str) -> anyhow::Result<f64> {
    let ended = stop(consumer).await?.expect_code(0)?;
    child::keep_log(&folder().join(format!("logs/{NAME}-consumer-{name}.log")), &ended)?;
    Ok(child::numbers_before(&ended.stderr, ("saved to PostgreSQL", "records")).fold(0.0, |sum, records| sum + records))
}

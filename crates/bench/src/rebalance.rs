//! What a rebalance costs the partitions that keep their consumer: during a takeover of others, and during restarts.
//!
//! The stored offset of each partition is read every few milliseconds.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use sqlx::{Connection, PgConnection};
use testkit::process::Running;

use crate::{
    child,
    env::{self, Env},
    kafka_tools,
    replicas::{self, PARTITIONS},
    servers::{Servers, folder},
    table::{grouped, table},
    workload::{File, Workload},
};

/// The topic and the database; only one of each exists at a time.
const NAME: &str = "bench_rebalance";
/// How often the stored offsets are read: the precision of the waits.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How long everything runs undisturbed before and after each disturbance.
const CALM: Duration = Duration::from_secs(3);
/// How long a consumer is gone before the next one starts: others take its partitions over.
const GONE: Duration = Duration::from_secs(5);
/// How many copies of the file can be read while partitions are taken over.
const COPIES: u32 = 2;
/// Records a second that are sent while replicas restart.
const RATE: u32 = 40_000;

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Rebalance {
    takeover: Takeover,
    restart: Restart,
}

/// A consumer reads half of the partitions, and takes over the other half.
#[derive(Clone, Debug)]
struct Takeover {
    /// Facts of the partitions that are taken over.
    facts: u32,
    /// From the end of their owner until the last of them is read.
    took: Duration,
    /// The longest time without a stored record of its own partitions.
    longest: Duration,
    /// Records of its own partitions a second, before and meanwhile.
    rates: (f64, f64),
}

/// Three replicas restart one after another.
#[derive(Clone, Debug)]
struct Restart {
    took: Duration,
    /// The longest time without progress of a partition that stayed with a replica that was not restarting.
    longest: Duration,
}

/// How far a partition is stored, and by which consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct At {
    next: i64,
    owner: String,
}

/// How far all partitions were, at one time.
type Sample = (Instant, BTreeMap<i32, At>);

/// Measures both, on their own topic and database.
///
/// # Errors
/// When a program fails, or the tables do not contain what was sent.
pub(crate) async fn measure(workload: &Workload, file: &File, servers: &Servers) -> anyhow::Result<Rebalance> {
    let env = Env { name: NAME, workload, servers, partitions: PARTITIONS, programs: None };
    env.migrate().await?;
    kafka_tools::make_topic(servers, NAME, PARTITIONS).await?;
    let records = env.transfer(file, "rebalance").await?.producer.records;
    let takeover = takeover(env, file, records).await?;
    let restart = restart(env, file, records).await?;
    servers.drop_database(NAME).await?;
    kafka_tools::delete_topics(servers).await?;
    Ok(Rebalance { takeover, restart })
}

/// Two consumers share the partitions, and one of them stops.
async fn takeover(env: Env<'_>, file: &File, records: u32) -> anyhow::Result<Takeover> {
    let facts = env.facts().await?;
    let mut connection = PgConnection::connect(&env.servers.database(NAME)).await?;
    let mut both = replicas::gather(env, 2).await?;
    // No consumer can commit while the file is sent again.
    let mut gate = connection.begin().await?;
    sqlx::query(replicas::HOLD_BACK).execute(&mut *gate).await?;
    for copy in 1..=COPIES {
        env.produce(file, &format!("again-{copy}")).await?;
    }
    gate.rollback().await?;
    let mut samples = Vec::new();
    watch(&mut connection, &mut samples, CALM).await?;
    eprintln!("▸ {NAME} takeover");
    let (goes, stays) = (both.pop().context("there are two")?, both.pop().context("there are two")?);
    let theirs = of(&samples, &goes);
    let began = Instant::now();
    goes.signal("TERM")?;
    let taken = |sample: &Sample| {
        theirs
            .iter()
            .all(|(partition, next)| sample.1.get(partition).is_some_and(|at| is_of(at, &stays) && at.next > *next))
    };
    while !samples.last().is_some_and(taken) {
        ensure!(began.elapsed() < child::LIMIT, "the partitions of a consumer that has stopped are not taken over");
        watch(&mut connection, &mut samples, POLL_INTERVAL).await?;
    }
    let ended = Instant::now();
    // A wait that is not over yet counts as well.
    watch(&mut connection, &mut samples, CALM).await?;
    replicas::end(goes, "goes").await?;
    finish(&mut connection, u64::from(records) * u64::from(1 + COPIES)).await?;
    replicas::end(stays, "stays").await?;
    samples.iter_mut().for_each(|sample| sample.1.retain(|partition, _| !theirs.contains_key(partition)));
    let (before, during): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(|sample| sample.0 < began);
    let longest = longest_wait(&together(&during), |_, _| true);
    let meanwhile: Vec<Sample> = during.into_iter().take_while(|sample| sample.0 <= ended).collect();
    Ok(Takeover { facts: facts / 2, took: ended - began, longest, rates: (rate(&before), rate(&meanwhile)) })
}

/// Three consumers share the partitions, and are stopped and started one after another.
async fn restart(env: Env<'_>, file: &File, records: u32) -> anyhow::Result<Restart> {
    let mut connection = PgConnection::connect(&env.servers.database(NAME)).await?;
    let mut running = replicas::gather(env, 3).await?;
    let sending = env.producer(file)?.args(["--rate", &RATE.to_string()]).start()?;
    let mut samples = Vec::new();
    // The consumers that run normally, from when to when.
    let mut well: BTreeMap<String, (Instant, Option<Instant>)> = BTreeMap::new();
    let began = Instant::now();
    well.extend(running.iter().map(|consumer| (id(consumer), (began, None))));
    watch(&mut connection, &mut samples, CALM).await?;
    for number in 1..=3 {
        eprintln!("▸ {NAME} restart {number}");
        let consumer = running.remove(0);
        well.entry(id(&consumer)).and_modify(|times| times.1 = Some(Instant::now()));
        consumer.signal("TERM")?;
        let mut consumer = Some(consumer);
        while let Some(mut stopping) = consumer.take() {
            match stopping.poll()? {
                Some(ended) => {
                    child::keep_log(
                        &folder().join(format!("logs/{NAME}-restarted-{number}.log")),
                        &ended.expect_code(0)?,
                    )?;
                }
                None => consumer = Some(stopping),
            }
            watch(&mut connection, &mut samples, POLL_INTERVAL).await?;
        }
        watch(&mut connection, &mut samples, GONE).await?;
        let next = env.follower()?.start()?;
        while !next.stderr().iter().any(|line| line.contains(child::READY)) {
            ensure!(began.elapsed() < child::LIMIT, "a consumer does not become ready");
            watch(&mut connection, &mut samples, POLL_INTERVAL).await?;
        }
        well.insert(id(&next), (Instant::now(), None));
        running.push(next);
        watch(&mut connection, &mut samples, CALM).await?;
    }
    let took = began.elapsed();
    let ended = replicas::stop(sending).await?;
    let sent = child::field(&ended.stderr, "records/s", "acknowledged");
    let sent = env::whole(sent.context("the producer gave no summary")?)?;
    finish(&mut connection, u64::from(records) * u64::from(1 + COPIES) + u64::from(sent)).await?;
    for (consumer, number) in running.into_iter().zip(1..) {
        replicas::end(consumer, &format!("started-again-{number}")).await?;
    }
    let is_well = |at: &At, when: Instant| {
        well.iter().any(|(id, (from, to))| is_id(at, id) && when >= *from && to.is_none_or(|to| when < to))
    };
    Ok(Restart { took, longest: longest_wait(&samples, is_well) })
}

/// Reads the stored offsets of all partitions repeatedly, for so long.
async fn watch(connection: &mut PgConnection, samples: &mut Vec<Sample>, time: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + time;
    loop {
        let rows: Vec<(i32, Option<i64>, Option<String>)> =
            sqlx::query_as("SELECT partition, next_offset, owner FROM stream_offsets")
                .fetch_all(&mut *connection)
                .await?;
        let at = |(partition, next, owner): (i32, Option<i64>, Option<String>)| {
            (partition, At { next: next.unwrap_or(0), owner: owner.unwrap_or_default() })
        };
        samples.push((Instant::now(), rows.into_iter().map(at).collect()));
        tokio::time::sleep(POLL_INTERVAL).await;
        if Instant::now() >= until {
            return Ok(());
        }
    }
}

/// Waits until so many records are stored, so that nothing was lost.
async fn finish(connection: &mut PgConnection, records: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let stored = replicas::stored(connection).await?.unsigned_abs();
        ensure!(stored <= records, "{records} records were sent, and {stored} read");
        if stored == records {
            return Ok(());
        }
        ensure!(began.elapsed() < child::LIMIT, "{records} records were sent, and {stored} read");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// How a claim names a consumer: see `owner` of `stream_offsets`.
fn id(consumer: &Running) -> String {
    format!("/{}", consumer.id())
}

fn is_id(at: &At, id: &str) -> bool {
    at.owner.ends_with(id)
}

fn is_of(at: &At, consumer: &Running) -> bool {
    is_id(at, &id(consumer))
}

/// The partitions of a consumer, and how far they are, from the last sample.
fn of(samples: &[Sample], consumer: &Running) -> BTreeMap<i32, i64> {
    let partitions = samples.last().into_iter().flat_map(|sample| &sample.1);
    partitions.filter(|(_, at)| is_of(at, consumer)).map(|(partition, at)| (*partition, at.next)).collect()
}

/// How far all of them are together, as if they were one partition.
fn together(samples: &[Sample]) -> Vec<Sample> {
    let sum =
        |partitions: &BTreeMap<i32, At>| At { next: partitions.values().map(|at| at.next).sum(), owner: String::new() };
    samples.iter().map(|(now, partitions)| (*now, BTreeMap::from([(0, sum(partitions))]))).collect()
}

/// Records a second of all partitions.
fn rate(samples: &[Sample]) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return f64::NAN };
    let read: i64 = first.1.iter().map(|(partition, at)| last.1[partition].next - at.next).sum();
    let read = u32::try_from(read).map_or(f64::NAN, f64::from);
    read / (last.0 - first.0).as_secs_f64()
}

/// The longest time that a partition which counts made no progress, though its consumer had read from it before, and
/// continued afterwards.
fn longest_wait(samples: &[Sample], counts: impl Fn(&At, Instant) -> bool) -> Duration {
    // Since when each has its offset; `None` until its owner has stored anything of it.
    let mut since: BTreeMap<i32, (Option<Instant>, &At)> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for (now, partitions) in samples {
        for (partition, at) in partitions {
            let is_read = match since.get(partition) {
                Some((_, before)) if before.owner != at.owner => false,
                Some((_, before)) if *before == at => continue,
                Some((began, _)) => {
                    let wait = began.filter(|_| counts(at, *now)).map(|began| *now - began);
                    longest = longest.max(wait.unwrap_or_default());
                    true
                }
                None => false,
            };
            since.insert(*partition, (is_read.then_some(*now), at));
        }
    }
    longest
}

/// Writes the section.
pub(crate) fn section(measured: &Rebalance) -> String {
    let Rebalance { takeover, restart } = measured;
    let ms = |wait: Duration| format!("{:.0}", wait.as_secs_f64() * 1e3);
    let half = PARTITIONS / 2;
    let share = takeover.rates.1 / takeover.rates.0;
    let rows = [
        [format!("takeover: facts of the {half} partitions"), grouped(f64::from(takeover.facts))],
        ["takeover: s until the last of them is read".to_owned(), format!("{:.1}", takeover.took.as_secs_f64())],
        ["takeover: longest time without a record of the others, ms".to_owned(), ms(takeover.longest)],
        ["takeover: records/s of the others, before".to_owned(), grouped(takeover.rates.0)],
        [
            "takeover: records/s of the others, meanwhile".to_owned(),
            format!("{} ({share:.2} ×)", grouped(takeover.rates.1)),
        ],
        ["rolling restart of 3: s".to_owned(), format!("{:.1}", restart.took.as_secs_f64())],
        ["rolling restart of 3: longest wait of a partition of one that runs, ms".to_owned(), ms(restart.longest)],
    ];
    [
        format!("\n## A rebalance, {PARTITIONS} partitions\n\n"),
        table(["figure", ""], &rows),
        format!(
            "\n*Takeover*: of two consumers one stops, and all partitions have records to read. *Restart*: {RATE} records a second are \
             sent meanwhile. A *wait* is the time between two moves of a partition's stored offset by the same consumer.\n"
        ),
    ]
    .concat()
}

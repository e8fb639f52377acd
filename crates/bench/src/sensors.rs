//! Sensors: what the simulator makes, and what windows cost. Its readings are made on the way, so that there is no file.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::process::{Program, Running};

use crate::{
    child::{self, Cost},
    env::{Env, PARTITIONS, whole},
    kafka_tools, replicas,
    servers::{Servers, folder},
    table::{grouped, table},
    usage::Usage,
    workload::Workload,
};

/// The sensors of all steps but the one that asks for more.
const SENSORS: u32 = 20;
/// When simulated time begins: a month of it is over.
const START: &str = "2026-01-01T00:00:00Z";
/// Readings of a day.
const DAY: u32 = SENSORS * 86_400;
/// For how long readings come in real time.
const LIVE: Duration = Duration::from_secs(60);
/// How often the rows are looked at meanwhile: the precision of the delay.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// No events, so that every record is a reading.
const WORKLOAD: Workload = Workload {
    pipeline: "sensors",
    changelog: "sensors_changelog",
    files: |_, _| anyhow::bail!("readings are simulated"),
    in_words: |_, _| String::new(),
};

/// What a step cost.
pub(crate) struct Step {
    pub(crate) name: String,
    readings: u32,
    pub(crate) cost: Cost,
    /// Rows that were written to the cold store, for each that it has.
    written: Option<f64>,
    /// Bytes of log, and of the database, a reading.
    bytes: Option<(f64, f64)>,
}

impl Step {
    fn row(&self) -> [String; 8] {
        let [first, _, last] = self.cost.thirds_mib;
        let some = |number: Option<f64>, digits: usize| number.map_or_else(String::new, |n| format!("{n:.digits$}"));
        [
            self.name.clone(),
            grouped(self.readings.into()),
            format!("{:.1}", self.cost.took.as_secs_f64()),
            if self.readings > 0 {
                grouped(f64::from(self.readings) / self.cost.took.as_secs_f64())
            } else {
                String::new()
            },
            format!("{:.0} ({first:.0}, {last:.0})", self.cost.peak_mib),
            self.cost.ready.map_or_else(String::new, |ready| format!("{:.0}", ready.as_secs_f64() * 1e3)),
            some(self.written, 3),
            self.bytes.map_or_else(String::new, |(log, disk)| format!("{log:.1}; {disk:.1}")),
        ]
    }
}

/// Measures everything and writes the section.
///
/// # Errors
/// When a program fails, or the tables do not contain what was sent.
pub(crate) async fn measure(servers: &Servers, readings: u32, with_peer: bool) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder().join("logs"))?;
    let mut steps = Vec::new();
    warm_up(servers).await?;
    in_order(servers, readings, &mut steps).await?;
    beside(servers, readings, &mut steps).await?;
    let lacking = late(servers, with_peer, &mut steps).await?;
    let delays = live(servers).await?;
    Ok([
        format!("# Sensors: {} readings in order, and a day with late ones\n\n", grouped(readings.into())),
        steps_table(&steps),
        format!(
            "\nFrom a reading to its window's row, in real time with `--refresh-every 1s`, {} s: median {:.2} s, p99 {:.2} s, most {:.2} s.\n",
            LIVE.as_secs(),
            of(&delays, 50),
            of(&delays, 99),
            of(&delays, 100)
        ),
        lacking,
    ]
    .concat())
}

/// The steps as a table.
pub(crate) fn steps_table(steps: &[Step]) -> String {
    table(
        [
            "step",
            "readings",
            "s",
            "readings/s",
            "MiB (first, last third)",
            "ready ms",
            "cold writes a row",
            "B a reading: log; disk",
        ],
        &steps.iter().map(Step::row).collect::<Vec<_>>(),
    )
}

/// The first consumer of a new broker waits some seconds for its group.
pub(crate) async fn warm_up(servers: &Servers) -> anyhow::Result<()> {
    let env = env("bench_sensors_warm_up", servers);
    env.migrate().await?;
    simulate(env, &[], SENSORS, "simulator").await?;
    consume(env, &[], "consumer").await?;
    clear(env).await
}

/// Many sensors, at five times the speed of real time, for so many readings.
///
/// # Errors
/// When a program fails, or the consumer does not keep up.
pub(crate) async fn measure_many(servers: &Servers, sensors: u32, readings: u32) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder().join("logs"))?;
    warm_up(servers).await?;
    let env = env("bench_sensors_many", servers);
    env.migrate().await?;
    kafka_tools::make_topic(servers, env.name, PARTITIONS).await?;
    let consumer = without_events(env.follower()?)
        .args(["--refresh-every", "30s", "--facts-memory", "640", "--max-facts-memory", "2048"])
        .start()?;
    wait_until_ready(&consumer).await?;
    let duration = format!("{}s", readings / sensors);
    let args = ["--speed=5", "--start", START, "--anomaly=0%", "--duration", &duration];
    let mut simulating = simulator_of(env, sensors, &args)?.start()?;
    let began = Instant::now();
    // What a load would have to read, and what was not read yet.
    let tail = "SELECT coalesce(sum(s.facts), 0)::bigint FROM sensors_segments s JOIN stream_offsets o
                ON o.partition = s.owner_partition AND s.id > o.redo_from";
    let (mut resident, mut tails, mut behind) = (Vec::new(), Vec::new(), Vec::new());
    let ended = loop {
        if let Some(ended) = simulating.poll()? {
            break ended.expect_code(0)?;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        resident.extend(consumer.memory_kib("VmRSS").map(|kib| kib / 1024.0));
        tails.push(f64::from(servers.count(env.name, tail).await?));
        let due = began.elapsed().as_secs_f64() * 5.0 * f64::from(sensors);
        behind.push(due - f64::from(env.read().await?));
    };
    let sending = began.elapsed();
    let sent = child::field(&ended.stderr, "records/s", "acknowledged").context("the producer gave no summary")?;
    while f64::from(env.read().await?) < sent {
        ensure!(began.elapsed() < child::LIMIT, "the consumer does not come to the end");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let caught_up = began.elapsed() - sending;
    replicas::end(consumer, env.name).await?;
    clear(env).await?;
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let thirds = child::thirds(&resident);
    let rows = [
        ["readings".to_owned(), grouped(sent)],
        ["sent for, s".to_owned(), format!("{:.0}", sending.as_secs_f64())],
        ["readings/s".to_owned(), grouped(sent / sending.as_secs_f64())],
        ["most readings behind what was due".to_owned(), grouped(most(&behind))],
        ["from the last reading sent to the last stored, s".to_owned(), format!("{:.1}", caught_up.as_secs_f64())],
        ["most MiB in each third".to_owned(), thirds.map(|mib| format!("{mib:.0}")).join("; ")],
        ["most facts that a load would have to read".to_owned(), grouped(most(&tails))],
    ];
    Ok(format!(
        "# {} sensors at five times real time, --refresh-every 30s\n\n{}",
        grouped(sensors.into()),
        table(["figure", ""], &rows)
    ))
}

/// So many readings of twenty sensors, in order; then a restart.
async fn in_order(servers: &Servers, readings: u32, steps: &mut Vec<Step>) -> anyhow::Result<()> {
    let env = env("bench_sensors", servers);
    env.migrate().await?;
    steps.push(simulate(env, &[], readings, "simulator alone").await?);
    steps.push(consume(env, &[], "consumer alone").await?);
    steps.push(consume(env, &[], "restart, nothing to read").await?);
    clear(env).await
}

/// The consumer while the simulator sends.
async fn beside(servers: &Servers, readings: u32, steps: &mut Vec<Step>) -> anyhow::Result<()> {
    let env = env("bench_sensors_beside", servers);
    env.migrate().await?;
    kafka_tools::make_topic(servers, env.name, PARTITIONS).await?;
    let consumer = without_events(env.follower()?).start()?;
    wait_until_ready(&consumer).await?;
    let began = Instant::now();
    let sent = simulate(env, &[], readings, "simulator beside the consumer").await?;
    while env.read().await? < sent.readings {
        ensure!(began.elapsed() < child::LIMIT, "the consumer does not come to the end");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let took = began.elapsed();
    let peak_mib = consumer.memory_kib("VmHWM").unwrap_or(f64::NAN) / 1024.0;
    replicas::end(consumer, env.name).await?;
    let mut sent = Step { name: "consumer beside the simulator".to_owned(), ..sent };
    (sent.cost.took, sent.cost.peak_mib, sent.cost.thirds_mib) = (took, peak_mib, [f64::NAN; 3]);
    steps.push(sent);
    clear(env).await
}

/// A day in order; the same day with 1 % of its readings late by up to a day, with a budget of twice its windows and with the default one.
async fn late(servers: &Servers, with_peer: bool, steps: &mut Vec<Step>) -> anyhow::Result<String> {
    let late: &[&str] = &["--late=1%", "--late-by=1day"];
    let runs: [(&'static str, &[&str], &[&str], &str); 3] = [
        ("bench_sensors_day", &[], &[], "a day in order"),
        ("bench_sensors_late", late, &["--facts-memory=64"], "a day, 1 % late, 64 MiB for facts"),
        ("bench_sensors_late_default", late, &[], "a day, 1 % late"),
    ];
    let mut lacking = String::new();
    for (name, simulated, consumed, step) in runs {
        let env = env(name, servers);
        env.migrate().await?;
        simulate(env, simulated, DAY, "simulator").await?;
        steps.push(consume(env, consumed, step).await?);
        if with_peer && name == "bench_sensors_late" {
            let ours = "SELECT sum(reading_count)::bigint FROM sensor_temperatures";
            let late = "SELECT sum(late_count)::bigint FROM sensor_temperatures";
            let (ours, late) = (servers.count(env.name, ours).await?, servers.count(env.name, late).await?);
            let (step, theirs) = flink(env).await?;
            steps.push(step);
            lacking = format!(
                "\nOf the day with late readings our windows have {} readings, {} of which were late. Flink's have {}: it lacks {}.\n",
                grouped(ours.into()),
                grouped(late.into()),
                grouped(theirs.into()),
                grouped(f64::from(ours) - f64::from(theirs))
            );
        }
        clear(env).await?;
    }
    Ok(lacking)
}

/// Flink's tumbling windows over the same topic, and the readings that they are of.
async fn flink(env: Env<'_>) -> anyhow::Result<(Step, u32)> {
    const DATABASE: &str = "bench_sensors_flink";
    eprintln!("▸ {DATABASE}");
    let peers = testkit::repository().join("peers/flink");
    let state = folder().join("state");
    drop(std::fs::remove_dir_all(&state));
    env.servers.make_database(DATABASE).await?;
    env.servers.run_in(DATABASE, std::fs::read_to_string(peers.join("windows_tables.sql"))?).await?;
    env.servers.settle().await?;
    let program = Program::at("flink", &peers.join("run"))
        .env("STATEMENTS", "windows.sql")
        .env("STATE", &state)
        .env("JAVA_HOME", std::env::var_os("JAVA_HOME").unwrap_or_default())
        .env("TOPIC", env.name)
        .env("GROUP", DATABASE)
        .env("KAFKA_BROKERS", env.servers.brokers())
        .env("DATABASE_URL", env.servers.database(DATABASE));
    let cost = child::run(program, &folder().join("logs/bench_sensors_flink.log")).await?;
    drop(std::fs::remove_dir_all(&state));
    let counted = env.servers.count(DATABASE, "SELECT sum(reading_count)::bigint FROM sensor_temperatures").await?;
    env.servers.drop_database(DATABASE).await?;
    let readings = env.read().await?;
    let name = "Flink SQL: the same topic, 1 % late".to_owned();
    Ok((Step { name, readings, cost, written: None, bytes: None }, counted))
}

/// How long readings take to their rows, each time the rows were looked at, seconds, in order.
async fn live(servers: &Servers) -> anyhow::Result<Vec<f64>> {
    let env = env("bench_sensors_live", servers);
    env.migrate().await?;
    kafka_tools::make_topic(servers, env.name, PARTITIONS).await?;
    let consumer = without_events(env.follower()?).args(["--refresh-every", "1s"]).start()?;
    wait_until_ready(&consumer).await?;
    let simulator = simulator(env, &["--anomaly=0%", "--speed=realtime"])?.start()?;
    let mut connection = PgConnection::connect(&servers.database(env.name)).await?;
    // The rows say how many readings they are of; each sensor's come one a second, the sensors in turn.
    let seen =
        "SELECT coalesce(sum(reading_count), 0)::bigint, coalesce(extract(epoch FROM clock_timestamp()), 0)::float8
                FROM sensor_temperatures";
    let (mut delays, mut first) = (Vec::new(), None);
    let began = Instant::now();
    while began.elapsed() < LIVE {
        let (rows, now): (i64, f64) = sqlx::query_as(seen).fetch_one(&mut connection).await?;
        if rows > 0 {
            let first: f64 = match first {
                Some(first) => first,
                None => *first.insert(first_reading(&mut connection).await?),
            };
            #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
            let shown_to = first + (rows - 1) as f64 / f64::from(SENSORS);
            delays.push(now - shown_to);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    replicas::end(simulator, "bench_sensors_live_simulator").await?;
    replicas::end(consumer, env.name).await?;
    clear(env).await?;
    delays.sort_by(f64::total_cmp);
    ensure!(!delays.is_empty(), "no row has come");
    Ok(delays)
}

/// When the first reading was taken, seconds since 1970.
async fn first_reading(connection: &mut PgConnection) -> anyhow::Result<f64> {
    let first = "SELECT min(extract(epoch FROM measured_at))::float8 FROM sensor_readings";
    Ok(sqlx::query_scalar(first).fetch_one(connection).await?)
}

/// A percentile of values in order.
fn of(sorted: &[f64], percent: usize) -> f64 {
    sorted[((sorted.len() - 1) * percent).div_ceil(100)]
}

fn env<'a>(name: &'static str, servers: &'a Servers) -> Env<'a> {
    Env { name, workload: &WORKLOAD, servers, partitions: PARTITIONS, programs: None }
}

fn without_events(program: Program) -> Program {
    program.env("NO_EVENTS", "1")
}

fn simulator(env: Env<'_>, args: &[&str]) -> anyhow::Result<Program> {
    simulator_of(env, SENSORS, args)
}

fn simulator_of(env: Env<'_>, sensors: u32, args: &[&str]) -> anyhow::Result<Program> {
    let program = Program::new("producer")?.args(["--pipeline", env.workload.pipeline, "--topic", env.name]);
    let program =
        program.args(["--partitions", &env.partitions.to_string(), "--source", "simulator"]).args(args.iter());
    let count = if env.workload.pipeline == WORKLOAD.pipeline { "--sensors" } else { "--devices" };
    Ok(without_events(program).args([count, &sensors.to_string()]).env("KAFKA_BROKERS", env.servers.brokers()))
}

/// Sends so many readings, as fast as it can.
pub(crate) async fn simulate(env: Env<'_>, args: &[&str], readings: u32, name: &str) -> anyhow::Result<Step> {
    eprintln!("▸ {} {name}", env.name);
    let duration = format!("{}s", readings / SENSORS);
    let program =
        simulator(env, args)?.args(["--speed=max", "--start", START, "--anomaly=0%", "--duration", &duration]);
    let cost = child::run(program, &folder().join(format!("logs/{}-producer.log", env.name))).await?;
    let sent = whole(cost.field("records/s", "acknowledged").context("the producer gave no summary")?)?;
    Ok(Step { name: name.to_owned(), readings: sent, cost, written: None, bytes: None })
}

/// Stores what was sent.
pub(crate) async fn consume(env: Env<'_>, args: &[&str], name: &str) -> anyhow::Result<Step> {
    eprintln!("▸ {} {name}", env.name);
    let read_before = env.read().await?;
    env.servers.settle().await?;
    let before = Usage::so_far(env.servers, env.name).await?;
    let program = without_events(env.consumer()?).args(args.iter());
    let cost = child::run(program, &folder().join(format!("logs/{}-consumer.log", env.name))).await?;
    let usage = Usage::so_far(env.servers, env.name).await?.since(before);
    let readings = env.read().await? - read_before;
    let cold = format!("{}_cold", env.workload.pipeline);
    let written = format!(
        "SELECT n_tup_ins::float8 / nullif((SELECT count(*) FROM {cold}), 0) FROM pg_stat_user_tables WHERE relname = '{cold}'"
    );
    let mut connection = PgConnection::connect(&env.servers.database(env.name)).await?;
    let written: Option<f64> = sqlx::query_scalar(AssertSqlSafe(written)).fetch_one(&mut connection).await?;
    let per = |bytes: f64| bytes / f64::from(readings);
    let bytes = (readings > 0).then(|| (per(usage.log), per(usage.disk)));
    Ok(Step { name: name.to_owned(), readings, cost, written: written.filter(|_| readings > 0), bytes })
}

async fn wait_until_ready(consumer: &Running) -> anyhow::Result<()> {
    let began = Instant::now();
    while !consumer.stderr().iter().any(|line| line.contains(child::READY)) {
        ensure!(began.elapsed() < child::LIMIT, "a consumer does not become ready");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

pub(crate) async fn clear(env: Env<'_>) -> anyhow::Result<()> {
    env.servers.drop_database(env.name).await?;
    kafka_tools::delete_topics(env.servers).await
}

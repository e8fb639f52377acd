//! The soak: records flow, and one fault after another befalls what they flow through, drawn from a seed.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use testkit::{
    postgres::Postgres,
    process::{Ended, Running},
};

use crate::{
    datasets::Dataset,
    disturbed::{STOP, check_the_end},
    env::{Env, LIMIT, READ, lock},
    kafka::Brokers,
    orders::sendings,
    proxy::{Proxy, Weather},
    random::Random,
    report::{saw, seconds},
    servers,
};

/// Records a second.
const RATE: &str = "200";
/// Time between the end of a fault and the next one.
const PAUSE_MS: usize = 8_000;
/// How much more memory a consumer may have at the least in the last third of the time than in the second, MiB: what an
/// allocator keeps of a backlog.
const GROWTH_MIB: f64 = 4.0;
/// How much it may have at the most, MiB, be it behind by as much as the faults can make it.
const PEAK_MIB: f64 = 64.0;

/// What can befall the env.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    ConsumerKilled,
    ConsumerStopped,
    ConsumerAsleep,
    ProducerKilled,
    KafkaKilled,
    PostgresKilled,
    SessionsEnded,
    NetworkCut,
    NetworkSilent,
    NetworkLost,
    NetworkSlow,
    TableLocked,
    Migrated,
}

const FAULTS: [Fault; 13] = [
    Fault::ConsumerKilled,
    Fault::ConsumerStopped,
    Fault::ConsumerAsleep,
    Fault::ProducerKilled,
    Fault::KafkaKilled,
    Fault::PostgresKilled,
    Fault::SessionsEnded,
    Fault::NetworkCut,
    Fault::NetworkSilent,
    Fault::NetworkLost,
    Fault::NetworkSlow,
    Fault::TableLocked,
    Fault::Migrated,
];

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whether a producer has sent everything; Kafka, starved by the rest of the machine, may have named no broker to it.
fn has_sent_all(ended: Ended) -> bool {
    let code = if ended.said("kafka named no broker") { 69 } else { 0 };
    ended.expect_code(code).unwrap();
    code == 0
}

pub(crate) fn soak<D: Dataset>() {
    let minutes = setting("SOAK_MINUTES").expect("make soak says how long");
    let seed = setting("SOAK_SEED").expect("make soak says which faults");
    // The pipelines soak side by side, each on its own servers.
    Soak::<D>::start(seed).run(Duration::from_secs(60 * minutes));
}

/// What is under the faults.
struct Soak<D: Dataset> {
    env: Env<D>,
    postgres: Postgres,
    proxy: Proxy,
    producer: Option<Running>,
    /// How often the world has been sent and corrected.
    rounds: u64,
    consumers: Vec<Running>,
    random: Random,
    befell: BTreeMap<Fault, u32>,
    /// The eldest consumer's own memory, without files' pages, MiB, and when it was read.
    memory: Vec<(Duration, f64)>,
    began: Instant,
}

impl<D: Dataset> Soak<D> {
    fn start(seed: u64) -> Self {
        let postgres = servers::postgres();
        let env = Env::<D>::at(Brokers::Own(servers::kafka()), postgres.url(), 6);
        let proxy = Proxy::to(env.postgres_address());
        let mut soak = Self {
            env,
            postgres,
            proxy,
            producer: None,
            rounds: 0,
            consumers: Vec::new(),
            random: Random::new(seed),
            befell: BTreeMap::new(),
            memory: Vec::new(),
            began: Instant::now(),
        };
        soak.consumers = vec![soak.consumer(), soak.consumer()];
        soak
    }

    /// A consumer that reaches Postgres through the proxy.
    fn consumer(&self) -> Running {
        let url = self.env.writer_url_at(self.proxy.address());
        let program = self.env.consumer(&["--refresh-every", "100ms", "--batch-size", "50"]);
        program.env("DATABASE_URL", url).start().unwrap()
    }

    /// A producer that sends the world and its corrections in another order than the round before.
    fn producer(&self) -> Running {
        let lines = sendings::<D>(1_000 + 10 * self.rounds).concat();
        self.env.producer(&lines, &["--rate", RATE]).start().unwrap()
    }

    fn run(mut self, time: Duration) {
        while self.began.elapsed() < time {
            let pause = Duration::from_millis(self.random.below(PAUSE_MS) as u64);
            let until = Instant::now() + pause;
            while Instant::now() < until {
                self.keep_going();
                thread::sleep(Duration::from_millis(100));
            }
            let fault = FAULTS[self.random.below(FAULTS.len())];
            self.befall(fault);
            *self.befell.entry(fault).or_default() += 1;
        }
        self.finish();
    }

    /// Sees to it that a producer runs and every consumer lives, and notes the eldest one's memory.
    fn keep_going(&mut self) {
        if let Some(ended) = self.producer.as_mut().and_then(|producer| producer.poll().unwrap()) {
            self.rounds += u64::from(has_sent_all(ended));
            self.producer = None;
        }
        if self.producer.is_none() {
            self.producer = Some(self.producer());
        }
        for consumer in &mut self.consumers {
            if let Some(ended) = consumer.poll().unwrap() {
                panic!("nobody asked it to end: {ended}");
            }
        }
        let memory = self.consumers[0].memory_kib("RssAnon").expect("it lives") / 1024.0;
        self.memory.push((self.began.elapsed(), memory));
    }

    fn befall(&mut self, fault: Fault) {
        let moment = Duration::from_millis(500 + self.random.below(5_000) as u64);
        let memory = self.memory.last().map_or(0.0, |(_, mib)| *mib);
        eprintln!("{:>8}  {}  {memory:.1} MiB  {fault:?}", seconds(self.began.elapsed()), D::PIPELINE);
        match fault {
            // The eldest lives throughout, or nobody would live long enough to grow.
            Fault::ConsumerKilled => {
                self.consumers.remove(1).kill().unwrap();
                self.consumers.push(self.consumer());
            }
            Fault::ConsumerStopped => {
                self.consumers.push(self.consumer());
                self.consumers.remove(1).stop(STOP).unwrap().expect_code(0).unwrap();
            }
            Fault::ConsumerAsleep => {
                self.consumers[0].signal("STOP").unwrap();
                // Longer than its session with Kafka.
                thread::sleep(Duration::from_secs(12) + moment);
                self.consumers[0].signal("CONT").unwrap();
            }
            Fault::ProducerKilled => {
                if let Some(producer) = self.producer.take() {
                    producer.kill().unwrap();
                }
            }
            Fault::KafkaKilled => {
                self.env.brokers.own().kill().unwrap();
                thread::sleep(moment);
                self.env.brokers.own().revive().unwrap();
            }
            Fault::PostgresKilled => {
                self.postgres.kill().unwrap();
                thread::sleep(moment);
                self.postgres.revive().unwrap();
            }
            Fault::SessionsEnded => self
                .env
                .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tributary'"),
            Fault::NetworkCut => self.proxy.cut(),
            Fault::NetworkSilent => self.weather(Weather::Silent, moment),
            Fault::NetworkLost => self.proxy.lose(),
            Fault::NetworkSlow => self.weather(Weather::Slow(moment / 20), moment),
            Fault::TableLocked => self.env.while_locked(&lock(D::SEGMENTS), || thread::sleep(2 * moment)),
            Fault::Migrated => self.env.migrate(),
        }
    }

    fn weather(&self, weather: Weather, moment: Duration) {
        self.proxy.set(weather);
        thread::sleep(moment);
        self.proxy.set(Weather::Fair);
    }

    fn finish(mut self) {
        let (lag, drained) = self.drain();
        if let Some(producer) = self.producer.take() {
            has_sent_all(producer.wait(2 * LIMIT).unwrap());
        }
        // The last word is a whole round's, whatever was killed before.
        assert!(has_sent_all(self.producer().wait(2 * LIMIT).unwrap()), "nothing befalls it any more");
        self.drain();
        let faults: u32 = self.befell.values().sum();
        let befell: Vec<String> = self.befell.iter().map(|(fault, times)| format!("{fault:?} {times}")).collect();
        saw(format!("{} rounds of records; {faults} faults: {}", self.rounds + 1, befell.join(", ")));
        saw(format!("a lag of {lag} after the last of them was gone after {}", seconds(drained)));
        for consumer in std::mem::take(&mut self.consumers) {
            consumer.stop(STOP).unwrap().expect_code(0).unwrap();
        }
        check_the_end(&self.env);
        self.check_memory();
    }

    /// Waits until all that the topic has now is read; how much that was, and how long it took.
    fn drain(&self) -> (i64, Duration) {
        let began = Instant::now();
        let ends = testkit::broker::ends(self.env.brokers.bootstrap(), &self.env.topic).unwrap();
        let sent = ends.into_iter().map(|(_, end)| end).sum();
        let lag = sent - self.env.number(READ);
        self.env.wait_for_or_explain(READ, sent, &self.consumers);
        (lag, began.elapsed())
    }

    /// Asserts that memory is flat: a leak would raise the least memory from the second third to the last.
    fn check_memory(&self) {
        let third = self.memory.last().expect("memory was read ten times a second").0 / 3;
        let least = |from: Duration, to: Duration| {
            let within = self.memory.iter().filter(|(at, _)| (from..=to).contains(at));
            within.map(|(_, mib)| *mib).fold(f64::INFINITY, f64::min)
        };
        // The first third is for getting to know everything.
        let (second, last) = (least(third, 2 * third), least(2 * third, 3 * third));
        let peak = self.memory.iter().map(|(_, mib)| *mib).fold(0.0, f64::max);
        saw(format!(
            "the eldest consumer had at least {second:.0} MiB in the second third and {last:.0} in the last, at most {peak:.0}"
        ));
        assert!(last <= second + GROWTH_MIB, "memory grew from {second} to {last} MiB");
        assert!(peak <= PEAK_MIB, "memory was {peak} MiB");
    }
}

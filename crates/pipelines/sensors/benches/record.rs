//! A reading through the pipeline: simulated, message to record, and the readings of a window to its row.

use std::hint::black_box;

use clap::{Args as _, Command, FromArgMatches as _};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sensors::{
    range::USUAL,
    reading_message,
    simulator::{self, SimulatorSettings},
    window::{ReadingFact, Window, WindowRow},
};
use stream::{Decoded, Outgoing, Source};

/// A day of one sensor.
const READINGS: u64 = 86_400;
/// How long a window is, milliseconds.
const WINDOW_MS: i64 = 900_000;

fn simulated() -> impl Source {
    let command = SimulatorSettings::augment_args(Command::new("bench"));
    let args = ["bench", "--sensors=1", "--speed=max", "--start=2026-01-01T00:00:00Z", "--anomaly=0%"];
    let settings = SimulatorSettings::from_arg_matches(&command.get_matches_from(args)).expect("they are valid");
    simulator::open(&settings).expect("the day is over")
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("sensors");
    group.throughput(Throughput::Elements(READINGS));
    group.bench_function("simulated", |bencher| {
        bencher.iter(|| {
            let (mut simulator, mut message) = (simulated(), Outgoing::default());
            while simulator.next(&mut message).expect("it cannot fail").is_some() {
                black_box(&message);
            }
        });
    });
    let (mut simulator, mut message, mut messages) = (simulated(), Outgoing::default(), vec![]);
    while simulator.next(&mut message).expect("it cannot fail").is_some() {
        messages.push(message.clone());
    }
    group.bench_function("message to record", |bencher| {
        bencher.iter(|| {
            for sent in &messages {
                assert!(matches!(black_box(reading_message::decode(&sent.value, USUAL)), Decoded::Record(_)));
            }
        });
    });
    let fact = |sent: &Outgoing| match reading_message::decode(&sent.value, USUAL) {
        Decoded::Record(reading) => {
            let at_ms = reading.at_ms.unwrap_or_default().rem_euclid(WINDOW_MS);
            Some(ReadingFact { at_ms: u32::try_from(at_ms).ok()?, milli: reading.milli })
        }
        _ => None,
    };
    let facts: Vec<ReadingFact> = messages.iter().filter_map(fact).collect();
    group.bench_function("readings to windows", |bencher| {
        bencher.iter(|| {
            for readings in facts.chunks(900) {
                let window = Window { sensor: 1, start_ms: 0 };
                black_box(WindowRow::of(window, WINDOW_MS, black_box(readings).iter(), 0));
            }
        });
    });
    group.finish();
}

criterion_group!(records, benches);
criterion_main!(records);

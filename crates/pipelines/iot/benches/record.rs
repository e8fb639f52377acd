//! A reading through the pipeline: simulated, message to record, and the readings of a window to its row.

use std::hint::black_box;

use clap::{Args as _, Command, FromArgMatches as _};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use iot::{
    message,
    simulator::{self, SimulatorSettings},
    window::{Name, ReadingFact, Window, WindowRow},
};
use stream::{Decoded, Outgoing, Source};

/// A day of one device.
const READINGS: u64 = 86_400;

fn simulated() -> impl Source {
    let command = SimulatorSettings::augment_args(Command::new("bench"));
    let args = ["bench", "--devices=1", "--speed=max", "--start=2026-01-01T00:00:00Z"];
    let settings = SimulatorSettings::from_arg_matches(&command.get_matches_from(args)).expect("they are valid");
    simulator::open(&settings).expect("the day is over")
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("iot");
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
                assert!(matches!(black_box(message::decode(&sent.value)), Decoded::Record(_)));
            }
        });
    });
    let fact = |sent: &Outgoing| match message::decode(&sent.value) {
        Decoded::Record(reading) => Some(ReadingFact {
            milli: reading.milli,
            at_ms: u32::try_from(reading.at_ms.unwrap_or_default().rem_euclid(60_000)).ok()?,
            latency_ms: 0,
            unit: 0,
            quality: reading.quality,
            is_anomaly: reading.is_anomaly,
        }),
        _ => None,
    };
    let facts: Vec<ReadingFact> = messages.iter().filter_map(fact).collect();
    let name = Name::from("TEMP-001").expect("it is short");
    let window = Window { device: name, kind: name, start_ms: 0 };
    group.bench_function("readings to windows", |bencher| {
        bencher.iter(|| {
            for readings in facts.chunks(60) {
                black_box(WindowRow::of(window, 60_000, black_box(readings).iter(), 0));
            }
        });
    });
    group.finish();
}

criterion_group!(records, benches);
criterion_main!(records);

//! A row through the pipeline: CSV to message, message to record, and the minutes of a day to its row.

use std::{fmt::Write, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use energy::{
    aggregates::aggregate,
    day::Day,
    fact::MinuteFact,
    message,
    source::{MeterSettings, MeterSource},
};
use stream::{Decoded, Outgoing, RowOutcome, Source};

/// Rows in the CSV: enough to leave the caches of the small, few enough for a quick run.
const ROWS: u32 = 100_800;

/// Seventy days of minutes, in the shape of the real file.
fn csv() -> String {
    let mut csv = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;\
                   Sub_metering_2;Sub_metering_3\r\n"
        .to_owned();
    for row in 0..ROWS {
        let (day, minute) = (row / 1440, row % 1440);
        let (date, month) = (1 + day % 28, 1 + day / 28);
        let (watts, millivolts) = (row * 7919 % 6000, 230_000 + row * 31 % 15_000);
        write!(
            csv,
            "{date}/{month}/2007;{:02}:{:02}:00;{}.{:03};0.128;{}.{:03};{}.{}00;0.000;1.000;17.000\r\n",
            minute / 60,
            minute % 60,
            watts / 1000,
            watts % 1000,
            millivolts / 1000,
            millivolts % 1000,
            watts / 240,
            watts % 10,
        )
        .expect("a String takes all that is written to it");
    }
    csv
}

fn messages(csv: &str) -> Vec<Outgoing> {
    let mut source = MeterSource::open(csv.as_bytes(), &MeterSettings {}).expect("a valid header");
    let (mut message, mut messages) = (Outgoing::default(), vec![]);
    while let Some(row) = source.next(&mut message).expect("a valid row") {
        assert_eq!(row, RowOutcome::Send);
        messages.push(message.clone());
    }
    messages
}

fn facts(messages: &[Outgoing]) -> Vec<MinuteFact> {
    let fact = |sent: &Outgoing| match message::decode(&sent.value) {
        Decoded::Record(record) => Some(MinuteFact { values: record.values, minute: record.minute }),
        _ => None,
    };
    messages.iter().filter_map(fact).collect()
}

fn benches(c: &mut Criterion) {
    let csv = csv();
    let mut group = c.benchmark_group("energy");
    group.throughput(Throughput::Elements(u64::from(ROWS)));
    group.bench_function("csv to message", |bencher| {
        bencher.iter(|| {
            let mut source = MeterSource::open(csv.as_bytes(), &MeterSettings {}).expect("a valid header");
            let mut message = Outgoing::default();
            while source.next(&mut message).expect("a valid row").is_some() {
                black_box(&message);
            }
        });
    });
    let messages = messages(&csv);
    group.bench_function("message to record", |bencher| {
        bencher.iter(|| {
            for sent in &messages {
                assert!(matches!(black_box(message::decode(&sent.value)), Decoded::Record(_)));
            }
        });
    });
    let (facts, day) = (facts(&messages), Day::new(2007, 1, 1).expect("the calendar has it"));
    group.bench_function("minutes to days", |bencher| {
        bencher.iter(|| {
            for minutes in facts.chunks(1440) {
                black_box(aggregate(day, black_box(minutes).iter()));
            }
        });
    });
    group.finish();
}

criterion_group!(records, benches);
criterion_main!(records);

//! A row through the pipeline: CSV to record, CSV to message, and message to record.

use std::{fmt::Write, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emissions::{
    csv_row::{Columns, LAYOUT},
    message,
    record::FIELDS,
    source::{CsvSettings, CsvSource},
};
use formats::{CsvRecord, CsvRecords};
use stream::{Decoded, Outgoing, RowOutcome, Source};

/// Rows in the CSV: enough to leave the caches of the small, few enough for a quick run.
const ROWS: u32 = 100_000;

fn csv() -> String {
    let mut csv = "country,year,iso_code,population,gdp,co2,co2_per_capita\n".to_owned();
    for row in 0..ROWS {
        let (country, year) = (row / 123, 1900 + row % 123);
        let (people, co2) = (f64::from(row) * 1234.0, f64::from(row) * 0.037);
        writeln!(csv, "Country {country},{year},C{country:03},{people:?},,{co2:?},{:?}", co2 / 7.0)
            .expect("a String takes all that is written to it");
    }
    csv
}

fn messages(csv: &str) -> Vec<Outgoing> {
    let mut source = CsvSource::open(csv.as_bytes(), &CsvSettings { from_year: 1900 }).expect("a valid header");
    let (mut message, mut messages) = (Outgoing::default(), vec![]);
    while let Some(row) = source.next(&mut message).expect("a valid row") {
        assert_eq!(row, RowOutcome::Send);
        messages.push(message.clone());
    }
    messages
}

/// Reads all rows as observations: the step before a message is written.
fn read(csv: &str) {
    let columns = Columns(LAYOUT.find(&FIELDS.map(str::to_owned)).expect("a valid header"));
    let mut rows = CsvRecords::new(csv.as_bytes());
    // The first record is the header.
    assert_eq!(rows.read().expect("a valid header"), Some(CsvRecord::Read));
    while rows.read().expect("a valid row").is_some() {
        black_box(columns.read(&rows).expect("a valid row"));
    }
}

fn benches(c: &mut Criterion) {
    let csv = csv();
    let mut group = c.benchmark_group("record");
    group.throughput(Throughput::Elements(u64::from(ROWS)));
    group.bench_function("csv to record", |bencher| bencher.iter(|| read(black_box(&csv))));
    group.bench_function("csv to message", |bencher| {
        bencher.iter(|| {
            let mut source = CsvSource::open(csv.as_bytes(), &CsvSettings { from_year: 1900 }).expect("a valid header");
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
    group.finish();
}

criterion_group!(records, benches);
criterion_main!(records);

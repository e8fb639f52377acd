//! Facts to a country's row, and all countries' rows to clusters.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use emissions::{
    aggregates::{CountryAggregate, aggregate},
    clusters::model,
    fact::{Names, YearFact},
    fingerprint::Fingerprint,
    iso_code::IsoCode,
    measure::Measure,
    model_settings::ModelSettings,
    record::{CO2, CO2_PER_CAPITA, GDP, MEASURES, POPULATION},
};

/// A country of 123 years whose size is spread over some orders of magnitude by its number.
fn facts(number: u32, names: &mut Names) -> (IsoCode, Vec<YearFact>) {
    let code = IsoCode::try_from(format!("C{number:06}").as_str()).expect("a valid code");
    let name = names.intern(&format!("Country {number}"));
    let size = (f64::from(number % 977) / 100.0).exp();
    let wealth = 1.0 + f64::from(number % 89);
    let measure = |value: f64| Measure::new(value).expect("a finite value");
    let year = |year: u16| {
        let growth = 1.0 + f64::from(year - 1900) / 50.0;
        let mut measures = [Measure::MISSING; MEASURES.len()];
        measures[POPULATION] = measure(size * 1e5 * growth);
        if year >= 1950 {
            measures[GDP] = measure(size * wealth * 1e8 * growth);
        }
        measures[CO2] = measure(size * wealth / 50.0 * growth);
        measures[CO2_PER_CAPITA] = measure(wealth / 5.0 * growth);
        YearFact { measures, name, year }
    };
    (code, (1900..2023).map(year).collect())
}

fn countries(count: u32) -> Vec<CountryAggregate> {
    let mut names = Names::default();
    let one = |number| {
        let (code, facts) = facts(number, &mut names);
        aggregate(&code, facts.iter(), &names)
    };
    (0..count).map(one).collect()
}

fn bench_aggregate(c: &mut Criterion) {
    let mut names = Names::default();
    let (code, facts) = facts(500, &mut names);
    let mut group = c.benchmark_group("aggregate");
    group.throughput(Throughput::Elements(facts.len().try_into().expect("a small number")));
    group.bench_function("country", |b| b.iter(|| aggregate(&code, black_box(&facts).iter(), &names)));
    group.finish();
}

fn bench_model(c: &mut Criterion) {
    let settings = ModelSettings::default();
    let mut group = c.benchmark_group("model");
    group.sample_size(10);
    for count in [164, 40_000] {
        let countries = countries(count);
        group.throughput(Throughput::Elements(count.into()));
        group.bench_with_input(BenchmarkId::new("clusters", count), &countries, |b, countries| {
            b.iter(|| model(black_box(countries), &settings));
        });
        group.bench_with_input(BenchmarkId::new("fingerprint", count), &countries, |b, countries| {
            b.iter(|| Fingerprint::of(black_box(countries), &settings));
        });
    }
    group.finish();
}

criterion_group!(benches, bench_aggregate, bench_model);
criterion_main!(benches);

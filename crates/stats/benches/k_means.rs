//! Scaling, k-means and silhouette, for as many countries as there are and for many more.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use rand_xoshiro::{
    Xoshiro256Plus,
    rand_core::{RngCore, SeedableRng},
};
use stats::{
    k_means::{KMeans, fit},
    scaling::standardise,
    silhouette::silhouette,
};

/// Rows of four features whose sizes differ as countries' do: by orders of magnitude.
fn points(rows: usize) -> Array2<f64> {
    let mut generator = Xoshiro256Plus::seed_from_u64(7);
    Array2::from_shape_simple_fn((rows, 4), || {
        let uniform = f64::from(generator.next_u32()) / f64::from(u32::MAX);
        (uniform * 8.0).exp()
    })
}

fn model(c: &mut Criterion) {
    let settings = KMeans { k: 3, seed: 42, restarts: 100, max_iterations: 20, tolerance: 1e-4 };
    let mut group = c.benchmark_group("stats");
    group.sample_size(10);
    for rows in [164, 40_000] {
        let raw = points(rows);
        let (scaled, _) = standardise(&raw);
        let labels = fit(&scaled, &settings).expect("the points differ").labels;
        group.throughput(Throughput::Elements(u64::try_from(rows).expect("a small number")));
        group.bench_with_input(BenchmarkId::new("standardise", rows), &raw, |b, raw| {
            b.iter(|| standardise(black_box(raw)));
        });
        group.bench_with_input(BenchmarkId::new("k_means", rows), &scaled, |b, scaled| {
            b.iter(|| fit(black_box(scaled), &settings));
        });
        group.bench_with_input(BenchmarkId::new("silhouette", rows), &scaled, |b, scaled| {
            b.iter(|| silhouette(black_box(scaled), &labels));
        });
    }
    group.finish();
}

criterion_group!(benches, model);
criterion_main!(benches);

//! k-means with restarts.
//!
//! Each restart is one `linfa-clustering` fit, started by k-means++. Its update step counts the old
//! centroid as one more point (m_k-means), so it ends near an optimum but not in one; exact Lloyd
//! steps then go on until no label changes.

use std::{cell::RefCell, cmp::Ordering, rc::Rc};

use linfa::{DatasetBase, ParamGuard, traits::Fit as _};
use linfa_clustering::{KMeansInit, KMeansParamsError};
use ndarray::{Array2, ArrayView2};
use rand_xoshiro::{
    Xoshiro256Plus,
    rand_core::{Error, RngCore, SeedableRng},
};

use crate::partition::{MAX_STEPS, Partition, rows};

/// How many point-to-centroid pairs all restarts together may start from.
///
/// A pair costs up to 0.3 µs in a release build, all steps of its restart included: a larger number would make
/// 100,000 points in 3 clusters take longer than half a second. A smaller one would cut the 100 restarts of 218
/// countries in up to 8 clusters, where a single start often misses the best.
const MAX_PAIRS: usize = 1_250_000;

/// The largest coordinate of a point. A larger one could make a sum of squares infinite; a smaller
/// one would refuse points without need.
const LARGEST: f64 = 1e140;

/// What is to be fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    /// The number of clusters, at least 1.
    pub k: usize,
    /// Where the random starts begin; the same seed gives the same fit, bit for bit.
    pub seed: u64,
    /// How often to start; see [`KMeans::restarts_for`].
    pub restarts: usize,
    /// The most steps of a restart before it is polished, at least 1.
    pub max_iterations: u64,
    /// A restart stops early when its centroids move less than this, in units of the points; above 0.
    pub tolerance: f64,
}

impl KMeans {
    /// How many restarts `n` points get: as many as asked for, fewer when `n · k` is large, never none.
    pub fn restarts_for(&self, n: usize) -> usize {
        let affordable = MAX_PAIRS / n.saturating_mul(self.k).max(1);
        self.restarts.min(affordable).max(1)
    }
}

/// Points divided into clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Each point's cluster, of shape `(n,)`.
    pub labels: Vec<usize>,
    /// The clusters' means, of shape `(k, n_features)`.
    pub centroids: Array2<f64>,
    /// The clusters' numbers of points, of shape `(k,)`; none is 0.
    pub counts: Vec<usize>,
    /// The sum of the points' squared distances to their centroids.
    pub inertia: f64,
    /// How many restarts were made.
    pub restarts: usize,
    /// How many of them ended in this partition.
    pub reached_best: usize,
}

/// Why points could not be divided.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// There are fewer points that differ than clusters asked for.
    #[error("{distinct} distinct points are too few for {k} clusters")]
    TooFewDistinct {
        /// The points that differ.
        distinct: usize,
        /// The clusters asked for.
        k: usize,
    },
    /// A point holds no number, or one whose squares could leave the range.
    #[error("row {row} holds a value that is not within ±{LARGEST:e}")]
    OutOfRange {
        /// The first such row, counted from 0.
        row: usize,
    },
    /// The settings make no sense.
    #[error("unusable k-means settings")]
    Settings(#[from] KMeansParamsError),
}

/// Divides points of shape `(n, n_features)` into `k` clusters of the least inertia found.
///
/// Labels are in the order of the clusters' first points. Of partitions with the same inertia
/// the one with the lowest labels is taken.
///
/// # Errors
/// When the points or the settings do not allow it: see [`FitError`].
pub fn fit(points: &Array2<f64>, settings: &KMeans) -> Result<Fit, FitError> {
    let points = points.as_standard_layout();
    let points = points.view();
    check(points, settings.k)?;
    let restarts = settings.restarts_for(points.nrows());
    let generator = Generator::seeded(settings.seed);
    let mut best: Option<(Partition, usize)> = None;
    for _ in 0..restarts {
        let found = restart(points, settings, &generator)?;
        best = Some(match best {
            None => (found, 1),
            Some((best, reached)) => match compare(&found, &best) {
                Ordering::Less => (found, 1),
                Ordering::Equal => (best, reached + 1),
                Ordering::Greater => (best, reached),
            },
        });
    }
    let (Partition { labels, centroids, counts, inertia }, reached_best) = best.expect("one restart at least");
    let used = counts.iter().filter(|&&members| members > 0).count();
    if used < settings.k {
        // The points differ, by less than a squared distance can hold.
        return Err(FitError::TooFewDistinct { distinct: used, k: settings.k });
    }
    Ok(Fit { labels, centroids, counts, inertia, restarts, reached_best })
}

impl Fit {
    /// The share of restarts that ended in this partition, above 0 and at most 1.
    pub fn best_share(&self) -> f64 {
        crate::scaling::count(self.reached_best) / crate::scaling::count(self.restarts)
    }

    /// Numbers the clusters so that the mean of a centroid's coordinates ascends.
    ///
    /// Clusters with the same mean are ordered by their coordinates, the first feature first.
    #[must_use]
    pub fn ordered_by_mean(self) -> Self {
        let level = |label: usize| self.centroids.row(label).iter().sum::<f64>();
        let coordinates = |a: usize, b: usize| {
            let pairs = self.centroids.row(a).into_iter().zip(self.centroids.row(b));
            pairs.map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        let mut order: Vec<usize> = (0..self.counts.len()).collect();
        order.sort_by(|&a, &b| level(a).total_cmp(&level(b)).then_with(|| coordinates(a, b)));
        let Self { labels, centroids, counts, inertia, .. } = self;
        let Partition { labels, centroids, counts, inertia } =
            Partition { labels, centroids, counts, inertia }.renumbered(&order);
        Self { labels, centroids, counts, inertia, ..self }
    }
}

fn check(points: ArrayView2<'_, f64>, k: usize) -> Result<(), FitError> {
    if let Some(row) = rows(&points).position(|point| point.iter().any(|value| value.is_nan() || value.abs() > LARGEST))
    {
        return Err(FitError::OutOfRange { row });
    }
    let mut distinct: Vec<&[f64]> = Vec::new();
    for point in rows(&points) {
        if distinct.len() >= k {
            break;
        }
        if !distinct.contains(&point) {
            distinct.push(point);
        }
    }
    match distinct.len() {
        enough if enough >= k => Ok(()),
        distinct => Err(FitError::TooFewDistinct { distinct, k }),
    }
}

/// One start and its polish; the labels are in order of appearance.
fn restart(points: ArrayView2<'_, f64>, settings: &KMeans, generator: &Generator) -> Result<Partition, FitError> {
    let start = linfa_clustering::KMeans::params_with_rng(settings.k, generator.clone())
        .init_method(KMeansInit::KMeansPlusPlus)
        .n_runs(1)
        .max_n_iterations(settings.max_iterations)
        .tolerance(settings.tolerance)
        .check()?
        .fit(&DatasetBase::from(points))
        .expect("the squares of values within range are finite, and so is inertia");
    let found = Partition::polished(points, start.centroids(), MAX_STEPS);
    let order = found.order_of_appearance();
    Ok(found.renumbered(&order))
}

/// The better partition is less; without empty clusters before the inertia, so that one without is preferred.
fn compare(a: &Partition, b: &Partition) -> Ordering {
    let empty = |partition: &Partition| partition.counts.iter().filter(|&&members| members == 0).count();
    empty(a).cmp(&empty(b)).then_with(|| a.inertia.total_cmp(&b.inertia)).then_with(|| a.labels.cmp(&b.labels))
}

/// A seeded generator that its clones share, so that each restart goes on where the last one stopped.
#[derive(Clone)]
struct Generator(Rc<RefCell<Xoshiro256Plus>>);

impl Generator {
    fn seeded(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Xoshiro256Plus::seed_from_u64(seed))))
    }
}

impl RngCore for Generator {
    fn next_u32(&mut self) -> u32 {
        self.0.borrow_mut().next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.borrow_mut().next_u64()
    }

    fn fill_bytes(&mut self, into: &mut [u8]) {
        self.0.borrow_mut().fill_bytes(into);
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Error> {
        self.0.borrow_mut().try_fill_bytes(into)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, array};
    use proptest::prelude::*;

    use super::*;
    use crate::partition::squared_distance;

    const THREE: KMeans = KMeans { k: 3, seed: 42, restarts: 5, max_iterations: 20, tolerance: 1e-4 };

    fn check_error(points: &Array2<f64>, settings: &KMeans, expected: &str) {
        assert_eq!(fit(points, settings).unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_cannot_be_fitted_is_named() {
        let pair = array![[1.0, 0.0], [2.0, 0.0], [1.0, -0.0]];
        check_error(&pair, &THREE, "2 distinct points are too few for 3 clusters");
        check_error(&Array2::zeros((0, 2)), &THREE, "0 distinct points are too few for 3 clusters");
        check_error(&array![[1.0], [f64::NAN]], &THREE, "row 1 holds a value that is not within ±1e140");
        assert!(fit(&array![[-1e140], [0.0], [1e140]], &THREE).is_ok());
        check_error(&array![[1e-200], [2e-200], [3e-200]], &THREE, "1 distinct points are too few for 3 clusters");
        check_error(&array![[-1e200], [2.0], [3.0]], &THREE, "row 0 holds a value that is not within ±1e140");
        check_error(&pair, &KMeans { k: 0, ..THREE }, "unusable k-means settings");
        check_error(&pair, &KMeans { k: 2, tolerance: 0.0, ..THREE }, "unusable k-means settings");
    }

    #[test]
    fn as_many_clusters_as_points_have_no_inertia() {
        let points = array![[4.0, 1.0], [0.0, 0.0], [9.0, 2.0]];
        let found = fit(&points, &THREE).unwrap();
        assert_eq!((found.inertia, &found.labels[..], found.best_share()), (0.0, &[0, 1, 2][..], 1.0));
        assert_eq!(found.centroids, points);
    }

    #[test]
    fn clusters_are_ordered_by_the_mean_of_their_centroids() {
        // The means are 5, 0.5, 1 and 1: of the last two, (0, 2) comes before (2, 0).
        let points = array![[5.0, 5.0], [0.0, 1.0], [2.0, 0.0], [0.0, 2.0], [5.0, 5.0]];
        let found = fit(&points, &KMeans { k: 4, ..THREE }).unwrap().ordered_by_mean();
        assert_eq!(found.labels, [3, 0, 2, 1, 3]);
        assert_eq!(found.counts, [1, 1, 1, 2]);
        assert_eq!(found.centroids, array![[0.0, 1.0], [0.0, 2.0], [2.0, 0.0], [5.0, 5.0]]);
    }

    #[test]
    fn restarts_shrink_with_the_points_and_never_to_none() {
        let restarts = |n, k| KMeans { k, restarts: 100, ..THREE }.restarts_for(n);
        assert_eq!(restarts(218, 8), 100);
        assert_eq!(restarts(4_166, 3), 100);
        assert_eq!(restarts(40_000, 3), 10);
        assert_eq!(restarts(10_000_000, 8), 1);
        assert_eq!(KMeans { restarts: 0, ..THREE }.restarts_for(10), 1);
    }

    fn matrix(values: &[f64], width: usize) -> Array2<f64> {
        let n = values.len() / width;
        Array2::from_shape_vec((n, width), values[..n * width].to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_bits(
            values in proptest::collection::vec(-3.0..3.0, 2 * 9..2 * 60),
            seed in any::<u64>(),
        ) {
            let (points, settings) = (matrix(&values, 2), KMeans { seed, ..THREE });
            let (a, b) = (fit(&points, &settings).unwrap(), fit(&points, &settings).unwrap());
            prop_assert_eq!(a.inertia.to_bits(), b.inertia.to_bits());
            prop_assert_eq!(a, b);
        }

        #[test]
        fn inertia_is_the_sum_of_squared_distances(
            values in proptest::collection::vec(-3.0..3.0, 3 * 9..3 * 60),
            k in 1..7_usize,
        ) {
            let points = matrix(&values, 3);
            let found = fit(&points, &KMeans { k, ..THREE }).unwrap();
            let to_own = |(row, &label): (usize, &usize)| {
                squared_distance(&points.row(row).to_vec(), &found.centroids.row(label).to_vec())
            };
            let sum: f64 = found.labels.iter().enumerate().map(to_own).sum();
            prop_assert!((found.inertia - sum).abs() <= 1e-12 * sum.max(1.0));
            for (label, &members) in found.counts.iter().enumerate() {
                prop_assert_eq!(members, found.labels.iter().filter(|&&own| own == label).count());
            }
        }

        #[test]
        fn the_order_of_well_separated_points_changes_no_cluster(
            noise in proptest::collection::vec(-1.0..1.0, 2 * 30),
            order in Just((0..30_usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut points = matrix(&noise, 2);
            for (row, mut point) in points.rows_mut().into_iter().enumerate() {
                point += [0.0, 40.0, 95.0][row % 3];
            }
            let found = fit(&points, &THREE).unwrap().ordered_by_mean();
            let shuffled = fit(&points.select(Axis(0), &order), &THREE).unwrap().ordered_by_mean();
            let expected: Vec<usize> = order.iter().map(|&row| row % 3).collect();
            prop_assert_eq!(found.labels, (0..30).map(|row| row % 3).collect::<Vec<_>>());
            prop_assert_eq!(shuffled.labels, expected);
        }
    }
}

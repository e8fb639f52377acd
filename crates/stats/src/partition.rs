//! Points divided into clusters, and exact Lloyd steps that improve the division.

use ndarray::{Array2, ArrayView2};

use crate::scaling::count;

/// The most Lloyd steps one polish takes.
///
/// Fewer would leave hard inputs short of an optimum; more would repeat for long a step that rounding
/// undoes. Real inputs settle in some ten.
pub(crate) const MAX_STEPS: usize = 100;

/// Points divided into clusters; what else there is follows from the labels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Partition {
    /// Each point's cluster, of shape `(n,)`.
    pub(crate) labels: Vec<usize>,
    /// The clusters' means, of shape `(k, n_features)`; 0 for an empty cluster.
    pub(crate) centroids: Array2<f64>,
    /// The clusters' numbers of points, of shape `(k,)`.
    pub(crate) counts: Vec<usize>,
    /// The sum of the points' squared distances to their centroids.
    pub(crate) inertia: f64,
}

impl Partition {
    /// Gives each point to the nearest of `start`, then takes Lloyd steps until no label changes, or `max_steps`.
    ///
    /// A step never raises inertia. No cluster stays empty that a point away from its centroid could fill.
    pub(crate) fn polished(points: ArrayView2<'_, f64>, start: &Array2<f64>, max_steps: usize) -> Self {
        let k = start.nrows();
        let mut labels = nearest(points, start);
        let (mut centroids, mut counts) = filled(points, &mut labels, k);
        for _ in 0..max_steps {
            let mut next = nearest(points, &centroids);
            if next == labels {
                break;
            }
            (centroids, counts) = filled(points, &mut next, k);
            labels = next;
        }
        let inertia = distances(points, &labels, &centroids).iter().sum();
        Self { labels, centroids, counts, inertia }
    }

    /// Renumbers the clusters: `order[new]` is the old label.
    pub(crate) fn renumbered(self, order: &[usize]) -> Self {
        let mut new = vec![0; order.len()];
        order.iter().enumerate().for_each(|(label, &old)| new[old] = label);
        Self {
            labels: self.labels.into_iter().map(|old| new[old]).collect(),
            centroids: self.centroids.select(ndarray::Axis(0), order),
            counts: order.iter().map(|&old| self.counts[old]).collect(),
            inertia: self.inertia,
        }
    }

    /// The labels in the order of their first points, so that equal partitions have equal labels.
    pub(crate) fn order_of_appearance(&self) -> Vec<usize> {
        let mut first = vec![usize::MAX; self.counts.len()];
        for (row, &label) in self.labels.iter().enumerate().rev() {
            first[label] = row;
        }
        let mut order: Vec<usize> = (0..first.len()).collect();
        order.sort_by_key(|&label| first[label]);
        order
    }
}

/// The squared Euclidean distance between two points.
pub(crate) fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// A matrix's rows; `points` must be in row-major order, as everything made by `k_means` is.
pub(crate) fn rows<'a>(points: &'a ArrayView2<'_, f64>) -> std::slice::ChunksExact<'a, f64> {
    let values = points.as_slice().expect("matrices are laid out by rows");
    values.chunks_exact(points.ncols().max(1))
}

/// Each cluster's mean and number of points, summed in row order.
pub(crate) fn means(points: ArrayView2<'_, f64>, labels: &[usize], k: usize) -> (Array2<f64>, Vec<usize>) {
    let width = points.ncols();
    let mut sums = vec![0.0; k * width];
    let mut counts = vec![0; k];
    for (point, &label) in rows(&points).zip(labels) {
        let sum = &mut sums[label * width..(label + 1) * width];
        sum.iter_mut().zip(point).for_each(|(sum, value)| *sum += value);
        counts[label] += 1;
    }
    for (label, &members) in counts.iter().enumerate() {
        let n = count(members.max(1));
        sums[label * width..(label + 1) * width].iter_mut().for_each(|sum| *sum /= n);
    }
    (Array2::from_shape_vec((k, width), sums).expect("made of k rows"), counts)
}

/// The means of the clusters, after each empty one was given the point farthest from its centroid.
fn filled(points: ArrayView2<'_, f64>, labels: &mut [usize], k: usize) -> (Array2<f64>, Vec<usize>) {
    let (mut centroids, mut counts) = means(points, labels, k);
    // Each turn fills one cluster and empties none: the only point of a cluster lies on its centroid.
    while let Some(empty) = counts.iter().position(|&members| members == 0) {
        let Some(row) = farthest(&distances(points, labels, &centroids)) else { break };
        labels[row] = empty;
        (centroids, counts) = means(points, labels, k);
    }
    (centroids, counts)
}

/// Each point's nearest centroid; of several, the one with the lowest label.
fn nearest(points: ArrayView2<'_, f64>, centroids: &Array2<f64>) -> Vec<usize> {
    let centroids = centroids.view();
    let nearest_to = |point| {
        let closer = |(label, least), (other, centroid)| {
            let distance = squared_distance(point, centroid);
            if distance < least { (other, distance) } else { (label, least) }
        };
        rows(&centroids).enumerate().fold((0, f64::INFINITY), closer).0
    };
    rows(&points).map(nearest_to).collect()
}

/// The row of the greatest distance, the first of several; `None` when all are 0.
fn farthest(distances: &[f64]) -> Option<usize> {
    let farther = |(row, most), (other, &distance)| if distance > most { (Some(other), distance) } else { (row, most) };
    distances.iter().enumerate().fold((None, 0.0), farther).0
}

/// Each point's squared distance to its own centroid.
fn distances(points: ArrayView2<'_, f64>, labels: &[usize], centroids: &Array2<f64>) -> Vec<f64> {
    let centroids = centroids.view();
    let own: Vec<&[f64]> = rows(&centroids).collect();
    rows(&points).zip(labels).map(|(point, &label)| squared_distance(point, own[label])).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tie_goes_to_the_lowest_label() {
        let points = array![[0.0], [1.0], [2.0]];
        assert_eq!(nearest(points.view(), &array![[0.0], [2.0]]), [0, 0, 1]);
        assert_eq!(nearest(points.view(), &array![[2.0], [0.0]]), [1, 0, 0]);
    }

    #[test]
    fn an_empty_cluster_takes_the_farthest_point() {
        let points = array![[0.0], [1.0], [5.0], [5.0]];
        // Nothing is near 100; 0 lies farthest from the mean of all, 2.75.
        let start = array![[2.0], [100.0]];
        let filled = Partition::polished(points.view(), &start, 0);
        assert_eq!((&filled.labels[..], &filled.counts[..]), (&[1, 0, 0, 0][..], &[3, 1][..]));
        assert_eq!(Partition::polished(points.view(), &start, MAX_STEPS).labels, [1, 1, 0, 0]);
    }

    #[test]
    fn equal_points_leave_a_cluster_empty() {
        let points = array![[3.0], [3.0]];
        let partition = Partition::polished(points.view(), &array![[3.0], [3.0]], MAX_STEPS);
        assert_eq!((partition.counts, partition.inertia), (vec![2, 0], 0.0));
    }

    #[test]
    fn clusters_are_renumbered_whole() {
        let points = array![[0.0], [9.0], [1.0], [5.0]];
        let partition = Partition::polished(points.view(), &array![[5.0], [0.5], [9.0]], MAX_STEPS);
        let order = partition.order_of_appearance();
        assert_eq!(order, [1, 2, 0]);
        let renumbered = partition.renumbered(&order);
        assert_eq!(renumbered.labels, [0, 1, 0, 2]);
        assert_eq!(renumbered.counts, [2, 1, 1]);
        assert_eq!(renumbered.centroids, array![[0.5], [9.0], [5.0]]);
    }

    proptest! {
        #[test]
        fn polishing_never_raises_inertia(
            values in proptest::collection::vec(-10.0..10.0, 3 * 8..3 * 60),
            k in 1..8_usize,
        ) {
            let n = values.len() / 3;
            let points = Array2::from_shape_vec((n, 3), values[..n * 3].to_vec()).unwrap();
            let start = points.select(ndarray::Axis(0), &(0..k).collect::<Vec<_>>());
            let mut before = f64::INFINITY;
            for steps in 0..12 {
                let after = Partition::polished(points.view(), &start, steps).inertia;
                prop_assert!(after <= before * (1.0 + 1e-12), "{after} after {steps} steps, {before} before");
                before = after;
            }
            let polished = Partition::polished(points.view(), &start, MAX_STEPS);
            prop_assert!(polished.counts.iter().all(|&members| members > 0));
            prop_assert_eq!(nearest(points.view(), &polished.centroids), polished.labels);
        }
    }
}

//! How well clusters are separated.

use ndarray::{Array2, ArrayView2};

use crate::{
    partition::{means, rows, squared_distance},
    scaling::count,
};

/// Silhouettes with squared Euclidean distance, each from −1 (in the wrong cluster) to 1 (well apart).
#[derive(Clone, Debug, PartialEq)]
pub struct Silhouette {
    /// Each point's, of shape `(n,)`; 0 for the only point of a cluster.
    pub points: Vec<f64>,
    /// Each cluster's mean, of shape `(k,)`.
    pub clusters: Vec<f64>,
    /// The mean of all points.
    pub mean: f64,
}

/// Computes silhouettes in time linear in the points; `None` when there are not two clusters.
///
/// `points` has shape `(n, n_features)` and `labels` `(n,)`; every label from 0 to the greatest
/// should have a point. A point's mean squared distance to a cluster's points is its squared distance
/// to their centroid plus their own mean squared distance to it. That is the sum of Apache Spark's
/// `ClusteringEvaluator`, put so that nothing cancels; so is 0 for the only point of a cluster, and
/// for a point as far from the nearest other cluster as from its own.
///
/// # Panics
/// When there are not as many labels as points.
pub fn silhouette(points: &Array2<f64>, labels: &[usize]) -> Option<Silhouette> {
    assert_eq!(points.nrows(), labels.len(), "one label a point");
    let points = points.as_standard_layout();
    let points = points.view();
    let clusters = Clusters::new(points, labels);
    if clusters.counts.iter().filter(|&&members| members > 0).count() < 2 {
        return None;
    }
    let each: Vec<f64> = rows(&points).zip(labels).map(|(point, &label)| clusters.silhouette(point, label)).collect();
    let mut sums = vec![0.0; clusters.counts.len()];
    each.iter().zip(labels).for_each(|(value, &label)| sums[label] += value);
    let mean = each.iter().sum::<f64>() / count(each.len());
    let clusters = sums.iter().zip(&clusters.counts).map(|(sum, &members)| sum / count(members.max(1))).collect();
    Some(Silhouette { points: each, clusters, mean })
}

struct Clusters {
    centroids: Array2<f64>,
    counts: Vec<usize>,
    /// The mean squared distance of a cluster's points to its centroid.
    spread: Vec<f64>,
}

impl Clusters {
    fn new(points: ArrayView2<'_, f64>, labels: &[usize]) -> Self {
        let k = labels.iter().max().map_or(0, |most| most + 1);
        let (centroids, counts) = means(points, labels, k);
        let mut clusters = Self { centroids, counts, spread: vec![0.0; k] };
        for (point, &label) in rows(&points).zip(labels) {
            clusters.spread[label] += clusters.to_centroid(point, label);
        }
        for (spread, &members) in clusters.spread.iter_mut().zip(&clusters.counts) {
            *spread /= count(members.max(1));
        }
        clusters
    }

    fn silhouette(&self, point: &[f64], label: usize) -> f64 {
        let members = count(self.counts[label]);
        if self.counts[label] == 1 {
            return 0.0;
        }
        let others = (0..self.counts.len()).filter(|&other| other != label && self.counts[other] > 0);
        let nearest = others.map(|other| self.mean_distance(point, other)).fold(f64::INFINITY, f64::min);
        // A point is not its own neighbour.
        let own = self.mean_distance(point, label) * members / (members - 1.0);
        if own < nearest {
            1.0 - own / nearest
        } else if own > nearest {
            nearest / own - 1.0
        } else {
            0.0
        }
    }

    fn mean_distance(&self, point: &[f64], label: usize) -> f64 {
        self.to_centroid(point, label) + self.spread[label]
    }

    fn to_centroid(&self, point: &[f64], label: usize) -> f64 {
        let centroid = self.centroids.row(label);
        squared_distance(point, centroid.to_slice().expect("a row of a matrix laid out by rows"))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_only_point_of_a_cluster_has_zero() {
        let points = array![[0.0], [1.0], [5.0]];
        let found = silhouette(&points, &[0, 0, 1]).unwrap();
        assert_eq!(found.points, [1.0 - 1.0 / 25.0, 1.0 - 1.0 / 16.0, 0.0]);
        assert_eq!(found.clusters[1], 0.0);
    }

    #[test]
    fn one_cluster_has_no_silhouette() {
        assert_eq!(silhouette(&array![[0.0], [1.0]], &[0, 0]), None);
        assert_eq!(silhouette(&Array2::zeros((0, 2)), &[]), None);
    }

    #[test]
    fn equal_points_in_two_clusters_have_zero() {
        let found = silhouette(&array![[2.0], [2.0], [2.0], [2.0]], &[0, 0, 1, 1]).unwrap();
        assert_eq!(found.points, [0.0; 4]);
    }

    /// The definition, quadratic in the points.
    fn naive(points: &Array2<f64>, labels: &[usize], row: usize) -> f64 {
        let mean_to = |label: usize| {
            let others: Vec<usize> = (0..labels.len()).filter(|&i| i != row && labels[i] == label).collect();
            let distance = |&i: &usize| (&points.row(i) - &points.row(row)).mapv(|x| x * x).sum();
            (!others.is_empty()).then(|| others.iter().map(distance).sum::<f64>() / count(others.len()))
        };
        let Some(own) = mean_to(labels[row]) else { return 0.0 };
        let nearest = (0..=*labels.iter().max().unwrap()).filter(|&label| label != labels[row]).filter_map(mean_to);
        let nearest = nearest.fold(f64::INFINITY, f64::min);
        if own == nearest { 0.0 } else { (nearest - own) / own.max(nearest) }
    }

    proptest! {
        #[test]
        fn the_linear_formula_is_the_definition(
            values in proptest::collection::vec(-5.0..5.0, 2 * 6..2 * 40),
            labels in proptest::collection::vec(0..4_usize, 40),
        ) {
            let n = values.len() / 2;
            let points = Array2::from_shape_vec((n, 2), values[..n * 2].to_vec()).unwrap();
            let labels = &labels[..n];
            prop_assume!(labels.iter().any(|&label| label != labels[0]));
            let found = silhouette(&points, labels).unwrap();
            for row in 0..n {
                let expected = naive(&points, labels, row);
                prop_assert!((found.points[row] - expected).abs() < 1e-9, "{} is not {expected}", found.points[row]);
            }
            let mean = found.points.iter().sum::<f64>() / count(n);
            prop_assert!((found.mean - mean).abs() < 1e-12);
        }
    }
}

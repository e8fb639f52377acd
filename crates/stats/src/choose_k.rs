//! The number of clusters, chosen by silhouette.

use std::ops::RangeInclusive;

use ndarray::Array2;

use crate::{
    k_means::{Fit, FitError, KMeans, fit},
    silhouette::silhouette,
};

/// Fits each number of clusters in `ks` and takes the one with the highest mean silhouette, the least of several.
///
/// `settings.k` is not read. Numbers above that of distinct points are left out. Where restarts are limited
/// ([`KMeans::restarts_for`]) the numbers share what one of them would have.
///
/// # Errors
/// When not even the first number can be fitted.
pub fn choose_k(points: &Array2<f64>, ks: RangeInclusive<usize>, settings: &KMeans) -> Result<Fit, FitError> {
    let mut best: Option<(f64, Fit)> = None;
    for k in ks.clone() {
        let shared = KMeans { k: k * ks.clone().count(), ..settings.clone() };
        let restarts = shared.restarts_for(points.nrows());
        let found = match fit(points, &KMeans { k, restarts, ..shared }) {
            Err(FitError::TooFewDistinct { .. }) if best.is_some() => break,
            other => other?,
        };
        let score = silhouette(points, &found.labels).map_or(f64::NEG_INFINITY, |found| found.mean);
        if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
            best = Some((score, found));
        }
    }
    let (_, fit) = best.ok_or(FitError::TooFewDistinct { distinct: 0, k: *ks.start() })?;
    Ok(fit)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    const SETTINGS: KMeans = KMeans { k: 0, seed: 42, restarts: 10, max_iterations: 20, tolerance: 1e-4 };

    fn check(points: &Array2<f64>, ks: RangeInclusive<usize>, expected: usize) {
        assert_eq!(choose_k(points, ks, &SETTINGS).unwrap().counts.len(), expected);
    }

    #[test]
    fn the_best_separated_number_is_taken() {
        let four = array![[0.0], [0.1], [5.0], [5.1], [20.0], [20.1], [90.0], [90.1]];
        check(&four, 2..=8, 4);
        check(&four, 2..=3, 2);
        let two = array![[0.0], [1.0], [2.0], [90.0], [91.0], [92.0]];
        check(&two, 2..=8, 2);
    }

    #[test]
    fn numbers_above_that_of_distinct_points_are_left_out() {
        let pair = array![[0.0], [0.0], [1.0]];
        check(&pair, 2..=8, 2);
        let error = choose_k(&array![[1.0], [1.0]], 2..=8, &SETTINGS).unwrap_err();
        assert_eq!(error.to_string(), "1 distinct points are too few for 2 clusters");
    }
}

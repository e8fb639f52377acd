//! Features made comparable.

use ndarray::{Array2, ArrayView1};

/// What a matrix was standardised with; each vector has shape `(n_features,)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler {
    /// The features' means.
    pub mean: Vec<f64>,
    /// The features' population standard deviations, 0 for a constant feature.
    pub std: Vec<f64>,
}

impl Scaler {
    /// Scales one point, given in the features' own units.
    pub fn scale(&self, point: &[f64]) -> Vec<f64> {
        let column = |(j, &value): (usize, &f64)| Column { mean: self.mean[j], std: self.std[j] }.scale(value);
        point.iter().enumerate().map(column).collect()
    }
}

/// Centres each feature and divides it by its population standard deviation.
///
/// `points` has shape `(n, n_features)` and holds finite numbers of any size. A feature whose
/// spread is no more than rounding counts as constant and scales to 0.
pub fn standardise(points: &Array2<f64>) -> (Array2<f64>, Scaler) {
    let mut scaled = points.clone();
    let mut scaler = Scaler { mean: Vec::new(), std: Vec::new() };
    for (from, mut to) in points.columns().into_iter().zip(scaled.columns_mut()) {
        let column = Column::of(from);
        to.mapv_inplace(|value| column.scale(value));
        scaler.mean.push(column.mean);
        scaler.std.push(column.std);
    }
    (scaled, scaler)
}

/// One feature's mean and population standard deviation.
#[derive(Clone, Copy)]
struct Column {
    mean: f64,
    std: f64,
}

impl Column {
    fn of(values: ArrayView1<'_, f64>) -> Self {
        let Some(&first) = values.first() else { return Self { mean: 0.0, std: 0.0 } };
        if values.iter().all(|&value| value == first) {
            return Self { mean: first, std: 0.0 };
        }
        // Multiplying by a power of two rounds nothing, and keeps squares of huge or tiny values in range.
        let unit = power_of_two(values.iter().fold(0.0, |most: f64, value| most.max(value.abs())));
        let n = count(values.len());
        let mean = values.iter().map(|value| value / unit).sum::<f64>() / n;
        let variance = values.iter().map(|value| (value / unit - mean).powi(2)).sum::<f64>() / n;
        let std = if is_rounding(variance, mean, n) { 0.0 } else { variance.sqrt() };
        Self { mean: mean * unit, std: std * unit }
    }

    fn scale(self, value: f64) -> f64 {
        match self.std {
            0.0 => 0.0,
            // Half of each, because the difference of two huge values may be out of range.
            std => (value / 2.0 - self.mean / 2.0) / std * 2.0,
        }
    }
}

/// Whether a variance cannot be distinguished from 0, by the error bound of the two-pass algorithm (Chan, Golub and
/// LeVeque, "Algorithms for computing the sample variance"), as scikit-learn's `StandardScaler` decides it.
fn is_rounding(variance: f64, mean: f64, n: f64) -> bool {
    variance <= n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2)
}

/// The power of two at or below a positive number, within the normal range.
fn power_of_two(value: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff0_0000_0000_0000;
    f64::from_bits(value.max(f64::MIN_POSITIVE).to_bits() & EXPONENT)
}

/// A number of rows as a divisor.
pub(crate) fn count(rows: usize) -> f64 {
    f64::from(u32::try_from(rows).expect("a matrix of four billion rows does not fit in memory"))
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    fn check(column: &[f64], expected: &[f64], mean: f64, std: f64) {
        let points = Array2::from_shape_vec((column.len(), 1), column.to_vec()).unwrap();
        let (scaled, scaler) = standardise(&points);
        assert_eq!(
            (scaled.column(0).to_vec(), scaler),
            (expected.to_vec(), Scaler { mean: vec![mean], std: vec![std] })
        );
    }

    #[test]
    fn a_feature_is_centred_and_divided_by_its_population_deviation() {
        check(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], &[-1.5, -0.5, -0.5, -0.5, 0.0, 0.0, 1.0, 2.0], 5.0, 2.0);
        check(&[1.0, 3.0], &[-1.0, 1.0], 2.0, 1.0);
    }

    #[test]
    fn a_constant_feature_scales_to_zero() {
        check(&[0.1, 0.1, 0.1], &[0.0, 0.0, 0.0], 0.1, 0.0);
        check(&[7.0], &[0.0], 7.0, 0.0);
        check(&[], &[], 0.0, 0.0);
        let spread_by_rounding = [1e15 + 0.125, 1e15, 1e15];
        let (scaled, _) = standardise(&Array2::from_shape_vec((3, 1), spread_by_rounding.to_vec()).unwrap());
        assert_eq!(scaled, array![[0.0], [0.0], [0.0]]);
    }

    #[test]
    fn no_size_of_value_leaves_the_range() {
        check(&[-1e308, 1e308], &[-1.0, 1.0], 0.0, 1e308);
        check(&[-1e-300, 1e-300], &[-1.0, 1.0], 0.0, 1e-300);
        check(&[1e15, 3e15], &[-1.0, 1.0], 2e15, 1e15);
        check(&[f64::MAX, -f64::MAX], &[1.0, -1.0], 0.0, f64::MAX);
    }

    #[test]
    fn a_new_point_is_scaled_like_the_others() {
        let points = array![[1.0, 5.0, 3.0], [2.0, 5.0, 9.0], [6.0, 5.0, 4.0]];
        let (scaled, scaler) = standardise(&points);
        assert_eq!(scaler.scale(&[2.0, 5.0, 9.0]), scaled.row(1).to_vec());
    }

    proptest! {
        #[test]
        fn a_scaled_feature_has_mean_zero_and_deviation_one(
            column in proptest::collection::vec(-1e15..1e15, 2..200),
        ) {
            let n = column.len();
            let (scaled, scaler) = standardise(&Array2::from_shape_vec((n, 1), column).unwrap());
            let mean = scaled.sum() / count(n);
            let std = (scaled.mapv(|z| (z - mean).powi(2)).sum() / count(n)).sqrt();
            prop_assume!(scaler.std[0] > 0.0);
            prop_assert!(mean.abs() < 1e-9 && (std - 1.0).abs() < 1e-9, "mean {mean}, deviation {std}");
        }
    }
}

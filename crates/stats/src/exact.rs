//! Sums of whole numbers: exact, so that neither order nor splitting changes a digit of what follows from them.
//!
//! A running mean and its deviations (Welford) would depend on the order in their last bits, and take nothing back exactly.

/// What is beyond is not added: then no sum of [`MOST`] values exceeds 128 bits.
pub const LARGEST: i64 = (1 << 43) - 1;
/// The most values of which a variance can be computed.
pub const MOST: u64 = (1 << 20) - 1;

/// Count, sum, sum of squares, least and greatest of whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    count: u64,
    sum: i128,
    squares: i128,
    least: i64,
    greatest: i64,
}

impl Default for Sums {
    fn default() -> Self {
        Self { count: 0, sum: 0, squares: 0, least: i64::MAX, greatest: i64::MIN }
    }
}

impl Sums {
    /// Adds a value.
    ///
    /// # Panics
    /// When it is further from zero than [`LARGEST`].
    pub fn add(&mut self, value: i64) {
        assert!(value.abs() <= LARGEST, "{value} is beyond what can be summed");
        self.merge(&Self {
            count: 1,
            sum: value.into(),
            squares: i128::from(value) * i128::from(value),
            least: value,
            greatest: value,
        });
    }

    /// Adds what others have summed.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub fn sum(&self) -> i128 {
        self.sum
    }

    /// The least and the greatest; `None` of none.
    pub fn range(&self) -> Option<(i64, i64)> {
        (self.count > 0).then_some((self.least, self.greatest))
    }

    /// Their mean divided by `unit`, rounded half away from zero, as PostgreSQL's `round` of a `numeric`; `None` of none.
    ///
    /// # Panics
    /// When `unit` is 0.
    pub fn mean_rounded(&self, unit: u64) -> Option<i64> {
        let divisor = i128::from(self.count) * i128::from(unit);
        (self.count > 0).then(|| i64::try_from(divided(self.sum, divisor)).expect("a mean is within the values"))
    }

    /// Their mean; `None` of none.
    #[expect(clippy::cast_precision_loss, reason = "rounded once, at the end")]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// Their variance as that of a sample: the numerator is exact, and divided once. `None` of fewer than two.
    ///
    /// # Panics
    /// When there are more than [`MOST`].
    #[expect(clippy::cast_precision_loss, reason = "rounded once, at the end")]
    pub fn variance(&self) -> Option<f64> {
        assert!(self.count <= MOST, "{} values are too many for a variance", self.count);
        let count = i128::from(self.count);
        (count > 1).then(|| (count * self.squares - self.sum * self.sum) as f64 / (count * (count - 1)) as f64)
    }

    /// Their standard deviation as that of a sample; `None` of fewer than two.
    ///
    /// # Panics
    /// When there are more than [`MOST`].
    pub fn standard_deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }
}

/// The quotient, rounded half away from zero.
fn divided(dividend: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    quotient + if 2 * rest.abs() >= divisor.abs() { dividend.signum() * divisor.signum() } else { 0 }
}

/// The percentile `(p, of)` of values in order, such as (95, 100), between two values as PostgreSQL's `percentile_cont`; `None` of
/// none.
///
/// # Panics
/// When `p` is greater than `of`.
#[expect(clippy::cast_precision_loss, reason = "rounded once, at the end")]
pub fn percentile(sorted: &[i64], (p, of): (u32, u32)) -> Option<f64> {
    assert!(p <= of, "{p} of {of} is no part");
    let last = u64::try_from(sorted.len().checked_sub(1)?).expect("values fit in memory");
    let place = last * u64::from(p);
    let at = usize::try_from(place / u64::from(of)).expect("it is a place of a value");
    let (below, above) = (i128::from(sorted[at]), i128::from(sorted[(at + 1).min(sorted.len() - 1)]));
    let of = i128::from(of);
    Some((below * of + (above - below) * (i128::from(place) % of)) as f64 / of as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Vec<i64>> {
        let value =
            prop_oneof![4 => -60_000..60_000_i64, 1 => -LARGEST..=LARGEST, 1 => Just(LARGEST), 1 => Just(-LARGEST)];
        prop::collection::vec(value, 0..60)
    }

    fn sums(values: &[i64]) -> Sums {
        let mut sums = Sums::default();
        values.iter().for_each(|value| sums.add(*value));
        sums
    }

    proptest! {
        #[test]
        fn neither_order_nor_splitting_changes_anything(values in values(), at in any::<prop::sample::Index>()) {
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let (first, second) = sorted.split_at(if sorted.is_empty() { 0 } else { at.index(sorted.len()) });
            let mut merged = sums(second);
            merged.merge(&sums(first));
            prop_assert_eq!(merged, sums(&values));
            prop_assert_eq!(merged.variance().map(f64::to_bits), sums(&values).variance().map(f64::to_bits));
        }

        #[test]
        fn a_mean_is_rounded_half_away_from_zero(values in values(), unit in 1..1_000_u64) {
            let sums = sums(&values);
            prop_assert_eq!(sums.mean_rounded(unit).is_none(), values.is_empty());
            let mean = sums.mean_rounded(unit).unwrap_or_default();
            let divisor = i128::from(sums.count()) * i128::from(unit);
            let twice_off = 2 * (sums.sum() - i128::from(mean) * divisor);
            prop_assert!(twice_off.abs() <= divisor, "{twice_off} of {divisor}");
            // Half way, the mean is the one further from zero.
            if twice_off.abs() == divisor {
                prop_assert_eq!(twice_off.signum(), -sums.sum().signum());
            }
        }

        #[test]
        fn of_equal_values_the_variance_is_zero(value in -LARGEST..=LARGEST, count in 2..50_usize) {
            prop_assert_eq!(sums(&vec![value; count]).variance(), Some(0.0));
        }

        #[test]
        fn a_percentile_is_between_its_neighbours(mut values in values(), p in 0..=100_u32) {
            values.sort_unstable();
            let percentile = percentile(&values, (p, 100));
            prop_assert_eq!(percentile.is_none(), values.is_empty());
            let is_between = |at: f64| (values[0] as f64..=values[values.len() - 1] as f64).contains(&at);
            prop_assert!(percentile.is_none_or(is_between));
        }
    }

    #[test]
    fn the_corners_fit() {
        let mut one = Sums::default();
        one.add(LARGEST);
        let mut all = Sums::default();
        // Doubling is merging.
        let (mut left, mut power) = (MOST, one);
        while left > 0 {
            if left & 1 == 1 {
                all.merge(&power);
            }
            let same = power;
            power.merge(&same);
            left >>= 1;
        }
        assert_eq!((all.count(), all.variance(), all.mean_rounded(1)), (MOST, Some(0.0), Some(LARGEST)));
    }

    #[test]
    fn examples() {
        let of = sums(&[2, 4, 4, 4, 5, 5, 7, 9]);
        assert_eq!((of.mean(), of.variance(), of.range()), (Some(5.0), Some(32.0 / 7.0), Some((2, 9))));
        assert_eq!((sums(&[-25]).mean_rounded(10), sums(&[25]).mean_rounded(10)), (Some(-3), Some(3)));
        assert_eq!((sums(&[7]).variance(), sums(&[]).mean(), sums(&[]).range()), (None, None, None));
        assert_eq!((percentile(&[1, 2, 3, 4], (50, 100)), percentile(&[10], (95, 100))), (Some(2.5), Some(10.0)));
    }
}

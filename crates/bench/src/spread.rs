//! The median and the range of several runs.

/// The median of some figures, and their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// How many figures there are.
    count: usize,
}

impl Spread {
    /// Of some figures; NaN if there are none.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        let last = figures.len().saturating_sub(1);
        // With an even number of figures, the median is the midpoint of the two in the middle.
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Self { median, least: at(0), most: at(last), count: figures.len() }
    }

    /// The median as text, then the least and the most if there is more than one figure.
    pub(crate) fn shown(self, figure: impl Fn(f64) -> String) -> String {
        format!("{}{}", figure(self.median), self.around(figure))
    }

    /// The least and the most, in brackets; nothing of one figure.
    pub(crate) fn around(self, figure: impl Fn(f64) -> String) -> String {
        if self.count > 1 { format!(" ({} – {})", figure(self.least), figure(self.most)) } else { String::new() }
    }
}

/// One figure by another, each pair of the same round: other load on the machine affects both.
pub(crate) fn within_rounds(figures: impl IntoIterator<Item = f64>, others: impl IntoIterator<Item = f64>) -> Spread {
    Spread::of(figures.into_iter().zip(others).map(|(figure, other)| figure / other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found_whatever_the_order() {
        let check = |figures: &[f64], expected: &str| {
            assert_eq!(Spread::of(figures.iter().copied()).shown(|figure| format!("{figure:.1}")), expected);
        };
        check(&[3.0], "3.0");
        check(&[9.0, 1.0, 2.0], "2.0 (1.0 – 9.0)");
        check(&[4.0, 1.0, 2.0, 9.0], "3.0 (1.0 – 9.0)");
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn ratios_are_taken_within_their_rounds() {
        let ratios = within_rounds([1.0, 4.0, 9.0], [1.0, 1.0, 3.0]);
        assert_eq!(ratios.shown(|ratio| format!("{ratio:.1}")), "3.0 (1.0 – 4.0)");
    }
}

//! A measured value that may be missing.

use std::fmt;

/// A finite number, or missing. Two measures are equal when their bits are.
///
/// Eight bytes, so that a fact stays small: missing is one fixed NaN, and −0 becomes 0.
#[derive(Clone, Copy)]
pub struct Measure(f64);

impl Measure {
    /// No value.
    pub const MISSING: Self = Self(f64::NAN);

    /// A value; `None` when it is not finite.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns −0 into 0 and changes nothing else.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The value, if there is one.
    pub fn get(self) -> Option<f64> {
        (!self.0.is_nan()).then_some(self.0)
    }
}

impl PartialEq for Measure {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Measure {}

impl fmt::Debug for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_compare_by_bits() {
        assert_eq!(Measure::new(-0.0), Measure::new(0.0));
        assert_eq!(Measure::MISSING, Measure::MISSING);
        assert_ne!(Measure::new(1.0), Measure::new(1.0 + f64::EPSILON));
        assert_eq!(Measure::new(f64::INFINITY), None);
        assert_eq!(Measure::new(f64::NAN), None);
    }
}

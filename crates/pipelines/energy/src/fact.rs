//! What is stored of a record: one fact per minute.

use stream::Fact;

use crate::thousandths::Thousandths;

/// The meter's figures of one minute, as last known.
///
/// 32 bytes: with its version a fact takes 40 in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinuteFact {
    /// The seven measured values, in the order of [`crate::record::MEASURES`].
    pub values: [Thousandths; 7],
    /// The minute of the day, 0 to 1439.
    pub minute: u16,
}

impl Fact for MinuteFact {
    type Key = u16;

    fn key(&self) -> u16 {
        self.minute
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }

    /// A minute without power retracts what was known of it.
    fn is_retraction(&self) -> bool {
        self.values[0] == Thousandths::MISSING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_stays_small() {
        assert_eq!(size_of::<MinuteFact>(), 32);
    }
}

//! A seeded generator, so that the same seed makes the same test.

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore as _, SeedableRng as _},
};

/// A seeded generator.
pub(crate) struct Random(Xoshiro256PlusPlus);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number of `[0, end)`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.next_u32() as usize % end
    }

    /// The same as 32 bits.
    pub(crate) fn small(&mut self, end: u32) -> u32 {
        self.0.next_u32() % end
    }
}

/// The rows in another order.
pub(crate) fn shuffled<T: Clone>(rows: &[T], seed: u64) -> Vec<T> {
    let mut random = Random::new(seed);
    let mut rows = rows.to_vec();
    for last in (1..rows.len()).rev() {
        rows.swap(last, random.below(last + 1));
    }
    rows
}

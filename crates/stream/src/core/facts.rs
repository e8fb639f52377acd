//! The facts of one group: found by key, iterated in key order.

use crate::{core::offsets::Stamp, pipeline::Fact};

/// A fact, and the order of its record among all.
#[derive(Clone, Debug)]
pub(crate) struct Versioned<F> {
    pub(crate) fact: F,
    pub(crate) stamp: Stamp,
}

/// Facts in the order they came, and by key.
///
/// Most input comes in key order; then the facts are their own index. From the first one on that does not, an index
/// of keys is added to them: a key is found in a few cache lines of it, and only the index is shifted to let one in.
pub(crate) struct Facts<F: Fact> {
    /// All full but the last. Many groups grow side by side: blocks of one size leave no holes in memory behind, as
    /// arrays that move whenever they grow do.
    blocks: Vec<Vec<Versioned<F>>>,
    /// In key order, every fact's key and its slot; empty while the facts came in key order.
    index: Vec<(F::Key, u32)>,
}

/// Facts in a block.
const BLOCK: usize = 16;

impl<F: Fact> Default for Facts<F> {
    fn default() -> Self {
        Self { blocks: Vec::new(), index: Vec::new() }
    }
}

impl<F: Fact> Facts<F> {
    /// The slot of a key's fact, which never changes; or the rank in key order at which [`Facts::insert`] wants it.
    pub(crate) fn find(&self, key: F::Key) -> Result<usize, usize> {
        if !self.index.is_empty() {
            return self.index.binary_search_by_key(&key, |(key, _)| *key).map(|rank| self.slot(rank));
        }
        let last = self.blocks.last().and_then(|block| block.last());
        if last.is_none_or(|last| last.fact.key() < key) {
            return Err(self.len());
        }
        let block = self.blocks.partition_point(|block| block[0].fact.key() <= key).saturating_sub(1);
        let within = self.blocks[block].binary_search_by_key(&key, |known| known.fact.key());
        within.map(|at| block * BLOCK + at).map_err(|at| block * BLOCK + at)
    }

    /// Takes a fact in whose key is new; its slot is after all others.
    pub(crate) fn insert(&mut self, rank: usize, versioned: Versioned<F>) {
        let slot = self.len();
        if rank < slot && self.index.is_empty() {
            self.index = self.blocks.iter().flatten().map(|known| known.fact.key()).zip(0..).collect();
        }
        if !self.index.is_empty() {
            let slot = u32::try_from(slot).expect("four billion facts of a group do not fit in memory");
            self.index.insert(rank, (versioned.fact.key(), slot));
        }
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(versioned),
            Some(_) => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(versioned);
                self.blocks.push(block);
            }
            // A group of few facts takes no whole block.
            None => self.blocks.push(vec![versioned]),
        }
    }

    /// The fact in a slot that [`Facts::find`] gave.
    pub(crate) fn at(&mut self, slot: usize) -> &mut Versioned<F> {
        &mut self.blocks[slot / BLOCK][slot % BLOCK]
    }

    /// All of them, in key order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Versioned<F>> {
        (0..self.len()).map(|rank| {
            let slot = if self.index.is_empty() { rank } else { self.slot(rank) };
            &self.blocks[slot / BLOCK][slot % BLOCK]
        })
    }

    /// The number of facts.
    pub(crate) fn len(&self) -> usize {
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK + last.len())
    }

    fn slot(&self, rank: usize) -> usize {
        self.index[rank].1 as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::core::offsets::Version;

    #[derive(Clone, Debug)]
    struct Word(u16);

    impl Fact for Word {
        type Key = u16;

        fn key(&self) -> u16 {
            self.0
        }

        fn same(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    /// The keys, and the times of their versions.
    fn listed(facts: &Facts<Word>) -> Vec<(u16, i64)> {
        facts.iter().map(|known| (known.fact.0, known.stamp.version().timestamp_ms())).collect()
    }

    proptest! {
        #[test]
        fn whatever_order_they_come_in_they_are_found_and_listed_by_key(
            keys in prop_oneof![
                proptest::collection::vec(0_u16..40, 0..80),
                proptest::collection::btree_set(0_u16..200, 0..80).prop_map(|keys| keys.into_iter().collect::<Vec<_>>()),
            ],
        ) {
            let (mut facts, mut model) = (Facts::default(), BTreeMap::new());
            for (time, key) in (0_i64..).zip(keys) {
                let versioned = Versioned { fact: Word(key), stamp: Stamp::new(Version::new(time, 0), false) };
                match facts.find(key) {
                    Ok(slot) => *facts.at(slot) = versioned,
                    Err(rank) => facts.insert(rank, versioned),
                }
                model.insert(key, time);
                prop_assert_eq!(listed(&facts), model.iter().map(|(key, time)| (*key, *time)).collect::<Vec<_>>());
            }
        }
    }
}

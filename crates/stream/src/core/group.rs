//! One group: its facts, and what a record does to them.

use crate::{
    columns::ColumnError,
    core::{
        batch::Outcome,
        cold::{ColdGroup, ColdReader},
        facts::{Facts, Versioned},
        mutation::{self, Mutation},
        offsets::{Stamp, Version},
        residency::Unflushed,
    },
    pipeline::{About, Fact, Pipeline},
};

/// A group in memory.
pub(crate) struct Group<P: Pipeline> {
    /// The number of its partition key.
    pub(crate) key: u32,
    /// The partition that owns it.
    pub(crate) owner: u16,
    /// Whether records came from more than one partition: then versions decide, and are stored.
    mixed: bool,
    /// Whether it changed since the last refresh was made.
    pub(crate) changed: bool,
    /// Whether a refresh has written it since it was first met, or a load has found it.
    pub(crate) is_known: bool,
    pub(crate) unflushed: Unflushed,
    /// How many refreshes there had been when it was last used.
    pub(crate) used: u32,
    /// Retractions included.
    pub(crate) facts: Facts<P::Fact>,
    pub(crate) interner: P::Interner,
}

/// What a record did to its group.
pub(crate) struct Change<F> {
    pub(crate) outcome: Outcome,
    /// What is known under its key now, where that or its version has to be stored.
    pub(crate) stored: Option<F>,
    /// Whether what is known under its key now came late.
    pub(crate) late: bool,
}

impl<P: Pipeline> Group<P> {
    /// Without facts.
    pub(crate) fn new(key: u32, owner: u16) -> Self {
        Self {
            key,
            owner,
            mixed: false,
            changed: false,
            is_known: false,
            unflushed: Unflushed::Clean,
            used: 0,
            facts: Facts::default(),
            interner: P::Interner::default(),
        }
    }

    /// What is known, in key order.
    pub(crate) fn facts(&self) -> impl Iterator<Item = &P::Fact> {
        self.facts.iter().map(|known| &known.fact).filter(|fact| !fact.is_retraction())
    }

    /// Its row. `late` says whether facts can come late.
    pub(crate) fn row(&self, pipeline: &P, name: &P::Group, late: bool) -> P::Row {
        let came_late = |known: &&Versioned<P::Fact>| known.stamp.is_late() && !known.fact.is_retraction();
        let late = if late { self.facts.iter().filter(came_late).count() } else { 0 };
        let about = About { late: u32::try_from(late).unwrap_or(u32::MAX) };
        pipeline.aggregate(name, self.facts(), &about, &self.interner)
    }

    /// The version of its newest record.
    pub(crate) fn newest(&self) -> Option<Version> {
        self.facts.iter().map(|known| known.stamp.version()).max()
    }

    /// What it takes in memory, in bytes, nearly.
    pub(crate) fn bytes(&self) -> usize {
        let of_group = const { size_of::<Self>() + size_of::<P::Group>() + 16 };
        of_group + self.facts.len() * const { size_of::<Versioned<P::Fact>>() + 4 }
    }

    /// Notes that facts came from that partition.
    pub(crate) fn mix(&mut self, partition: u16) {
        self.mixed |= partition != self.owner;
    }

    /// Applies a fact, which may have come late.
    pub(crate) fn apply(&mut self, fact: &P::Fact, version: Version, late: bool) -> Change<P::Fact> {
        self.mix(version.partition());
        let (mut known_now, mut first) = (fact.clone(), false);
        let (outcome, late) = match self.facts.find(fact.key()) {
            Ok(slot) => {
                let known = self.facts.at(slot);
                let (outcome, was_late) = (known.outcome_of(fact, version), known.stamp.is_late());
                if version < known.stamp.version() {
                    return Change { outcome, stored: None, late: was_late };
                }
                // What is said again came when it was said first.
                let late = if matches!(outcome, Outcome::New | Outcome::Corrected) { late } else { was_late };
                known.stamp = Stamp::new(version, late);
                if outcome == Outcome::Unchanged {
                    // What is no part of being the same stays as it was stored.
                    known_now = known.fact.clone();
                } else {
                    known.fact = fact.clone();
                }
                (outcome, late)
            }
            Err(rank) => {
                first = true;
                self.facts.insert(rank, Versioned { fact: fact.clone(), stamp: Stamp::new(version, late) });
                (if fact.is_retraction() { Outcome::Filtered } else { Outcome::New }, late)
            }
        };
        // Where versions decide between partitions, a restart must find them again; and so it must the first record of a key
        // even if that retracts nothing: what it retracts may still come, from another partition.
        let stored = self.mixed || first || matches!(outcome, Outcome::New | Outcome::Corrected);
        Change { outcome, stored: stored.then_some(known_now), late }
    }

    /// Takes back a stored fact: of a key the greatest version wins, and of two of the same version this one, where it was stored
    /// later. Returns whether one counted under its key before, and whether one does now.
    pub(crate) fn load(&mut self, loaded: Versioned<P::Fact>, is_later: bool) -> (bool, bool) {
        self.mix(loaded.stamp.version().partition());
        let counts = !loaded.fact.is_retraction();
        match self.facts.find(loaded.fact.key()) {
            Ok(slot) => {
                let known = self.facts.at(slot);
                let counted = !known.fact.is_retraction();
                let (ours, its) = (known.stamp.version(), loaded.stamp.version());
                let is_overtaken = its < ours && !mutation::is(Mutation::GreatestIdBelieved);
                if is_overtaken || !is_later && its <= ours {
                    return (counted, counted);
                }
                *known = loaded;
                (counted, counts)
            }
            Err(rank) => {
                self.facts.insert(rank, loaded);
                (false, counts)
            }
        }
    }

    /// Takes back the facts of its cold row, all of which were stored before those it has. Returns how many more facts count now.
    ///
    /// # Errors
    /// When what is stored is not what this program writes.
    pub(crate) fn load_cold(&mut self, row: &mut ColdReader<'_>) -> Result<isize, ColumnError> {
        let mut added = 0;
        while let Some(stamp) = row.next_fact()? {
            let fact = P::decode_fact(&mut row.values, &mut self.interner)?;
            let (counted, counts) = self.load(Versioned { fact, stamp }, false);
            added += isize::from(counts) - isize::from(counted);
        }
        Ok(added)
    }

    /// All of its facts, for its cold row.
    pub(crate) fn cold(&self, name: &P::Group) -> ColdGroup {
        let mut cold = ColdGroup::new(P::CHANGELOG.columns.len());
        for known in self.facts.iter() {
            P::encode(name, &known.fact, &self.interner, &mut cold.fact(known.stamp));
        }
        cold
    }
}

impl<F: Fact> Versioned<F> {
    /// What becomes of a record of the same key. One that another partition has overtaken changes nothing.
    fn outcome_of(&self, fact: &F, version: Version) -> Outcome {
        match (self.fact.is_retraction(), fact.is_retraction()) {
            (true, true) => Outcome::Filtered,
            _ if version < self.stamp.version() => Outcome::Unchanged,
            (true, false) => Outcome::New,
            (false, false) if self.fact.same(fact) => Outcome::Unchanged,
            (false, _) => Outcome::Corrected,
        }
    }
}

//! Facts that wait for their group, which is not in memory.

use std::collections::BTreeMap;

use crate::{
    core::{batch::Outcome, cold::ColdName, group::Group, offsets::Position},
    pipeline::Pipeline,
};

/// Groups that are to be fetched, and what waits for them.
pub(crate) struct Parked<P: Pipeline> {
    pub(crate) groups: BTreeMap<P::Group, Waiting<P>>,
    records: Vec<Record>,
}

/// A group that is to be fetched.
pub(crate) struct Waiting<P: Pipeline> {
    pub(crate) name: ColdName,
    /// The group; so far without facts.
    pub(crate) group: Group<P>,
    /// What is to be applied to it, in order.
    pub(crate) facts: Vec<ParkedFact<P>>,
}

/// A fact that waits.
pub(crate) struct ParkedFact<P: Pipeline> {
    pub(crate) fact: P::Fact,
    pub(crate) event_ms: i64,
    pub(crate) at: Position,
    pub(crate) late: bool,
    /// The place of its record.
    record: usize,
}

/// A record of which not all facts are applied.
struct Record {
    partition: u16,
    /// What the others did.
    outcome: Option<Outcome>,
    waiting: usize,
}

impl<P: Pipeline> Default for Parked<P> {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), records: Vec::new() }
    }
}

impl<P: Pipeline> Waiting<P> {
    pub(crate) fn new(name: ColdName, group: Group<P>) -> Self {
        Self { name, group, facts: Vec::new() }
    }
}

impl<P: Pipeline> Parked<P> {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The groups that are to be fetched.
    pub(crate) fn names(&self) -> Vec<ColdName> {
        self.groups.values().map(|waiting| waiting.name.clone()).collect()
    }

    /// Parks a fact of the record that [`Parked::record`] will note next.
    pub(crate) fn park(&mut self, group: P::Group, fact: P::Fact, event_ms: i64, at: Position, late: bool) {
        let record = self.records.len();
        let waiting = self.groups.get_mut(&group).expect("it waits");
        waiting.facts.push(ParkedFact { fact, event_ms, at, late, record });
    }

    /// Notes a record of which so many facts are parked; the others did `outcome`.
    pub(crate) fn record(&mut self, partition: u16, outcome: Option<Outcome>, waiting: usize) {
        self.records.push(Record { partition, outcome, waiting });
    }

    /// Notes what a fact did that was parked; what its record did, and the partition that brought it, where that was the last.
    pub(crate) fn applied(&mut self, fact: &ParkedFact<P>, outcome: Outcome) -> Option<(u16, Outcome)> {
        let record = &mut self.records[fact.record];
        record.outcome = Some(together(record.outcome, outcome));
        record.waiting -= 1;
        Some((record.partition, record.outcome?)).filter(|_| record.waiting == 0)
    }
}

/// What a record did that tells several facts: it is counted once.
pub(crate) fn together(one: Option<Outcome>, other: Outcome) -> Outcome {
    let weight = |outcome: Outcome| match outcome {
        Outcome::Rejected => 0,
        Outcome::Filtered => 1,
        Outcome::Unchanged => 2,
        Outcome::New => 3,
        Outcome::Corrected => 4,
    };
    one.filter(|one| weight(*one) > weight(other)).unwrap_or(other)
}

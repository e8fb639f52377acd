//! Which groups leave memory, and which are written to the cold store for it; pure.
//!
//! Whether a window is final does not decide what is in memory, and what is in memory decides no row.

use crate::core::mutation::{self, Mutation};

/// Whether a group has facts that are not in the cold store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unflushed {
    /// None.
    Clean,
    /// Some, of a batch whose number is not known yet.
    InHand,
    /// Some; the first of them came with the batch of this number, or a later one.
    Since(i64),
}

/// A group in memory.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<G> {
    pub(crate) group: G,
    /// What it takes, in bytes.
    pub(crate) bytes: usize,
    pub(crate) unflushed: Unflushed,
    pub(crate) owner: u16,
    /// How many refreshes ago it was used last.
    pub(crate) unused: u32,
    pub(crate) is_final: bool,
}

/// What memory may hold, and how much a refresh may write.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The most bytes of facts.
    pub(crate) budget: usize,
    /// The most bytes that one refresh may write to the cold store; another one follows.
    pub(crate) flush: usize,
    /// `(owner partition, number)`: what came with earlier batches is to be in the cold store, so that a load stays short.
    pub(crate) flush_before: Vec<(u16, i64)>,
}

/// What becomes of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice<G> {
    /// These are written to the cold store.
    pub(crate) flush: Vec<G>,
    /// These leave memory, once that is stored.
    pub(crate) evict: Vec<G>,
}

/// Chooses. Final windows leave, except those that still receive facts, in half of the budget. Where the rest exceeds it, those
/// that were not used for the longest time leave, down to three quarters. What has waited for too long is flushed, and stays.
pub(crate) fn choose<G: Copy + Ord>(mut all: Vec<Candidate<G>>, limits: &Limits) -> Choice<G> {
    let budget = limits.budget;
    let (mut leaves, mut stays) = (Vec::new(), Vec::new());
    // Those used last come first, so that they are the ones that fit.
    all.sort_unstable_by_key(|group| (group.unused, group.group));
    let mut receiving = 0;
    for group in all {
        let fits = group.unused <= 1 && receiving + group.bytes <= budget / 2;
        if !group.is_final {
            stays.push(group);
        } else if fits && !mutation::is(Mutation::FinalStays) {
            receiving += group.bytes;
            stays.push(group);
        } else if mutation::is(Mutation::FinalStays) && group.unflushed == Unflushed::Clean {
            stays.push(group);
        } else {
            leaves.push(group);
        }
    }
    let mut held: usize = stays.iter().map(|group| group.bytes).sum();
    if held > budget {
        while held > budget - budget / 4
            && let Some(group) = stays.pop()
        {
            held -= group.bytes;
            leaves.push(group);
        }
    }
    // The oldest first: what is left then was written later.
    leaves.sort_by_key(|group| since(group.unflushed));
    let mut choice = Choice { flush: Vec::new(), evict: Vec::new() };
    let mut flushed = 0;
    let mut may_flush = |group: &Candidate<G>| {
        let may = flushed == 0 || flushed + group.bytes <= limits.flush;
        flushed += if may { group.bytes } else { 0 };
        may
    };
    for group in leaves {
        if group.unflushed == Unflushed::Clean {
            choice.evict.push(group.group);
        } else if may_flush(&group) {
            choice.flush.push(group.group);
            choice.evict.push(group.group);
        } else if mutation::is(Mutation::DirtyEvicted) {
            choice.evict.push(group.group);
        }
    }
    let is_old = |group: &Candidate<G>| {
        let before = limits.flush_before.iter().find(|(owner, _)| *owner == group.owner);
        matches!((group.unflushed, before), (Unflushed::Since(number), Some((_, before))) if number < *before)
    };
    stays.retain(is_old);
    stays.sort_by_key(|group| since(group.unflushed));
    choice.flush.extend(stays.iter().filter(|group| may_flush(group)).map(|group| group.group));
    choice
}

fn since(unflushed: Unflushed) -> i64 {
    match unflushed {
        Unflushed::Clean => i64::MIN,
        Unflushed::Since(number) => number,
        Unflushed::InHand => i64::MAX,
    }
}

/// How much was stored of an owner partition and may not be in the cold store yet: what a load reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    /// `(number of the batch, facts)`, in order.
    batches: std::collections::VecDeque<(i64, usize)>,
    facts: usize,
}

impl Tail {
    /// Notes what a batch has brought; batches come in order.
    pub(crate) fn add(&mut self, number: i64, facts: usize) {
        self.facts += facts;
        match self.batches.back_mut() {
            Some((last, of_last)) if *last == number => *of_last += facts,
            _ => self.batches.push_back((number, facts)),
        }
    }

    /// What is before that batch is in the cold store.
    pub(crate) fn drop_before(&mut self, number: i64) {
        while let Some((first, facts)) = self.batches.front().copied()
            && first < number
        {
            self.facts -= facts;
            self.batches.pop_front();
        }
    }

    pub(crate) fn facts(&self) -> usize {
        self.facts
    }

    /// The batch before which all is to be flushed, so that less than half of `limit` is left; `None` within the limit.
    pub(crate) fn flush_before(&self, limit: usize) -> Option<i64> {
        if self.facts <= limit {
            return None;
        }
        let mut left = 0;
        let kept = self.batches.iter().rev().take_while(|(_, facts)| {
            left += facts;
            left <= limit / 2
        });
        Some(kept.last().map_or(i64::MAX, |(number, _)| *number))
    }
}

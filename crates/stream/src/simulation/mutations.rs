//! Each fault that is made on purpose is noticed, with the seed of a schedule that shows it.

use std::{
    collections::BTreeSet,
    panic::{self, UnwindSafe},
};

use crate::{
    core::mutation::{self, Mutation},
    simulation::{handwritten, properties, world::World},
};

/// A seed for each, and what is said of it; `cargo test -p stream --lib -- --ignored --nocapture seeds` looks for the seeds anew, as is
/// needed when the schedules change.
const CAUGHT: [(Mutation, u64, &str); 25] = [
    (Mutation::BatchAppliedTwice, 4, "and stored is"),
    (Mutation::LoadingForgotten, 6, "while partitions wait"),
    (Mutation::FenceIgnoredInPart, 155, "by an old owner"),
    (Mutation::OldOwnerCommits, 4, "by an old owner"),
    (Mutation::RefreshOvertakesBatch, 0, "after a refresh of"),
    (Mutation::OldEndBelieved, 742, "and stored is"),
    (Mutation::OldRecordBelieved, 5, "were read"),
    (Mutation::OldLoadBelieved, 9016, "under a claim before the last"),
    (Mutation::OldAnswerBelieved, 246, "dropped for nothing"),
    (Mutation::ReadyWhileWaiting, 0, "while partitions wait"),
    (Mutation::FencedClaimsAtOnce, 4, "it goes on and on"),
    (Mutation::OwedForgotten, 8, "after a refresh of"),
    (Mutation::ComparedTooLate, 1, "dropped for nothing"),
    (Mutation::PlacesKept, 4, "time is up"),
    (Mutation::RefusedRefreshForgets, 5849, "while facts are owed"),
    (Mutation::ClaimWithLoad, 1, "for as long as facts are loaded"),
    (Mutation::NumberDrawnAnew, 35, "numbers were drawn"),
    (Mutation::DoubtStoredAgain, 907, "accounted for twice"),
    (Mutation::RevokedFactsKept, 4, "memory of"),
    (Mutation::EndsBeforeOthers, 1, "a run ended"),
    (Mutation::EndBelowBegin, 877, "time is up"),
    (Mutation::SharedKeySplit, 5, "and stored is"),
    (Mutation::RemovedRowForgotten, 296, "time is up"),
    (Mutation::RefusedRefreshDropsAll, 98, "dropped for nothing"),
    (Mutation::CreatedAgainIgnored, 127, "complete, and partition"),
];

/// Runs a schedule with a fault in it; whether these words were said of it.
fn is_noticed<F: Fn() -> Result<(), String> + UnwindSafe>(mutation: Mutation, words: &str, run: F) -> bool {
    mutation::make(Some(mutation));
    let noticed = panic::catch_unwind(run);
    mutation::make(None);
    noticed.is_ok_and(|noticed| noticed.is_err_and(|violations| violations.contains(words)))
}

#[test]
fn each_fault_is_noticed() {
    for (mutation, seed, words) in CAUGHT {
        assert!(
            is_noticed(mutation, words, || properties::run(seed)),
            "{mutation:?}: the schedule of seed {seed} does not say `{words}`"
        );
        assert_eq!(properties::run(seed), Ok(()), "{mutation:?}: the schedule of its seed holds without it");
    }
}

/// A schedule that is written by hand.
type Schedule = fn() -> World;

/// Those that chance seldom finds.
const CAUGHT_BY_HAND: [(Mutation, Schedule, &str); 3] = [
    (Mutation::CompleteWhileOwed, handwritten::owed, "complete while facts are owed"),
    (Mutation::RestoredRefreshBelieved, handwritten::restored, "after a refresh of"),
    (Mutation::TopicBelievedWhileRevoking, handwritten::revoked_in_mid_load, "while a revocation waits"),
];

#[test]
fn each_fault_that_chance_seldom_finds_is_noticed() {
    for (mutation, schedule, words) in CAUGHT_BY_HAND {
        let run = || properties::outcome(&schedule());
        assert!(is_noticed(mutation, words, run), "{mutation:?}: its schedule does not say `{words}`");
        assert_eq!(run(), Ok(()), "{mutation:?}: its schedule holds without it");
    }
}

#[test]
fn every_fault_has_a_schedule() {
    let lines = include_str!("../core/mutation.rs").lines();
    let names = lines.filter_map(|line| line.strip_prefix("    ")?.strip_suffix(','));
    let named: Vec<&str> = names.filter(|name| name.chars().all(char::is_alphanumeric)).collect();
    let caught = CAUGHT.iter().map(|caught| caught.0).chain(CAUGHT_BY_HAND.iter().map(|caught| caught.0));
    let caught: BTreeSet<String> = caught.map(|mutation| format!("{mutation:?}")).collect();
    assert_eq!(
        caught.iter().collect::<Vec<_>>(),
        named.iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
}

#[test]
#[ignore = "looks for seeds, and prints them"]
fn seeds() {
    let only = std::env::var("ONLY").unwrap_or_default();
    for (mutation, _, words) in CAUGHT.into_iter().filter(|(mutation, ..)| format!("{mutation:?}").contains(&only)) {
        match (0..60_000).find(|seed| is_noticed(mutation, words, || properties::run(*seed))) {
            Some(seed) => println!("(Mutation::{mutation:?}, {seed}, \"{words}\"),"),
            None => println!("{mutation:?}: NOT NOTICED"),
        }
    }
}

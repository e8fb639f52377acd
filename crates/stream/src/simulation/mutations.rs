//! Each fault that is made on purpose is noticed, with the seed of a schedule that shows it.

use std::panic;

use crate::{
    core::mutation::{self, Mutation},
    simulation::properties,
};

/// A seed for each; `cargo test -p stream --lib -- --ignored --nocapture seeds` looks for them anew, as is
/// needed when the schedules change.
const CAUGHT: [(Mutation, u64); 20] = [
    (Mutation::BatchAppliedTwice, 31),
    (Mutation::LoadingForgotten, 7),
    (Mutation::FenceIgnoredInPart, 219),
    (Mutation::OldOwnerCommits, 89),
    (Mutation::RefreshOvertakesBatch, 12),
    (Mutation::OldEndBelieved, 206),
    (Mutation::OldRecordBelieved, 22),
    (Mutation::OldLoadBelieved, 3635),
    (Mutation::OldAnswerBelieved, 2170),
    (Mutation::ReadyWhileWaiting, 0),
    (Mutation::FencedClaimsAtOnce, 89),
    (Mutation::OwedForgotten, 8),
    (Mutation::ComparedTooLate, 0),
    (Mutation::PlacesKept, 31),
    (Mutation::RefusedRefreshForgets, 932),
    (Mutation::CompleteWhileOwed, 335),
    (Mutation::ClaimWithLoad, 3),
    (Mutation::NumberDrawnAnew, 44),
    (Mutation::DoubtStoredAgain, 906),
    (Mutation::RevokedFactsKept, 8),
];

/// Runs a schedule with a fault in it, and says what was noticed. Code that is wrong may also panic.
fn run(mutation: Mutation, seed: u64) -> Result<(), String> {
    mutation::make(Some(mutation));
    let noticed = panic::catch_unwind(|| properties::run(seed));
    mutation::make(None);
    noticed.unwrap_or_else(|_| Err(format!("seed {seed}: a panic")))
}

#[test]
fn each_fault_is_noticed() {
    for (mutation, seed) in CAUGHT {
        assert!(run(mutation, seed).is_err(), "{mutation:?} is not noticed by the schedule of seed {seed}");
        assert_eq!(properties::run(seed), Ok(()), "{mutation:?}: the schedule of its seed holds without it");
    }
}

#[test]
#[ignore = "looks for seeds, and prints them"]
fn seeds() {
    let only = std::env::var("ONLY").unwrap_or_default();
    for (mutation, _) in CAUGHT.into_iter().filter(|(mutation, _)| format!("{mutation:?}").contains(&only)) {
        let found = (0..12_000).find_map(|seed| Some((seed, run(mutation, seed).err()?)));
        match found {
            Some((seed, noticed)) => {
                println!("(Mutation::{mutation:?}, {seed}), // {}", noticed.lines().last().unwrap_or_default())
            }
            None => println!("{mutation:?}: NOT NOTICED"),
        }
    }
}

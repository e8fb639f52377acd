//! Each fault that is made on purpose is noticed, with the seed of a schedule that shows it.

use std::panic::{self, UnwindSafe};

use crate::{
    core::mutation::{self, Mutation},
    simulation::properties,
};

/// A seed for each; `cargo test -p stream --lib -- --ignored --nocapture seeds` looks for them anew, as is
/// needed when the schedules change.
const CAUGHT: [(Mutation, u64); 19] = [
    (Mutation::BatchAppliedTwice, 4),
    (Mutation::LoadingForgotten, 6),
    (Mutation::FenceIgnoredInPart, 186),
    (Mutation::OldOwnerCommits, 4),
    (Mutation::RefreshOvertakesBatch, 0),
    (Mutation::OldEndBelieved, 134),
    (Mutation::OldRecordBelieved, 32),
    (Mutation::OldLoadBelieved, 3505),
    (Mutation::OldAnswerBelieved, 498),
    (Mutation::ReadyWhileWaiting, 0),
    (Mutation::FencedClaimsAtOnce, 4),
    (Mutation::OwedForgotten, 8),
    (Mutation::ComparedTooLate, 0),
    (Mutation::PlacesKept, 4),
    (Mutation::RefusedRefreshForgets, 2977),
    (Mutation::ClaimWithLoad, 1),
    (Mutation::NumberDrawnAnew, 23),
    (Mutation::DoubtStoredAgain, 367),
    (Mutation::RevokedFactsKept, 4),
];

/// Runs a schedule with a fault in it, and says what was noticed. Code that is wrong may also panic.
fn with<F: Fn() -> Result<(), String> + UnwindSafe>(mutation: Mutation, run: F) -> Result<(), String> {
    mutation::make(Some(mutation));
    let noticed = panic::catch_unwind(run);
    mutation::make(None);
    noticed.unwrap_or_else(|_| Err("a panic".to_owned()))
}

#[test]
fn each_fault_is_noticed() {
    for (mutation, seed) in CAUGHT {
        assert!(
            with(mutation, || properties::run(seed)).is_err(),
            "{mutation:?} is not noticed by the schedule of seed {seed}"
        );
        assert_eq!(properties::run(seed), Ok(()), "{mutation:?}: the schedule of its seed holds without it");
    }
}

/// Chance seldom finds this one.
#[test]
fn complete_while_a_refresh_is_owed_is_noticed() {
    assert_eq!(properties::owe(), Ok(()));
    let noticed = with(Mutation::CompleteWhileOwed, properties::owe);
    assert!(noticed.is_err_and(|violation| violation.contains("complete while facts are owed")));
}

#[test]
#[ignore = "looks for seeds, and prints them"]
fn seeds() {
    let only = std::env::var("ONLY").unwrap_or_default();
    for (mutation, _) in CAUGHT.into_iter().filter(|(mutation, _)| format!("{mutation:?}").contains(&only)) {
        let found = (0..60_000).find_map(|seed| Some((seed, with(mutation, || properties::run(seed)).err()?)));
        match found {
            Some((seed, noticed)) => {
                println!("(Mutation::{mutation:?}, {seed}), // {}", noticed.lines().last().unwrap_or_default())
            }
            None => println!("{mutation:?}: NOT NOTICED"),
        }
    }
}

//! Each fault that is made on purpose is noticed, with the seed of a schedule that shows it.

use std::{
    collections::BTreeSet,
    panic::{self, UnwindSafe},
};

use crate::{
    core::mutation::{self, Mutation},
    simulation::{handwritten, properties, world::World},
};

/// A seed for each, and the message that reports it. When the schedules change, find new seeds with
/// `cargo test -p stream --lib -- --ignored --nocapture seeds`.
const CAUGHT: [(Mutation, u64, &str); 30] = [
    (Mutation::RefusedMemoryKept, 3, "time is up"),
    (Mutation::LoadingForgotten, 2, "time is up"),
    (Mutation::FenceIgnoredInPart, 707, "facts were stored for an owner"),
    (Mutation::OldOwnerCommits, 4, "by an old owner"),
    (Mutation::RefreshOvertakesBatch, 71, "after a refresh of"),
    (Mutation::OldRecordBelieved, 5986, "were read"),
    (Mutation::OldLoadBelieved, 851, "under a claim before the last"),
    (Mutation::OldAnswerBelieved, 547, "dropped for nothing"),
    (Mutation::ReadyWhileWaiting, 0, "while partitions wait"),
    (Mutation::FencedClaimsAtOnce, 4, "it goes on and on"),
    (Mutation::OwedForgotten, 3, "after a refresh of"),
    (Mutation::ComparedTooLate, 1, "dropped for nothing"),
    (Mutation::SlotsKept, 3, "time is up"),
    (Mutation::RefreshForgets, 106, "while facts are owed"),
    (Mutation::OthersNotRefreshed, 5, "after a refresh of"),
    (Mutation::ClaimWithLoad, 1, "for as long as facts are loaded"),
    (Mutation::NumberRedrawn, 1, "numbers were drawn"),
    (Mutation::DoubtStoredAgain, 151, "accounted for twice"),
    (Mutation::RevokedFactsKept, 12492, "memory of"),
    (Mutation::EndsBeforeOthers, 1, "a run ended"),
    (Mutation::EndBelowBegin, 4149, "time is up"),
    (Mutation::SharedKeySplit, 5, "and stored is"),
    (Mutation::RemovedRowForgotten, 22715, "while partitions wait"),
    (Mutation::RecreationIgnored, 127, "complete, and partition"),
    (Mutation::NeverAddedGivenBack, 0, "was never added"),
    (Mutation::RefusalDropsOthers, 536, "dropped for nothing"),
    (Mutation::ClaimsOfSourcesOnly, 20721, "facts were stored for an owner"),
    (Mutation::KeyGivenTwice, 12, "and stored is"),
    (Mutation::SpreadShardsWait, 3, "time is up"),
    (Mutation::OwedNotRefreshedFirst, 11943, "is blocked and owes"),
];

/// The same where groups leave memory.
const CAUGHT_LEAVING: [(Mutation, u64, &str); 20] = [
    (Mutation::RedoTooFar, 5, "is neither read by a load nor in the cold store"),
    (Mutation::ThroughTooFar, 0, "the cold row of"),
    (Mutation::ClockNotFromTail, 914, "is final through"),
    (Mutation::ClockAfterParking, 2, "records were filtered"),
    (Mutation::DirtyEvicted, 4548, "is neither read by a load nor in the cold store"),
    (Mutation::EvictedInHand, 19, "is neither read by a load nor in the cold store"),
    (Mutation::EvictedNotWritten, 1, "after a refresh of"),
    (Mutation::EvictedTakenForNew, 6, "was taken for new"),
    (Mutation::OpenOfTailOnly, 18, "was taken for new"),
    (Mutation::NeverFetched, 0, "was taken for new"),
    (Mutation::FinalityOfSetting, 133, "go back"),
    (Mutation::HorizonOfStored, 2, "records were filtered"),
    (Mutation::TimesNotStored, 20, "its newest record came from"),
    (Mutation::TimesOfFlushedOnly, 2, "is final through"),
    (Mutation::FlushedTailLoaded, 5, "of which all facts are in the cold store"),
    (Mutation::TailBehindHorizonLoaded, 31, "behind the horizon"),
    (Mutation::FinalStays, 66, "final windows hold more"),
    (Mutation::FlushForgets, 27, "is neither read by a load nor in the cold store"),
    (Mutation::FlushWithoutRows, 0, "after a refresh of"),
    (Mutation::FlushOvertakesBatch, 222, "is neither read by a load nor in the cold store"),
];

/// Runs a schedule with a fault in it, and returns what was noticed.
fn with<F: Fn() -> Result<(), String> + UnwindSafe>(mutation: Mutation, run: F) -> String {
    mutation::make(Some(mutation));
    let noticed = panic::catch_unwind(run);
    mutation::make(None);
    noticed.map_or_else(|_| "a panic".to_owned(), |noticed| noticed.err().unwrap_or_default())
}

/// Whether a schedule with a fault in it is reported in these words.
fn is_noticed<F: Fn() -> Result<(), String> + UnwindSafe>(mutation: Mutation, words: &str, run: F) -> bool {
    with(mutation, run).contains(words)
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

#[test]
fn each_fault_of_what_leaves_memory_is_noticed() {
    for (mutation, seed, words) in CAUGHT_LEAVING {
        assert!(
            is_noticed(mutation, words, || properties::run_leaving(seed)),
            "{mutation:?}: the schedule of seed {seed} does not say `{words}`"
        );
        assert_eq!(properties::run_leaving(seed), Ok(()), "{mutation:?}: the schedule of its seed holds without it");
    }
}

/// A schedule that is written by hand.
type Schedule = fn() -> World;

/// Those that chance seldom finds.
const CAUGHT_BY_HAND: [(Mutation, Schedule, &str); 6] = [
    (Mutation::CompleteWhileOwed, handwritten::owed, "complete while facts are owed"),
    (Mutation::RestoredRefreshBelieved, handwritten::restored, "after a refresh of"),
    (Mutation::ClaimsOfNow, handwritten::claimed_again, "is not in its new memory"),
    (Mutation::OldEndBelieved, handwritten::old_end, "was passed over"),
    (Mutation::OthersTakenOutFirst, handwritten::owed, "waits for its response"),
    (Mutation::GreatestIdBelieved, handwritten::overtaken, "after a refresh of"),
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
    let caught =
        CAUGHT.iter().chain(&CAUGHT_LEAVING).map(|caught| caught.0).chain(CAUGHT_BY_HAND.iter().map(|caught| caught.0));
    let caught: BTreeSet<String> = caught.map(|mutation| format!("{mutation:?}")).collect();
    assert_eq!(
        caught.iter().collect::<Vec<_>>(),
        named.iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
}

#[test]
#[ignore = "searches for seeds, and prints them"]
fn seeds() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let from: u64 = std::env::var("FROM").ok().and_then(|from| from.parse().ok()).unwrap_or(0);
    for (mutation, _, words) in
        CAUGHT_LEAVING.into_iter().filter(|(mutation, ..)| format!("{mutation:?}").contains(&only))
    {
        let found = (from..from + 30_000).find_map(|seed| {
            let noticed = with(mutation, || properties::run_leaving(seed));
            Some((seed, noticed)).filter(|(_, noticed)| noticed.contains(words))
        });
        match found {
            Some((seed, _)) => println!("(Mutation::{mutation:?}, {seed}, \"{words}\"),"),
            None => println!("{mutation:?}: NOT NOTICED in these words"),
        }
    }
    for (mutation, _, words) in CAUGHT.into_iter().filter(|(mutation, ..)| format!("{mutation:?}").contains(&only)) {
        let mut other = None;
        let found = (from..from + 30_000).find(|seed| {
            let noticed = with(mutation, || properties::run(*seed));
            if !noticed.is_empty() && !noticed.contains(words) {
                other.get_or_insert(noticed.lines().last().unwrap_or_default().to_owned());
            }
            noticed.contains(words)
        });
        match found {
            Some(seed) => println!("(Mutation::{mutation:?}, {seed}, \"{words}\"),"),
            None => println!("{mutation:?}: NOT NOTICED in these words, but: {other:?}"),
        }
    }
}

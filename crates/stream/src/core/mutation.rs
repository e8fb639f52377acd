//! Faults made on purpose, one at a time, by tests of the simulation: each must be noticed.

/// A fault, at the point in the code that checks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// Memory is kept though something of it was refused.
    RefusedMemoryKept,
    /// Partitions that are being loaded are forgotten when memory is dropped.
    LoadingForgotten,
    /// A fence of a partition is ignored where another one of the same batch is still ours.
    FenceIgnoredInPart,
    /// A batch is stored by a partition's old owner after another consumer has claimed it.
    OldOwnerCommits,
    /// A refresh is sent before the batch whose facts it covers.
    RefreshOvertakesBatch,
    /// The end that an older fetch had reached is believed while a record has yet to arrive.
    OldEndBelieved,
    /// A record of an older fetch is believed.
    OldRecordBelieved,
    /// What an older load brings is believed.
    OldLoadBelieved,
    /// A refusal of what was dropped since is believed.
    OldAnswerBelieved,
    /// Ready although partitions wait or are loaded.
    ReadyWhileWaiting,
    /// A fenced consumer claims again at once.
    FencedClaimsAtOnce,
    /// What a refresh owes is forgotten when the owner partition moves.
    OwedForgotten,
    /// What is stored is compared with what is held now, not with what was held when the read was sent.
    ComparedTooLate,
    /// Jobs of memory that was dropped keep their slots.
    SlotsKept,
    /// The groups of a refresh that was not stored are forgotten.
    RefreshForgets,
    /// Where a part of a refresh is refused, the others count as refreshed, and are not.
    OthersNotRefreshed,
    /// A run is called complete while facts are owed.
    CompleteWhileOwed,
    /// A claim and its load are one transaction.
    ClaimWithLoad,
    /// A batch draws another number at each try.
    NumberRedrawn,
    /// A batch whose COMMIT is in doubt is stored again.
    DoubtStoredAgain,
    /// A partition that was given back stays in memory.
    RevokedFactsKept,
    /// Other partitions are removed before a revocation is completed.
    OthersTakenOutFirst,
    /// A partition that was never added is given back at the end.
    NeverAddedGivenBack,
    /// A run ends before all partitions of the topic are refreshed.
    EndsBeforeOthers,
    /// The end of a partition takes its offset back to before the first one that exists.
    EndBelowBegin,
    /// A database that was restored to before a refresh is not noticed.
    RestoredRefreshBelieved,
    /// `consumer repartition` moves a partition key with one of its groups only.
    SharedKeySplit,
    /// A partition whose row was removed while it was being claimed is taken for loaded.
    RemovedRowForgotten,
    /// A refusal of what one shard has drops the memory of the others.
    RefusalDropsOthers,
    /// A batch is checked against the claims of now instead of those under which its shard was loaded.
    ClaimsOfNow,
    /// The claims of the partitions that a batch has records of are checked, and no others.
    ClaimsOfSourcesOnly,
    /// Two shards that bring the same new key both get it.
    KeyGivenTwice,
    /// Shards whose keys are spread wait for each other.
    SpreadShardsWait,
    /// What a shard owes is not refreshed before it is read.
    OwedNotRefreshedFirst,
    /// A topic that was recreated is read on.
    RecreationIgnored,
    /// A load believes the fact of a key that was stored last, whatever its version.
    GreatestIdBelieved,
    /// A load is to begin after facts that are not in the cold store.
    RedoTooFar,
    /// A cold row claims facts that are still to come.
    ThroughTooFar,
    /// A load does not let the stored facts raise the clocks.
    ClockNotFromTail,
    /// The times of a key grow when a parked record is applied, not when it arrives.
    ClockAfterParking,
    /// A group with facts that are not in the cold store leaves memory.
    DirtyEvicted,
    /// A group leaves memory though facts of it have come since the refresh was made.
    EvictedInHand,
    /// The row of a group that leaves memory is not written.
    EvictedNotWritten,
    /// A window that is not final and not in memory is taken for a new one.
    EvictedTakenForNew,
    /// A load takes only those windows for open that have facts a load reads.
    OpenOfTailOnly,
    /// A group that is not in memory begins without facts.
    NeverFetched,
    /// Whether a window is final follows from the setting, not from what is stored.
    FinalityOfSetting,
    /// What is behind the horizon is decided by the stored one.
    HorizonOfStored,
    /// The clock of a key whose facts are in the cold store is not stored.
    TimesNotStored,
    /// A window becomes final, and that is not stored.
    TimesOfFlushedOnly,
    /// A load takes facts into memory that are in the cold store.
    FlushedTailLoaded,
    /// A load takes facts into memory of windows behind the stored horizon.
    TailBehindHorizonLoaded,
    /// Of the windows that are final, only those leave memory that are written to the cold store for it.
    FinalStays,
    /// What a refresh would have written to the cold store, and has not, counts as written.
    FlushForgets,
    /// The cold rows of a refresh are stored without the groups' rows.
    FlushWithoutRows,
    /// A refresh that writes to the cold store is made before the batch is sent.
    FlushOvertakesBatch,
}

#[cfg(test)]
thread_local! {
    static NOW: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Whether this fault is made now; never outside tests.
#[cfg(test)]
pub(crate) fn is(mutation: Mutation) -> bool {
    NOW.get() == Some(mutation)
}

/// Whether this fault is made now; never outside tests.
#[cfg(not(test))]
pub(crate) const fn is(_mutation: Mutation) -> bool {
    false
}

/// Makes a fault from now on, in this thread; or none.
#[cfg(test)]
pub(crate) fn make(mutation: Option<Mutation>) {
    NOW.set(mutation);
}

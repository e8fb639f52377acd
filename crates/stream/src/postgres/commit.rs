//! One PostgreSQL transaction a batch: changelog, rejects, accounting and offsets.

use std::collections::BTreeMap;

use crate::{
    core::{
        batch::{Batch, KeyOwner, OffsetRange, joined_ranges},
        check::{CommitCheck, Refusal, check_commit, check_owners},
        mutation::{self, Mutation},
        offsets::Stored,
    },
    pipeline::Pipeline,
    postgres::statements::{Answer, Statements},
};

/// What became of batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// They are stored, by this try or by an earlier one whose outcome was not known.
    Stored,
    /// They are not stored, and must not be.
    Refused(Refusal),
}

/// Stores batches that follow one another in one transaction, or says why they must not be stored.
///
/// Doing it again after an error is safe: where an earlier try took effect, the offsets are there already. A batch draws its
/// number before its first try only, so that every try sends the same bytes.
///
/// # Errors
/// When PostgreSQL does not answer or refuses; then the outcome may be unknown, and the next call finds out.
pub(crate) async fn commit<P: Pipeline>(session: &mut impl Statements<P>, batches: &mut [Batch]) -> Answer<Commit> {
    give_numbers(session, batches).await?;
    session.begin().await?;
    let commit = store(session, batches).await?;
    match commit {
        Commit::Stored => session.commit().await?,
        Commit::Refused(_) => session.rollback().await?,
    }
    Ok(commit)
}

async fn give_numbers<P: Pipeline>(session: &mut impl Statements<P>, batches: &mut [Batch]) -> Answer<()> {
    let new: Vec<&mut Batch> =
        batches.iter_mut().filter(|batch| batch.number.is_none() || mutation::is(Mutation::NumberDrawnAnew)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let mut numbers = session.draw_numbers(new.len()).await?;
    numbers.sort_unstable();
    for (batch, number) in new.into_iter().zip(numbers) {
        batch.give_number(number);
    }
    Ok(())
}

async fn store<P: Pipeline>(session: &mut impl Statements<P>, batches: &[Batch]) -> Answer<Commit> {
    let mut ranges = joined_ranges(batches);
    let foreign: Vec<(i32, i64)> = batches.iter().flat_map(|batch| batch.foreign_claims.iter().copied()).collect();
    let claimed: Vec<i32> =
        ranges.iter().map(|range| range.partition).chain(foreign.iter().map(|claim| claim.0)).collect();
    let stored = session.lock_partitions(&claimed).await?;
    mutate(&mut ranges, &stored);
    match check_commit(&ranges, &stored) {
        CommitCheck::Expected => {}
        CommitCheck::Done if mutation::is(Mutation::DoubtStoredAgain) => {}
        CommitCheck::Done => return Ok(Commit::Stored),
        CommitCheck::Refused(refusal) => return Ok(Commit::Refused(refusal)),
    }
    if let Some(refusal) = check_owners(&foreign, &stored) {
        return Ok(Commit::Refused(refusal));
    }
    let keys: Vec<KeyOwner> = batches.iter().flat_map(Batch::keys).cloned().collect();
    if let Some(refusal) = register(session, &keys).await? {
        return Ok(Commit::Refused(refusal));
    }
    session.append_facts(&batches.iter().map(Batch::rows).collect::<Vec<_>>()).await?;
    session.append_rejects(&batches.iter().map(Batch::rejects).collect::<Vec<_>>()).await?;
    let counted: Vec<(i64, &OffsetRange)> = batches
        .iter()
        .flat_map(|batch| batch.ranges.iter().map(|range| (batch.number.unwrap_or_default(), range)))
        .filter(|(_, range)| range.counts.read() > 0)
        .collect();
    session.account(&counted).await?;
    // Batches follow one another, and so do their ids: the last one is the greatest.
    let last_ids: BTreeMap<i32, i64> = batches.iter().flat_map(Batch::last_ids).collect();
    if !last_ids.is_empty() {
        session.raise_last_ids(&last_ids).await?;
    }
    let first: Vec<OffsetRange> =
        ranges.iter().filter(|range| range.expected.is_none() && range.start > 0).cloned().collect();
    if !first.is_empty() {
        session.note_gaps(&first).await?;
    }
    let moved = session.advance(&ranges).await?;
    if moved != ranges.len() as u64 && !mutation::is(Mutation::DoubtStoredAgain) {
        // Cannot happen under the row locks; the compare-and-swap decides, the locks are a courtesy.
        return Ok(Commit::Refused(Refusal::Lost { partition: ranges[0].partition, stored: None }));
    }
    Ok(Commit::Stored)
}

/// Makes the faults that ignore claims.
fn mutate(ranges: &mut [OffsetRange], stored: &[Stored]) {
    let epoch =
        |range: &OffsetRange| stored.iter().find(|row| row.partition == range.partition).map_or(0, |row| row.epoch);
    let any_held = ranges.iter().any(|range| range.epoch == epoch(range));
    if mutation::is(Mutation::OldOwnerCommits) || (any_held && mutation::is(Mutation::FenceIgnoredInPart)) {
        ranges.iter_mut().for_each(|range| range.epoch = epoch(range));
    }
}

/// Gives new partition keys their owner partition, or tells which one belongs elsewhere.
async fn register<P: Pipeline>(session: &mut impl Statements<P>, keys: &[KeyOwner]) -> Answer<Option<Refusal>> {
    if keys.is_empty() || session.register_keys(keys).await? == keys.len() as u64 {
        return Ok(None);
    }
    let misplaced = session.misplaced_key(keys).await?;
    Ok(misplaced.map(|(key, owner, partition)| Refusal::KeyMoved { key, owner, partition }))
}

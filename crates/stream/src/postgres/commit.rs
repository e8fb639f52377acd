//! One PostgreSQL transaction a batch: changelog, rejects, accounting and offsets.

use std::collections::BTreeMap;

use crate::{
    core::{
        batch::{Batch, KeyOwner, OffsetRange, Part, ShardParts},
        check::{CommitCheck, KeyMoved, Refusal, check_commit},
        jobs::{JobOutcome, StoredParts},
        mutation::{self, Mutation},
        offsets::PartitionRow,
    },
    pipeline::Pipeline,
    postgres::{database::SqlResult, statements::Statements},
};

/// What became of batches: for each shard, by its number, what is stored. This try stored it, or an earlier one whose outcome was
/// not known.
pub(crate) type Committed = Vec<(u64, JobOutcome<StoredParts>)>;

/// Stores consecutive batches in one transaction, without what must not be stored: the part of a shard of which another
/// consumer has claimed a partition, or which brings a key that belongs to another partition.
///
/// Doing it again after an error is safe: where an earlier try took effect, the offsets are stored already. A batch
/// draws its number before its first try only, so that every try sends the same bytes.
///
/// # Errors
/// When PostgreSQL does not answer or refuses; then the outcome may be unknown, and the next call finds out.
pub(crate) async fn commit<P: Pipeline>(
    session: &mut impl Statements<P>,
    batches: &mut [Batch],
) -> SqlResult<Committed> {
    give_numbers(session, batches).await?;
    let mut shards = ShardParts::of(batches);
    let mut verdicts: BTreeMap<u64, PartVerdict> = BTreeMap::new();
    loop {
        session.begin().await?;
        if !classify(session, &mut shards, &mut verdicts).await? {
            // Keys were registered that go with what is refused.
            session.rollback().await?;
            continue;
        }
        let accepted: Vec<&ShardParts<'_>> =
            shards.iter().filter(|shard| verdicts[&shard.shard] == PartVerdict::Store).collect();
        if accepted.is_empty() {
            session.rollback().await?;
        } else {
            store(session, &accepted).await?;
            session.commit().await?;
        }
        return Ok(shards.iter().map(|shard| (shard.shard, verdicts[&shard.shard].outcome(shard))).collect());
    }
}

/// What is to become of what a shard has in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PartVerdict {
    /// It is to be stored.
    Store,
    /// An earlier try has stored it.
    Done,
    /// It must not be stored.
    Refused(Refusal),
}

impl PartVerdict {
    fn outcome(&self, shard: &ShardParts<'_>) -> JobOutcome<StoredParts> {
        match self {
            Self::Store | Self::Done => JobOutcome::Stored(StoredParts {
                offsets: shard.ranges.iter().map(|range| (range.partition, range.end)).collect(),
                numbers: shard.parts.iter().map(|(number, _)| *number).collect(),
            }),
            Self::Refused(refusal) => JobOutcome::Refused(refusal.clone()),
        }
    }
}

async fn give_numbers<P: Pipeline>(session: &mut impl Statements<P>, batches: &mut [Batch]) -> SqlResult<()> {
    let new: Vec<&mut Batch> =
        batches.iter_mut().filter(|batch| batch.number.is_none() || mutation::is(Mutation::NumberRedrawn)).collect();
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

/// Checks each shard's part, and registers the new partition keys of what is to be stored; returns whether exactly
/// those were. A shard that was refused for a key before stays refused.
async fn classify<P: Pipeline>(
    session: &mut impl Statements<P>,
    shards: &mut [ShardParts<'_>],
    verdicts: &mut BTreeMap<u64, PartVerdict>,
) -> SqlResult<bool> {
    let claimed: Vec<i32> = shards.iter().flat_map(|shard| &shard.claims).map(|(partition, _)| *partition).collect();
    let stored = session.lock_partitions(&claimed).await?;
    mutate(session, shards, &stored);
    let mut keys: BTreeMap<&str, i32> = BTreeMap::new();
    for shard in &*shards {
        if let Some(PartVerdict::Refused(Refusal::KeyMoved(_))) = verdicts.get(&shard.shard) {
            continue;
        }
        let verdict = match check_commit(&shard.claims, &shard.ranges, &stored) {
            CommitCheck::Done if !mutation::is(Mutation::DoubtStoredAgain) => PartVerdict::Done,
            CommitCheck::Refused(refusal) => PartVerdict::Refused(refusal),
            CommitCheck::Expected | CommitCheck::Done => {
                // Two shards may bring the same new key: it is the first one's.
                let other = |(key, owner): &&KeyOwner| {
                    keys.get(&**key).is_some_and(|first| first != owner) && !mutation::is(Mutation::KeyGivenTwice)
                };
                match shard.keys().find(other) {
                    Some((key, partition)) => PartVerdict::Refused(Refusal::KeyMoved(KeyMoved {
                        key: key.clone(),
                        owner: keys[&**key],
                        partition: *partition,
                    })),
                    None => {
                        keys.extend(shard.keys().map(|(key, owner)| (&**key, *owner)));
                        PartVerdict::Store
                    }
                }
            }
        };
        verdicts.insert(shard.shard, verdict);
    }
    let keys: Vec<KeyOwner> = keys.into_iter().map(|(key, owner)| (key.to_owned(), owner)).collect();
    if keys.is_empty() || session.register_keys(&keys).await? == keys.len() as u64 {
        return Ok(true);
    }
    let names: Vec<&str> = keys.iter().map(|(key, _)| &**key).collect();
    let owners: BTreeMap<String, i32> = session.owners(&names).await?.into_iter().collect();
    let mut is_any_refused = false;
    for shard in shards.iter().filter(|shard| verdicts[&shard.shard] == PartVerdict::Store).collect::<Vec<_>>() {
        let moved = shard.keys().find(|(key, owner)| owners.get(key).is_some_and(|stored| stored != owner));
        if let Some((key, partition)) = moved {
            let by = KeyMoved { key: key.clone(), owner: owners[key], partition: *partition };
            verdicts.insert(shard.shard, PartVerdict::Refused(Refusal::KeyMoved(by)));
            is_any_refused = true;
        }
    }
    Ok(!is_any_refused)
}

async fn store<P: Pipeline>(session: &mut impl Statements<P>, shards: &[&ShardParts<'_>]) -> SqlResult<()> {
    let ranges: Vec<OffsetRange> = shards.iter().flat_map(|shard| shard.ranges.iter().cloned()).collect();
    // By batch, so that ids grow as they come.
    let mut parts: Vec<(i64, &Part)> = shards.iter().flat_map(|shard| shard.parts.iter().copied()).collect();
    parts.sort_by_key(|(number, _)| *number);
    session.append_facts(&parts.iter().map(|(_, part)| part.rows()).collect::<Vec<_>>()).await?;
    session.append_rejects(&parts.iter().map(|(_, part)| part.rejects()).collect::<Vec<_>>()).await?;
    let counted: Vec<(i64, &OffsetRange)> = parts
        .iter()
        .flat_map(|(number, part)| part.ranges.iter().map(|range| (*number, range)))
        .filter(|(_, range)| range.counts.read() > 0)
        .collect();
    session.account(&counted).await?;
    // Batches follow one another, and so do their ids: the last one is the greatest.
    let last_ids: BTreeMap<i32, i64> = shards.iter().flat_map(|shard| shard.last_ids()).collect();
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
        return Err(sqlx::Error::Protocol(format!("{moved} offsets of {} moved", ranges.len())));
    }
    Ok(())
}

/// Makes the faults that believe other claims than those under which a shard was loaded.
fn mutate<P: Pipeline>(session: &impl Statements<P>, shards: &mut [ShardParts<'_>], stored: &[PartitionRow]) {
    let epoch = |partition: i32| stored.iter().find(|row| row.partition == partition).map_or(0, |row| row.epoch);
    let is_any_held = shards.iter().flat_map(|shard| &shard.claims).any(|claim| claim.1 == epoch(claim.0));
    let is_believed = |partition: i32| {
        mutation::is(Mutation::OldOwnerCommits)
            || (mutation::is(Mutation::ClaimsOfNow) && session.has_claimed(partition))
            || (mutation::is(Mutation::FenceIgnoredInPart) && is_any_held)
    };
    for shard in shards {
        let claims = shard.claims.iter_mut().map(|(partition, epoch)| (*partition, epoch));
        let ranges = shard.ranges.iter_mut().map(|range| (range.partition, &mut range.epoch));
        claims.chain(ranges).filter(|(partition, _)| is_believed(*partition)).for_each(|(partition, held)| {
            *held = epoch(partition);
        });
    }
}

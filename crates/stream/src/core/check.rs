//! Whether what a consumer holds is what PostgreSQL holds: the compare of compare-and-swap.

use crate::{
    Error,
    core::{
        batch::OffsetRange,
        mutation::{self, Mutation},
        offsets::PartitionRow,
        refresh::PartitionProgress,
    },
};

/// Why a batch or a refresh is not stored, and must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another consumer has claimed a partition since, or it was reset.
    Fenced {
        /// The partition.
        partition: i32,
        /// The epoch stored now.
        epoch: i64,
    },
    /// The epoch is not newer than ours and the offset is not ours: the database has lost commits.
    Lost {
        /// The partition.
        partition: i32,
        /// The offset stored now.
        stored: Option<i64>,
    },
    /// A partition key belongs to another owner partition.
    KeyMoved(KeyMoved),
}

/// A partition key that belongs to another owner partition than the one that a record of it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyMoved {
    /// The partition key.
    pub key: String,
    /// The partition that owns it.
    pub owner: i32,
    /// The partition its record came from.
    pub partition: i32,
}

impl KeyMoved {
    /// The error, in words for a person.
    pub(crate) fn error(&self) -> Error {
        Error::KeyMoved { partition_key: self.key.clone(), owner_partition: self.owner, partition: self.partition }
    }
}

/// How what a batch expects compares with what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitCheck {
    /// The stored offsets are the ones expected: go on.
    Expected,
    /// The stored offsets are already those the batch moves to: an earlier try has stored it.
    Done,
    /// It must not be stored.
    Refused(Refusal),
}

/// Compares what the parts of a shard expect with what is stored: the claims under which all of its partitions were loaded, and the
/// offsets of those that they move. All in any order.
pub(crate) fn check_commit(claims: &[(i32, i64)], ranges: &[OffsetRange], stored: &[PartitionRow]) -> CommitCheck {
    let row = |partition: i32| stored.iter().find(|row| row.partition == partition);
    let lost = |partition, stored| CommitCheck::Refused(Refusal::Lost { partition, stored });
    for &(partition, epoch) in claims {
        match row(partition) {
            Some(row) if row.epoch > epoch => {
                return CommitCheck::Refused(Refusal::Fenced { partition, epoch: row.epoch });
            }
            Some(row) if row.epoch == epoch => {}
            row => return lost(partition, row.and_then(|row| row.next_offset)),
        }
    }
    let mut done = 0;
    for range in ranges {
        match row(range.partition).and_then(|row| row.next_offset) {
            next if next == range.expected => {}
            Some(next) if next == range.end => done += 1,
            next => return lost(range.partition, next),
        }
    }
    match done {
        0 => CommitCheck::Expected,
        all if all == ranges.len() => CommitCheck::Done,
        // One transaction moves all of them; some moved and some not is no state of ours.
        _ => lost(ranges[0].partition, row(ranges[0].partition).and_then(|row| row.next_offset)),
    }
}

/// Says why a refresh must not be made; the stored offsets must be exactly those its facts go to, and the state tables must be where
/// the last refresh left them, or where an earlier try of this one did.
pub(crate) fn check_refresh(to: &[PartitionProgress], stored: &[PartitionRow]) -> Option<Refusal> {
    to.iter().find_map(|ours| {
        let partition = ours.partition;
        match stored.iter().find(|row| row.partition == partition) {
            Some(row)
                if row.epoch == ours.epoch
                    && row.next_offset == ours.next_offset
                    && ([ours.refreshed, ours.next_offset].contains(&row.refreshed_through)
                        || mutation::is(Mutation::RestoredRefreshBelieved)) =>
            {
                None
            }
            Some(row) if row.epoch > ours.epoch => Some(Refusal::Fenced { partition, epoch: row.epoch }),
            row => Some(Refusal::Lost { partition, stored: row.and_then(|row| row.next_offset) }),
        }
    })
}

impl Refusal {
    /// The partition that it is about.
    pub(crate) fn partition(&self) -> i32 {
        match self {
            Self::Fenced { partition, .. } | Self::Lost { partition, .. } => *partition,
            Self::KeyMoved(by) => by.partition,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::batch::Counts;

    fn range(partition: i32, expected: Option<i64>, end: i64) -> OffsetRange {
        let (start, counts) = (expected.unwrap_or(0), Counts::default());
        OffsetRange { partition, epoch: 3, expected, start, end, last: None, max_timestamp_ms: 0, counts }
    }

    fn row(partition: i32, epoch: i64, next_offset: Option<i64>) -> PartitionRow {
        PartitionRow { partition, epoch, next_offset, ..PartitionRow::default() }
    }

    #[test]
    fn a_commit_goes_on_only_from_what_it_expects() {
        let ranges = [range(0, None, 10), range(1, Some(5), 7)];
        let claims = [(0, 3), (1, 3)];
        let check = |stored: [PartitionRow; 2], expected| {
            assert_eq!(check_commit(&claims, &ranges, &stored), expected, "{stored:?}")
        };
        let refused = |stored, refusal| check(stored, CommitCheck::Refused(refusal));
        check([row(0, 3, None), row(1, 3, Some(5))], CommitCheck::Expected);
        check([row(0, 3, Some(10)), row(1, 3, Some(7))], CommitCheck::Done);
        refused([row(0, 3, None), row(1, 4, Some(5))], Refusal::Fenced { partition: 1, epoch: 4 });
        refused([row(0, 3, None), row(9, 3, Some(5))], Refusal::Lost { partition: 1, stored: None });
        refused([row(0, 3, None), row(1, 2, Some(5))], Refusal::Lost { partition: 1, stored: Some(5) });
        refused([row(0, 3, None), row(1, 3, Some(2))], Refusal::Lost { partition: 1, stored: Some(2) });
        refused([row(0, 3, None), row(1, 3, None)], Refusal::Lost { partition: 1, stored: None });
        refused([row(0, 3, Some(10)), row(1, 3, Some(5))], Refusal::Lost { partition: 0, stored: Some(10) });
        // A partition of the same shard that it brings nothing of must be ours as well.
        let check = |stored: [PartitionRow; 2]| check_commit(&claims, &ranges[..1], &stored);
        assert_eq!(check([row(0, 3, None), row(1, 3, Some(99))]), CommitCheck::Expected);
        let fenced = Refusal::Fenced { partition: 1, epoch: 4 };
        assert_eq!(check([row(0, 3, None), row(1, 4, Some(99))]), CommitCheck::Refused(fenced));
    }
}

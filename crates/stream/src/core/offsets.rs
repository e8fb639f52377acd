//! How far a partition has come: what claims, batches and refreshes share.

use std::ops::Range;

/// What is read: one topic, for one of a pipeline's feeds.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    /// The feed's name.
    pub name: &'static str,
    /// The Kafka topic.
    pub topic: String,
    /// The id of the Kafka cluster, where it has one.
    pub cluster_id: Option<String>,
}

/// The record read last. It distinguishes a topic that was deleted and recreated from the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastRecord {
    /// Its Kafka offset.
    pub offset: i64,
    /// Its Kafka timestamp, milliseconds since 1970 UTC; −1 when it has none.
    pub timestamp_ms: i64,
    /// The CRC-32 of its key, followed by its value.
    pub crc32: u32,
}

/// What PostgreSQL knows about a partition: a row of `stream_offsets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionRow {
    /// The Kafka partition.
    pub partition: i32,
    /// How often it was claimed.
    pub epoch: i64,
    /// The next offset to read; `None` when none is stored.
    pub next_offset: Option<i64>,
    /// The offset up to which the state tables were refreshed.
    pub refreshed_through: Option<i64>,
    /// The Kafka cluster the offsets belong to.
    pub cluster_id: Option<String>,
    /// The record read last.
    pub last: Option<LastRecord>,
    /// The greatest Kafka timestamp so far, milliseconds since 1970 UTC.
    pub max_timestamp_ms: i64,
    /// Whether the topic was recreated and is not yet read to its end.
    pub catching_up: bool,
    /// The greatest id of a fact stored for it as owner partition; 0 when none is.
    pub last_id: i64,
    /// The value of `last_id` up to which the state tables hold its facts.
    pub refreshed_id: i64,
    /// Every fact of it with an id up to this one is in the cold store; 0 when none is known to be.
    pub redo_from: i64,
}

/// Why stored offsets are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forget {
    /// The topic is another one: it is to be read from its first offset.
    OtherTopic,
    /// The topic has lost records that were not read: they are missing from where reading had come to.
    Gap,
}

/// A range of offsets that was never read, because Kafka had removed it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The Kafka partition.
    pub partition: i32,
    /// The first offset that was not read.
    pub from_offset: i64,
    /// The offset after the last that was not read.
    pub to_offset: i64,
}

/// Where a record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its partition, and the greatest timestamp of that partition so far.
    pub version: Version,
    /// Its Kafka offset.
    pub offset: i64,
}

/// What a Kafka timestamp can be, milliseconds since 1970 UTC: up to, and without, 2100-01-01.
///
/// Beyond are micro- and nanoseconds of a wrong producer. A wider range would let one of them overtake all later records; a
/// narrower one would end while the program is in use. The view `freshness` has the same end.
const TIMES: Range<i64> = 0..4_102_444_800_000;

/// The timestamp, or 0 where it is not valid: absent, negative, or from 2100 on.
pub(crate) fn known_time(timestamp_ms: i64) -> i64 {
    if TIMES.contains(&timestamp_ms) { timestamp_ms } else { 0 }
}

/// The version of a fact, by which all records are ordered: the greater Kafka timestamp wins, then the greater
/// partition number.
///
/// Within a partition timestamps are made never to go back, so that there the later record wins. Packed into one number: 48 bits
/// of milliseconds since 1970, 16 bits of partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// The version of a record of `partition` whose timestamp is `timestamp_ms`; one that is not valid counts as 1970.
    pub fn new(timestamp_ms: i64, partition: u16) -> Self {
        Self((known_time(timestamp_ms).unsigned_abs() << 16) | u64::from(partition))
    }

    /// The timestamp, milliseconds since 1970 UTC.
    pub fn timestamp_ms(self) -> i64 {
        i64::try_from(self.0 >> 16).expect("48 bits fit")
    }

    /// The partition.
    pub fn partition(self) -> u16 {
        u16::try_from(self.0 & 0xffff).expect("16 bits fit")
    }
}

/// A fact's version, and whether it came late: in one bit, which no order looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

/// No time needs it: see [`TIMES`].
const LATE: u64 = 1 << 63;

impl Stamp {
    /// That version, and whether it came late.
    pub(crate) fn new(version: Version, late: bool) -> Self {
        Self(version.0 | if late { LATE } else { 0 })
    }

    /// The version.
    pub(crate) fn version(self) -> Version {
        Version(self.0 & !LATE)
    }

    /// Whether it came late.
    pub(crate) fn is_late(self) -> bool {
        self.0 & LATE != 0
    }
}

/// A partition's number as a version holds it.
///
/// # Errors
/// When it is not between 0 and 65,535: more partitions than that are not supported.
pub(crate) fn short(partition: i32) -> Result<u16, crate::Error> {
    u16::try_from(partition).map_err(|_| crate::Error::Partition { partition })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_time_then_partition() {
        let mut versions = [(5, 0), (4, 9), (5, 2), (TIMES.end - 1, 0)].map(|(t, p)| Version::new(t, p));
        versions.sort();
        assert_eq!(versions.map(|v| (v.timestamp_ms(), v.partition())), [(4, 9), (5, 0), (5, 2), (TIMES.end - 1, 0)]);
    }

    #[test]
    fn a_timestamp_that_is_not_valid_comes_before_all_that_are() {
        let micros = 1_700_000_000_000_000;
        for wild in [i64::MIN, -1, TIMES.end, micros, micros * 1000, i64::MAX] {
            assert!(Version::new(wild, 9) < Version::new(1, 0), "{wild}");
        }
    }
}

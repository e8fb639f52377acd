//! How far a partition has come: the words that claims, batches and publications share.

use std::ops::Range;

use sqlx::{FromRow, Row, postgres::PgRow};

use crate::pipeline::Changelog;

/// What is carried where: one topic of one pipeline, into one changelog.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The pipeline's name.
    pub pipeline: &'static str,
    /// The Kafka topic.
    pub topic: String,
    /// Where its facts are stored.
    pub changelog: Changelog,
}

/// The record read last, by which a topic that was made again is told from the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRecord {
    /// Its Kafka offset.
    pub offset: i64,
    /// Its Kafka timestamp, milliseconds since 1970 UTC; −1 when it has none.
    pub timestamp_ms: i64,
    /// The CRC-32 of its key, followed by its value.
    pub crc32: u32,
}

/// What Postgres knows about a partition: a row of `stream_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The Kafka partition.
    pub partition: i32,
    /// How often it was claimed.
    pub epoch: i64,
    /// The next offset to read; `None` when none is stored.
    pub next_offset: Option<i64>,
    /// The offset up to which it is published.
    pub published_through: Option<i64>,
    /// The Kafka cluster the offsets belong to.
    pub cluster_id: Option<String>,
    /// The record read last.
    pub last: Option<LastRecord>,
    /// The greatest Kafka timestamp so far, milliseconds since 1970 UTC.
    pub max_timestamp_ms: i64,
    /// Whether the topic was made again and is not yet read to its end.
    pub catching_up: bool,
    /// The greatest id of a fact stored for it as owner partition; 0 when none is.
    pub last_id: i64,
    /// The value of `last_id` up to which the state tables hold its facts.
    pub refreshed_id: i64,
}

/// The columns of [`Stored`], in no particular order.
pub(crate) const STORED_COLUMNS: &str = "partition, epoch, next_offset, published_through, cluster_id, \
     last_offset, last_timestamp_ms, last_crc32, max_timestamp_ms, catching_up, last_id, refreshed_id";

impl<'r> FromRow<'r, PgRow> for Stored {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let last = match (row.try_get("last_offset")?, row.try_get("last_timestamp_ms")?, row.try_get("last_crc32")?) {
            (Some(offset), Some(timestamp_ms), Some(crc32)) => {
                let crc32: i64 = crc32;
                let crc32 = u32::try_from(crc32).map_err(|error| sqlx::Error::Decode(error.into()))?;
                Some(LastRecord { offset, timestamp_ms, crc32 })
            }
            _ => None,
        };
        Ok(Self {
            partition: row.try_get("partition")?,
            epoch: row.try_get("epoch")?,
            next_offset: row.try_get("next_offset")?,
            published_through: row.try_get("published_through")?,
            cluster_id: row.try_get("cluster_id")?,
            last,
            max_timestamp_ms: row.try_get("max_timestamp_ms")?,
            catching_up: row.try_get("catching_up")?,
            last_id: row.try_get("last_id")?,
            refreshed_id: row.try_get("refreshed_id")?,
        })
    }
}

/// What a Kafka timestamp can be, milliseconds since 1970 UTC: up to, and without, 2100-01-01.
///
/// Beyond are micro- and nanoseconds of a wrong producer. A wider range would let one of them overtake all later records; a
/// narrower one would end while the program is in use. The view `freshness` has the same end.
const TIMES: Range<i64> = 0..4_102_444_800_000;

/// The timestamp, or 0 where it is no time: absent, negative, or from 2100 on.
pub(crate) fn known_time(timestamp_ms: i64) -> i64 {
    if TIMES.contains(&timestamp_ms) { timestamp_ms } else { 0 }
}

/// A fact's place in the order of all records: the greater Kafka timestamp wins, then the greater
/// partition number. Within a partition timestamps are made never to go back, so that there the
/// later record wins.
///
/// Packed into one number: 48 bits of milliseconds since 1970, 16 bits of partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(u64);

impl Stamp {
    /// The place of a record of `partition` whose timestamp is `timestamp_ms`; one that is no time counts as 1970.
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

/// A partition's number as a stamp holds it.
///
/// # Errors
/// When it is not between 0 and 65,535: more partitions than that are not supported.
pub fn short(partition: i32) -> Result<u16, crate::Error> {
    u16::try_from(partition).map_err(|_| crate::Error::Partition { partition })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_ordered_by_time_then_partition() {
        let mut stamps = [(5, 0), (4, 9), (5, 2), (TIMES.end - 1, 0)].map(|(t, p)| Stamp::new(t, p));
        stamps.sort();
        assert_eq!(stamps.map(|s| (s.timestamp_ms(), s.partition())), [(4, 9), (5, 0), (5, 2), (TIMES.end - 1, 0)]);
    }

    #[test]
    fn a_timestamp_that_is_no_time_comes_before_all_that_are() {
        let micros = 1_700_000_000_000_000;
        for wild in [i64::MIN, -1, TIMES.end, micros, micros * 1000, i64::MAX] {
            assert!(Stamp::new(wild, 9) < Stamp::new(1, 0), "{wild}");
        }
    }
}

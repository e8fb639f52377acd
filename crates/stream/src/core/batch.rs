//! A batch: what some records say, and the offsets `[start, end)` they cover.

use std::collections::BTreeMap;

use crate::{
    columns::RowWriter,
    copy::CopyBuffer,
    core::{
        offsets::{LastRecord, Position},
        segments::{SegmentRows, Segments},
    },
    pipeline::Changelog,
};

/// A batch is sent at this size, in bytes: larger and a retry repeats too much and memory grows
/// with it; smaller and the cost of a commit shows.
pub(crate) const MAX_BATCH_BYTES: usize = 8 << 20;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It brought a new fact.
    New,
    /// It brought a fact already known, or one that a later record had overtaken.
    Unchanged,
    /// It changed a known fact.
    Corrected,
    /// It is valid, and not kept.
    Filtered,
    /// It cannot be used.
    Rejected,
}

/// How many records met each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that brought a new fact.
    pub new: i64,
    /// Records that brought nothing new.
    pub unchanged: i64,
    /// Records that changed a known fact.
    pub corrected: i64,
    /// Valid records that are not kept.
    pub filtered: i64,
    /// Records that cannot be used.
    pub rejected: i64,
}

impl Counts {
    /// Counts one record.
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::New => &mut self.new,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Corrected => &mut self.corrected,
            Outcome::Filtered => &mut self.filtered,
            Outcome::Rejected => &mut self.rejected,
        } += 1;
    }

    /// All records read.
    pub fn read(&self) -> i64 {
        self.new + self.unchanged + self.corrected + self.filtered + self.rejected
    }

    /// The sum of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            new: self.new + other.new,
            unchanged: self.unchanged + other.unchanged,
            corrected: self.corrected + other.corrected,
            filtered: self.filtered + other.filtered,
            rejected: self.rejected + other.rejected,
        }
    }
}

/// The part of a batch that comes from one partition: the offsets `[start, end)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetRange {
    /// The Kafka partition.
    pub partition: i32,
    /// The claim under which it was read.
    pub epoch: i64,
    /// The next offset that PostgreSQL holds before the batch; `None` when none is stored.
    pub expected: Option<i64>,
    /// The first offset it covers.
    pub start: i64,
    /// The offset after the last it covers.
    pub end: i64,
    /// The record read last.
    pub last: Option<LastRecord>,
    /// The greatest Kafka timestamp so far, milliseconds since 1970 UTC.
    pub max_timestamp_ms: i64,
    /// What became of its records.
    pub counts: Counts,
}

/// A partition key and its owner partition.
pub(crate) type KeyOwner = (String, i32);

/// The facts and new partition keys of a part of a batch.
#[derive(Debug)]
pub struct Changes {
    segments: Segments,
    /// The same, once the batch has a number.
    rows: SegmentRows,
    keys: Vec<KeyOwner>,
}

impl Changes {
    /// No changes yet, for that changelog.
    pub fn new(changelog: &Changelog) -> Self {
        Self { segments: Segments::new(changelog.columns), rows: SegmentRows::default(), keys: Vec::new() }
    }

    /// Begins a fact, which may have come late; its values follow.
    pub(crate) fn fact(&mut self, owner: u16, at: Position, late: bool) -> RowWriter<'_> {
        self.segments.fact(owner, at, late)
    }

    /// The number of facts of each owner partition, before they are numbered.
    pub(crate) fn by_owner(&self) -> BTreeMap<u16, usize> {
        self.segments.by_owner()
    }

    /// The number of facts.
    pub fn facts(&self) -> usize {
        self.segments.facts() + self.rows.facts()
    }

    fn len_bytes(&self) -> usize {
        self.segments.size() + self.rows.rows().len_bytes()
    }

    /// Numbers the facts, in the batch with that number, after so many of other parts of it. No fact may follow.
    pub(crate) fn number(&mut self, number: i64, after: usize) {
        if self.segments.facts() > 0 {
            self.rows = self.segments.take_rows();
        }
        self.rows.number(number, after);
    }

    /// The facts as rows of a COPY, once they are numbered.
    pub(crate) fn rows(&self) -> &CopyBuffer {
        self.rows.rows()
    }

    /// `(owner partition, the id of its last fact)`, in order, once they are numbered; of an owner partition the last one counts.
    pub(crate) fn last_ids(&self, number: i64) -> impl Iterator<Item = (i32, i64)> {
        self.rows.last_ids(number)
    }

    /// Notes a partition key that was met for the first time, and its owner partition.
    pub(crate) fn new_key(&mut self, key: &str, owner: u16) {
        self.keys.push((key.to_owned(), owner.into()));
    }
}

/// What a shard brings to a batch: records, applied and encoded. Retried byte for byte, never applied again.
#[derive(Debug)]
pub(crate) struct Part {
    /// The number of the shard.
    pub shard: u64,
    /// What it covers, a range a partition, each partition once.
    pub ranges: Vec<OffsetRange>,
    /// `(partition, epoch)` of all partitions of the shard, as it was loaded: all must still be ours.
    pub claims: Vec<(i32, i64)>,
    /// Facts and new partition keys.
    pub changes: Changes,
    rejects: CopyBuffer,
    records: usize,
}

/// Records that are sent to PostgreSQL, one part for each shard.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The number of its accounting rows, once it has one.
    pub number: Option<i64>,
    /// The parts, each of another shard.
    pub parts: Vec<Part>,
}

/// A message that cannot be used, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reject<'a> {
    /// The Kafka topic.
    pub topic: &'a str,
    /// The Kafka partition.
    pub partition: i32,
    /// The Kafka offset.
    pub offset: i64,
    /// The Kafka timestamp, milliseconds since 1970 UTC; −1 when it has none.
    pub timestamp_ms: i64,
    /// The message key.
    pub key: Option<&'a [u8]>,
    /// The message value.
    pub value: Option<&'a [u8]>,
    /// Why it cannot be used.
    pub reason: &'a str,
}

/// The columns of `rejects` that a batch writes.
pub(crate) const REJECT_COLUMNS: &str = r#"batch, topic, partition, "offset", timestamp_ms, reason, key, value"#;

impl Part {
    /// An empty part, for facts of that changelog.
    pub(crate) fn new(shard: u64, changelog: &Changelog) -> Self {
        Self {
            shard,
            ranges: Vec::new(),
            claims: Vec::new(),
            changes: Changes::new(changelog),
            rejects: CopyBuffer::default(),
            records: 0,
        }
    }

    /// Keeps a message that cannot be used.
    pub(crate) fn reject(&mut self, reject: Reject<'_>) {
        let mut row = self.rejects.row(7);
        row.text(reject.topic);
        row.i32(reject.partition);
        row.i64(reject.offset);
        row.i64(reject.timestamp_ms);
        // Text in PostgreSQL holds no NUL; a reason may quote the record.
        row.text(&reject.reason.replace('\0', "\u{fffd}"));
        for bytes in [reject.key, reject.value] {
            match bytes {
                Some(bytes) => row.raw(bytes),
                None => row.null(),
            }
        }
    }

    /// Notes that so many records more are in it.
    pub(crate) fn count(&mut self, records: usize) {
        self.records += records;
    }

    /// The records in it.
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// What became of all its records.
    pub(crate) fn counts(&self) -> Counts {
        self.ranges.iter().fold(Counts::default(), |sum, range| sum.plus(range.counts))
    }

    /// The facts as rows; complete once the batch has a number.
    pub(crate) fn rows(&self) -> &CopyBuffer {
        self.changes.rows()
    }

    /// The rejects; complete once the batch has a number.
    pub(crate) fn rejects(&self) -> &CopyBuffer {
        &self.rejects
    }

    /// Its size, in bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        self.changes.len_bytes() + self.rejects.len_bytes()
    }

    /// New partition keys and their owner partitions.
    pub(crate) fn keys(&self) -> &[KeyOwner] {
        &self.changes.keys
    }
}

impl Batch {
    /// Gives the batch its number, once: a retry sends the same bytes.
    pub(crate) fn give_number(&mut self, number: i64) {
        self.number = Some(number);
        let mut after = 0;
        for part in &mut self.parts {
            part.rejects.finish(|_| number);
            part.changes.number(number, after);
            after += part.changes.facts();
        }
    }

    /// Its size, in bytes.
    fn len_bytes(&self) -> usize {
        self.parts.iter().map(Part::len_bytes).sum()
    }

    /// Whether it can be stored together with batches that were sent before it: whether all of it is not too large.
    pub(crate) fn joins(&self, earlier: &[Self]) -> bool {
        earlier.iter().map(Self::len_bytes).sum::<usize>() + self.len_bytes() <= MAX_BATCH_BYTES
    }
}

/// What batches that follow one another have of one shard.
#[derive(Debug)]
pub(crate) struct ShardParts<'a> {
    /// The number of the shard.
    pub shard: u64,
    /// The claims under which it was loaded.
    pub claims: Vec<(i32, i64)>,
    /// What the parts cover, as if they were one: each partition once.
    pub ranges: Vec<OffsetRange>,
    /// The parts, in order, each with the number of its batch.
    pub parts: Vec<(i64, &'a Part)>,
}

impl<'a> ShardParts<'a> {
    /// The parts of batches that follow one another, by shard.
    pub(crate) fn of(batches: &'a [Batch]) -> Vec<Self> {
        let mut shards: Vec<Self> = Vec::new();
        for batch in batches {
            for part in &batch.parts {
                let number = batch.number.unwrap_or_default();
                match shards.iter_mut().find(|known| known.shard == part.shard) {
                    Some(known) => known.add(number, part),
                    None => shards.push(Self {
                        shard: part.shard,
                        claims: part.claims.clone(),
                        ranges: part.ranges.clone(),
                        parts: vec![(number, part)],
                    }),
                }
            }
        }
        shards
    }

    fn add(&mut self, number: i64, part: &'a Part) {
        self.parts.push((number, part));
        for range in &part.ranges {
            match self.ranges.iter_mut().find(|known| known.partition == range.partition) {
                Some(known) => {
                    let (expected, start, counts) = (known.expected, known.start, known.counts.plus(range.counts));
                    *known = OffsetRange { expected, start, counts, ..range.clone() };
                }
                None => self.ranges.push(range.clone()),
            }
        }
    }

    /// New partition keys and their owner partitions.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a KeyOwner> {
        self.parts.iter().flat_map(|(_, part)| part.keys())
    }

    /// `(owner partition, the greatest id of a fact stored for it)`; complete once the batches have their numbers.
    pub(crate) fn last_ids(&self) -> impl Iterator<Item = (i32, i64)> {
        self.parts.iter().flat_map(|(number, part)| part.changes.last_ids(*number))
    }
}

//! A batch: what some records say, and the offsets `[from, to)` they cover.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    copy::{CopyBuffer, CopyRow},
    offsets::LastRecord,
    pipeline::Changelog,
    state::Position,
};

/// A batch is sent at this size, in bytes: larger and a retry repeats too much and memory grows
/// with it; smaller and the cost of a commit shows.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It told a new fact.
    New,
    /// It told a fact already known, or one that a later record had overtaken.
    Unchanged,
    /// It changed a known fact.
    Corrected,
    /// It is sound, and not kept.
    Filtered,
    /// It cannot be used.
    Rejected,
}

/// How many records met each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that told a new fact.
    pub new: i64,
    /// Records that told nothing new.
    pub unchanged: i64,
    /// Records that changed a known fact.
    pub corrected: i64,
    /// Sound records that are not kept.
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
    pub fn plus(self, other: Self) -> Self {
        Self {
            new: self.new + other.new,
            unchanged: self.unchanged + other.unchanged,
            corrected: self.corrected + other.corrected,
            filtered: self.filtered + other.filtered,
            rejected: self.rejected + other.rejected,
        }
    }
}

/// The part of a batch that comes from one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The Kafka partition.
    pub partition: i32,
    /// The claim under which it was read.
    pub epoch: i64,
    /// The next offset that Postgres holds before the batch; `None` when none is stored.
    pub held: Option<i64>,
    /// The first offset it covers.
    pub from: i64,
    /// The offset after the last it covers.
    pub to: i64,
    /// The record read last.
    pub last: Option<LastRecord>,
    /// The greatest Kafka timestamp so far, milliseconds since 1970 UTC.
    pub max_timestamp_ms: i64,
    /// What became of its records.
    pub counts: Counts,
}

/// Takes the spans of batches that follow one another for one: each partition once, from where the first begins to
/// where the last ends.
pub(crate) fn whole(batches: &[Batch]) -> Vec<Span> {
    let mut whole: BTreeMap<i32, Span> = BTreeMap::new();
    for span in batches.iter().flat_map(|batch| &batch.spans) {
        let before = whole.get(&span.partition);
        let (held, from) = before.map_or((span.held, span.from), |before| (before.held, before.from));
        let counts = before.map_or(span.counts, |before| before.counts.plus(span.counts));
        whole.insert(span.partition, Span { held, from, counts, ..span.clone() });
    }
    whole.into_values().collect()
}

/// The changelog rows and new routes of a batch.
#[derive(Debug)]
pub struct Changes {
    rows: CopyBuffer,
    columns: usize,
    routes: Vec<(String, i32)>,
    /// The partitions that rows live in, each with its last row.
    homes: BTreeMap<u16, usize>,
    /// Those of them whose rows came from other partitions.
    foreign: BTreeSet<u16>,
}

/// The changelog columns that are written before the pipeline's own.
pub(crate) const CHANGELOG_COLUMNS: &str = r#"id, home, partition, "offset", timestamp_ms"#;

/// A changelog row's id is its batch's number times 2²⁰, plus its place in the batch: unique, and
/// growing within a home, since a partition's next owner takes its batch numbers later. A sequence
/// of its own would cost Postgres a seventh of the time of a COPY.
pub(crate) const ID_SHIFT: u32 = 20;

/// The most records in a batch: as many as ids have room for.
pub const MAX_BATCH_RECORDS: u32 = 1 << ID_SHIFT;

fn id(batch: i64, row: usize) -> i64 {
    (batch << ID_SHIFT) + i64::try_from(row).expect("rows fit in memory")
}

impl Changes {
    /// No changes yet, for rows of that changelog.
    pub fn new(changelog: &Changelog) -> Self {
        Self {
            rows: CopyBuffer::default(),
            columns: changelog.columns.len(),
            routes: Vec::new(),
            homes: BTreeMap::new(),
            foreign: BTreeSet::new(),
        }
    }

    /// Begins a changelog row; the pipeline's own columns follow.
    pub(crate) fn row(&mut self, home: u16, at: Position) -> CopyRow<'_> {
        if home != at.stamp.partition() {
            self.foreign.insert(home);
        }
        self.homes.insert(home, self.rows.rows());
        let mut row = self.rows.row(4 + self.columns);
        row.i32(home.into());
        row.i32(at.stamp.partition().into());
        row.i64(at.offset);
        row.i64(at.stamp.timestamp_ms());
        row
    }

    /// The partitions, in order, that rows live in which came from others.
    pub(crate) fn homes(&self) -> impl Iterator<Item = i32> {
        self.foreign.iter().map(|home| i32::from(*home))
    }

    /// `(owner partition, the id of its last row)`, once the rows have the number of their batch.
    pub(crate) fn last_ids(&self, number: i64) -> impl Iterator<Item = (i32, i64)> {
        self.homes.iter().map(move |(home, row)| (i32::from(*home), id(number, *row)))
    }

    /// How many batches' worth of ids the rows take beyond one.
    pub(crate) fn further_batches(&self) -> usize {
        self.rows.rows() >> ID_SHIFT
    }

    /// The rows, numbered.
    pub fn numbered(&mut self, number: i64) -> &CopyBuffer {
        self.rows.finish(|row| id(number, row));
        &self.rows
    }

    /// Notes a route that was met for the first time.
    pub(crate) fn new_route(&mut self, route: &str, home: u16) {
        self.routes.push((route.to_owned(), home.into()));
    }
}

/// Records on their way to Postgres, folded and encoded. Retried byte for byte, never folded again.
#[derive(Debug)]
pub struct Batch {
    /// The number of its accounting rows, once it has one.
    pub number: Option<i64>,
    /// What it covers, a span a partition, each partition once.
    pub spans: Vec<Span>,
    /// `(partition, epoch)` of the homes of rows that came from other partitions: they too must still be ours.
    pub homes: Vec<(i32, i64)>,
    /// Changelog rows and new routes.
    pub changes: Changes,
    rejects: CopyBuffer,
    records: usize,
}

/// A message that cannot be used, and why.
#[derive(Clone, Copy, Debug)]
pub struct Reject<'a> {
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

impl Batch {
    /// An empty batch for rows of that changelog.
    pub fn new(changelog: &Changelog) -> Self {
        Self {
            number: None,
            spans: Vec::new(),
            homes: Vec::new(),
            changes: Changes::new(changelog),
            rejects: CopyBuffer::default(),
            records: 0,
        }
    }

    /// Keeps a message that cannot be used.
    pub fn reject(&mut self, reject: Reject<'_>) {
        let mut row = self.rejects.row(7);
        row.text(reject.topic);
        row.i32(reject.partition);
        row.i64(reject.offset);
        row.i64(reject.timestamp_ms);
        // Text in Postgres holds no NUL; a reason may quote the record.
        row.text(&reject.reason.replace('\0', "\u{fffd}"));
        for bytes in [reject.key, reject.value] {
            match bytes {
                Some(bytes) => row.raw(bytes),
                None => row.null(),
            }
        }
    }

    /// Notes that so many records more are in it.
    pub fn count(&mut self, records: usize) {
        self.records += records;
    }

    /// The records in it.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Whether it is large enough to be sent.
    pub fn is_full(&self, max_records: usize) -> bool {
        self.records >= max_records || self.len_bytes() >= MAX_BATCH_BYTES
    }

    /// Whether there is nothing to send. Tells only once the batch is sealed.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// What became of all its records.
    pub fn counts(&self) -> Counts {
        self.spans.iter().fold(Counts::default(), |sum, span| sum.plus(span.counts))
    }

    /// Gives the batch its number, once: a retry sends the same bytes.
    pub(crate) fn give_number(&mut self, number: i64) {
        self.number = Some(number);
        self.rejects.finish(|_| number);
        self.changes.numbered(number);
    }

    /// The changelog rows; complete once the batch has a number.
    pub(crate) fn rows(&self) -> &CopyBuffer {
        &self.changes.rows
    }

    /// The rejects; complete once the batch has a number.
    pub(crate) fn rejects(&self) -> &CopyBuffer {
        &self.rejects
    }

    /// Its size, in bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        self.changes.rows.len_bytes() + self.rejects.len_bytes()
    }

    /// Whether it can be stored together with batches that were sent before it: under the same claims, and not too large.
    pub(crate) fn joins(&self, earlier: &[Self]) -> bool {
        let same_claim = |span: &Span| {
            let mut before =
                earlier.iter().flat_map(|batch| &batch.spans).filter(|before| before.partition == span.partition);
            before.all(|before| before.epoch == span.epoch)
        };
        let bytes: usize = earlier.iter().map(Self::len_bytes).sum();
        bytes + self.len_bytes() <= MAX_BATCH_BYTES && self.spans.iter().all(same_claim)
    }

    /// `(owner partition, the greatest id of a fact stored for it)`; complete once the batch has a number.
    pub(crate) fn last_ids(&self) -> impl Iterator<Item = (i32, i64)> {
        self.changes.last_ids(self.number.unwrap_or_default())
    }

    /// New routes and the partition each was met in.
    pub(crate) fn routes(&self) -> &[(String, i32)] {
        &self.changes.routes
    }
}

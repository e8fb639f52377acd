//! Segments: what one batch brings from one partition to one owner partition is a row, with an array a column.

use std::collections::BTreeMap;

use crate::{
    columns::{Array, ArrayReader, Column, ColumnError, Kind, RowReader, RowWriter},
    copy::{CopyBuffer, CopyFields},
    core::{
        cold::Places,
        offsets::{Position, Stamp, Version},
    },
};

/// The columns of a segment before the pipeline's own.
pub(crate) const SEGMENT_COLUMNS: [&str; 9] = [
    "id",
    "owner_partition",
    "partition",
    "facts",
    "first_offset",
    "offsets",
    "first_timestamp_ms",
    "timestamps_ms",
    "late",
];

/// The id of a fact is the number of its batch times 2²⁰, plus its place in the batch: unique, and growing within an
/// owner partition, since the next consumer that claims it draws its batch numbers later. That of a segment is its first
/// fact's. A separate sequence would cost a call for each.
pub(crate) const ID_SHIFT: u32 = 20;

/// The most records in a batch: as many as fit in the ids.
pub(crate) const MAX_BATCH_RECORDS: u32 = 1 << ID_SHIFT;

/// The offset of a fact that no record brought: one written by `consumer repartition`.
pub(crate) const NO_OFFSET: i64 = -1;

/// The most facts in a segment. A load holds one segment at a time, besides what it has loaded.
pub(crate) const MAX_FACTS: usize = 1 << 16;

/// The segments of a batch's part, still growing.
#[derive(Debug)]
pub(crate) struct Segments {
    columns: &'static [Column],
    segments: Vec<Segment>,
    /// The segment that grows, by owner partition and partition.
    growing: BTreeMap<(u16, u16), usize>,
    facts: usize,
    size: usize,
}

impl Segments {
    /// No segments yet, of facts with these columns.
    pub(crate) fn new(columns: &'static [Column]) -> Self {
        Self { columns, segments: Vec::new(), growing: BTreeMap::new(), facts: 0, size: 0 }
    }

    /// Begins a fact, which may have come late; its values follow.
    pub(crate) fn fact(&mut self, owner: u16, at: Position, late: bool) -> RowWriter<'_> {
        let key = (owner, at.version.partition());
        let known = self.growing.get(&key).copied().filter(|index| self.segments[*index].facts < MAX_FACTS);
        let index = known.unwrap_or_else(|| {
            self.growing.insert(key, self.segments.len());
            self.segments.push(Segment::new(owner, at, self.columns.len()));
            self.segments.len() - 1
        });
        self.facts += 1;
        let segment = &mut self.segments[index];
        self.size += segment.add(at, late);
        RowWriter::new(&mut segment.columns, &mut self.size)
    }

    /// The number of facts.
    pub(crate) fn facts(&self) -> usize {
        self.facts
    }

    /// The number of facts of each owner partition.
    pub(crate) fn by_owner(&self) -> BTreeMap<u16, usize> {
        let mut owners = BTreeMap::new();
        self.segments.iter().for_each(|segment| *owners.entry(segment.owner).or_default() += segment.facts);
        owners
    }

    /// The size so far, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Encodes them as rows, which still need their ids: [`SegmentRows::number`]. None are left.
    pub(crate) fn take_rows(&mut self) -> SegmentRows {
        let mut rows = SegmentRows::default();
        for segment in std::mem::replace(self, Self::new(self.columns)).segments {
            segment.write(self.columns, &mut rows.rows);
            rows.places.push((segment.owner, rows.facts, segment.facts));
            rows.facts += segment.facts;
        }
        rows
    }
}

/// A segment that grows.
#[derive(Debug)]
struct Segment {
    owner: u16,
    first: Position,
    facts: usize,
    /// Empty while they follow one another from the first.
    offsets: Array,
    /// Empty while all are the first.
    timestamps: Array,
    /// The places of those that came late, counted from 1.
    late: Array,
    columns: Vec<Array>,
}

impl Segment {
    fn new(owner: u16, first: Position, columns: usize) -> Self {
        let (offsets, timestamps, late) = (Array::default(), Array::default(), Array::default());
        Self { owner, first, facts: 0, offsets, timestamps, late, columns: vec![Array::default(); columns] }
    }

    /// Counts a fact, and notes where it was read where that does not follow from the first; returns the bytes that takes.
    fn add(&mut self, at: Position, late: bool) -> usize {
        let before = self.offsets.len() + self.timestamps.len() + self.late.len();
        let facts = i64::try_from(self.facts).expect("facts fit in memory");
        let offset_after = if self.first.offset == NO_OFFSET { NO_OFFSET } else { self.first.offset + facts };
        if self.offsets.len() > 0 || at.offset != offset_after {
            if self.offsets.len() == 0 {
                (0..facts).for_each(|n| self.offsets.i64(self.first.offset + n));
            }
            self.offsets.i64(at.offset);
        }
        let (first_ms, timestamp_ms) = (self.first.version.timestamp_ms(), at.version.timestamp_ms());
        if self.timestamps.len() > 0 || timestamp_ms != first_ms {
            if self.timestamps.len() == 0 {
                (0..facts).for_each(|_| self.timestamps.i64(first_ms));
            }
            self.timestamps.i64(timestamp_ms);
        }
        self.facts += 1;
        if late {
            self.late.i32(i32::try_from(self.facts).expect("a segment has less facts than that"));
        }
        (self.offsets.len() + self.timestamps.len() + self.late.len() - before) * 12
    }

    fn write(&self, columns: &[Column], rows: &mut CopyBuffer) {
        let mut row = rows.row(SEGMENT_COLUMNS.len() - 1 + columns.len());
        row.i32(self.owner.into());
        row.i32(self.first.version.partition().into());
        row.i32(i32::try_from(self.facts).expect("a segment has less facts than that"));
        row.i64(self.first.offset);
        self.offsets.write_unless_empty(Kind::Int8, &mut row);
        row.i64(self.first.version.timestamp_ms());
        self.timestamps.write_unless_empty(Kind::Int8, &mut row);
        self.late.write_unless_empty(Kind::Int4, &mut row);
        for (array, column) in self.columns.iter().zip(columns) {
            assert_eq!(array.len(), self.facts, "column {} has a value for each fact", column.name);
            array.write(column.kind, &mut row);
        }
    }
}

/// Segments as rows of a COPY.
#[derive(Debug, Default)]
pub(crate) struct SegmentRows {
    rows: CopyBuffer,
    /// Of each: its owner partition, how many facts are before it, and how many are in it.
    places: Vec<(u16, usize, usize)>,
    facts: usize,
    /// How many facts of the batch are before all of them.
    after: usize,
}

fn id(number: i64, place: usize) -> i64 {
    (number << ID_SHIFT) + i64::try_from(place).expect("facts fit in memory")
}

impl SegmentRows {
    /// Gives them their ids, in the batch with that number, after so many facts of other parts of it.
    pub(crate) fn number(&mut self, number: i64, after: usize) {
        self.after = after;
        self.rows.finish(|row| id(number, after + self.places[row].1));
    }

    /// The rows; complete once they have their ids.
    pub(crate) fn rows(&self) -> &CopyBuffer {
        &self.rows
    }

    /// The number of facts.
    pub(crate) fn facts(&self) -> usize {
        self.facts
    }

    /// `(owner partition, the id of its last fact)`, in the batch with that number; of an owner partition's the last counts.
    pub(crate) fn last_ids(&self, number: i64) -> impl Iterator<Item = (i32, i64)> {
        let last = move |(owner, before, facts): &(u16, usize, usize)| {
            (i32::from(*owner), id(number, self.after + before + facts - 1))
        };
        self.places.iter().map(last)
    }
}

/// Reads the facts of a stored segment, in order.
#[derive(Debug)]
pub(crate) struct SegmentReader<'a> {
    /// The id of its first fact.
    pub(crate) id: i64,
    /// The owner partition of its facts.
    pub(crate) owner: u16,
    partition: u16,
    facts: i64,
    read: i64,
    first_offset: i64,
    offsets: ArrayReader<'a>,
    first_timestamp_ms: i64,
    timestamps: ArrayReader<'a>,
    late: Places<'a>,
    /// The values of the fact read last.
    pub(crate) values: RowReader<'a>,
}

/// The number of a partition, as a column has it.
pub(crate) fn partition_number(column: &'static str, number: i32) -> Result<u16, ColumnError> {
    u16::try_from(number).map_err(|_| ColumnError::new(column, format!("is {number}, which no partition is")))
}

/// What is known of a stored fact besides its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    pub(crate) at: Position,
    pub(crate) late: bool,
}

impl Stored {
    /// Its version, and whether it came late.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::new(self.at.version, self.late)
    }
}

impl<'a> SegmentReader<'a> {
    /// A row with the fields [`SEGMENT_COLUMNS`], then the pipeline's.
    ///
    /// # Errors
    /// When it is not what this program writes.
    pub(crate) fn new(row: &mut CopyFields<'a>, columns: &'static [Column]) -> Result<Self, ColumnError> {
        let [id, owner, partition, facts, first_offset, offsets, first_timestamp_ms, timestamps, late] =
            SEGMENT_COLUMNS;
        let id = row.i64(id)?;
        let (owner, partition) =
            (partition_number(owner, row.i32(owner)?)?, partition_number(partition, row.i32(partition)?)?);
        let count = row.i32(facts)?;
        let len = usize::try_from(count).map_err(|_| ColumnError::new(facts, "is negative"))?;
        Ok(Self {
            id,
            owner,
            partition,
            facts: count.into(),
            read: 0,
            first_offset: row.i64(first_offset)?,
            offsets: ArrayReader::new(row.raw(offsets)?, offsets, Kind::Int8, len)?,
            first_timestamp_ms: row.i64(first_timestamp_ms)?,
            timestamps: ArrayReader::new(row.raw(timestamps)?, timestamps, Kind::Int8, len)?,
            late: Places::new(row.raw(late)?, late)?,
            values: RowReader::new(columns, len, |name| row.raw(name))?,
        })
    }

    /// The id of its last fact.
    pub(crate) fn last_id(&self) -> i64 {
        self.id + self.facts - 1
    }

    /// Goes to the next fact, whose `values` are then to be read; `None` at the end.
    ///
    /// # Errors
    /// When what is stored is not what this program writes.
    pub(crate) fn next_fact(&mut self) -> Result<Option<Stored>, ColumnError> {
        if self.read == self.facts {
            return Ok(None);
        }
        self.values.next_row()?;
        let n = self.read;
        self.read += 1;
        let offset = match self.first_offset {
            NO_OFFSET => NO_OFFSET,
            first if self.offsets.is_null() => first + n,
            _ => self.offsets.i64()?,
        };
        let timestamp_ms = if self.timestamps.is_null() { self.first_timestamp_ms } else { self.timestamps.i64()? };
        let version = Version::new(timestamp_ms, self.partition);
        let late = self.late.is_next(usize::try_from(n).expect("facts fit in memory") + 1)?;
        Ok(Some(Stored { id: self.id + n, at: Position { version, offset }, late }))
    }

    /// Writes it again, with the same id, without the facts that `is_kept` does not keep; nothing where none is kept.
    ///
    /// # Errors
    /// When what is stored is not what this program writes.
    pub(crate) fn rewrite(
        mut self,
        columns: &'static [Column],
        is_kept: impl Fn(i64) -> bool,
        into: &mut CopyBuffer,
    ) -> Result<bool, ColumnError> {
        let (mut kept, mut size): (Option<Segment>, usize) = (None, 0);
        while let Some(stored) = self.next_fact()? {
            if !is_kept(stored.id) {
                continue;
            }
            let segment = kept.get_or_insert_with(|| Segment::new(self.owner, stored.at, columns.len()));
            segment.add(stored.at, stored.late);
            let mut fact = RowWriter::new(&mut segment.columns, &mut size);
            for _ in columns {
                fact.raw(self.values.raw()?);
            }
        }
        if let Some(segment) = &kept {
            segment.write(columns, into);
        }
        Ok(kept.is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::copy::CopyReader;

    const COLUMNS: &[Column] = &[
        Column::group("a", Kind::Int2),
        Column::value("b", Kind::Text),
        Column::nullable("c", Kind::Int4),
        Column::nullable("d", Kind::Float8),
        Column::value("e", Kind::Int8),
    ];

    /// A fact as it is compared: owner partition, partition, offset, timestamp, values.
    type Fact = (u16, u16, i64, i64, (i16, String, Option<i32>, Option<f64>, i64));

    /// Whether a fact came late, by its first value.
    fn is_late(fact: &Fact) -> bool {
        fact.4.0 % 3 == 0
    }

    fn facts() -> impl Strategy<Value = Vec<Fact>> {
        let values = (any::<i16>(), "[^\\x00]{0,9}", any::<Option<i32>>(), prop::option::of(-1e9..1e9), any::<i64>());
        // Offsets and timestamps follow from the first more often than not.
        let fact = (
            0..2_u16,
            0..2_u16,
            prop_oneof![4 => Just(1_i64), 1 => 2..9_i64],
            prop_oneof![4 => Just(0_i64), 1 => 1..9_i64],
        );
        prop::collection::vec((fact, values), 0..40).prop_map(|facts| {
            let mut last = [[(0, 1_000_i64); 2]; 2];
            let placed = facts.into_iter().map(|((owner, partition, step, later), values)| {
                let (offset, timestamp_ms) = &mut last[usize::from(owner)][usize::from(partition)];
                *offset += step;
                *timestamp_ms += later;
                (owner, partition, *offset, *timestamp_ms, values)
            });
            placed.collect()
        })
    }

    fn position(fact: &Fact) -> Position {
        Position { version: Version::new(fact.3, fact.1), offset: fact.2 }
    }

    fn write(facts: &[Fact]) -> SegmentRows {
        let mut segments = Segments::new(COLUMNS);
        for fact in facts {
            let (a, b, c, d, e) = &fact.4;
            let mut writer = segments.fact(fact.0, position(fact), is_late(fact));
            writer.i16(*a);
            writer.text(b);
            writer.i32_or_null(*c);
            writer.f64_or_null(*d);
            writer.i64(*e);
        }
        segments.take_rows()
    }

    /// The facts, each with its id, in the order in which they are stored.
    fn read(rows: &[u8], skip: bool) -> Vec<(i64, Fact)> {
        let mut reader = CopyReader::default();
        reader.push(rows);
        let mut facts = Vec::new();
        while let Some(mut row) = reader.next_row() {
            let mut segment = SegmentReader::new(&mut row, COLUMNS).unwrap();
            let last_id = segment.last_id();
            while let Some(stored) = segment.next_fact().unwrap() {
                let values = &mut segment.values;
                let a = values.i16().unwrap();
                // Every other fact is left after its first value.
                if skip && stored.id % 2 == 1 {
                    continue;
                }
                let b = values.text().unwrap().to_owned();
                let rest = (values.i32_or_null().unwrap(), values.f64_or_null().unwrap(), values.i64().unwrap());
                let version = stored.at.version;
                let at = (segment.owner, version.partition(), stored.at.offset, version.timestamp_ms());
                let fact = (at.0, at.1, at.2, at.3, (a, b, rest.0, rest.1, rest.2));
                assert_eq!(stored.late, is_late(&fact));
                facts.push((stored.id, fact));
                assert!(stored.id <= last_id);
            }
        }
        facts
    }

    proptest! {
        #[test]
        fn facts_are_read_back_as_they_were_written(facts in facts(), after in 0..9_usize, skip in any::<bool>()) {
            let mut rows = write(&facts);
            rows.number(5, after);
            let stored = read(rows.rows().bytes(), skip);
            let mut expected = facts.clone();
            // In a segment in the order they came; segments in the order of their first facts.
            let first = |fact: &Fact| facts.iter().position(|other| (other.0, other.1) == (fact.0, fact.1));
            expected.sort_by_key(first);
            let ids = (5_i64 << ID_SHIFT) + i64::try_from(after).unwrap()..;
            let expected: Vec<(i64, Fact)> = ids.zip(expected).filter(|(id, _)| !skip || id % 2 == 0).collect();
            prop_assert_eq!(&stored, &expected);
            let last_ids: BTreeMap<i32, i64> =
                expected.iter().map(|(id, fact)| (i32::from(fact.0), *id)).collect();
            if !skip {
                prop_assert_eq!(rows.last_ids(5).collect::<BTreeMap<i32, i64>>(), last_ids);
            }
        }

        #[test]
        fn what_is_rewritten_has_the_facts_that_are_kept(facts in facts(), kept in prop::collection::vec(any::<bool>(), 40)) {
            let mut rows = write(&facts);
            rows.number(0, 0);
            let is_kept = |id: i64| kept[usize::try_from(id).unwrap()];
            let expected: Vec<Fact> =
                read(rows.rows().bytes(), false).into_iter().filter(|(id, _)| is_kept(*id)).map(|(_, fact)| fact).collect();
            let (mut reader, mut rewritten, mut ids) = (CopyReader::default(), CopyBuffer::default(), Vec::new());
            reader.push(rows.rows().bytes());
            while let Some(mut row) = reader.next_row() {
                let segment = SegmentReader::new(&mut row, COLUMNS).unwrap();
                let id = segment.id;
                if segment.rewrite(COLUMNS, is_kept, &mut rewritten).unwrap() {
                    ids.push(id);
                }
            }
            rewritten.finish(|row| ids[row]);
            let stored = read(rewritten.bytes(), false);
            prop_assert_eq!(stored.iter().map(|(_, fact)| fact.clone()).collect::<Vec<_>>(), expected);
            prop_assert!(stored.is_sorted_by(|a, b| a.0 < b.0));
        }
    }

    #[test]
    fn what_was_moved_has_no_offsets() {
        let moved = |timestamp_ms| Position { version: Version::new(timestamp_ms, 1), offset: NO_OFFSET };
        let mut segments = Segments::new(&[]);
        for timestamp_ms in [7, 7, 9] {
            segments.fact(2, moved(timestamp_ms), false);
        }
        let mut rows = segments.take_rows();
        rows.number(1, 0);
        let mut reader = CopyReader::default();
        reader.push(rows.rows().bytes());
        let mut row = reader.next_row().unwrap();
        let mut segment = SegmentReader::new(&mut row, &[]).unwrap();
        let mut read = std::iter::from_fn(|| segment.next_fact().unwrap()).map(|stored| stored.at);
        assert_eq!([read.next(), read.next(), read.next()], [7, 7, 9].map(|ms| Some(moved(ms))));
    }

    #[test]
    fn a_segment_that_is_full_is_followed_by_another() {
        let mut segments = Segments::new(&[]);
        let at = |offset| Position { version: Version::new(1, 0), offset };
        for n in 0..=MAX_FACTS {
            segments.fact(0, at(n.try_into().unwrap()), false);
        }
        let rows = segments.take_rows();
        assert_eq!((rows.facts(), rows.rows().rows()), (MAX_FACTS + 1, 2));
    }
}

//! The cold store: the facts of a group that is not in memory, as a row with an array a column.

use crate::{
    columns::{Array, ArrayReader, Column, ColumnError, Kind, Role, RowReader, RowWriter},
    copy::{CopyBuffer, CopyFields},
    core::{
        offsets::{Stamp, Version},
        segments::partition_number,
    },
};

/// The columns of a cold row before the pipeline's own. A group is named by its partition key and by when its window begins, so that
/// the pipeline's columns that name a group are not among the others.
pub(crate) const COLD_COLUMNS: [&str; 9] = [
    "through",
    "partition_key",
    "slot",
    "facts",
    "partition",
    "partitions",
    "first_timestamp_ms",
    "timestamps_ms",
    "late",
];

/// A group, as the cold store names it: its partition key, and when its window begins.
pub(crate) type ColdName = (String, i64);

/// What is known of a cold row besides its facts: all facts of its group with an id up to `through` are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColdHead {
    pub(crate) key: String,
    pub(crate) slot: i64,
    pub(crate) through: i64,
}

/// The pipeline's columns that a cold row has: those after the group's.
pub(crate) fn own_columns(columns: &'static [Column]) -> &'static [Column] {
    let first = columns.iter().position(|column| column.role != Role::Group).unwrap_or(columns.len());
    &columns[first..]
}

/// Cold rows, of which the ids that they go through are filled in later.
#[derive(Debug, Default)]
pub(crate) struct ColdRows {
    rows: CopyBuffer,
    /// The owner partition of each row, and its name.
    places: Vec<(i32, ColdName)>,
}

impl ColdRows {
    /// Adds the facts of a group.
    pub(crate) fn add(&mut self, owner: u16, name: ColdName, columns: &'static [Column], group: &ColdGroup) {
        group.write(&name, columns, &mut self.rows);
        self.places.push((owner.into(), name));
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The names of the rows, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ColdName> {
        self.places.iter().map(|(_, name)| name)
    }

    /// Has each go through the id of its owner partition that `last_id` gives. Doing it again is fine.
    pub(crate) fn finish(&mut self, last_id: impl Fn(i32) -> i64) {
        self.rows.finish(|row| last_id(self.places[row].0));
    }

    /// The rows, once they are finished.
    pub(crate) fn rows(&self) -> &CopyBuffer {
        &self.rows
    }
}

/// The facts of one group, being encoded.
#[derive(Debug)]
pub(crate) struct ColdGroup {
    arrays: Vec<Array>,
    size: usize,
    partitions: Vec<u16>,
    timestamps_ms: Vec<i64>,
    late: Array,
}

impl ColdGroup {
    /// No facts yet, of a pipeline with so many columns.
    pub(crate) fn new(columns: usize) -> Self {
        let arrays = vec![Array::default(); columns];
        Self { arrays, size: 0, partitions: Vec::new(), timestamps_ms: Vec::new(), late: Array::default() }
    }

    /// Begins a fact; its values follow, those of its group among them.
    pub(crate) fn fact(&mut self, stamp: Stamp) -> RowWriter<'_> {
        self.partitions.push(stamp.version().partition());
        self.timestamps_ms.push(stamp.version().timestamp_ms());
        if stamp.is_late() {
            self.late.i32(i32::try_from(self.partitions.len()).expect("a group has less facts than that"));
        }
        RowWriter::new(&mut self.arrays, &mut self.size)
    }

    fn write(&self, (key, slot): &ColdName, columns: &'static [Column], rows: &mut CopyBuffer) {
        let own = own_columns(columns);
        let skipped = columns.len() - own.len();
        let mut row = rows.row(COLD_COLUMNS.len() - 1 + own.len());
        row.text(key);
        row.i64(*slot);
        row.i32(i32::try_from(self.partitions.len()).expect("a group has less facts than that"));
        let partition = self.partitions.first().copied().unwrap_or(0);
        row.i32(partition.into());
        let mut partitions = Array::default();
        if self.partitions.iter().any(|other| *other != partition) {
            self.partitions.iter().for_each(|partition| partitions.i32(i32::from(*partition)));
        }
        partitions.write_unless_empty(Kind::Int4, &mut row);
        let first_ms = self.timestamps_ms.first().copied().unwrap_or(0);
        row.i64(first_ms);
        let mut timestamps = Array::default();
        if self.timestamps_ms.iter().any(|other| *other != first_ms) {
            self.timestamps_ms.iter().for_each(|ms| timestamps.i64(*ms));
        }
        timestamps.write_unless_empty(Kind::Int8, &mut row);
        self.late.write_unless_empty(Kind::Int4, &mut row);
        for (array, column) in self.arrays[skipped..].iter().zip(own) {
            assert_eq!(array.len(), self.partitions.len(), "column {} has a value for each fact", column.name);
            array.write(column.kind, &mut row);
        }
    }
}

/// Reads the facts of a cold row, in order.
#[derive(Debug)]
pub(crate) struct ColdReader<'a> {
    /// All facts with an id up to this one are in it.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests compare it"))]
    pub(crate) through: i64,
    pub(crate) key: &'a str,
    pub(crate) slot: i64,
    facts: usize,
    read: usize,
    partition: u16,
    partitions: ArrayReader<'a>,
    first_timestamp_ms: i64,
    timestamps: ArrayReader<'a>,
    late: Places<'a>,
    /// The values of the fact read last, without its group's.
    pub(crate) values: RowReader<'a>,
}

impl<'a> ColdReader<'a> {
    /// A row with the fields [`COLD_COLUMNS`], then the pipeline's.
    ///
    /// # Errors
    /// When it is not what this program writes.
    pub(crate) fn new(row: &mut CopyFields<'a>, columns: &'static [Column]) -> Result<Self, ColumnError> {
        let [through, key, slot, facts, partition, partitions, first_timestamp_ms, timestamps, late] = COLD_COLUMNS;
        let through = row.i64(through)?;
        let name = row.raw(key)?.ok_or_else(|| ColumnError::new(key, "is null"))?;
        let name = std::str::from_utf8(name).map_err(|error| ColumnError::new(key, error.to_string()))?;
        let slot = row.i64(slot)?;
        let len = usize::try_from(row.i32(facts)?).map_err(|_| ColumnError::new(facts, "is negative"))?;
        Ok(Self {
            through,
            key: name,
            slot,
            facts: len,
            read: 0,
            partition: partition_number(partition, row.i32(partition)?)?,
            partitions: ArrayReader::new(row.raw(partitions)?, partitions, Kind::Int4, len)?,
            first_timestamp_ms: row.i64(first_timestamp_ms)?,
            timestamps: ArrayReader::new(row.raw(timestamps)?, timestamps, Kind::Int8, len)?,
            late: Places::new(row.raw(late)?, late)?,
            values: RowReader::new(own_columns(columns), len, |name| row.raw(name))?,
        })
    }

    /// Goes to the next fact, whose `values` are then to be read; `None` at the end.
    ///
    /// # Errors
    /// When what is stored is not what this program writes.
    pub(crate) fn next_fact(&mut self) -> Result<Option<Stamp>, ColumnError> {
        if self.read == self.facts {
            return Ok(None);
        }
        self.values.next_row()?;
        self.read += 1;
        let partition = match self.partitions.is_null() {
            true => self.partition,
            false => partition_number("partition", self.partitions.i32()?)?,
        };
        let timestamp_ms = if self.timestamps.is_null() { self.first_timestamp_ms } else { self.timestamps.i64()? };
        let late = self.late.is_next(self.read)?;
        Ok(Some(Stamp::new(Version::new(timestamp_ms, partition), late)))
    }
}

/// The places of facts that came late, counted from 1, in order.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    rest: ArrayReader<'a>,
    left: usize,
    next: Option<usize>,
}

impl<'a> Places<'a> {
    /// An array of places; NULL is none.
    pub(crate) fn new(array: Option<&'a [u8]>, name: &'static str) -> Result<Self, ColumnError> {
        let left = ArrayReader::len_of(array);
        let mut places = Self { rest: ArrayReader::new(array, name, Kind::Int4, left)?, left, next: None };
        places.advance()?;
        Ok(places)
    }

    fn advance(&mut self) -> Result<(), ColumnError> {
        self.next = None;
        if self.left > 0 {
            self.left -= 1;
            self.next = usize::try_from(self.rest.i32()?).ok();
        }
        Ok(())
    }

    /// Whether the fact at this place is among them; to be asked of one place after another.
    pub(crate) fn is_next(&mut self, place: usize) -> Result<bool, ColumnError> {
        let is_it = self.next == Some(place);
        if is_it {
            self.advance()?;
        }
        Ok(is_it)
    }
}

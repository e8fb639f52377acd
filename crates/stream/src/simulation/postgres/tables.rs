//! What is committed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    copy::{CopyBuffer, CopyReader},
    core::{
        offsets::{Gap, PartitionRow, Position, Version},
        segments::{ID_SHIFT, SegmentReader, Segments},
    },
    pipeline::Pipeline as _,
    tests::tiny::Tiny,
};

/// A fact of the changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FactRow {
    pub(crate) owner: i32,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) group: i16,
    pub(crate) key: i16,
    pub(crate) value: i64,
}

/// The stored state of a partition, with what the program does not read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SimPartition {
    pub(crate) stored: PartitionRow,
    /// Who has claimed it last.
    pub(crate) owner: String,
    /// How often the topic was found to be another one.
    pub(crate) topic: usize,
    pub(super) resume_from: i64,
    pub(super) generation: i32,
}

/// A row of `ingest_accounting`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accounted {
    pub(crate) batch: i64,
    pub(crate) partition: i32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) read: i64,
    /// Which topic of that name it was: see [`SimPartition::topic`].
    pub(crate) topic: usize,
}

/// What is committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tables {
    pub(crate) partitions: BTreeMap<i32, SimPartition>,
    pub(crate) keys: BTreeMap<String, i32>,
    /// The facts of each segment, by the id of its first.
    pub(crate) segments: BTreeMap<i64, Vec<FactRow>>,
    pub(crate) accounting: Vec<Accounted>,
    pub(crate) rejects: usize,
    /// By partition, which topic of that name it was, and first offset.
    pub(crate) gaps: BTreeMap<(i32, i32, i64), Gap>,
    pub(crate) complete: Option<bool>,
    pub(crate) spread: bool,
    pub(crate) groups: BTreeMap<String, String>,
    pub(crate) runs: usize,
}

impl Tables {
    /// All facts, by id.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (i64, &FactRow)> {
        self.segments.iter().flat_map(|(id, facts)| (*id..).zip(facts))
    }

    /// The latest value of each key of each group: the one of the greatest time, partition and id.
    pub(crate) fn facts(&self) -> BTreeMap<(i16, i16), (i64, &FactRow)> {
        let mut facts = BTreeMap::new();
        for (id, row) in self.stored() {
            // Older facts of a key that was given another owner.
            if self.keys.get(&format!("r{}", row.group / 2)) == Some(&row.owner) {
                let latest = facts.entry((row.group, row.key)).or_insert((id, row));
                if (latest.1.timestamp_ms, latest.1.partition) <= (row.timestamp_ms, row.partition) {
                    *latest = (id, row);
                }
            }
        }
        facts
    }

    /// What `consumer compact` does: facts that later ones have superseded go, and those after them in their segment move up.
    pub(crate) fn compact(&mut self) {
        let latest: BTreeSet<i64> = self.facts().into_values().map(|(id, _)| id).collect();
        let mut compacted = BTreeMap::new();
        for (id, facts) in &self.segments {
            let kept = (*id..).zip(facts).filter(|(id, _)| latest.contains(id));
            let kept: Vec<FactRow> = kept.map(|(_, row)| row.clone()).collect();
            if !kept.is_empty() {
                compacted.insert(*id, kept);
            }
        }
        self.segments = compacted;
    }

    /// What the state tables are to hold of some owner partitions' facts.
    pub(crate) fn rows(&self, of: impl Fn(i32) -> bool) -> BTreeMap<String, String> {
        let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((group, key), (_, row)) in self.facts().into_iter().filter(|(_, (_, row))| row.value >= 0 && of(row.owner))
        {
            rows.entry(format!("g{group}")).or_default().push(format!("{key}={}", row.value));
        }
        rows.into_iter().map(|(group, facts)| (group, facts.join(" "))).collect()
    }

    /// The next offset to read of a partition; 0 where none is stored.
    pub(crate) fn next_offset(&self, partition: i32) -> i64 {
        self.partitions.get(&partition).and_then(|row| row.stored.next_offset).unwrap_or(0)
    }

    /// The owner partition of a group, as in `g3`.
    pub(crate) fn owner_of(&self, group: &str) -> Option<i32> {
        let number: i16 = group.strip_prefix('g')?.parse().ok()?;
        self.keys.get(&format!("r{}", number / 2)).copied()
    }
}

/// The segments of a finished buffer, by the id of their first fact.
pub(crate) fn read_segments(buffer: &CopyBuffer) -> Vec<(i64, Vec<FactRow>)> {
    let mut reader = CopyReader::default();
    reader.push(buffer.bytes());
    let mut segments = Vec::new();
    while let Some(mut row) = reader.next_row() {
        let mut segment = SegmentReader::new(&mut row, Tiny::CHANGELOG.columns).unwrap();
        let mut facts = Vec::new();
        while let Some(stored) = segment.next_fact().unwrap() {
            facts.push(FactRow {
                owner: segment.owner.into(),
                partition: stored.at.version.partition().into(),
                offset: stored.at.offset,
                timestamp_ms: stored.at.version.timestamp_ms(),
                group: segment.values.i16().unwrap(),
                key: segment.values.i16().unwrap(),
                value: segment.values.i64().unwrap(),
            });
        }
        segments.push((segment.id, facts));
    }
    segments
}

/// A segment as a load brings it.
pub(crate) fn write_segment(id: i64, facts: &[FactRow]) -> Vec<u8> {
    let mut segments = Segments::new(Tiny::CHANGELOG.columns);
    let short = |number: i32| u16::try_from(number).unwrap();
    for fact in facts {
        let version = Version::new(fact.timestamp_ms, short(fact.partition));
        let mut values = segments.fact(short(fact.owner), Position { version, offset: fact.offset });
        values.i16(fact.group);
        values.i16(fact.key);
        values.i64(fact.value);
    }
    let mut rows = segments.take_rows();
    rows.number(id >> ID_SHIFT, usize::try_from(id & ((1 << ID_SHIFT) - 1)).unwrap());
    rows.rows().body().to_vec()
}

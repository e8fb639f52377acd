//! What is committed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    copy::{CopyBuffer, CopyReader},
    core::{
        cold::{ColdGroup, ColdName, ColdReader, ColdRows},
        offsets::{Gap, PartitionRow, Position, Stamp, Version},
        segments::{ID_SHIFT, SegmentReader, Segments},
        windows::KeyTimes,
    },
    pipeline::Pipeline as _,
    tests::tiny::{SIZE_MS, Tiny, WINDOWS, partition_key, slot},
};

/// A fact of the changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FactRow {
    pub(crate) owner: i32,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) late: bool,
    pub(crate) group: i16,
    pub(crate) key: i16,
    pub(crate) value: i64,
}

/// A row of the cold store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SimCold {
    pub(crate) through: i64,
    pub(crate) facts: Vec<FactRow>,
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
    pub(crate) filtered: i64,
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
    /// Those of them that were deleted, since a load need not read them.
    pub(crate) deleted: BTreeMap<i64, Vec<FactRow>>,
    /// The cold store.
    pub(crate) cold: BTreeMap<ColdName, SimCold>,
    /// Of partition keys.
    pub(crate) times: BTreeMap<String, KeyTimes>,
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
    /// All facts that were ever stored, by id.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (i64, &FactRow)> {
        let mut all: Vec<_> = self.segments.iter().chain(&self.deleted).collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        all.into_iter().flat_map(|(id, facts)| (*id..).zip(facts))
    }

    /// The latest value of each key of each group: the one of the greatest time, partition and id.
    pub(crate) fn facts(&self) -> BTreeMap<(i16, i16), (i64, &FactRow)> {
        self.facts_of(self.stored())
    }

    /// The latest value of each key of each group among these.
    pub(super) fn facts_of<'a>(
        &self,
        stored: impl Iterator<Item = (i64, &'a FactRow)>,
    ) -> BTreeMap<(i16, i16), (i64, &'a FactRow)> {
        let mut facts = BTreeMap::new();
        for (id, row) in stored {
            // Older facts of a key that was given another owner; the cold store has them.
            let is_ours = self.keys.get(&partition_key(row.group)) == Some(&row.owner);
            if is_ours || row.group >= WINDOWS {
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
        let of = |group: i16| self.keys.get(&partition_key(group)).is_some_and(|owner| of(*owner));
        rows_of(self.facts().into_iter().filter(|((group, _), _)| of(*group)))
    }

    /// Of each fact that is known: all up to `redo_from` are in the cold store, and its rows are right.
    pub(super) fn check_cold(&self, violations: &mut Vec<String>) {
        let mut by_group: BTreeMap<i16, Vec<(i64, &FactRow)>> = BTreeMap::new();
        self.stored().for_each(|(id, row)| by_group.entry(row.group).or_default().push((id, row)));
        for (group, facts) in by_group {
            let name = (partition_key(group), slot(group));
            let horizon = self.times.get(&name.0).copied().unwrap_or_default();
            if horizon.is_behind_horizon(name.1 + SIZE_MS) {
                continue;
            }
            let cold = self.cold.get(&name);
            let through = cold.map_or(0, |cold| cold.through);
            let redo_from = |owner| self.partitions.get(&owner).map_or(0, |row| row.stored.redo_from);
            let is_ours = |owner: i32| self.keys.get(&name.0) == Some(&owner);
            let is_lost =
                |(id, row): &&(i64, &FactRow)| is_ours(row.owner) && *id > through && *id <= redo_from(row.owner);
            if let Some((id, _)) = facts.iter().find(is_lost) {
                violations.push(format!("fact {id} of g{group} is neither read by a load nor in the cold store"));
            }
            let Some(cold) = cold else { continue };
            let flushed = facts.iter().filter(|(id, _)| *id <= through).map(|(id, row)| (*id, *row));
            let expected = rows_of(self.facts_of(flushed));
            let held = rows_of(cold.facts.iter().map(|row| ((group, row.key), (0, row))));
            if held != expected {
                violations.push(format!("the cold row of g{group} is {held:?}, and stored is {expected:?}"));
            }
        }
    }

    /// What is deleted at any time: cold rows behind the horizon, and facts that no load reads.
    pub(crate) fn delete(&mut self) {
        let gone = |segments: &mut BTreeMap<i64, Vec<FactRow>>, of: &dyn Fn(i64, &Vec<FactRow>) -> bool| {
            let ids: Vec<i64> = segments.iter().filter(|(id, facts)| of(**id, facts)).map(|(id, _)| *id).collect();
            ids.into_iter().filter_map(|id| segments.remove(&id).map(|facts| (id, facts))).collect::<Vec<_>>()
        };
        let is_read = |id: i64, facts: &Vec<FactRow>| {
            let redo_from = self.partitions.get(&facts[0].owner).map_or(0, |row| row.stored.redo_from);
            id + i64::try_from(facts.len()).unwrap() > redo_from + 1
        };
        let deleted = gone(&mut self.segments, &|id, facts| !is_read(id, facts));
        self.deleted.extend(deleted);
        let horizon = |key: &String| self.times.get(key).copied().unwrap_or_default();
        self.cold.retain(|(key, slot), _| !horizon(key).is_behind_horizon(slot + SIZE_MS));
    }

    /// The next offset to read of a partition; 0 where none is stored.
    pub(crate) fn next_offset(&self, partition: i32) -> i64 {
        self.partitions.get(&partition).and_then(|row| row.stored.next_offset).unwrap_or(0)
    }

    /// The owner partition of a group, as in `g3`.
    pub(crate) fn owner_of(&self, group: &str) -> Option<i32> {
        let number: i16 = group.strip_prefix('g')?.parse().ok()?;
        self.keys.get(&partition_key(number)).copied()
    }
}

/// The rows that these facts make.
fn rows_of<'a>(facts: impl IntoIterator<Item = ((i16, i16), (i64, &'a FactRow))>) -> BTreeMap<String, String> {
    let mut rows: BTreeMap<String, (Vec<String>, usize)> = BTreeMap::new();
    for ((group, key), (_, row)) in facts.into_iter().filter(|(_, (_, row))| row.value >= 0) {
        let (known, late) = rows.entry(format!("g{group}")).or_default();
        known.push(format!("{key}={}", row.value));
        *late += usize::from(row.late);
    }
    let row = |(group, (known, late)): (String, (Vec<String>, usize))| {
        let late = (late > 0).then(|| format!("late {late}"));
        (group, known.into_iter().chain(late).collect::<Vec<_>>().join(" "))
    };
    rows.into_iter().map(row).collect()
}

/// The rows of a finished buffer of the cold store.
pub(crate) fn read_cold(rows: &[u8]) -> Vec<(ColdName, SimCold)> {
    let mut reader = CopyReader::default();
    reader.push(rows);
    let mut all = Vec::new();
    while let Some(mut row) = reader.next_row() {
        let mut row = ColdReader::new(&mut row, Tiny::CHANGELOG.columns).unwrap();
        let mut facts = Vec::new();
        while let Some(stamp) = row.next_fact().unwrap() {
            facts.push(FactRow {
                owner: 0,
                partition: stamp.version().partition().into(),
                offset: 0,
                timestamp_ms: stamp.version().timestamp_ms(),
                late: stamp.is_late(),
                group: 0,
                key: row.values.i16().unwrap(),
                value: row.values.i64().unwrap(),
            });
        }
        all.push(((row.key.to_owned(), row.slot), SimCold { through: row.through, facts }));
    }
    all
}

/// Rows of the cold store, as a lookup brings them.
pub(crate) fn write_cold<'a>(all: impl Iterator<Item = (&'a ColdName, &'a SimCold)>) -> Vec<u8> {
    let (mut rows, mut through) = (ColdRows::default(), Vec::new());
    for (at, (name, cold)) in (0..).zip(all) {
        let mut group = ColdGroup::new(Tiny::CHANGELOG.columns.len());
        for fact in &cold.facts {
            let version = Version::new(fact.timestamp_ms, u16::try_from(fact.partition).unwrap());
            let mut values = group.fact(Stamp::new(version, fact.late));
            values.i16(fact.group);
            values.i16(fact.key);
            values.i64(fact.value);
        }
        rows.add(at, name.clone(), Tiny::CHANGELOG.columns, &group);
        through.push(cold.through);
    }
    rows.finish(|at| through[usize::try_from(at).unwrap()]);
    rows.rows().bytes().to_vec()
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
                late: stored.late,
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
        let mut values = segments.fact(short(fact.owner), Position { version, offset: fact.offset }, fact.late);
        values.i16(fact.group);
        values.i16(fact.key);
        values.i64(fact.value);
    }
    let mut rows = segments.take_rows();
    rows.number(id >> ID_SHIFT, usize::try_from(id & ((1 << ID_SHIFT) - 1)).unwrap());
    rows.rows().body().to_vec()
}

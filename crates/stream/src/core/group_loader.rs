//! Shards that are being loaded; nobody reads them yet.

use hashbrown::HashMap;

use crate::{
    Error,
    columns::ColumnError,
    copy::CopyReader,
    core::{
        batch::Changes,
        cold::{ColdHead, ColdName, ColdReader},
        facts::Versioned,
        group::Group,
        groups::{Groups, Hasher},
        keys::KeyRow,
        mutation::{self, Mutation},
        offsets::{PartitionRow, Position, Version, short},
        residency::Unflushed,
        segments::{ID_SHIFT, SegmentReader},
        windows::NEVER,
    },
    pipeline::{Pipeline, Residency},
};

/// Shards that are being loaded.
pub(crate) struct GroupLoader<P: Pipeline> {
    /// What belongs to each.
    shards: Vec<Groups<P>>,
    /// The shard of each owner partition.
    shard_of: HashMap<u16, usize, Hasher>,
    copy: CopyReader,
    /// The ids of each owner partition up to which facts are refreshed, and up to which they are in the cold store.
    ids: HashMap<u16, (i64, i64), Hasher>,
    heads: Vec<ColdHead>,
    /// The ids that cold rows go through, where they are beyond those of their partition.
    through: HashMap<ColdName, i64, Hasher>,
    /// What is known of the groups of stored facts, by the owner partition that these were stored for: a group has facts of two
    /// where its partition key was given another owner.
    met: HashMap<(u16, P::Group), Met, Hasher>,
    /// The groups that are in memory, by their names.
    hot: HashMap<ColdName, (usize, P::Group), Hasher>,
}

/// What is known of a group of stored facts.
#[derive(Clone, Copy)]
enum Met {
    /// Its partition key was given another owner.
    Elsewhere,
    /// Its key, and the id up to which its facts are in the cold store.
    Here { key: u32, through: i64 },
}

impl<P: Pipeline> GroupLoader<P> {
    /// Nothing loaded yet of shards of these partitions; `claimed` are their rows, and `keys` their partition keys.
    ///
    /// # Errors
    /// When a partition's number is beyond what is supported.
    pub(crate) fn new(
        residency: Residency,
        shards: &[Vec<i32>],
        claimed: &[PartitionRow],
        keys: &[KeyRow],
    ) -> Result<Self, Error> {
        let ids = claimed.iter().map(|row| Ok((short(row.partition)?, (row.refreshed_id, row.redo_from))));
        let ids = ids.collect::<Result<_, Error>>()?;
        let mut shard_of = HashMap::default();
        for (index, partitions) in shards.iter().enumerate() {
            for partition in partitions {
                shard_of.insert(short(*partition)?, index);
            }
        }
        let mut shards: Vec<Groups<P>> = shards.iter().map(|_| Groups::new(residency)).collect();
        let last_number = claimed.iter().map(|row| row.last_id >> ID_SHIFT).max().unwrap_or(0);
        shards.iter_mut().for_each(|groups| groups.last_number = last_number);
        for key in keys {
            let owner = short(key.owner)?;
            if let Some(index) = shard_of.get(&owner) {
                shards[*index].keys.load(key, owner);
            }
        }
        let (through, met, hot) = (HashMap::default(), HashMap::default(), HashMap::default());
        Ok(Self { shards, shard_of, copy: CopyReader::default(), ids, heads: Vec::new(), through, met, hot })
    }

    /// Notes what the cold store has: of every row that goes beyond the id of its partition, and of every window that is not final.
    pub(crate) fn heads(&mut self, heads: Vec<ColdHead>) {
        self.through = heads.iter().map(|head| ((head.key.clone(), head.slot), head.through)).collect();
        self.heads = heads;
    }

    /// Takes a piece of a binary COPY of segments, with the fields [`crate::core::segments::SEGMENT_COLUMNS`] and then the
    /// pipeline's; the offsets are not needed. Those of an owner partition come in the order of their ids.
    ///
    /// # Errors
    /// When a row is not what [`Pipeline::encode`] writes.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), ColumnError> {
        self.copy.push(piece);
        while let Some(mut row) = self.copy.next_row() {
            let mut segment = SegmentReader::new(&mut row, P::CHANGELOG.columns)?;
            let owner = segment.owner;
            let Some(index) = self.shard_of.get(&owner) else { continue };
            let (refreshed_id, redo_from) = self.ids.get(&owner).copied().unwrap_or_default();
            let groups = &mut self.shards[*index];
            if groups.leave() {
                load(groups, &mut self.met, &self.through, &mut segment, refreshed_id, redo_from)?;
            } else {
                groups.load(&mut segment, refreshed_id)?;
            }
        }
        Ok(())
    }

    /// The groups that are in memory now, whose rows of the cold store belong to them.
    pub(crate) fn wanted(&mut self) -> Vec<ColdName> {
        for (index, groups) in self.shards.iter().enumerate().filter(|(_, groups)| groups.leave()) {
            let names = groups.groups.iter().map(|(name, group)| {
                let key = groups.keys.get(group.key).name.clone();
                ((key, P::slot(name)), (index, *name))
            });
            self.hot.extend(names);
        }
        self.hot.keys().cloned().collect()
    }

    /// Takes rows of the cold store, a COPY stream.
    ///
    /// # Errors
    /// When a row is not what this program writes.
    pub(crate) fn cold(&mut self, rows: &[u8]) -> Result<(), ColumnError> {
        let mut copy = CopyReader::default();
        copy.push(rows);
        while let Some(mut row) = copy.next_row() {
            let mut row = ColdReader::new(&mut row, P::CHANGELOG.columns)?;
            let Some((index, name)) = self.hot.get(&(row.key.to_owned(), row.slot)) else { continue };
            let groups = &mut self.shards[*index];
            let Some(group) = groups.groups.get_mut(name) else { continue };
            let before = group.bytes();
            groups.totals.facts = groups.totals.facts.saturating_add_signed(group.load_cold(&mut row)?);
            groups.totals.bytes += group.bytes() - before;
        }
        Ok(())
    }

    /// What was loaded of each shard, in order.
    pub(crate) fn finish(mut self) -> Vec<Groups<P>> {
        for groups in &mut self.shards {
            groups.groups.values_mut().for_each(|group| group.is_known = true);
            let Some(windows) = groups.windows() else { continue };
            for key in groups.keys.iter_mut() {
                if mutation::is(Mutation::FinalityOfSetting) {
                    key.times.final_through_ms = NEVER;
                }
                key.times.follow(&windows);
            }
            for (name, group) in &groups.groups {
                groups.keys.get_mut(group.key).opens(P::slot(name), &windows);
            }
            for head in &self.heads {
                let Some(key) = groups.keys.named_mut(&head.key) else { continue };
                let redo_from = self.ids.get(&key.owner).map_or(0, |(_, redo_from)| *redo_from);
                if !mutation::is(Mutation::OpenOfTailOnly) || head.through > redo_from {
                    key.opens(head.slot, &windows);
                }
            }
        }
        self.shards
    }
}

/// Takes back the facts of a stored segment that are not in the cold store. All of them have the clock of their key go on.
fn load<P: Pipeline>(
    groups: &mut Groups<P>,
    met: &mut HashMap<(u16, P::Group), Met, Hasher>,
    through: &HashMap<ColdName, i64, Hasher>,
    segment: &mut SegmentReader<'_>,
    refreshed_id: i64,
    redo_from: i64,
) -> Result<(), ColumnError> {
    let (owner, windows) = (segment.owner, groups.windows());
    let mut scratch = P::Interner::default();
    while let Some(stored) = segment.next_fact()? {
        if stored.id <= redo_from {
            continue;
        }
        let name = P::decode_group(&mut segment.values)?;
        let known = *met.entry((owner, name)).or_insert_with(|| {
            let key = P::partition_key(&name);
            match groups.keys.owner(&key) {
                Some((number, known)) if known == owner => {
                    let horizon = groups.keys.get(number).stored;
                    let is_gone = windows.is_some_and(|windows| horizon.is_behind_horizon(windows.end(P::slot(&name))))
                        && !mutation::is(Mutation::TailBehindHorizonLoaded);
                    let through = through.get(&(key, P::slot(&name))).copied().unwrap_or(0);
                    Met::Here { key: number, through: if is_gone { i64::MAX } else { through } }
                }
                _ => Met::Elsewhere,
            }
        });
        let Met::Here { key, through } = known else { continue };
        groups.tails.entry(owner).or_default().add(stored.id >> ID_SHIFT, 1);
        let is_flushed = stored.id <= through && !mutation::is(Mutation::FlushedTailLoaded);
        let event_ms = if is_flushed {
            P::event_ms(&name, &P::decode_fact(&mut segment.values, &mut scratch)?)
        } else {
            let group = groups.groups.entry(name).or_insert_with(|| {
                let group = Group::new(key, owner);
                groups.totals.bytes += group.bytes();
                group
            });
            let fact = P::decode_fact(&mut segment.values, &mut group.interner)?;
            let event_ms = P::event_ms(&name, &fact);
            if group.unflushed == Unflushed::Clean {
                group.unflushed = Unflushed::Since(stored.id >> ID_SHIFT);
            }
            groups.totals.load(name, group, Versioned { fact, stamp: stored.stamp() }, stored.id > refreshed_id);
            event_ms
        };
        let times = &mut groups.keys.get_mut(key).times;
        times.newest = times.newest.max(Some(stored.at.version));
        if windows.is_some() && !mutation::is(Mutation::ClockNotFromTail) {
            times.clock_ms = times.clock_ms.max(event_ms);
        }
    }
    Ok(())
}

/// Writes a fact and reads it back, as to store and load it does; for the tests of pipelines.
///
/// # Errors
/// When what [`Pipeline::encode`] writes is not what the others read.
pub fn read_back<P: Pipeline>(
    group: &P::Group,
    fact: &P::Fact,
    interner: &mut P::Interner,
) -> Result<(P::Group, P::Fact), ColumnError> {
    let mut changes = Changes::new(&P::CHANGELOG);
    let at = Position { version: Version::new(0, 0), offset: 0 };
    P::encode(group, fact, interner, &mut changes.fact(0, at, false));
    changes.number(1, 0);
    let mut copy = CopyReader::default();
    copy.push(changes.rows().bytes());
    let mut row = copy.next_row().expect("the row that was written");
    let mut segment = SegmentReader::new(&mut row, P::CHANGELOG.columns)?;
    segment.next_fact()?;
    Ok((P::decode_group(&mut segment.values)?, P::decode_fact(&mut segment.values, interner)?))
}

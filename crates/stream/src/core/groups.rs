//! The facts of each group, in memory: new, corrected or unchanged.

use std::hash::BuildHasher;

use hashbrown::{HashMap, hash_map::Entry};

use crate::{
    Error,
    columns::ColumnError,
    copy::CopyReader,
    core::{
        batch::{Changes, KeyOwner, Outcome},
        facts::{Facts, Versioned},
        mutation::{self, Mutation},
        offsets::{PartitionRow, Position, Version, short},
        segments::{NO_OFFSET, SegmentReader},
    },
    pipeline::{Fact, Pipeline},
};

type Hasher = foldhash::fast::RandomState;

/// All facts of the partitions a consumer owns.
pub struct Groups<P: Pipeline> {
    groups: HashMap<P::Group, Group<P>, Hasher>,
    /// The owner partition of each partition key.
    owners: HashMap<String, u16, Hasher>,
    /// The groups that changed since the last refresh was made: each once, while its `changed` is set.
    changed: Vec<P::Group>,
    /// The groups of the refresh under way: they count as changed until it is answered.
    in_refresh: Vec<P::Group>,
    facts: usize,
}

struct Group<P: Pipeline> {
    owner: u16,
    /// Whether records came from more than one partition: then versions decide, and are stored.
    mixed: bool,
    changed: bool,
    /// Retractions included.
    facts: Facts<P::Fact>,
    interner: P::Interner,
}

/// What a record did to its group.
struct Change {
    outcome: Outcome,
    /// Whether the fact, or its version, has to be stored.
    stored: bool,
}

impl<P: Pipeline> Default for Groups<P> {
    fn default() -> Self {
        Self {
            groups: HashMap::default(),
            owners: HashMap::default(),
            changed: Vec::new(),
            in_refresh: Vec::new(),
            facts: 0,
        }
    }
}

impl<P: Pipeline> Groups<P> {
    /// Applies a record, and notes in `changes` what has to be stored.
    pub fn apply(&mut self, record: &P::Record<'_>, at: Position, changes: &mut Changes) -> Outcome {
        let key = P::group(record);
        let group = match self.groups.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let owner = find_owner(&mut self.owners, P::partition_key(&key), at.version.partition(), changes);
                entry.insert(Group::new(owner))
            }
        };
        let fact = P::fact(record, &mut group.interner);
        let change = group.apply(&fact, at.version);
        self.facts += usize::from(change.outcome == Outcome::New);
        self.facts -= usize::from(change.outcome == Outcome::Corrected && fact.is_retraction());
        let changes_group = matches!(change.outcome, Outcome::New | Outcome::Corrected);
        if changes_group && !std::mem::replace(&mut group.changed, true) {
            self.changed.push(key);
        }
        if change.stored {
            P::encode(&key, &fact, &group.interner, &mut changes.fact(group.owner, at));
        }
        change.outcome
    }

    /// Takes in what belongs to further owner partitions.
    pub(crate) fn absorb(&mut self, mut others: Self) {
        self.owners.extend(others.owners.drain());
        self.groups.extend(others.groups.drain());
        self.changed.append(&mut others.changed);
        self.in_refresh.append(&mut others.in_refresh);
        self.facts += others.facts;
    }

    /// Takes back the facts of a stored segment: of a key the greatest version wins, then the one stored last. A group with a
    /// fact that no refresh covers, one after `refreshed_id`, is changed.
    fn load(&mut self, segment: &mut SegmentReader<'_>, refreshed_id: i64) -> Result<(), ColumnError> {
        let owner = segment.owner;
        while let Some(stored) = segment.next_fact()? {
            let key = P::decode_group(&mut segment.values)?;
            let group = match self.groups.entry(key) {
                Entry::Occupied(entry) => entry.into_mut(),
                // A partition key that was given another owner has left older facts behind.
                Entry::Vacant(_) if self.owners.get(&P::partition_key(&key)) != Some(&owner) => continue,
                Entry::Vacant(entry) => entry.insert(Group::new(owner)),
            };
            if group.owner != owner {
                continue;
            }
            let fact = P::decode_fact(&mut segment.values, &mut group.interner)?;
            let (counted, counts) = group.load(Versioned { fact, version: stored.at.version });
            let owed = !mutation::is(Mutation::OwedForgotten) && stored.id > refreshed_id;
            if owed && !std::mem::replace(&mut group.changed, true) {
                self.changed.push(key);
            }
            self.facts += usize::from(counts);
            self.facts -= usize::from(counted);
        }
        Ok(())
    }

    /// Computes the rows of the groups that changed, in group order, for a refresh. They count as changed until it is answered:
    /// where it is not stored, they are changed again.
    pub fn begin_refresh(&mut self, pipeline: &P) -> Vec<P::Row> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        let mut row_of = |key: &P::Group| {
            let group = self.groups.get_mut(key)?;
            group.changed = false;
            Some(pipeline.aggregate(key, group.facts(), &group.interner))
        };
        let rows = changed.iter().filter_map(&mut row_of).collect();
        self.in_refresh.append(&mut changed);
        rows
    }

    /// The refresh under way is stored.
    pub fn refreshed(&mut self) {
        self.in_refresh = Vec::new();
    }

    /// The refresh under way is not stored: the groups in it are still changed.
    pub(crate) fn not_refreshed(&mut self) {
        for key in std::mem::take(&mut self.in_refresh) {
            if mutation::is(Mutation::RefreshForgets) {
                continue;
            }
            let Some(group) = self.groups.get_mut(&key) else { continue };
            if !std::mem::replace(&mut group.changed, true) {
                self.changed.push(key);
            }
        }
    }

    /// Lists the groups of partition keys whose newest record came from another partition than their owner, with that partition. All
    /// groups of a key have one owner.
    pub(crate) fn misplaced(&self) -> Vec<(P::Group, u16)> {
        let mut newest: HashMap<String, Version, Hasher> = HashMap::default();
        for (key, group) in &self.groups {
            let Some(version) = group.newest() else { continue };
            let known = newest.entry(P::partition_key(key)).or_insert(version);
            *known = version.max(*known);
        }
        let now = |key: &P::Group| {
            if mutation::is(Mutation::SharedKeySplit) {
                return self.groups[key].newest().map(Version::partition);
            }
            newest.get(&P::partition_key(key)).map(|version| version.partition())
        };
        let groups = self.groups.iter().filter_map(|(key, group)| Some((*key, group.owner, now(key)?)));
        let mut misplaced: Vec<_> =
            groups.filter(|(_, owner, now)| owner != now).map(|(key, _, now)| (key, now)).collect();
        misplaced.sort_unstable();
        misplaced
    }

    /// Gives a partition key and its group's facts another owner partition, and notes in `changes` what has to be stored.
    pub(crate) fn change_owner(&mut self, key: &P::Group, owner: u16, changes: &mut Changes) {
        let Some(group) = self.groups.get_mut(key) else { return };
        group.owner = owner;
        self.owners.insert(P::partition_key(key), owner);
        for Versioned { fact, version } in group.facts.iter() {
            group.mixed |= version.partition() != owner;
            let at = Position { version: *version, offset: NO_OFFSET };
            P::encode(key, fact, &group.interner, &mut changes.fact(owner, at));
        }
    }

    /// Whether any group changed since the last refresh was made.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The number of facts, without those that were retracted.
    pub fn facts(&self) -> usize {
        self.facts
    }

    /// The number of groups.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Every group's row, in group order.
    #[cfg(test)]
    pub(crate) fn rows(&self, pipeline: &P) -> Vec<P::Row> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_unstable_by_key(|(key, _)| **key);
        groups.into_iter().map(|(key, group)| pipeline.aggregate(key, group.facts(), &group.interner)).collect()
    }
}

/// Shards that are being loaded; nobody reads them yet.
pub(crate) struct GroupLoader<P: Pipeline> {
    /// What belongs to each.
    shards: Vec<Groups<P>>,
    /// The shard of each owner partition.
    shard_of: HashMap<u16, usize, Hasher>,
    copy: CopyReader,
    /// The greatest id that a refresh covers, by owner partition.
    refreshed: HashMap<u16, i64, Hasher>,
}

impl<P: Pipeline> GroupLoader<P> {
    /// Nothing loaded yet of shards of these partitions; `claimed` are their rows, and `keys` their partition keys.
    ///
    /// # Errors
    /// When a partition's number is beyond what is supported.
    pub(crate) fn new(shards: &[Vec<i32>], claimed: &[PartitionRow], keys: Vec<KeyOwner>) -> Result<Self, Error> {
        let refreshed = claimed.iter().map(|stored| Ok((short(stored.partition)?, stored.refreshed_id)));
        let refreshed = refreshed.collect::<Result<_, Error>>()?;
        let mut shard_of = HashMap::default();
        for (index, partitions) in shards.iter().enumerate() {
            for partition in partitions {
                shard_of.insert(short(*partition)?, index);
            }
        }
        let mut shards: Vec<Groups<P>> = shards.iter().map(|_| Groups::default()).collect();
        for (key, owner) in keys {
            let owner = short(owner)?;
            if let Some(index) = shard_of.get(&owner) {
                shards[*index].owners.insert(key, owner);
            }
        }
        Ok(Self { shards, shard_of, copy: CopyReader::default(), refreshed })
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
            if let Some(index) = self.shard_of.get(&owner) {
                let refreshed_id = self.refreshed.get(&owner).copied().unwrap_or(0);
                self.shards[*index].load(&mut segment, refreshed_id)?;
            }
        }
        Ok(())
    }

    /// What was loaded of each shard, in order.
    pub(crate) fn finish(self) -> Vec<Groups<P>> {
        self.shards
    }
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
    P::encode(group, fact, interner, &mut changes.fact(0, at));
    changes.number(1, 0);
    let mut copy = CopyReader::default();
    copy.push(changes.rows().bytes());
    let mut row = copy.next_row().expect("the row that was written");
    let mut segment = SegmentReader::new(&mut row, P::CHANGELOG.columns)?;
    segment.next_fact()?;
    Ok((P::decode_group(&mut segment.values)?, P::decode_fact(&mut segment.values, interner)?))
}

fn find_owner<S: BuildHasher>(
    owners: &mut HashMap<String, u16, S>,
    key: String,
    partition: u16,
    changes: &mut Changes,
) -> u16 {
    *owners.entry(key).or_insert_with_key(|key| {
        changes.new_key(key, partition);
        partition
    })
}

impl<P: Pipeline> Group<P> {
    fn new(owner: u16) -> Self {
        Self { owner, mixed: false, changed: false, facts: Facts::default(), interner: P::Interner::default() }
    }

    /// What is known, in key order.
    fn facts(&self) -> impl Iterator<Item = &P::Fact> {
        self.facts.iter().map(|known| &known.fact).filter(|fact| !fact.is_retraction())
    }

    /// The version of its newest record.
    fn newest(&self) -> Option<Version> {
        self.facts.iter().map(|known| known.version).max()
    }

    fn apply(&mut self, fact: &P::Fact, version: Version) -> Change {
        self.mixed |= version.partition() != self.owner;
        let (outcome, first) = match self.facts.find(fact.key()) {
            Ok(slot) => {
                let known = self.facts.at(slot);
                let outcome = known.outcome_of(fact, version);
                if version < known.version {
                    return Change { outcome, stored: false };
                }
                *known = Versioned { fact: fact.clone(), version };
                (outcome, false)
            }
            Err(rank) => {
                self.facts.insert(rank, Versioned { fact: fact.clone(), version });
                (if fact.is_retraction() { Outcome::Filtered } else { Outcome::New }, true)
            }
        };
        // Where versions decide between partitions, a restart must find them again; and so it must the first record of a key
        // even if that retracts nothing: what it retracts may still come, from another partition.
        let stored = self.mixed || first || matches!(outcome, Outcome::New | Outcome::Corrected);
        Change { outcome, stored }
    }

    /// Takes back a stored fact; whether one counted under its key before, and whether one does now.
    fn load(&mut self, loaded: Versioned<P::Fact>) -> (bool, bool) {
        self.mixed |= loaded.version.partition() != self.owner;
        let counts = !loaded.fact.is_retraction();
        match self.facts.find(loaded.fact.key()) {
            Ok(slot) => {
                let known = self.facts.at(slot);
                let counted = !known.fact.is_retraction();
                if loaded.version < known.version && !mutation::is(Mutation::GreatestIdBelieved) {
                    return (counted, counted);
                }
                *known = loaded;
                (counted, counts)
            }
            Err(rank) => {
                self.facts.insert(rank, loaded);
                (false, counts)
            }
        }
    }
}

impl<F: Fact> Versioned<F> {
    /// What becomes of a record of the same key. One that another partition has overtaken changes nothing.
    fn outcome_of(&self, fact: &F, version: Version) -> Outcome {
        match (self.fact.is_retraction(), fact.is_retraction()) {
            (true, true) => Outcome::Filtered,
            _ if version < self.version => Outcome::Unchanged,
            (true, false) => Outcome::New,
            (false, false) if self.fact.same(fact) => Outcome::Unchanged,
            (false, _) => Outcome::Corrected,
        }
    }
}

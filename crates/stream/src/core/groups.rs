//! The facts of each group, in memory: new, corrected or unchanged.

use std::hash::BuildHasher;

use hashbrown::{HashMap, hash_map::Entry};

use crate::{
    Error,
    copy::{CopyError, CopyFields, CopyReader},
    core::{
        batch::{Changes, KeyOwner, Outcome},
        facts::{Facts, Versioned},
        mutation::{self, Mutation},
        offsets::{PartitionRow, Position, Version, short},
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
            let mut row = changes.row(group.owner, at);
            P::encode(&key, &fact, &group.interner, &mut row);
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

    /// Takes back a stored fact: the greatest id of a key wins. A group with a fact that no refresh covers is changed.
    fn load(
        &mut self,
        mut row: CopyFields<'_>,
        id: i64,
        owner: u16,
        ids: &mut Ids<P>,
        refreshed: &HashMap<u16, i64, Hasher>,
    ) -> Result<(), CopyError> {
        let timestamp_ms = row.i64()?;
        let version = Version::new(timestamp_ms, partition(&mut row)?);
        let key = P::decode_group(&mut row)?;
        let group = match self.groups.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            // A partition key that was given another owner has left older rows behind.
            Entry::Vacant(_) if self.owners.get(&P::partition_key(&key)) != Some(&owner) => return Ok(()),
            Entry::Vacant(entry) => entry.insert(Group::new(owner)),
        };
        if group.owner != owner {
            return Ok(());
        }
        let fact = P::decode_fact(&mut row, &mut group.interner)?;
        let (counted, counts) = group.load(Versioned { fact, version }, id, ids.entry(key).or_default());
        let owed = !mutation::is(Mutation::OwedForgotten) && id > refreshed.get(&owner).copied().unwrap_or(0);
        if owed && !std::mem::replace(&mut group.changed, true) {
            self.changed.push(key);
        }
        self.facts += usize::from(counts);
        self.facts -= usize::from(counted);
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
            let mut row = changes.row(owner, Position { version: *version, offset: NO_OFFSET });
            P::encode(key, fact, &group.interner, &mut row);
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

/// The offset of a changelog row that no record brought: one written by `consumer repartition`.
const NO_OFFSET: i64 = -1;

/// The id of the row of each fact, in the order in which they came.
type Ids<P> = HashMap<<P as Pipeline>::Group, Vec<i64>, Hasher>;

/// Shards that are being loaded; nobody reads them yet.
pub(crate) struct GroupLoader<P: Pipeline> {
    /// What belongs to each.
    shards: Vec<Groups<P>>,
    /// The shard of each owner partition.
    shard_of: HashMap<u16, usize, Hasher>,
    copy: CopyReader,
    /// The ids of the rows loaded so far, in the order of their facts.
    ids: Ids<P>,
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
        Ok(Self { shards, shard_of, copy: CopyReader::default(), ids: HashMap::default(), refreshed })
    }

    /// Takes a piece of a binary COPY of changelog rows: `id`, `owner_partition`, `timestamp_ms`, `partition`, then the
    /// pipeline's columns. Rows may come in any order, also of one shard after another.
    ///
    /// # Errors
    /// When a row is not what [`Pipeline::encode`] writes.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), CopyError> {
        self.copy.push(piece);
        let Self { shards, shard_of, copy, ids, refreshed } = self;
        while let Some(mut row) = copy.next_row() {
            let id = row.i64()?;
            let owner = partition(&mut row)?;
            if let Some(index) = shard_of.get(&owner) {
                shards[*index].load(row, id, owner, ids, refreshed)?;
            }
        }
        Ok(())
    }

    /// What was loaded of each shard, in order.
    pub(crate) fn finish(self) -> Vec<Groups<P>> {
        self.shards
    }
}

/// The next field: a partition.
fn partition(row: &mut CopyFields<'_>) -> Result<u16, CopyError> {
    let partition = row.i32()?;
    u16::try_from(partition).map_err(|error| row.impossible(error))
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
    fn load(&mut self, loaded: Versioned<P::Fact>, id: i64, ids: &mut Vec<i64>) -> (bool, bool) {
        self.mixed |= loaded.version.partition() != self.owner;
        let counts = !loaded.fact.is_retraction();
        match self.facts.find(loaded.fact.key()) {
            Ok(slot) => {
                let known = self.facts.at(slot);
                let counted = !known.fact.is_retraction();
                if id < ids[slot] {
                    return (counted, counted);
                }
                ids[slot] = id;
                *known = loaded;
                (counted, counts)
            }
            Err(rank) => {
                ids.push(id);
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

//! The facts of each group, in memory: new, corrected or unchanged.

use std::hash::BuildHasher;

use hashbrown::{HashMap, hash_map::Entry};

use crate::{
    batch::{Changes, Outcome},
    copy::{CopyError, CopyFields},
    facts::{Facts, Stamped},
    offsets::{self, Stamp, Stored},
    pipeline::{Fact, Pipeline},
};

type Hasher = foldhash::fast::RandomState;

/// Where a record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its partition, and the greatest timestamp of that partition so far.
    pub stamp: Stamp,
    /// Its Kafka offset.
    pub offset: i64,
}

/// All facts of the partitions a consumer owns. A pure value: nothing here does I/O.
pub struct State<P: Pipeline> {
    groups: HashMap<P::Group, Group<P>, Hasher>,
    /// The partition each route lives in.
    homes: HashMap<String, u16, Hasher>,
    /// The groups to publish: each once, while its `changed` is set.
    changed: Vec<P::Group>,
    facts: usize,
}

struct Group<P: Pipeline> {
    home: u16,
    /// Whether records came from more than one partition: then stamps decide, and are stored.
    spread: bool,
    changed: bool,
    /// What withdraws a fact included.
    facts: Facts<P::Fact>,
    symbols: P::Symbols,
}

/// What a record did to its group.
struct Told {
    outcome: Outcome,
    /// Whether the fact, or its place in the order of records, has to be stored.
    stored: bool,
}

impl<P: Pipeline> Default for State<P> {
    fn default() -> Self {
        Self { groups: HashMap::default(), homes: HashMap::default(), changed: Vec::new(), facts: 0 }
    }
}

impl<P: Pipeline> State<P> {
    /// Folds a record in, and notes in `changes` what has to be stored.
    pub fn fold(&mut self, record: &P::Record<'_>, at: Position, changes: &mut Changes) -> Outcome {
        let group = P::group(record);
        let entry = match self.groups.entry(group) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let home = find_home(&mut self.homes, P::route(&group), at.stamp.partition(), changes);
                entry.insert(Group::new(home))
            }
        };
        let fact = P::fact(record, &mut entry.symbols);
        let told = entry.tell(&fact, at.stamp);
        self.facts += usize::from(told.outcome == Outcome::New);
        self.facts -= usize::from(told.outcome == Outcome::Corrected && fact.is_withdrawal());
        let changes_group = matches!(told.outcome, Outcome::New | Outcome::Corrected);
        if changes_group && !std::mem::replace(&mut entry.changed, true) {
            self.changed.push(group);
        }
        if told.stored {
            let mut row = changes.row(entry.home, at);
            P::encode(&group, &fact, &entry.symbols, &mut row);
        }
        told.outcome
    }

    /// Notes that a route lives in `home`, as stored.
    pub fn load_home(&mut self, route: String, home: u16) {
        self.homes.insert(route, home);
    }

    /// Takes back a stored fact; rows may come in any order, the greatest id of a key wins. A group with a fact that no refresh
    /// has told is to be refreshed.
    ///
    /// # Errors
    /// When the row is not what [`Pipeline::encode`] writes.
    pub fn load_row(&mut self, mut row: CopyFields<'_>, ids: &mut LoadedIds<P>) -> Result<(), CopyError> {
        let id = row.i64()?;
        let home = short(row.i32()?, &row)?;
        let timestamp_ms = row.i64()?;
        let stamp = Stamp::new(timestamp_ms, short(row.i32()?, &row)?);
        let group = P::decode_group(&mut row)?;
        let entry = match self.groups.entry(group) {
            Entry::Occupied(entry) => entry.into_mut(),
            // A route that was moved away has left older rows behind.
            Entry::Vacant(_) if self.homes.get(&P::route(&group)) != Some(&home) => return Ok(()),
            Entry::Vacant(entry) => entry.insert(Group::new(home)),
        };
        if entry.home == home {
            let fact = P::decode_fact(&mut row, &mut entry.symbols)?;
            let known = ids.ids.entry(group).or_default();
            let (told_before, tells_now) = entry.load(fact, stamp, (id, known));
            let owed = id > ids.refreshed.get(&home).copied().unwrap_or(0);
            if owed && !std::mem::replace(&mut entry.changed, true) {
                self.changed.push(group);
            }
            self.facts += usize::from(tells_now);
            self.facts -= usize::from(told_before);
        }
        Ok(())
    }

    /// Forgets all that lives in a partition.
    pub fn forget(&mut self, partition: u16) {
        let mut forgotten = 0;
        self.groups.retain(|_, group| {
            let stays = group.home != partition;
            forgotten += if stays { 0 } else { group.facts().count() };
            stays
        });
        self.facts -= forgotten;
        self.homes.retain(|_, home| *home != partition);
        let groups = &self.groups;
        self.changed.retain(|group| groups.contains_key(group));
    }

    /// Has every group computed again, so that a test sees all of them.
    pub fn mark_all_changed(&mut self) {
        self.changed.clear();
        self.changed.extend(self.groups.iter_mut().map(|(key, group)| {
            group.changed = true;
            *key
        }));
    }

    /// Computes the rows of the groups that changed since the last call, in group order.
    pub fn take_changed(&mut self, pipeline: &P) -> Vec<P::Row> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        let mut row_of = |key: &P::Group| {
            let group = self.groups.get_mut(key)?;
            group.changed = false;
            Some(pipeline.aggregate(key, group.facts(), &group.symbols))
        };
        changed.iter().filter_map(&mut row_of).collect()
    }

    /// Lists the groups whose newest record came from another partition than they live in, with that partition.
    pub fn strays(&self) -> Vec<(P::Group, u16)> {
        let newest = |group: &Group<P>| group.facts.iter().map(|stamped| stamped.stamp).max();
        let strays = self.groups.iter().filter_map(|(key, group)| Some((*key, group.home, newest(group)?.partition())));
        let mut strays: Vec<_> = strays.filter(|(_, home, now)| home != now).map(|(key, _, now)| (key, now)).collect();
        strays.sort_unstable();
        strays
    }

    /// Moves a route and its group's facts to another partition, and notes in `changes` what has to be stored.
    pub fn rehome(&mut self, group: &P::Group, home: u16, changes: &mut Changes) {
        let Some(entry) = self.groups.get_mut(group) else { return };
        entry.home = home;
        self.homes.insert(P::route(group), home);
        for Stamped { fact, stamp } in entry.facts.iter() {
            let mut row = changes.row(home, Position { stamp: *stamp, offset: NO_OFFSET });
            P::encode(group, fact, &entry.symbols, &mut row);
        }
    }

    /// Whether any group waits to be published.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The number of facts, those that were withdrawn left out.
    pub fn facts(&self) -> usize {
        self.facts
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }
}

/// The offset of a changelog row that no record brought: one written by `consumer rehome`.
const NO_OFFSET: i64 = -1;

/// The ids of the rows loaded so far, beside the facts; dropped when loading ends.
pub struct LoadedIds<P: Pipeline> {
    ids: HashMap<P::Group, Vec<i64>, Hasher>,
    /// The greatest id that a refresh has told, by owner partition.
    refreshed: HashMap<u16, i64, Hasher>,
}

impl<P: Pipeline> LoadedIds<P> {
    /// Nothing loaded yet of partitions that stand like this.
    ///
    /// # Errors
    /// When a partition's number is beyond what is supported.
    pub fn new(claimed: &[Stored]) -> Result<Self, crate::Error> {
        let refreshed = claimed.iter().map(|stored| Ok((offsets::short(stored.partition)?, stored.refreshed_id)));
        Ok(Self { ids: HashMap::default(), refreshed: refreshed.collect::<Result<_, crate::Error>>()? })
    }
}

impl<P: Pipeline> Default for LoadedIds<P> {
    fn default() -> Self {
        Self { ids: HashMap::default(), refreshed: HashMap::default() }
    }
}

fn short(partition: i32, row: &CopyFields<'_>) -> Result<u16, CopyError> {
    u16::try_from(partition).map_err(|error| row.impossible(error))
}

fn find_home<S: BuildHasher>(
    homes: &mut HashMap<String, u16, S>,
    route: String,
    partition: u16,
    changes: &mut Changes,
) -> u16 {
    *homes.entry(route).or_insert_with_key(|route| {
        changes.new_route(route, partition);
        partition
    })
}

impl<P: Pipeline> Group<P> {
    fn new(home: u16) -> Self {
        Self { home, spread: false, changed: false, facts: Facts::default(), symbols: P::Symbols::default() }
    }

    /// What is known, in key order.
    fn facts(&self) -> impl Iterator<Item = &P::Fact> {
        self.facts.iter().map(|known| &known.fact).filter(|fact| !fact.is_withdrawal())
    }

    fn tell(&mut self, fact: &P::Fact, stamp: Stamp) -> Told {
        self.spread |= stamp.partition() != self.home;
        let (outcome, first) = match self.facts.find(fact.key()) {
            Ok(place) => {
                let known = self.facts.at(place);
                let outcome = known.told_by(fact, stamp);
                if stamp < known.stamp {
                    return Told { outcome, stored: false };
                }
                *known = Stamped { fact: fact.clone(), stamp };
                (outcome, false)
            }
            Err(rank) => {
                self.facts.insert(rank, Stamped { fact: fact.clone(), stamp });
                (if fact.is_withdrawal() { Outcome::Filtered } else { Outcome::New }, true)
            }
        };
        // Where stamps decide between partitions, a restart must find them again; and so it must the first word on a key
        // even if that takes nothing back: what it takes back may still come, from another partition.
        let stored = self.spread || first || matches!(outcome, Outcome::New | Outcome::Corrected);
        Told { outcome, stored }
    }

    /// Takes back a stored fact; whether anything was known under its key before, and whether it is now.
    fn load(&mut self, fact: P::Fact, stamp: Stamp, (id, ids): (i64, &mut Vec<i64>)) -> (bool, bool) {
        self.spread |= stamp.partition() != self.home;
        let tells = !fact.is_withdrawal();
        match self.facts.find(fact.key()) {
            Ok(place) => {
                let known = self.facts.at(place);
                let told = !known.fact.is_withdrawal();
                if id < ids[place] {
                    return (told, told);
                }
                ids[place] = id;
                *known = Stamped { fact, stamp };
                (told, tells)
            }
            Err(rank) => {
                ids.push(id);
                self.facts.insert(rank, Stamped { fact, stamp });
                (false, tells)
            }
        }
    }
}

impl<F: Fact> Stamped<F> {
    /// What a record of the same key does to it. One that another partition has overtaken tells nothing.
    fn told_by(&self, fact: &F, stamp: Stamp) -> Outcome {
        match (self.fact.is_withdrawal(), fact.is_withdrawal()) {
            (true, true) => Outcome::Filtered,
            _ if stamp < self.stamp => Outcome::Unchanged,
            (true, false) => Outcome::New,
            (false, false) if self.fact.same(fact) => Outcome::Unchanged,
            (false, _) => Outcome::Corrected,
        }
    }
}

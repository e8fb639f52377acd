//! The facts of groups that are in memory, and what is known of those that are not.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::{HashMap, hash_map::Entry};

use crate::{
    columns::ColumnError,
    copy::CopyReader,
    core::{
        batch::{Changes, Outcome},
        cold::{ColdName, ColdReader},
        facts::Versioned,
        flush::Flush,
        group::Group,
        keys::Keys,
        mutation::{self, Mutation},
        offsets::{Position, Version},
        parked::{Parked, Waiting, together},
        residency::{Candidate, Limits, Tail, Unflushed, choose},
        segments::{NO_OFFSET, SegmentReader},
        windows::{KeyTimes, Windows},
    },
    pipeline::{Fact, Pipeline, Residency, Say},
};

pub(crate) type Hasher = foldhash::fast::RandomState;

/// The facts of the partitions that a shard owns: all of them, or those of the groups that are in memory.
pub struct Groups<P: Pipeline> {
    pub(crate) residency: Residency,
    pub(crate) groups: HashMap<P::Group, Group<P>, Hasher>,
    pub(crate) keys: Keys,
    pub(crate) totals: Totals<P>,
    /// The groups of the refresh under way: they count as changed until it is answered.
    in_refresh: Vec<P::Group>,
    parked: Box<Parked<P>>,
    /// What was sent and is not known to be stored, batch by batch.
    sent: VecDeque<Sent<P>>,
    /// The greatest number of a batch that is known to be stored: what is sent gets greater ones.
    pub(crate) last_number: i64,
    /// What was stored since what a load need not read, by owner partition.
    pub(crate) tails: BTreeMap<u16, Tail>,
    /// What the refresh under way writes to the cold store.
    flushing: Option<Flushing<P>>,
}

/// What changes with every fact.
pub(crate) struct Totals<P: Pipeline> {
    /// The groups that changed since the last refresh was made: each once, while its `changed` is set.
    pub(crate) changed: Vec<P::Group>,
    /// The groups whose first fact that is not in the cold store is in the open batch.
    unsealed: Vec<P::Group>,
    /// Facts, without those that were retracted.
    pub(crate) facts: usize,
    /// What the facts in memory take, in bytes, nearly.
    pub(crate) bytes: usize,
    /// How many refreshes were stored.
    refreshes: u32,
    pub(crate) met: Met,
}

/// What has happened to records and groups, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met {
    /// Facts of a window that was final.
    pub(crate) late: u64,
    /// Facts of a window behind the horizon of its key.
    pub(crate) behind_horizon: u64,
    /// Groups whose row in the cold store was read.
    pub(crate) fetched: u64,
    /// What those take in memory, in bytes.
    pub(crate) fetched_bytes: u64,
    /// Facts that were written to the cold store.
    pub(crate) flushed: u64,
    /// Groups that left memory.
    pub(crate) evicted: u64,
}

impl Met {
    /// The sum of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            late: self.late + other.late,
            behind_horizon: self.behind_horizon + other.behind_horizon,
            fetched: self.fetched + other.fetched,
            fetched_bytes: self.fetched_bytes + other.fetched_bytes,
            flushed: self.flushed + other.flushed,
            evicted: self.evicted + other.evicted,
        }
    }
}

/// What a batch that was sent has of a shard.
struct Sent<P: Pipeline> {
    groups: Vec<P::Group>,
    facts: BTreeMap<u16, usize>,
}

/// What a refresh under way does to groups, once it is stored.
struct Flushing<P: Pipeline> {
    /// Those that are written, and since when they had not been.
    flushed: HashMap<P::Group, Unflushed, Hasher>,
    evicted: Vec<P::Group>,
    /// The times of keys, by their numbers.
    times: Vec<(u32, KeyTimes)>,
    needed: BTreeMap<i32, Option<i64>>,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// All of it is applied.
    Whole(Outcome),
    /// Some of it waits for a group that is not in memory.
    Parked,
    /// It cannot be used, and why.
    Rejected(String),
}

impl<P: Pipeline> Default for Groups<P> {
    fn default() -> Self {
        Self::new(Residency::Memory)
    }
}

impl<P: Pipeline> Groups<P> {
    /// No facts yet, of groups that leave memory as that says.
    pub(crate) fn new(residency: Residency) -> Self {
        Self {
            residency,
            groups: HashMap::default(),
            keys: Keys::default(),
            totals: Totals {
                changed: Vec::new(),
                unsealed: Vec::new(),
                facts: 0,
                bytes: 0,
                refreshes: 0,
                met: Met::default(),
            },
            in_refresh: Vec::new(),
            parked: Box::default(),
            sent: VecDeque::new(),
            last_number: 0,
            tails: BTreeMap::new(),
            flushing: None,
        }
    }

    /// Applies a record, of groups that are all in memory, and notes in `changes` what has to be stored.
    pub fn apply(&mut self, pipeline: &P, record: &P::Record<'_>, at: Position, changes: &mut Changes) -> Outcome {
        match self.apply_or_park(pipeline, record, at, at.version.timestamp_ms(), changes) {
            Applied::Whole(outcome) => outcome,
            Applied::Rejected(_) => Outcome::Rejected,
            Applied::Parked => panic!("a group is not in memory"),
        }
    }

    /// Applies a record with that Kafka timestamp, as far as its groups are in memory, and notes in `changes` what has to be stored.
    pub(crate) fn apply_or_park(
        &mut self,
        pipeline: &P,
        record: &P::Record<'_>,
        at: Position,
        timestamp_ms: i64,
        changes: &mut Changes,
    ) -> Applied {
        if let Residency::Windows(windows) = self.residency {
            // A record is rejected whole, or not at all.
            let mut check = Check { windows, timestamp_ms, impossible: None };
            pipeline.apply(record, timestamp_ms, &mut check);
            if let Some(reason) = check.impossible {
                return Applied::Rejected(reason);
            }
        }
        let mut fold = Fold { groups: self, at, changes, outcome: None, parked: 0 };
        pipeline.apply(record, timestamp_ms, &mut fold);
        let (outcome, waiting) = (fold.outcome, fold.parked);
        if waiting > 0 {
            self.parked.record(at.version.partition(), outcome, waiting);
            return Applied::Parked;
        }
        Applied::Whole(outcome.unwrap_or(Outcome::Filtered))
    }

    /// Whether groups leave memory.
    pub(crate) fn leave(&self) -> bool {
        self.residency != Residency::Memory
    }

    /// Its windows, where groups are such.
    pub(crate) fn windows(&self) -> Option<Windows> {
        if let Residency::Windows(windows) = self.residency { Some(windows) } else { None }
    }

    fn is_final(&self, name: &P::Group, key: u32) -> bool {
        let is_final = |windows: Windows| self.keys.get(key).times.is_final(windows.end(P::slot(name)));
        self.windows().is_some_and(is_final)
    }

    /// Takes in what belongs to further owner partitions. Of both, nothing is unanswered.
    pub(crate) fn absorb(&mut self, others: Self) {
        let first = self.keys.absorb(others.keys);
        let moved = others.groups.into_iter().map(|(name, mut group)| {
            group.key += first;
            group.used = self.totals.refreshes;
            (name, group)
        });
        self.groups.extend(moved);
        self.tails.extend(others.tails);
        self.last_number = self.last_number.max(others.last_number);
        self.in_refresh.extend(others.in_refresh);
        self.totals.changed.extend(others.totals.changed);
        self.totals.facts += others.totals.facts;
        self.totals.bytes += others.totals.bytes;
    }

    /// Takes back the facts of a stored segment: of a key the greatest version wins, then the one stored last. A group with a
    /// fact that no refresh covers, one after `refreshed_id`, is changed.
    pub(crate) fn load(&mut self, segment: &mut SegmentReader<'_>, refreshed_id: i64) -> Result<(), ColumnError> {
        let owner = segment.owner;
        while let Some(stored) = segment.next_fact()? {
            let name = P::decode_group(&mut segment.values)?;
            let group = match self.groups.entry(name) {
                Entry::Occupied(entry) => entry.into_mut(),
                // A partition key that was given another owner has left older facts behind.
                Entry::Vacant(entry) => match self.keys.owner(&P::partition_key(&name)) {
                    Some((key, known)) if known == owner => entry.insert(Group::new(key, owner)),
                    _ => continue,
                },
            };
            if group.owner != owner {
                continue;
            }
            let fact = P::decode_fact(&mut segment.values, &mut group.interner)?;
            let is_owed = stored.id > refreshed_id;
            self.totals.load(name, group, Versioned { fact, stamp: stored.stamp() }, is_owed);
        }
        Ok(())
    }

    /// Computes the rows of the groups that changed, in group order, for a refresh. They count as changed until it is answered:
    /// where it is not stored, they are changed again.
    pub fn begin_refresh(&mut self, pipeline: &P) -> Vec<P::Row> {
        let mut changed = std::mem::take(&mut self.totals.changed);
        changed.sort_unstable();
        let has_windows = self.windows().is_some();
        if mutation::is(Mutation::EvictedNotWritten) {
            changed.retain(|name| self.groups.get(name).is_some_and(|group| !self.is_final(name, group.key)));
        }
        let mut row_of = |name: &P::Group| {
            let group = self.groups.get_mut(name)?;
            group.changed = false;
            Some(group.row(pipeline, name, has_windows))
        };
        let rows = changed.iter().filter_map(&mut row_of).collect();
        self.in_refresh.append(&mut changed);
        rows
    }

    /// Chooses what leaves memory with the refresh that was begun, and encodes what is written to the cold store for it. `owners` are
    /// the shard's partitions; nothing of it may be unsealed or parked. What was sent is stored before the refresh is made.
    pub(crate) fn begin_flush(&mut self, owners: &[i32], limits: &Limits) -> Flush {
        let candidate = |(name, group): (&P::Group, &Group<P>)| Candidate {
            group: *name,
            bytes: group.bytes(),
            unflushed: group.unflushed,
            owner: group.owner,
            unused: self.totals.refreshes.saturating_sub(group.used),
            is_final: self.is_final(name, group.key),
        };
        let choice = choose(self.groups.iter().map(candidate).collect(), limits);
        let keeps = self.windows().filter(|windows| windows.keep_ms.is_some());
        let mut flush = Flush {
            size_ms: keeps.map(|windows| windows.size_ms),
            history_ms: self.windows().and_then(|windows| windows.history_ms),
            ..Flush::default()
        };
        let mut flushed = HashMap::default();
        let mut flushed_keys = Vec::new();
        for name in choice.flush {
            let Some(group) = self.groups.get_mut(&name) else { continue };
            let key = self.keys.get(group.key);
            flush.rows.add(group.owner, (key.name.clone(), P::slot(&name)), P::CHANGELOG.columns, &group.cold(&name));
            flushed.insert(name, std::mem::replace(&mut group.unflushed, Unflushed::Clean));
            flushed_keys.push(group.key);
        }
        flush.needed = owners.iter().map(|owner| (*owner, None)).collect();
        for group in self.groups.values() {
            let number = match group.unflushed {
                Unflushed::Clean => continue,
                Unflushed::Since(number) => number,
                Unflushed::InHand => self.last_number + 1,
            };
            let needed = flush.needed.entry(group.owner.into()).or_default();
            *needed = Some(needed.map_or(number, |known| known.min(number)));
        }
        for name in &self.in_refresh {
            let Some(group) = self.groups.get(name).filter(|group| !group.is_known) else { continue };
            flush.first.push((group.owner.into(), (self.keys.get(group.key).name.clone(), P::slot(name))));
        }
        let times = self.times_to_store(flushed_keys);
        flush.times = times.iter().map(|(key, times)| (self.keys.get(*key).name.clone(), *times)).collect();
        flush.times.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        self.flushing = Some(Flushing { flushed, evicted: choice.evict, times, needed: flush.needed.clone() });
        flush
    }

    /// The times of keys that have a group among what is flushed, or of which a window became final.
    fn times_to_store(&self, mut flushed: Vec<u32>) -> Vec<(u32, KeyTimes)> {
        flushed.sort_unstable();
        if mutation::is(Mutation::TimesNotStored) {
            flushed.clear();
        }
        let is_of = |number: u32| {
            let key = self.keys.get(number);
            let has_passed = |windows: Windows| key.times.has_passed(&key.stored, &windows);
            flushed.binary_search(&number).is_ok() || self.windows().is_some_and(has_passed)
        };
        let numbers = (0..).take(self.keys.len()).filter(|number| is_of(*number));
        numbers.map(|number| (number, self.keys.get(number).times)).collect()
    }

    /// The refresh under way is stored.
    pub fn refreshed(&mut self) {
        for name in std::mem::take(&mut self.in_refresh) {
            self.groups.get_mut(&name).into_iter().for_each(|group| group.is_known = true);
        }
        let Some(Flushing { flushed, evicted, times, needed }) = self.flushing.take() else { return };
        for name in flushed.into_keys() {
            let Some(group) = self.groups.get_mut(&name) else { continue };
            group.is_known = true;
            self.totals.met.flushed += group.facts.len() as u64;
        }
        for name in evicted {
            let Entry::Occupied(entry) = self.groups.entry(name) else { continue };
            let group = entry.get();
            // What has come meanwhile stays.
            let is_dirty = group.unflushed != Unflushed::Clean && !mutation::is(Mutation::DirtyEvicted);
            if (group.changed || is_dirty) && !mutation::is(Mutation::EvictedInHand) {
                continue;
            }
            self.totals.bytes = self.totals.bytes.saturating_sub(group.bytes());
            self.totals.facts = self.totals.facts.saturating_sub(group.facts().count());
            self.totals.met.evicted += 1;
            entry.remove();
        }
        for (number, times) in times {
            self.keys.get_mut(number).stored = times;
        }
        for (owner, needed) in needed {
            let tail = u16::try_from(owner).ok().and_then(|owner| self.tails.get_mut(&owner));
            tail.into_iter().for_each(|tail| tail.drop_before(needed.unwrap_or(i64::MAX)));
        }
        self.totals.refreshes += 1;
    }

    /// The refresh under way is not stored: the groups in it are still changed, and those that it would have flushed still to be.
    pub(crate) fn not_refreshed(&mut self) {
        for name in std::mem::take(&mut self.in_refresh) {
            if mutation::is(Mutation::RefreshForgets) {
                continue;
            }
            let Some(group) = self.groups.get_mut(&name) else { continue };
            if !std::mem::replace(&mut group.changed, true) {
                self.totals.changed.push(name);
            }
        }
        let flushed = self.flushing.take().map(|flushing| flushing.flushed).unwrap_or_default();
        for (name, unflushed) in flushed.into_iter().filter(|_| !mutation::is(Mutation::FlushForgets)) {
            self.groups.get_mut(&name).into_iter().for_each(|group| group.unflushed = unflushed);
        }
    }

    /// What the open batch has of it is sent: `changes`.
    pub(crate) fn seal(&mut self, changes: &Changes) {
        if self.leave() {
            let groups = std::mem::take(&mut self.totals.unsealed);
            self.sent.push_back(Sent { groups, facts: changes.by_owner() });
        }
    }

    /// What was sent first is stored, under these batch numbers.
    pub(crate) fn stored(&mut self, numbers: &[i64]) {
        let sent = self.sent.drain(..numbers.len().min(self.sent.len()));
        for (number, Sent { groups, facts }) in numbers.iter().zip(sent) {
            self.last_number = self.last_number.max(*number);
            for name in groups {
                // A refresh that was sent after it may write the group; since when it had not been is known now.
                let flushed = self.flushing.as_mut().and_then(|flushing| flushing.flushed.get_mut(&name));
                let held = self.groups.get_mut(&name).map(|group| &mut group.unflushed);
                if let Some(unflushed) = flushed.or(held).filter(|unflushed| **unflushed == Unflushed::InHand) {
                    *unflushed = Unflushed::Since(*number);
                }
            }
            for (owner, facts) in facts {
                self.tails.entry(owner).or_default().add(*number, facts);
            }
        }
    }

    /// Whether nothing of it is unsealed or parked, so that a refresh may flush.
    pub(crate) fn is_settled(&self) -> bool {
        self.parked.is_empty() && self.totals.unsealed.is_empty()
    }

    /// The groups that records wait for.
    pub(crate) fn parked(&self) -> Vec<ColdName> {
        self.parked.names()
    }

    /// How many groups records wait for.
    pub(crate) fn parked_groups(&self) -> usize {
        self.parked.groups.len()
    }

    /// Takes in the cold rows of the groups that records wait for, a COPY stream; those without a row have no facts. Applies what was
    /// parked. Returns what became of its records, each with the partition that it came from.
    ///
    /// # Errors
    /// When what is stored is not what this program writes.
    pub(crate) fn found(&mut self, rows: &[u8], changes: &mut Changes) -> Result<Vec<(u16, Outcome)>, ColumnError> {
        let mut parked = std::mem::take(&mut *self.parked);
        let mut groups = std::mem::take(&mut parked.groups);
        let by_name: HashMap<ColdName, P::Group> =
            groups.iter().map(|(name, waiting)| (waiting.name.clone(), *name)).collect();
        let mut copy = CopyReader::default();
        copy.push(rows);
        while let Some(mut row) = copy.next_row() {
            let mut row = ColdReader::new(&mut row, P::CHANGELOG.columns)?;
            let name = by_name.get(&(row.key.to_owned(), row.slot));
            if let Some(waiting) = name.and_then(|name| groups.get_mut(name)) {
                self.totals.facts = self.totals.facts.saturating_add_signed(waiting.group.load_cold(&mut row)?);
                self.totals.met.fetched += 1;
                self.totals.met.fetched_bytes += waiting.group.bytes() as u64;
            }
        }
        let mut outcomes = Vec::new();
        for (name, Waiting { mut group, facts, .. }) in groups {
            group.is_known = true;
            self.totals.bytes += group.bytes();
            for parked_fact in facts {
                if let Some(windows) = self.windows().filter(|_| mutation::is(Mutation::ClockAfterParking)) {
                    self.keys.get_mut(group.key).note(parked_fact.event_ms, &windows);
                }
                let (at, late) = (parked_fact.at, parked_fact.late);
                let outcome = self.totals.fold(name, &mut group, &parked_fact.fact, at, late, true, changes);
                outcomes.extend(parked.applied(&parked_fact, outcome));
            }
            self.groups.insert(name, group);
        }
        Ok(outcomes)
    }

    /// Lists the groups of partition keys whose newest record came from another partition than their owner, with that partition. All
    /// groups of a key have one owner.
    pub(crate) fn misplaced(&self) -> Vec<(P::Group, u16)> {
        let mut newest: HashMap<u32, Version, Hasher> = HashMap::default();
        // Where groups leave memory, their keys know it.
        for group in self.groups.values().filter(|_| !self.leave()) {
            let Some(version) = group.newest() else { continue };
            let known = newest.entry(group.key).or_insert(version);
            *known = version.max(*known);
        }
        let now = |name: &P::Group, group: &Group<P>| {
            if mutation::is(Mutation::SharedKeySplit) {
                return self.groups[name].newest().map(Version::partition);
            }
            if self.leave() {
                return self.keys.get(group.key).misplaced();
            }
            newest.get(&group.key).map(|version| version.partition())
        };
        let groups = self.groups.iter().filter_map(|(name, group)| Some((*name, group.owner, now(name, group)?)));
        let mut misplaced: Vec<_> =
            groups.filter(|(_, owner, now)| owner != now).map(|(name, _, now)| (name, now)).collect();
        misplaced.sort_unstable();
        misplaced
    }

    /// The partition keys whose newest record came from another partition than their owner, with that partition, where groups leave
    /// memory: there may be none of theirs in it.
    pub(crate) fn misplaced_keys(&self) -> impl Iterator<Item = (String, i32)> {
        let keys = self.keys.iter().filter(|_| self.leave());
        keys.filter_map(|key| Some((key.name.clone(), i32::from(key.misplaced()?))))
    }

    /// Gives a partition key and its group's facts another owner partition, and notes in `changes` what has to be stored.
    pub(crate) fn change_owner(&mut self, name: &P::Group, owner: u16, changes: &mut Changes) {
        let Some(group) = self.groups.get_mut(name) else { return };
        group.owner = owner;
        self.keys.get_mut(group.key).owner = owner;
        for Versioned { fact, stamp } in group.facts.iter() {
            let at = Position { version: stamp.version(), offset: NO_OFFSET };
            P::encode(name, fact, &group.interner, &mut changes.fact(owner, at, stamp.is_late()));
        }
        let partitions: Vec<u16> = group.facts.iter().map(|known| known.stamp.version().partition()).collect();
        partitions.into_iter().for_each(|partition| group.mix(partition));
    }

    /// Whether any group changed since the last refresh was made.
    pub fn has_changed(&self) -> bool {
        !self.totals.changed.is_empty()
    }

    /// The number of facts in memory, without those that were retracted.
    pub fn facts(&self) -> usize {
        self.totals.facts
    }

    /// What the facts in memory take, in bytes, nearly.
    pub(crate) fn bytes(&self) -> usize {
        self.totals.bytes
    }

    /// What has happened since this was last asked, for metrics.
    pub(crate) fn take_met(&mut self) -> Met {
        std::mem::take(&mut self.totals.met)
    }

    /// The number of groups.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// What the windows take that are final, in bytes.
    #[cfg(test)]
    pub(crate) fn final_bytes(&self) -> usize {
        let is_final = |(name, group): &(&P::Group, &Group<P>)| self.is_final(name, group.key);
        self.groups.iter().filter(is_final).map(|(_, group)| group.bytes()).sum()
    }

    /// The row of every group that is in memory, in group order.
    #[cfg(test)]
    pub(crate) fn rows(&self, pipeline: &P) -> Vec<P::Row> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_unstable_by_key(|(name, _)| **name);
        let has_windows = self.windows().is_some();
        groups.into_iter().map(|(name, group)| group.row(pipeline, name, has_windows)).collect()
    }
}

impl<P: Pipeline> Totals<P> {
    /// Applies a fact to its group.
    #[expect(clippy::too_many_arguments, reason = "all of what is known of a fact")]
    fn fold(
        &mut self,
        name: P::Group,
        group: &mut Group<P>,
        fact: &P::Fact,
        at: Position,
        late: bool,
        leaves: bool,
        changes: &mut Changes,
    ) -> Outcome {
        let before = if leaves { group.bytes() } else { 0 };
        let change = group.apply(fact, at.version, late);
        self.facts += usize::from(change.outcome == Outcome::New);
        self.facts -= usize::from(change.outcome == Outcome::Corrected && fact.is_retraction());
        let changes_group = matches!(change.outcome, Outcome::New | Outcome::Corrected);
        if changes_group && !std::mem::replace(&mut group.changed, true) {
            self.changed.push(name);
        }
        if let Some(known) = &change.stored {
            P::encode(&name, known, &group.interner, &mut changes.fact(group.owner, at, change.late));
        }
        if leaves {
            self.bytes += group.bytes() - before;
            group.used = self.refreshes;
            if change.stored.is_some() && group.unflushed == Unflushed::Clean {
                group.unflushed = Unflushed::InHand;
                self.unsealed.push(name);
            }
        }
        change.outcome
    }

    /// Takes back a stored fact; `is_owed` says whether no refresh covers it.
    pub(crate) fn load(&mut self, name: P::Group, group: &mut Group<P>, loaded: Versioned<P::Fact>, is_owed: bool) {
        let before = group.bytes();
        let (counted, counts) = group.load(loaded, true);
        self.bytes += group.bytes() - before;
        let is_owed = !mutation::is(Mutation::OwedForgotten) && is_owed;
        if is_owed && !std::mem::replace(&mut group.changed, true) {
            self.changed.push(name);
        }
        self.facts += usize::from(counts);
        self.facts -= usize::from(counted);
    }
}

/// Only checks the times of a record's facts.
struct Check {
    windows: Windows,
    timestamp_ms: i64,
    impossible: Option<String>,
}

impl<P: Pipeline> Say<P> for Check {
    fn fact(&mut self, _group: P::Group, event_ms: i64, _fact: impl FnOnce(&mut P::Interner) -> P::Fact) {
        if self.impossible.is_none() {
            self.impossible = self.windows.impossible(event_ms, self.timestamp_ms);
        }
    }
}

/// Applies the facts of a record.
struct Fold<'a, P: Pipeline> {
    groups: &'a mut Groups<P>,
    at: Position,
    changes: &'a mut Changes,
    outcome: Option<Outcome>,
    parked: usize,
}

impl<P: Pipeline> Say<P> for Fold<'_, P> {
    fn fact(&mut self, group: P::Group, event_ms: i64, fact: impl FnOnce(&mut P::Interner) -> P::Fact) {
        let applied = if self.groups.leave() {
            self.groups.fold_or_park(group, event_ms, fact, self.at, self.changes)
        } else {
            Some(self.groups.fold_in_memory(group, fact, self.at, self.changes))
        };
        match applied {
            Some(outcome) => self.outcome = Some(together(self.outcome, outcome)),
            None => self.parked += 1,
        }
    }
}

impl<P: Pipeline> Groups<P> {
    fn fold_in_memory(
        &mut self,
        name: P::Group,
        fact: impl FnOnce(&mut P::Interner) -> P::Fact,
        at: Position,
        changes: &mut Changes,
    ) -> Outcome {
        let group = match self.groups.entry(name) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let (key, _) = self.keys.find_or_add(&P::partition_key(&name), at.version.partition(), changes);
                entry.insert(Group::new(key, self.keys.get(key).owner))
            }
        };
        let fact = fact(&mut group.interner);
        self.totals.fold(name, group, &fact, at, false, false, changes)
    }

    /// Applies a fact whose group is in memory or exists nowhere; parks it where the group has to be fetched.
    fn fold_or_park(
        &mut self,
        name: P::Group,
        event_ms: i64,
        fact: impl FnOnce(&mut P::Interner) -> P::Fact,
        at: Position,
        changes: &mut Changes,
    ) -> Option<Outcome> {
        let partition = at.version.partition();
        let held = self.groups.get_mut(&name);
        let (number, is_new_key) = match &held {
            Some(group) => (group.key, false),
            None => self.keys.find_or_add(&P::partition_key(&name), partition, changes),
        };
        let key = self.keys.get_mut(number);
        key.times.newest = key.times.newest.max(Some(at.version));
        let (slot, mut late, mut is_new) = (P::slot(&name), false, is_new_key);
        if let Residency::Windows(windows) = &self.residency {
            let end = windows.end(slot);
            let horizon = if mutation::is(Mutation::HorizonOfStored) { &key.stored } else { &key.times };
            if horizon.is_behind_horizon(end) {
                self.totals.met.behind_horizon += 1;
                return Some(Outcome::Filtered);
            }
            // Decided on arrival, also for what is then parked.
            late = key.times.is_final(end);
            if !mutation::is(Mutation::ClockAfterParking) {
                key.note(event_ms, windows);
            }
            self.totals.met.late += u64::from(late);
            let is_open = key.open.contains(&slot) && !mutation::is(Mutation::EvictedTakenForNew);
            is_new = !late && !is_open;
            if is_new && !self.parked.groups.contains_key(&name) {
                key.opens(slot, windows);
            }
        }
        if let Some(group) = held {
            let fact = fact(&mut group.interner);
            return Some(self.totals.fold(name, group, &fact, at, late, true, changes));
        }
        let owner = key.owner;
        if let Some(waiting) = self.parked.groups.get_mut(&name) {
            let fact = fact(&mut waiting.group.interner);
            self.parked.park(name, fact, event_ms, at, late);
            return None;
        }
        let mut group = Group::new(number, owner);
        let fact = fact(&mut group.interner);
        if is_new || mutation::is(Mutation::NeverFetched) {
            self.totals.bytes += group.bytes();
            let outcome = self.totals.fold(name, &mut group, &fact, at, late, true, changes);
            self.groups.insert(name, group);
            return Some(outcome);
        }
        self.parked.groups.insert(name, Waiting::new((key.name.clone(), slot), group));
        self.parked.park(name, fact, event_ms, at, late);
        None
    }
}

//! The partition keys of a shard: who owns each, and, where groups leave memory, how far its time has come.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::core::{
    batch::Changes,
    offsets::Version,
    windows::{KeyTimes, Windows},
};

/// A stored partition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRow {
    pub(crate) key: String,
    /// The partition that owns it.
    pub(crate) owner: i32,
    pub(crate) times: KeyTimes,
}

/// A partition key in memory.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// The partition that owns it.
    pub(crate) owner: u16,
    pub(crate) times: KeyTimes,
    /// The times that are stored.
    pub(crate) stored: KeyTimes,
    /// When the windows begin that are not final and have facts, in memory or not.
    pub(crate) open: Vec<i64>,
}

impl Key {
    fn new(name: &str, owner: u16, times: KeyTimes) -> Self {
        Self { name: name.to_owned(), owner, times, stored: times, open: Vec::new() }
    }

    /// The partition that its newest record came from, where that does not own it.
    pub(crate) fn misplaced(&self) -> Option<u16> {
        self.times.newest.map(Version::partition).filter(|partition| *partition != self.owner)
    }

    /// Notes a fact of that time. The windows that became final are not open any more.
    pub(crate) fn note(&mut self, event_ms: i64, windows: &Windows) {
        let before = self.times.final_through_ms;
        self.times.note(event_ms, windows);
        if self.times.final_through_ms != before {
            self.open.retain(|slot| !self.times.is_final(windows.end(*slot)));
        }
    }

    /// Notes that a window has facts, unless it is final.
    pub(crate) fn opens(&mut self, slot: i64, windows: &Windows) {
        if !self.times.is_final(windows.end(slot)) && !self.open.contains(&slot) {
            self.open.push(slot);
        }
    }
}

/// All keys of a shard; each has a number, which never changes.
#[derive(Default)]
pub(crate) struct Keys {
    numbers: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    keys: Vec<Key>,
}

impl Keys {
    fn find(&self, name: &str) -> Option<u32> {
        let is_it = |number: &u32| self.keys[*number as usize].name == name;
        self.numbers.find(self.hasher.hash_one(name), is_it).copied()
    }

    fn add(&mut self, key: Key) -> u32 {
        let number = u32::try_from(self.keys.len()).expect("four billion keys do not fit in memory");
        let hash = self.hasher.hash_one(key.name.as_str());
        self.keys.push(key);
        let hash_of = |number: &u32| self.hasher.hash_one(self.keys[*number as usize].name.as_str());
        self.numbers.insert_unique(hash, number, hash_of);
        number
    }

    /// The number of a key, and whether it is met for the first time: then it belongs to `partition`, which `changes` notes.
    pub(crate) fn find_or_add(&mut self, name: &str, partition: u16, changes: &mut Changes) -> (u32, bool) {
        if let Some(number) = self.find(name) {
            return (number, false);
        }
        changes.new_key(name, partition);
        (self.add(Key::new(name, partition, KeyTimes::default())), true)
    }

    /// Takes a stored key in, of one of the shard's partitions.
    pub(crate) fn load(&mut self, row: &KeyRow, owner: u16) {
        let key = Key::new(&row.key, owner, row.times);
        match self.named_mut(&row.key) {
            Some(known) => *known = key,
            None => {
                self.add(key);
            }
        }
    }

    /// The number and owner of a key.
    pub(crate) fn owner(&self, name: &str) -> Option<(u32, u16)> {
        self.find(name).map(|number| (number, self.keys[number as usize].owner))
    }

    pub(crate) fn get(&self, number: u32) -> &Key {
        &self.keys[number as usize]
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> &mut Key {
        &mut self.keys[number as usize]
    }

    pub(crate) fn named_mut(&mut self, name: &str) -> Option<&mut Key> {
        self.find(name).map(|number| self.get_mut(number))
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Key> {
        self.keys.iter_mut()
    }

    /// Takes in those of further partitions; returns what is to be added to their numbers.
    pub(crate) fn absorb(&mut self, others: Self) -> u32 {
        let first = u32::try_from(self.keys.len()).expect("four billion keys do not fit in memory");
        for key in others.keys {
            self.add(key);
        }
        first
    }
}

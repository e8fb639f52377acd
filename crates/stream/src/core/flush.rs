//! What a refresh writes besides rows, where groups leave memory.

use std::collections::BTreeMap;

use crate::core::{
    cold::{ColdName, ColdRows},
    mutation::{self, Mutation},
    offsets::PartitionRow,
    segments::ID_SHIFT,
    windows::KeyTimes,
};

/// What a shard has in a refresh besides its rows.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    /// Groups with all of their facts.
    pub(crate) rows: ColdRows,
    /// Groups that get their first row, with their owner partitions: there is none of them in the cold store.
    pub(crate) first: Vec<(i32, ColdName)>,
    /// Of each owner partition the number of the batch that brought the first fact which is not in the cold store; `None` where
    /// all are.
    pub(crate) needed: BTreeMap<i32, Option<i64>>,
    /// Keys, and their times.
    pub(crate) times: Vec<(String, KeyTimes)>,
    /// The size of a window, in milliseconds, where windows behind the horizon of their key are to be removed.
    pub(crate) size_ms: Option<i64>,
    /// How long facts are kept in the changelog that the cold store has, in milliseconds, where older ones are to be removed.
    pub(crate) history_ms: Option<i64>,
}

impl Flush {
    /// The id up to which all facts of each owner partition are in the cold store, once this is stored.
    pub(crate) fn redo_from(&self, stored: &[PartitionRow]) -> BTreeMap<i32, i64> {
        let from = |(owner, needed): (&i32, &Option<i64>)| {
            let last_id = last_id(stored, *owner);
            let needed = needed.filter(|_| !mutation::is(Mutation::RedoTooFar));
            (*owner, needed.map_or(last_id, |number| (number << ID_SHIFT) - 1))
        };
        self.needed.iter().map(from).collect()
    }
}

/// The greatest id of a fact that is stored for an owner partition; 0 where none is.
pub(crate) fn last_id(stored: &[PartitionRow], owner: i32) -> i64 {
    stored.iter().find(|row| row.partition == owner).map_or(0, |row| row.last_id)
}

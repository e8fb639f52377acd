//! What is done to a pipeline's tables besides ingestion: hashing, emptying, compacting.

pub mod compact;
pub mod hash;
pub mod reset;

use crate::pipeline::Changelog;

/// What a pipeline keeps in its database, besides what `stream` keeps for all.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Where its facts are.
    pub changelog: Changelog,
    /// The tables computed from them.
    pub derived: &'static [&'static str],
    /// What `consumer hash` covers.
    pub hashed: &'static [Hashed],
}

/// A table that is a function of the facts, and the query that shows so.
#[derive(Clone, Copy, Debug)]
pub struct Hashed {
    /// The table's name.
    pub table: &'static str,
    /// Its rows as one text column, in an order that depends on nothing else.
    pub query: &'static str,
}

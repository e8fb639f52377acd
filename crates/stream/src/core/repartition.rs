//! `consumer rehome`: gives groups the owner partition that their records come from now.
//!
//! After partitions were added to a topic, keys go to other partitions than before. One consumer alone, which owns all of them, reads
//! to the end and then moves every group whose newest record came from elsewhere. From then on any number of replicas is right
//! again.

use crate::core::{
    batch::{Changes, KeyOwner},
    refresh::RefreshedTo,
};

/// Groups that get another owner partition, and the claims under which they were read.
#[derive(Debug)]
pub(crate) struct Moves {
    /// The partition keys and their new owner partitions.
    pub keys: Vec<KeyOwner>,
    /// The groups' facts, to be stored there.
    pub changes: Changes,
    /// How far every partition was read.
    pub to: Vec<RefreshedTo>,
}

//! `consumer repartition`: gives groups the owner partition that their records come from now.
//!
//! After partitions were added to a topic, keys go to other partitions than before. A single consumer, which owns all
//! of them, reads to the end. It then moves every group whose newest record came from another partition. From then on
//! any number of replicas is right again.

use crate::core::{
    batch::{Changes, KeyOwner},
    refresh::PartitionProgress,
};

/// Groups that get another owner partition, and the claims under which they were read.
#[derive(Debug)]
pub(crate) struct Moves {
    /// The partition keys and their new owner partitions.
    pub keys: Vec<KeyOwner>,
    /// The groups' facts, to be stored there.
    pub changes: Changes,
    /// How far every partition was read.
    pub to: Vec<PartitionProgress>,
}

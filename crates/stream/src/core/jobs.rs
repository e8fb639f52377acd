//! What PostgreSQL is asked for, and what it answers: each job exactly once, in order.

use std::collections::BTreeMap;

use crate::{
    Error,
    core::{
        batch::Batch,
        check::Refusal,
        groups::Groups,
        offsets::{Forget, Stored},
        refresh::{Refresh, RefreshedTo},
        repartition::Moves,
    },
    pipeline::Pipeline,
};

/// Work for the one session that does its jobs in order.
pub(crate) struct Job<P: Pipeline> {
    /// The number of the shard that it builds on. Once a batch of a shard is refused, all later jobs of it are void.
    pub shard: u64,
    /// What is to be done.
    pub task: Task<P>,
}

/// One thing to do.
pub(crate) enum Task<P: Pipeline> {
    /// Store a batch.
    Commit(Box<Batch>),
    /// Refresh the state tables.
    Refresh(Box<Refresh<P>>),
    /// Read where every partition of the topic stands.
    ReadPartitions {
        /// Names the question, for the answer.
        number: u64,
    },
    /// Give partition keys the owner partition that their records come from.
    Repartition(Box<Moves>),
}

/// The answer to a job, or to batches that were stored together.
#[derive(Debug)]
pub(crate) enum Answer {
    /// To batches.
    Batches {
        /// The shard they build on.
        shard: u64,
        /// How many.
        count: usize,
        /// `(partition, next offset)`, where they are stored.
        outcome: Outcome<Vec<(i32, i64)>>,
    },
    /// To a refresh.
    Refresh {
        /// The shard it builds on.
        shard: u64,
        /// How far it goes, and whether the topic is told to the end seen at start.
        outcome: Outcome<(Vec<RefreshedTo>, bool)>,
    },
    /// To the question where every partition stands.
    Partitions {
        /// The question's number.
        number: u64,
        /// The rows, in order.
        stored: Vec<Stored>,
    },
    /// To a repartition.
    Repartition {
        /// The shard it builds on.
        shard: u64,
        /// Whether it was done.
        outcome: Outcome<()>,
    },
    /// To any job: the retries are used up, or there is nothing to retry. The last one.
    Failed(Error),
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<T> {
    /// It is stored.
    Stored(T),
    /// It is not stored, and must not be.
    Refused(Refusal),
    /// It was not tried: an earlier batch of its shard was refused.
    Void,
}

/// What is to be claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The partitions.
    pub partitions: Vec<i32>,
    /// Those of them that begin anew, and why: the facts stay, the offsets do not.
    pub forget: BTreeMap<i32, Forget>,
}

/// Partitions to claim, and then to load, on a connection of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Names the load, for the answer.
    pub number: u64,
    /// What is to be claimed.
    pub claim: Claim,
}

/// The answer to a load.
pub(crate) struct Loaded<P: Pipeline> {
    /// Where the partitions stood when they were claimed, in order.
    pub stored: Vec<Stored>,
    /// What belongs to them.
    pub groups: Groups<P>,
}

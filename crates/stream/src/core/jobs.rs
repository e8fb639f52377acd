//! The jobs for PostgreSQL, and its answers: each job is done exactly once, in order.

use std::collections::BTreeMap;

use crate::{
    Error,
    core::{
        batch::Batch,
        check::Refusal,
        cold::ColdName,
        groups::Groups,
        offsets::{Forget, PartitionRow},
        refresh::{PartitionProgress, Refresh},
        repartition::Moves,
    },
    pipeline::Pipeline,
};

/// Work for the one session that does its jobs in order.
pub(crate) enum Job<P: Pipeline> {
    /// Store a batch.
    Commit(Box<Batch>),
    /// Refresh the state tables.
    Refresh(Box<Refresh<P>>),
    /// Read the progress of every partition of the topic, and which partitions own these keys.
    ReadProgress {
        /// Names the read, for the answer.
        number: u64,
        /// Keys that block a shard.
        keys: Vec<String>,
    },
    /// Give partition keys the owner partition that their records come from.
    Repartition {
        /// The number of the shard that they are in.
        shard: u64,
        /// What is to be moved.
        moves: Box<Moves>,
    },
}

/// The answer to a job, or to batches that were stored together.
#[derive(Debug)]
pub(crate) enum Answer {
    /// To batches.
    Batches {
        /// How many.
        count: usize,
        /// What became of what each shard had in them.
        shards: Vec<(u64, JobOutcome<StoredParts>)>,
    },
    /// To a refresh.
    Refresh {
        /// What became of each shard's part: how far it goes, where that is stored.
        shards: Vec<ShardOutcome<PartitionProgress>>,
        /// Whether the topic is refreshed to the end seen at start.
        complete: bool,
    },
    /// To the read of every partition's progress.
    Progress {
        /// Its number.
        number: u64,
        /// The rows, in order.
        stored: Vec<PartitionRow>,
        /// The keys of the read, each with the partition that owns it, if any does.
        owners: BTreeMap<String, Option<i32>>,
    },
    /// To a repartition: whether it was done.
    Repartition(JobOutcome<()>),
    /// To any job: the retries are used up, or there is nothing to retry. The last one.
    Failed(Error),
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobOutcome<T> {
    /// It is stored.
    Stored(T),
    /// It is not stored, and must not be.
    Refused(Refusal),
    /// It was not tried: something of its shard was refused before, or another replica refreshes.
    Void,
}

/// What is stored of what a shard had in batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredParts {
    /// `(partition, next offset)`
    pub offsets: Vec<(i32, i64)>,
    /// The numbers of the batches, in order.
    pub numbers: Vec<i64>,
}

/// What became of what a shard had in a job, with the number of the shard.
pub(crate) type ShardOutcome<T> = (u64, JobOutcome<Vec<T>>);

/// What is to be claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The partitions.
    pub partitions: Vec<i32>,
    /// Those of them that begin again, and why: the facts stay, the offsets do not.
    pub forget: BTreeMap<i32, Forget>,
    /// Whether all partitions are loaded as one shard, also where nothing says that their keys are spread.
    pub as_one: bool,
    /// Whether it is to be noted that keys are spread over partitions.
    pub spread: bool,
}

/// Partitions to claim, and then to load, on a separate connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Names the load, for the answer.
    pub number: u64,
    /// What is to be claimed.
    pub claim: Claim,
    /// The partitions of each shard.
    pub shards: Vec<Vec<i32>>,
}

/// The answer to a load.
pub(crate) enum Loaded<P: Pipeline> {
    /// What belongs to each shard, in order.
    Shards(Vec<LoadedShard<P>>),
    /// The keys are spread over the partitions, as is stored and was not known: nothing is loaded.
    Spread,
}

/// Groups to look up in the cold store, on a separate connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lookup {
    /// Names the lookup, for the answer.
    pub number: u64,
    /// The groups, by the shard that records of them wait in.
    pub shards: Vec<(u64, Vec<ColdName>)>,
}

/// The answer to a lookup: the rows of each shard's groups, a COPY stream.
pub(crate) type LookedUp = Vec<(u64, Vec<u8>)>;

/// What was loaded of a shard.
pub(crate) struct LoadedShard<P: Pipeline> {
    /// Its partitions.
    pub partitions: Vec<i32>,
    /// Their rows as they were when claimed, in order.
    pub stored: Vec<PartitionRow>,
    /// What belongs to them.
    pub groups: Groups<P>,
}

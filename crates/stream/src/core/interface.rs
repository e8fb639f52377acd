//! What the core takes in and gives out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    Error, Pipeline,
    core::{
        groups::Groups,
        jobs::{Answer, Job, Load, Loaded, LookedUp, Lookup},
        kafka::{Failure, TopicQuery, TopicState},
        watch::Behind,
    },
};

/// The settings of a consumer: what never changes while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) until_end: bool,
    pub(crate) refresh_every: Duration,
    pub(crate) batch_size: usize,
    pub(crate) reset_offsets: bool,
    pub(crate) repartition: bool,
    /// How long what is denied at start may take to be granted.
    pub(crate) wait: Duration,
    /// How long Kafka may be unavailable.
    pub(crate) outage_timeout: Duration,
    /// Whether Kafka compacts the topic.
    pub(crate) compacted: bool,
    /// What facts may take in memory, in bytes, where groups leave it.
    pub(crate) facts_memory: usize,
    /// How many facts a load may have to read, where groups leave memory.
    pub(crate) tail_facts: usize,
}

/// A message as Kafka brings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since 1970 UTC; −1 when it has none.
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
}

impl Message<'_> {
    /// The CRC-32 of key and value.
    pub(crate) fn crc32(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.key.unwrap_or_default());
        hasher.update(self.value.unwrap_or_default());
        hasher.finalize()
    }
}

/// What happens.
pub(crate) enum Input<'a, P: Pipeline> {
    /// Time goes on.
    Tick,
    /// It is time to stop.
    Stop,
    /// The group gives us these partitions too.
    Assigned(Vec<i32>),
    /// The group wants these back.
    Revoked(Vec<i32>),
    /// A record came, by the fetch of that number.
    Record { fetch: u64, message: Message<'a> },
    /// All records of a partition came that can be read, by the fetch of that number.
    EndOfPartition { fetch: u64, partition: i32 },
    /// Nothing came for as long as [`Consumer::takes`](super::Consumer::takes) had said.
    Idle,
    /// What Kafka responds to the topic query of that number; `None` when the topic is missing.
    Topic { query: u64, response: Result<Option<TopicState>, Failure> },
    /// Kafka, or its client, reports a failure.
    KafkaFailed(Failure),
    /// The result of committing our offsets to Kafka.
    OffsetsCommitted(Result<(), Failure>),
    /// Kafka denies us the group.
    GroupDenied,
    /// What is behind open transactions.
    Behind(Behind),
    /// The topic was deleted and recreated.
    TopicRecreated,
    /// The client of Kafka is of no more use, because of this.
    ClientLost(String),
    /// The load of that number has claimed its partitions, and loads.
    Claimed(u64),
    /// What the load of that number brings, or why it cannot be done.
    Loaded { load: u64, loaded: Result<Box<Loaded<P>>, Error> },
    /// What the lookup of that number brings, or why it cannot be done.
    LookedUp { lookup: u64, rows: Result<LookedUp, Error> },
    /// PostgreSQL answers a job.
    Answer(Answer),
}

/// What is to be done.
pub(crate) enum Command<P: Pipeline> {
    /// Claim and load partitions.
    Load(Load),
    /// Cancel the load of that number; its answer is not waited for.
    CancelLoad(u64),
    /// Look groups up in the cold store.
    LookUp(Lookup),
    /// Have the ordered session do this.
    Job(Job<P>),
    /// Accept an assignment. Its partitions are fetched later, each once it is ready.
    Accept,
    /// Fetch partitions from these offsets; those that are fetched already, from there instead.
    Fetch(Vec<Fetch>),
    /// Fetch partitions no more for now; they stay ours.
    StopFetching(BTreeSet<i32>),
    /// Give partitions back, which completes a revocation, whether or not they are fetched.
    CompleteRevocation(BTreeSet<i32>),
    /// Free memory, where that delays nothing.
    Free(Vec<Groups<P>>),
    /// Fetch nothing more for now, of all partitions.
    Pause,
    /// Go on fetching.
    Resume,
    /// Query Kafka about the topic.
    TopicQuery(TopicQuery),
    /// Commit our offsets to Kafka, for lag tools.
    CommitOffsets(BTreeMap<i32, i64>),
    /// Measure how far these partitions are behind, in records: those of ours that are not fetched.
    MeasureLag(BTreeMap<i32, i64>),
    /// All is done.
    End,
}

/// What is to be fetched from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Names the fetch, on all that it brings.
    pub(crate) number: u64,
}

/// What a consumer takes in until the next input; how long it is to be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Records.
    Records(Duration),
    /// No records, but all else that Kafka has to say. Records that come nevertheless are for later.
    Group(Duration),
    /// Answers of PostgreSQL only: Kafka is not polled.
    Answers(Duration),
}

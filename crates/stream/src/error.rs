//! Everything that can end a consumer, and which exit code it deserves.

use std::time::Duration;

use rdkafka::error::KafkaError;
use service::{Exit, postgres};

/// Why carrying a topic into Postgres ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL did not respond for longer than it may be unavailable.
    #[error("postgres has been unavailable for {} s: {doing}; check that it runs, then start again", waited.as_secs())]
    PostgresUnavailable {
        /// What was being done.
        doing: &'static str,
        /// How long it was tried.
        waited: Duration,
        /// What Postgres or the network said last.
        source: sqlx::Error,
    },
    /// Postgres refused something that trying again will not mend.
    #[error("postgres refuses: {doing}")]
    Postgres {
        /// What was being done.
        doing: &'static str,
        /// What Postgres said.
        source: sqlx::Error,
    },
    /// What is stored is not what this program writes.
    #[error("the changelog cannot be read back")]
    Changelog(#[from] crate::columns::ColumnError),
    /// Settings contradict each other.
    #[error("{0}")]
    Settings(String),
    /// A setting differs from the one that gave what is stored its meaning.
    #[error(
        "{name} is {given}, and the facts were stored with {stored}: use that, another database, or begin anew with `consumer reset`"
    )]
    SettingFixed {
        /// The setting.
        name: String,
        /// Its stored value.
        stored: String,
        /// The value that it is to have.
        given: String,
    },
    /// A group that is about to get its first row has facts already.
    #[error("a group that was taken for new has facts in the cold store: nothing was overwritten; please report this")]
    GroupForgotten,
    /// Computing or writing the results failed.
    #[error("the results cannot be refreshed: {0:#}")]
    Refresh(anyhow::Error),
    /// Kafka did not respond for longer than it may be unavailable.
    #[error(
        "kafka at {brokers} has been unavailable for {} s; check that it runs, then start again; the last reason: {reason}",
        waited.as_secs()
    )]
    KafkaUnavailable {
        /// The bootstrap servers.
        brokers: String,
        /// How long it was tried.
        waited: Duration,
        /// What the client library said last.
        reason: String,
    },
    /// Kafka denies a right for longer than it may take to grant it.
    #[error("{denial}; grant it, then start again")]
    KafkaDenied {
        /// What is denied to whom.
        denial: String,
    },
    /// The client of Kafka is of no more use, as when Kafka named no broker and the library has forgotten all: only a new one
    /// reaches it again.
    #[error("the client of kafka at {brokers} is of no more use: {reason}")]
    ClientLost {
        /// The bootstrap servers.
        brokers: String,
        /// What happened to it.
        reason: String,
        /// Whether that client had had a part in the group.
        joined: bool,
    },
    /// Kafka refuses us, or we do not trust it; trying again has not changed that.
    #[error("kafka at {brokers} refuses us, or is not trusted; check the --kafka-… settings: {reason}")]
    KafkaRefused {
        /// The bootstrap servers.
        brokers: String,
        /// What the client library says.
        reason: String,
    },
    /// Kafka does not take the topic's name.
    #[error("kafka refuses topic `{topic}`: {reason}")]
    TopicRefused {
        /// The Kafka topic.
        topic: String,
        /// What Kafka said, and what helps.
        reason: String,
    },
    /// The client library reports something that trying again will not mend.
    #[error("kafka: {0}")]
    Kafka(KafkaError),
    /// The topic is missing.
    #[error("topic {topic} is still missing after {} s; run the producer, or check --topic", waited.as_secs())]
    TopicMissing {
        /// The Kafka topic.
        topic: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Kafka no longer has offsets that were not read yet.
    #[error(
        "topic {topic}, partition {partition}: offsets {needed} to {} were removed by retention before they were \
         read ({} records); send them again, or accept the gap with --reset-offsets", start - 1, start - needed
    )]
    RetentionGap {
        /// The Kafka topic.
        topic: String,
        /// The Kafka partition.
        partition: i32,
        /// The next offset to read.
        needed: i64,
        /// The first offset Kafka has.
        start: i64,
    },
    /// Records of this run are behind a transaction that nobody has ended.
    #[error(
        "topic {topic}, partition {partition}: offsets {stable} to {} have been behind an open transaction for {} s and \
         cannot be read; abort it (kafka-transactions.sh find-hanging, then abort) or wait for its timeout, then start again",
        end - 1,
        waited.as_secs()
    )]
    OpenTransaction {
        /// The Kafka topic.
        topic: String,
        /// The Kafka partition.
        partition: i32,
        /// The first offset that cannot be read.
        stable: i64,
        /// The end that the run is to read to.
        end: i64,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The topic is not the one the stored offsets belong to.
    #[error(
        "topic {topic}, partition {partition} is not the topic the stored offsets belong to: {why}; \
         if it was deleted and recreated on purpose, run once with --reset-offsets"
    )]
    TopicChanged {
        /// The Kafka topic.
        topic: String,
        /// The Kafka partition.
        partition: i32,
        /// How that shows.
        why: String,
    },
    /// The topic was deleted and recreated while we knew it, and either nothing of it is in memory, or that was
    /// accepted.
    #[error("topic {topic} was deleted and recreated; start again, and it is compared with what was read")]
    TopicRecreated {
        /// The Kafka topic.
        topic: String,
    },
    /// A group's records arrive in a partition that is not its owner partition, and another consumer owns that.
    #[error(
        "{partition_key} belongs to partition {owner_partition}, which another consumer owns, but its records now come from partition \
         {partition} too; run one replica, or `consumer repartition` alone, or `consumer reset` and send again with keys"
    )]
    KeyMoved {
        /// The group's partition key.
        partition_key: String,
        /// Its owner partition.
        owner_partition: i32,
        /// The partition its record came from.
        partition: i32,
    },
    /// A partition number beyond what is supported.
    #[error("partition {partition} is beyond 65,535, which is not supported")]
    Partition {
        /// The Kafka partition.
        partition: i32,
    },
    /// The facts do not fit in the memory allowed.
    #[error(
        "{used_mib} MiB of memory are in use and --max-facts-memory allows {limit_mib}: raise it, or run more replicas"
    )]
    Memory {
        /// Resident memory of the process, MiB.
        used_mib: u64,
        /// What is allowed, MiB.
        limit_mib: u64,
    },
    /// The database holds facts of another topic.
    #[error(
        "the database holds facts of topic {other}, and this is {topic}: give --topic {other}, another database, or \
         empty this one with `consumer reset`"
    )]
    OtherTopic {
        /// The Kafka topic.
        topic: String,
        /// The topic the stored facts came from.
        other: String,
    },
    /// The consumer group has members that store elsewhere.
    #[error(
        "consumer group {group} is in use by {whose} (client.id {client_id}, at {host}): each would get only a part of the \
         records; leave out --group-id or give another one, or stop that consumer and start again"
    )]
    GroupShared {
        /// The consumer group.
        group: String,
        /// What the member is.
        whose: String,
        /// What it calls itself.
        client_id: String,
        /// Where it connects from.
        host: String,
    },
    /// Something was requested that only a consumer that owns every partition may do.
    #[error("another consumer owns some of the partitions; stop all others and run this alone")]
    NotSoleOwner,
    /// A thread could not be started, as where a limit of processes is reached.
    #[error("the thread {name} cannot be started; check the limit of processes (ulimit -u, or pids of the container)")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The part that talks to Postgres has ended.
    #[error("the writer has ended")]
    WriterStopped,
}

impl Error {
    /// The exit code the error deserves.
    pub fn exit(&self) -> Exit {
        match self {
            Self::PostgresUnavailable { .. }
            | Self::KafkaUnavailable { .. }
            | Self::ClientLost { .. }
            | Self::TopicMissing { .. }
            | Self::Thread { .. }
            | Self::OpenTransaction { .. }
            | Self::TopicRecreated { .. } => Exit::Unavailable,
            Self::RetentionGap { .. } | Self::TopicChanged { .. } | Self::KeyMoved { .. } => Exit::Input,
            Self::KafkaRefused { .. } | Self::KafkaDenied { .. } | Self::GroupShared { .. } => Exit::Usage,
            Self::TopicRefused { .. } => Exit::Usage,
            Self::Settings(_) | Self::SettingFixed { .. } => Exit::Usage,
            Self::Partition { .. } | Self::Memory { .. } | Self::OtherTopic { .. } | Self::NotSoleOwner => Exit::Usage,
            Self::Postgres { source, .. } => postgres::exit(source),
            Self::Changelog(_) | Self::GroupForgotten | Self::Refresh(_) | Self::Kafka(_) | Self::WriterStopped => {
                Exit::Bug
            }
        }
    }
}

//! What a consumer decides, without doing any of it: no client of Kafka, no connection, no clock.
//!
//! [`Consumer::on`] takes what has happened, and when, and gives what is to be done. `kafka/driver.rs` does the part of Kafka,
//! `postgres/` that of PostgreSQL. Every request has a number, which its answer brings back.
//! So the answer to a cancelled request is never taken for one that is waited for.
//!
//! | what happens | what follows | where |
//! |---|---|---|
//! | the group assigns partitions | the assignment is accepted at once. Each shard waits, is claimed and loaded, compared with the offsets that Kafka has, and read; others are read meanwhile | [`shard::State`] |
//! | it revokes partitions | the open batch is sent, their shards are dropped, and they are given back at once. What was sent is stored, or refused once another consumer has claimed them | `revoked` |
//! | it revokes partitions that are being loaded | a load that may still claim them is cancelled, and the other partitions of it are claimed again. A load that has claimed them goes on where other shards wait for it; what it brings of the revoked ones is ignored | `cancel_claims`, `drop_shards` |
//! | a COMMIT is in doubt | `postgres/retry.rs` sends the same batch again, with the same batch number. Where the stored offset is the one that it expects, it is stored now; where it is the batch's own end, it was stored before | [`check::check_commit`] |
//! | another consumer has claimed a partition | its epoch is newer: what its shard has in a batch or refresh is refused, and the rest is stored. A shard that has nothing to store finds it within 5 s, by reading the stored progress. Its memory is dropped; after [`AFTER_A_FENCE`] it is claimed and loaded again where it is still ours | [`check::Refusal::Fenced`], `recover` |
//! | a key belongs to another partition, and that is ours | the topic has no keys: all partitions become one shard, and that is remembered | `unite` |
//! | a key belongs to a partition that another consumer holds | the shard is blocked, once what it owes is refreshed; the owner of its key is read with the progress | `recover`, [`shard::State::Blocked`] |
//! | an answer comes to a request that was cancelled | it frees its slot, and nothing else | `answer`, [`Unanswered`] |
//! | it is time to stop | the open batch is stored and refreshed, as far as the time allows | `go_on_ending` |

pub(crate) mod batch;
pub(crate) mod check;
pub(crate) mod cold;
mod consumer;
pub(crate) mod cursor;
pub(crate) mod facts;
pub(crate) mod flush;
mod group;
pub(crate) mod group_loader;
pub(crate) mod groups;
mod interface;
pub(crate) mod jobs;
pub(crate) mod kafka;
pub(crate) mod keys;
pub(crate) mod mutation;
mod numbers;
pub(crate) mod offsets;
mod parked;
mod readiness;
pub(crate) mod refresh;
mod reject_budget;
pub(crate) mod repartition;
mod residency;
mod schedule;
pub(crate) mod segments;
pub(crate) mod shard;
mod shards;
pub(crate) mod watch;
pub(crate) mod windows;

pub(crate) use consumer::{Consumer, JOBS};
pub(crate) use interface::{Command, Fetch, Input, Message, Settings, Takes};

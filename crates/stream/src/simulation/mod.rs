//! A simulation of consumers, Kafka, PostgreSQL and time: thousands of schedules a second, each from a seed.
//!
//! The core, the transactions, the retries, the writer and the loader are the real ones. Their environment is
//! simulated: PostgreSQL has locks, snapshots and lost responses; Kafka rebalances and delivers some things late; time
//! advances only when nothing else does. `properties.rs` checks the invariants; `mutations.rs` breaks them on purpose.

mod comparison;
mod handwritten;
mod kafka;
mod mutations;
pub(crate) mod postgres;
mod properties;
mod replica;
pub(crate) mod turns;
mod world;

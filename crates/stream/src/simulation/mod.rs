//! A simulation of consumers, Kafka, PostgreSQL and time: thousands of schedules a second, each from a seed.
//!
//! The core, the transactions, the retries, the writer and the loader are the real ones. What they meet is not: a PostgreSQL of locks,
//! snapshots and lost answers, a Kafka that rebalances and brings some things late, and time that goes on only when nothing else does.
//! What must hold is written down in `properties.rs`; `mutations.rs` breaks it on purpose.

mod comparison;
mod handwritten;
mod kafka;
mod mutations;
pub(crate) mod postgres;
mod properties;
mod replica;
mod turns;
mod world;

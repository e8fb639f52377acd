#![doc = include_str!("../README.md")]

mod client;
pub mod columns;
mod consume;
mod copy;
mod core;
mod deliveries;
mod error;
pub mod feeds;
mod frontier;
mod identity;
mod kafka;
mod kafka_errors;
mod membership;
mod memory_limit;
pub mod metrics;
pub mod monitor;
mod pace;
mod pipeline;
mod postgres;
mod producing;
pub mod sender;
mod sending;
mod settings;
mod source;
pub mod topic;
mod topic_client;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

/// The facts of groups in memory, by which pipelines test what they make of records.
pub mod groups {
    pub use crate::core::{
        batch::{Changes, Counts, Outcome},
        group_loader::read_back,
        groups::Groups,
        offsets::{Position, Version},
    };
}

pub use self::core::windows::impossible_on_arrival;
pub use consume::{Consume, consume};
pub use error::Error;
pub use formats::ReadError;
pub use identity::Identity;
pub use pipeline::{
    About, Changelog, Coverage, Decoded, Fact, FeedTables, Hashed, Pipeline, Residency, Run, RunReport, Say,
    StateTable, Tables, Windows,
};
pub use postgres::{database, maintenance, state};
pub use settings::{ConsumeSettings, Keep, RejectsPerDay, WindowSettings, millis};
pub use source::{Acknowledged, Inlet, Outgoing, RowOutcome, Source, Taken};

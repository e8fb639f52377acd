#![doc = include_str!("../README.md")]

mod client;
pub mod consume;
pub mod copy;
mod core;
pub mod csv_records;
mod deliveries;
pub mod error;
mod file_kind;
pub mod json;
mod kafka;
pub mod kafka_errors;
pub mod measures;
pub mod membership;
mod memory;
mod pace;
pub mod pipeline;
mod postgres;
mod producing;
pub mod sender;
pub mod settings;
pub mod source;
pub mod table;
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
        groups::{Groups, Position},
        offsets::Version,
    };
}

pub use consume::{Consume, consume};
pub use error::Error;
pub use membership::Identity;
pub use pipeline::{Changelog, Coverage, Fact, Pipeline, Published, Reading};
pub use postgres::{
    database,
    maintenance::{self, Hashed, Tables},
};
pub use settings::ConsumeSettings;
pub use source::{Outgoing, Row, Source, SourceError};

#![doc = include_str!("../README.md")]

pub mod batch;
pub mod changelog;
pub mod claims;
pub mod consume;
pub mod copy;
pub mod csv_records;
pub mod database;
mod deliveries;
pub mod error;
pub mod group;
pub mod intake;
pub mod load;
pub mod loader;
pub mod maintenance;
pub mod memory;
pub mod offsets;
mod pace;
pub mod partitions;
pub mod pipeline;
pub mod publication;
pub mod reader;
pub mod rebalance;
mod rehome;
pub mod schedule;
pub mod sender;
pub mod settings;
pub mod source;
pub mod state;
pub mod topic;
pub mod writer;

pub use consume::{Consume, consume};
pub use error::Error;
pub use maintenance::{Hashed, Tables};
pub use pipeline::{Changelog, Coverage, Fact, Pipeline, Published, Reading};
pub use settings::ConsumeSettings;
pub use source::{Outgoing, Row, Source, SourceError};

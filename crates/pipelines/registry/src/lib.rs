//! The list of pipelines the binaries know.

pub mod choice;
pub mod consumers;
pub mod databases;
pub mod producers;

//! Properties of ingestion: first in memory, then against a real PostgreSQL.

mod commits;
pub(crate) mod consumer;
mod feeds;
mod memory;
pub(crate) mod outcomes;
pub(crate) mod reference;
mod rows;
mod times;
pub(crate) mod tiny;
mod windows;

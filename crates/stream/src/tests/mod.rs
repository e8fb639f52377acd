//! Properties of carrying records: first in memory, then against a real PostgreSQL.

mod commits;
mod consumer;
mod memory;
mod outcomes;
mod times;
pub(crate) mod tiny;

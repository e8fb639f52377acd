//! The laws of carrying records: first in memory, then against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod commits;
mod consumer;
mod memory;
mod outcomes;
mod times;
mod tiny;

//! The real binary against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod environments;
mod fixture;
mod identities;
mod legacy_tables;
mod refusals;
mod repetition;
mod roles;
mod schema;
mod superset;
mod times;
mod waiting;

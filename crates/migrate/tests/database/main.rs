//! The real binary against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "what panics here fails the test, wherever it stands")]

mod adoption;
mod environments;
mod fixture;
mod identities;
mod refusals;
mod repetition;
mod roles;
mod schema;
mod superset;
mod times;
mod waiting;

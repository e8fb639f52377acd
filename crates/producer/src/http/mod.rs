//! An input at an address: fetched as it is read, and taken up again where its connection broke.

mod agent;
mod fetch;
mod response;

pub(crate) use fetch::{Fetch, HttpBody};

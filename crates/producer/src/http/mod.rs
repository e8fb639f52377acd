//! An input at an address: fetched as it is read.

mod agent;
mod fetch;
mod response;

pub(crate) use fetch::HttpBody;

//! Kafka: our membership of the group, and what is done there for [`crate::core`].

pub(crate) mod driver;
pub(crate) mod group;
mod topic_state;

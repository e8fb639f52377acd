//! The laws, tried on the real binaries: from a file through a broker into the tables of a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod crashes;
mod endings;
mod kafka;
mod ledger;
mod orders;
mod poison;
mod probes;
mod replicas;
mod road;
mod topics;
mod world;
mod zombies;

use demo::broker::EmbeddedBroker;

use crate::kafka::Brokers;

/// An embedded broker of a test's own.
fn embedded() -> Brokers {
    Brokers::Embedded(EmbeddedBroker::start().unwrap())
}

//! The laws, tried on the real binaries: from a file through a broker into the tables of a real PostgreSQL.
//!
//! A law is a function that is generic over the pipeline's data; below is the list of which pipeline it is tried on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod crashes;
mod datasets;
mod endings;
mod kafka;
mod ledger;
mod orders;
mod poison;
mod probes;
mod random;
mod replicas;
mod road;
mod topics;
mod zombies;

use demo::broker::EmbeddedBroker;

use crate::kafka::Brokers;

/// An embedded broker of a test's own.
fn embedded() -> Brokers {
    Brokers::Embedded(EmbeddedBroker::start().unwrap())
}

/// Makes a test of each law.
macro_rules! tests {
    ($dataset:ty; $($file:ident: $($law:ident)+;)+) => {
        $($(#[test] fn $law() { crate::$file::$law::<$dataset>(); })+)+
    };
}

/// Tries every law on a pipeline.
macro_rules! laws_of {
    ($pipeline:ident: $dataset:ty) => {
        mod $pipeline {
            tests! { $dataset;
                crashes:
                    killed_at_random_moments
                    killed_at_random_moments_on_a_real_kafka
                    killed_before_the_commit
                    killed_after_the_commit_and_before_the_publication;
                endings:
                    a_topic_that_stays_missing_is_69
                    an_empty_topic_is_done_at_once
                    a_kafka_that_is_not_there_is_69;
                orders:
                    every_way_leads_to_the_same_tables
                    every_way_leads_to_the_same_tables_on_a_real_kafka
                    a_second_producer_run_changes_nothing
                    a_correction_computes_only_its_group_again;
                poison:
                    poison_is_kept_with_its_reason_and_harms_nobody;
                probes:
                    started_with_the_schema_and_ready_in_the_group;
                replicas:
                    from_one_to_three_and_back_in_mid_run
                    a_stop_in_mid_run_saves_what_is_in_hand
                    a_stop_publishes_what_was_only_repeated
                    joined_in_mid_load
                    joined_in_mid_publication;
                topics:
                    a_topic_made_again_is_refused_unless_accepted
                    a_longer_topic_of_the_same_name_is_refused_too
                    what_retention_took_before_it_was_read_is_named
                    partitions_are_added_in_mid_run
                    only_what_a_transaction_committed_counts
                    a_compacted_topic_has_gaps_and_tombstones;
                zombies:
                    an_idle_zombie_wakes
                    a_busy_zombie_wakes_on_a_real_kafka;
            }
        }
    };
}

laws_of!(emissions: crate::datasets::emissions::Emissions);
laws_of!(energy: crate::datasets::energy::Energy);

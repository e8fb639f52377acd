//! End-to-end tests on the real binaries: from a file through a broker into the tables of a real PostgreSQL.
//!
//! A test is a function that is generic over the pipeline's data; the lists below say on which pipelines it runs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod brokers;
mod clocks;
mod crashes;
mod databases;
mod datasets;
mod devices;
mod disturbed;
mod endings;
mod env;
mod failures;
mod files;
mod groups;
mod kafka;
mod live;
mod migrations;
mod models;
mod networks;
mod oracle;
mod orders;
mod poison;
mod probes;
mod producers;
mod proxy;
mod random;
mod replicas;
mod report;
mod secrets;
mod servers;
mod soak;
mod topics;
mod worlds;
mod zombies;

use testkit::broker::EmbeddedBroker;

use crate::kafka::Brokers;

/// A test's own embedded broker.
fn embedded() -> Brokers {
    Brokers::Embedded(EmbeddedBroker::start().unwrap())
}

/// Makes a `#[test]` of each function, by the file it is in. Those after `slow` are ignored, and all after `all slow`: `make faults`
/// runs them.
/// A macro, since the harness finds a test by its attribute, which no function can give.
macro_rules! tests {
    (all slow $pipeline:literal, $dataset:tt; $($file:ident: $($test:ident)* $(, slow $($slow:ident)+)?;)+) => {
        tests! { $pipeline, $dataset; $($file: , slow $($test)* $($($slow)+)?;)+ }
    };
    ($pipeline:literal, $dataset:tt; $($file:ident: $($test:ident)* $(, slow $($slow:ident)+)?;)+) => {
        $($(#[test] fn $test() { report::tried($pipeline, stringify!($test), function!($file $test $dataset)); })*
        $($(#[test] #[ignore = "slow: make faults"] fn $slow() {
            report::tried($pipeline, stringify!($slow), function!($file $slow $dataset));
        })+)?)+
    };
}

/// A test as a function without arguments: on a pipeline's data, or on none.
macro_rules! function {
    ($file:ident $test:ident ()) => {
        crate::$file::$test
    };
    ($file:ident $test:ident ($dataset:ty)) => {
        crate::$file::$test::<$dataset>
    };
}

/// Runs every test that is not specific to one pipeline on a pipeline; with `all`, only in `make faults`.
macro_rules! tests_of {
    ($pipeline:ident, $name:literal: $dataset:ty $(, $all:ident)?) => {
        mod $pipeline {
            use crate::report;

            tests! { $($all slow)? $name, ($dataset);
                brokers:
                    , slow a_producer_ends_when_kafka_names_no_broker
                        kafka_comes_after_a_producer_has_begun
                        kafka_is_unavailable_for_half_a_minute
                        kafka_is_killed_and_comes_back
                        kafka_is_killed_while_consumers_come_and_go
                        kafka_names_no_broker_for_a_while;
                clocks:
                    clocks_that_differ_by_days_change_nothing
                    a_clock_that_kafka_does_not_take_is_named;
                crashes:
                    killed_at_random_moments
                    killed_at_random_moments_on_a_real_kafka
                    killed_before_the_commit
                    killed_after_the_commit_and_before_the_refresh
                    killed_in_mid_refresh;
                databases:
                    postgres_stops_in_mid_transaction
                    sessions_are_ended_at_random_moments
                    sessions_are_ended_in_mid_copy
                    sessions_are_ended_at_commit
                    the_response_to_commit_is_lost
                    postgres_refuses_for_some_seconds
                    serialization_failures_and_deadlocks_are_tried_again
                    a_full_disk_is_waited_for
                    a_tablespace_fills_up_and_is_emptied,
                    slow postgres_refuses_for_a_minute
                        a_lock_that_blocks_a_batch_is_named
                        a_lock_that_blocks_a_refresh_is_named;
                endings:
                    a_topic_that_stays_missing_is_69
                    an_empty_topic_is_done_at_once
                    an_unavailable_kafka_is_69;
                failures:
                    unready_while_added_partitions_wait_for_postgres
                    a_hiccup_while_offsets_are_forgotten_is_survived
                    a_hiccup_while_groups_are_moved_is_survived
                    a_reset_is_noticed_though_no_record_comes
                    an_older_copy_of_the_database_is_noticed_though_no_record_comes
                    unready_while_kafka_is_unavailable_and_ended_with_the_reason
                    a_thread_that_cannot_start_is_69,
                    slow a_postgres_that_hangs_is_noticed;
                files:
                    a_file_in_another_dress_says_the_same
                    a_file_that_breaks_off_is_65_and_the_whole_one_mends_it
                    what_is_no_such_file_is_65_and_named
                    latin_1_costs_its_own_rows
                    a_device_without_end_ends,
                    slow a_line_of_100_mb_costs_itself_alone_and_no_memory;
                groups:
                    two_databases_on_one_topic_each_get_every_record
                    a_group_of_another_database_is_refused_while_that_one_lives,
                    slow of_two_databases_that_join_a_group_at_once_one_is_refused;
                migrations:
                    several_migrates_at_once_make_one_schema
                    a_migrate_is_killed_and_run_again
                    a_schema_that_is_not_known_is_let_alone;
                networks:
                    the_connection_to_postgres_is_cut,
                    slow the_connection_to_kafka_is_cut
                        the_connection_to_postgres_is_slow
                        the_connection_to_postgres_is_half_open
                        the_connection_to_kafka_is_slow
                        the_connection_to_kafka_is_half_open;
                orders:
                    every_variant_leads_to_the_same_tables
                    every_variant_leads_to_the_same_tables_on_a_real_kafka
                    a_second_producer_run_changes_nothing
                    a_correction_computes_only_its_group_again;
                poison:
                    poison_is_kept_with_its_reason_and_harms_nobody
                    a_large_value_is_kept_too;
                probes:
                    started_with_the_schema_and_ready_in_the_group;
                producers:
                    a_producer_is_killed_at_half_and_run_again
                    two_producers_at_once
                    kafka_is_unavailable_when_a_producer_starts
                    kafka_is_unavailable_while_a_producer_sends
                    a_record_that_is_too_large_is_named_and_costs_no_other
                    a_fatal_error_of_kafkas_ends_a_producer;
                replicas:
                    from_one_to_three_and_back_in_mid_run
                    a_stop_in_mid_run_saves_what_is_in_hand
                    a_stop_refreshes_what_was_only_repeated
                    an_unkeyed_topic_with_three_replicas_is_stopped_by_name_and_never_wrong
                    an_unkeyed_topic_is_read_by_one_without_a_wait
                    members_come_and_go_while_partitions_are_loaded
                    the_first_process_of_a_namespace_stops_when_asked,
                    slow one_comes_as_another_goes
                        stopped_in_mid_load
                        stopped_in_mid_rebalance;
                secrets:
                    a_wrong_password_is_a_setting_to_mend
                    a_password_that_has_expired_is_a_setting_to_mend;
                soak:
                    , slow soak;
                topics:
                    a_recreated_topic_is_refused_unless_accepted
                    a_longer_topic_of_the_same_name_is_refused_too
                    a_topic_recreated_under_a_consumer_is_refused
                    what_retention_took_before_it_was_read_is_named
                    a_topic_without_its_head_passes_for_no_complete_one
                    partitions_are_added_in_mid_run
                    only_what_a_transaction_committed_counts
                    what_is_behind_an_open_transaction_is_waited_for
                    a_compacted_topic_has_gaps_and_tombstones,
                    slow a_topic_that_goes_and_comes_back_is_refused
                        a_topic_that_is_deleted_is_waited_for_and_then_69;
                zombies:
                    an_idle_zombie_wakes
                    a_busy_zombie_wakes_on_a_real_kafka;
            }
        }
    };
}

tests_of!(emissions, "emissions": crate::datasets::emissions::Emissions);
tests_of!(energy, "energy": crate::datasets::energy::Energy);
tests_of!(sensors, "sensors": crate::datasets::sensors::Sensors);
// It is of the same kind as sensors, on which all run everywhere.
tests_of!(iot, "iot": crate::datasets::iot::Iot, all);

/// The tests of one pipeline only.
mod model {
    use crate::report;

    tests! { "emissions", ();
        models:
            fewer_countries_than_clusters_leave_a_note
            equal_countries_leave_a_note
            a_constant_feature_says_nothing_and_harms_nothing
            ties_are_broken_the_same_way_every_time
            an_extreme_outlier_harms_nothing,
            slow a_hundred_thousand_countries_are_refreshed;
    }
}

/// The tests of sensors only.
mod sensor_worlds {
    use crate::report;

    tests! { "sensors", ();
        worlds:
            one_pass_over_the_topic_gives_every_window
            a_wrong_clock_changes_nobody_elses_windows
            a_silent_sensors_last_windows_say_so
            a_week_that_comes_late_reaches_its_days
            the_predecessors_messages_are_read
            a_feed_without_its_topic_ends_both_and_loses_nothing
            old_windows_are_forgotten_and_never_begun_again
            another_lateness_opens_no_final_window_again;
    }
}

/// The tests of iot only.
mod iot_devices {
    use crate::report;

    tests! { "iot", ();
        devices:
            a_row_a_reading_or_none_the_windows_are_the_same
            a_topic_that_is_read_again_gives_the_same_latencies
            a_device_that_sends_rubbish_fills_no_disk
            a_topic_is_looked_at_without_a_group;
    }
}

/// Live inputs, of sensors only.
mod live_inputs {
    use crate::report;

    tests! { "sensors", ();
        live:
            http_takes_what_it_says_and_nothing_else
            http_waits_for_kafka
            http_is_killed_at_random_moments
            mqtt_is_killed_between_kafkas_acknowledgement_and_its_own
            an_mqtt_broker_keeps_messages_while_nobody_reads
            an_mqtt_broker_that_lost_the_session_is_subscribed_to_again
            an_mqtt_broker_drops_what_exceeds_its_queue
            mqtt_waits_while_kafka_is_away
            mqtt_messages_that_are_no_readings
            a_file_that_grows_is_followed;
    }
}

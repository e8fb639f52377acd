//! What was hoped for.

use crate::{
    place::{Run, Trip},
    publications,
    rating::{QUEUE_MIB, Rating, TELLING, bytes_a_fact, join_s, load_s, ready_without_join_ms, records_per_s},
    road::Road,
    rounds::Round,
};

/// Rows from which on the targets of a large input hold.
pub(crate) const LARGE: u32 = 5_000_000;

/// What the writing of one group may take of that of all, percent. No figure was asked for: what depends on the groups
/// that changed alone is next to nothing for one of thousands.
const ONE_OF_ALL: f64 = 10.0;

/// All targets that this input can tell of.
pub(crate) fn ratings(round: &Round) -> Vec<Rating> {
    let road = &round.road;
    let rows = road.sorted.producer.records;
    let Trip { producer: small_producer, consumer: small } = road.typical_small();
    let sorted = &road.sorted.consumer;
    let whole_s = small.cost.took.as_secs_f64();
    let floor = if rows < LARGE { 550e3 } else { 650e3 };
    let producer_growth_mib = road.sorted.producer.cost.peak_mib - small_producer.cost.peak_mib;
    let mut ratings = vec![
        Rating::at_most("small: consumer without the join", 0.35, whole_s - join_s(small), "s"),
        Rating::at_most("small: consumer with it", 0.8, whole_s, "s"),
        Rating::at_most("small: consumer's peak memory", 40.0, small.cost.peak_mib, "MiB"),
        Rating::at_most(
            "consumer: start to ready, no join",
            200.0,
            ready_without_join_ms(small).unwrap_or(f64::NAN),
            "ms",
        ),
        Rating::at_least("sorted: consumer", floor, records_per_s(sorted), "records/s"),
        Rating::at_least("sorted: producer", 500e3, records_per_s(&road.sorted.producer), "records/s"),
        Rating::at_most("producer: memory above the small file's", QUEUE_MIB, producer_growth_mib, "MiB"),
    ];
    if rows >= TELLING {
        ratings.push(Rating::at_most("sorted: memory a fact", 80.0, bytes_a_fact(sorted, small), "B"));
    }
    if let Some(Trip { producer, consumer }) = &road.shuffled {
        ratings.push(Rating::at_least("shuffled: consumer", floor, records_per_s(consumer), "records/s"));
        if rows >= TELLING {
            ratings.push(Rating::at_most("shuffled: memory a fact", 80.0, bytes_a_fact(consumer, small), "B"));
        }
        ratings.push(Rating::at_least("shuffled: producer", 500e3, records_per_s(producer), "records/s"));
        if rows >= LARGE {
            ratings.push(Rating::at_most("shuffled: consumer's peak memory", 500.0, consumer.cost.peak_mib, "MiB"));
        }
    }
    ratings.extend(beside(round));
    ratings.extend(growth(road));
    if rows >= LARGE {
        ratings.push(Rating::at_most("sorted: consumer's peak memory", 500.0, sorted.cost.peak_mib, "MiB"));
        ratings.push(Rating::at_most("all facts loaded at assignment", 10.0, load_s(&road.restart), "s"));
    }
    ratings
}

/// What is asked for beside the ceilings; those of COPY are of the sorted file's rows.
fn beside(Round { road, ceilings }: &Round) -> Vec<Rating> {
    let percent = |run: &Run, ceiling: f64| 100.0 * records_per_s(run) / ceiling;
    let (tool, copy) = (ceilings.producer_tuned, ceilings.copy.whole);
    let mut ratings = Vec::new();
    let mut rate = |trip: &Trip, [of_tool, of_copy]: [&'static str; 2]| {
        ratings.push(Rating::at_least(of_tool, 80.0, percent(&trip.producer, tool), "%"));
        if trip.consumer.records >= LARGE {
            ratings.push(Rating::at_least(of_copy, 50.0, percent(&trip.consumer, copy), "%"));
        }
    };
    let sorted = ["sorted: producer, of Kafka's tuned tool", "sorted: consumer, of a COPY in one transaction"];
    rate(&road.sorted, sorted);
    if let Some(trip) = &road.shuffled {
        let shuffled =
            ["shuffled: producer, of Kafka's tuned tool", "shuffled: consumer, of a COPY in one transaction"];
        rate(trip, shuffled);
    }
    ratings
}

/// Whether cost grows with the work, as far as one run tells.
fn growth(road: &Road) -> Vec<Rating> {
    let mut ratings =
        vec![Rating::at_most("again: rows beside accounting and offsets", 0.0, road.writes.beside_books(), "rows")];
    if let [(1, one), .., (_, all)] = road.changes.as_slice() {
        let [one, all] = [one, all].map(|trip| publications::groups_ms(&trip.consumer));
        // Few groups take no whole millisecond.
        if all > 0.0 {
            let what = "1 corrected group: its writing, of that of all";
            ratings.push(Rating::at_most(what, ONE_OF_ALL, 100.0 * one / all, "%"));
        }
    }
    ratings
}

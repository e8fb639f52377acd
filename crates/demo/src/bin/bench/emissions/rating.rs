//! What was hoped for.

use crate::{
    place::{Run, Trip},
    rating::{QUEUE_MIB, Rating, bytes_a_fact, join_s, load_s, ready_without_join_ms, records_per_s},
    rounds::Round,
};

/// Rows from which on the targets of a large input hold.
pub(crate) const LARGE: u32 = 5_000_000;

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
        Rating::at_most("sorted: memory a fact", 80.0, bytes_a_fact(sorted, small), "B"),
        Rating::at_least("sorted: producer", 500e3, records_per_s(&road.sorted.producer), "records/s"),
        Rating::at_most("producer: memory above the small file's", QUEUE_MIB, producer_growth_mib, "MiB"),
    ];
    if let Some(Trip { producer, consumer }) = &road.shuffled {
        ratings.push(Rating::at_least("shuffled: consumer", floor, records_per_s(consumer), "records/s"));
        ratings.push(Rating::at_most("shuffled: memory a fact", 80.0, bytes_a_fact(consumer, small), "B"));
        ratings.push(Rating::at_least("shuffled: producer", 500e3, records_per_s(producer), "records/s"));
        if rows >= LARGE {
            ratings.push(Rating::at_most("shuffled: consumer's peak memory", 500.0, consumer.cost.peak_mib, "MiB"));
        }
    }
    ratings.extend(beside(round));
    if rows >= LARGE {
        ratings.push(Rating::at_most("sorted: consumer's peak memory", 500.0, sorted.cost.peak_mib, "MiB"));
        ratings.push(Rating::at_most("all facts loaded at assignment", 10.0, load_s(&road.restart), "s"));
    }
    ratings
}

/// What is asked for beside the ceilings.
fn beside(Round { road, ceilings }: &Round) -> Vec<Rating> {
    let percent = |run: &Run, ceiling: f64| 100.0 * records_per_s(run) / ceiling;
    let (producer, consumer) = (&road.sorted.producer, &road.sorted.consumer);
    let tuned = percent(producer, ceilings.producer_tuned);
    let mut ratings = vec![Rating::at_least("sorted: producer, of Kafka's tuned tool", 80.0, tuned, "%")];
    if consumer.records >= LARGE {
        let copy = percent(consumer, ceilings.copy.whole);
        ratings.push(Rating::at_least("sorted: consumer, of a COPY in one transaction", 50.0, copy, "%"));
    }
    ratings
}

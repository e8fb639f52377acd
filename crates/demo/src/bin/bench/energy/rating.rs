//! What was hoped for.

use crate::{
    place::Trip,
    rating::{QUEUE_MIB, Rating, load_s, records_per_s},
    rounds::Round,
};

/// All targets, which are of the real file's two million rows.
pub(crate) fn ratings(Round { road, .. }: &Round) -> Vec<Rating> {
    let Trip { producer, consumer } = &road.sorted;
    let small = road.typical_small();
    let whole_road_s = [&road.migrate, &producer.cost, &consumer.cost].map(|cost| cost.took.as_secs_f64());
    let producer_growth_mib = producer.cost.peak_mib - small.producer.cost.peak_mib;
    vec![
        Rating::at_least("producer", 500e3, records_per_s(producer), "records/s"),
        Rating::at_least("consumer", 450e3, records_per_s(consumer), "records/s"),
        Rating::at_least("consumer, hoped for", 700e3, records_per_s(consumer), "records/s"),
        Rating::at_most("whole road: migrate, producer, consumer", 12.0, whole_road_s.iter().sum(), "s"),
        Rating::at_most("consumer's peak memory", 250.0, consumer.cost.peak_mib, "MiB"),
        Rating::at_most("again: consumer's peak memory", 250.0, road.again.consumer.cost.peak_mib, "MiB"),
        Rating::at_most("producer: memory above the small file's", QUEUE_MIB, producer_growth_mib, "MiB"),
        Rating::at_most("all facts loaded at assignment", 10.0, load_s(&road.restart), "s"),
    ]
}

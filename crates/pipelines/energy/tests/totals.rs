//! Properties of the totals: any order of different minutes, any split and any repetition leaves the same days, and
//! what is missing later is gone.

use std::collections::BTreeMap;

use energy::{
    aggregates::DayRow,
    day::Day,
    message,
    pipeline::{Energy, EnergySettings},
    record::Record,
    thousandths::Thousandths,
};
use proptest::{option, prelude::*};
use stream::{
    Decoded, Outgoing, Pipeline,
    groups::{Changes, Counts, Groups, Position, Version},
};

/// A row of the input: day, minute, and power in watts, or none.
type Sent = (i32, u16, Option<i32>);

fn record(&(day, minute, power): &Sent) -> Record {
    let mut values = [Thousandths::MISSING; 7];
    if let Some(watts) = power {
        values = [watts, 0, 240_000, 1, 1_000, 2_000, 3_000]
            .map(|value| Thousandths::from_thousandths(value).expect("it is small"));
    }
    Record { day: Day::from_days(day).expect("it is of this century"), minute, values }
}

/// A consumer's memory, and the days it has refreshed.
#[derive(Default)]
struct Consumer {
    groups: Groups<Energy>,
    counts: Counts,
    read: i64,
    days: BTreeMap<Day, DayRow>,
}

impl Consumer {
    /// Takes a row in as it comes from Kafka.
    fn take(&mut self, sent: &Sent) {
        let mut message = Outgoing::default();
        message::encode(&record(sent), &mut message);
        let pipeline = Energy(EnergySettings {});
        let Decoded::Record(record) = pipeline.read(Some(&message.key), &message.value) else { panic!("{sent:?}") };
        let at = Position { version: Version::new(1_000, 0), offset: self.read };
        let mut batch = Changes::new(&Energy::CHANGELOG);
        self.counts.add(self.groups.apply(&pipeline, &record, at, &mut batch));
        self.read += 1;
    }

    /// Refreshes the days that changed, as the tables do.
    fn refresh(&mut self) {
        for row in self.groups.begin_refresh(&Energy(EnergySettings {})) {
            match row.minutes {
                0 => drop(self.days.remove(&row.day)),
                _ => drop(self.days.insert(row.day, row)),
            }
        }
        self.groups.refreshed();
    }
}

/// Per day with power: its minutes, watt-minutes and peak; the last word on a minute counts.
fn expected(sent: &[Sent]) -> Vec<(i32, i32, i64, i32)> {
    let known: BTreeMap<(i32, u16), Option<i32>> =
        sent.iter().map(|&(day, minute, power)| ((day, minute), power)).collect();
    let mut days: BTreeMap<i32, (i32, i64, i32)> = BTreeMap::new();
    for ((day, _), watts) in known.into_iter().filter_map(|(at, power)| Some((at, power?))) {
        let (minutes, energy, peak) = days.entry(day).or_default();
        (*minutes, *energy, *peak) = (*minutes + 1, *energy + i64::from(watts), watts.max(*peak));
    }
    days.into_iter().map(|(day, (minutes, energy, peak))| (day, minutes, energy, peak)).collect()
}

fn totals(consumer: &Consumer) -> Vec<(i32, i32, i64, i32)> {
    let of = |row: &DayRow| (row.day.days(), row.minutes, row.watt_minutes, row.peak_w);
    consumer.days.values().map(of).collect()
}

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    prop::collection::vec((2_900..2_903, 0_u16..5, option::weighted(0.8, 0..20_000)), 0..60)
}

proptest! {
    #[test]
    fn any_split_and_repetition_leaves_the_same_days(sent in sent(), refreshes in prop::collection::vec(any::<bool>(), 60)) {
        let mut consumer = Consumer::default();
        for (row, refreshes) in sent.iter().zip(refreshes) {
            consumer.take(row);
            if refreshes {
                consumer.refresh();
            }
        }
        consumer.refresh();
        prop_assert_eq!(totals(&consumer), expected(&sent));
        // The last word on every minute, once more.
        let last: BTreeMap<(i32, u16), &Sent> = sent.iter().map(|row| ((row.0, row.1), row)).collect();
        let (days, before) = (consumer.days.clone(), consumer.counts);
        last.values().for_each(|row| consumer.take(row));
        prop_assert!(!consumer.groups.has_changed(), "a second ingest changes nothing");
        consumer.refresh();
        prop_assert_eq!(&consumer.days, &days);
        prop_assert_eq!((consumer.counts.new, consumer.counts.corrected), (before.new, before.corrected));
        prop_assert_eq!(consumer.counts.read(), consumer.read);
    }

    #[test]
    fn any_order_of_different_minutes_leaves_the_same_days(
        (one, other) in sent().prop_flat_map(|sent| {
            let last: BTreeMap<(i32, u16), Sent> = sent.into_iter().map(|row| ((row.0, row.1), row)).collect();
            let rows: Vec<Sent> = last.into_values().collect();
            (Just(rows.clone()), Just(rows).prop_shuffle())
        }),
    ) {
        let [mut a, mut b] = [Consumer::default(), Consumer::default()];
        one.iter().for_each(|row| a.take(row));
        other.iter().for_each(|row| b.take(row));
        a.refresh();
        b.refresh();
        prop_assert_eq!(&a.days, &b.days);
        prop_assert_eq!(a.counts, b.counts);
    }

    #[test]
    fn a_minute_that_is_missing_later_is_gone(sent in sent(), day in 2_900..2_903, minute in 0_u16..5) {
        let mut consumer = Consumer::default();
        sent.iter().for_each(|row| consumer.take(row));
        consumer.refresh();
        let (known, before) = (consumer.groups.facts(), consumer.counts);
        consumer.take(&(day, minute, None));
        consumer.take(&(day, minute, None));
        let was_known = expected(&sent) != expected(&[&sent[..], &[(day, minute, None)]].concat());
        prop_assert_eq!(consumer.groups.has_changed(), was_known);
        consumer.refresh();
        let lost = usize::from(was_known);
        prop_assert_eq!(consumer.groups.facts(), known - lost);
        prop_assert_eq!(consumer.counts.corrected - before.corrected, i64::from(was_known));
        prop_assert_eq!(consumer.counts.filtered - before.filtered, 2 - i64::from(was_known));
        prop_assert_eq!(totals(&consumer), expected(&[&sent[..], &[(day, minute, None)]].concat()));
    }
}

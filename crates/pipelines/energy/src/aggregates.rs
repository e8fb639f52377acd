//! A day's row from its minutes; whole numbers only, so that no sum depends on its order.

use stream::columns::{Column, Kind, RowWriter};

use crate::{
    day::{Day, MINUTES},
    fact::MinuteFact,
};

/// Hours of a day.
const HOURS: usize = 24;
/// Minutes of an hour.
const HOUR: u16 = 60;

/// What is known of a day.
///
/// A value is below two thousand millions and a day has 1,440 minutes, so that no sum leaves its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayRow {
    /// The day.
    pub day: Day,
    /// Minutes with power, at most 1,440; none when all were retracted.
    pub minutes: i32,
    /// Energy, watt-minutes.
    pub watt_minutes: i64,
    /// The greatest power of a minute, watts.
    pub peak_w: i32,
    /// Energy of the three sub-meters, milliwatt-hours; a minute without a value counts for nothing.
    pub sub_metering_mwh: [i64; 3],
    /// Sum of the voltages, millivolts.
    pub voltage_mv: i64,
    /// Minutes with a voltage.
    pub voltage_minutes: i32,
    /// The hours, from 0 to 23.
    pub hours: [HourSum; HOURS],
}

/// What is known of an hour of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourSum {
    /// Energy, watt-minutes.
    pub watt_minutes: i64,
    /// Minutes with power, at most 60.
    pub minutes: i32,
}

/// The columns of `daily_energy`, in which a day is stored.
pub const COLUMNS: &[Column] = &[
    Column::group("day", Kind::Date),
    Column::value("minutes", Kind::Int4),
    Column::value("watt_minutes", Kind::Int8),
    Column::value("peak_w", Kind::Int4),
    Column::value("sub_metering_1_mwh", Kind::Int8),
    Column::value("sub_metering_2_mwh", Kind::Int8),
    Column::value("sub_metering_3_mwh", Kind::Int8),
    Column::value("voltage_mv", Kind::Int8),
    Column::value("voltage_minutes", Kind::Int4),
    Column::value("hour_watt_minutes", Kind::Int8List),
    Column::value("hour_minutes", Kind::Int4List),
];

/// Computes a day's row from its minutes.
pub fn aggregate<'a>(day: Day, facts: impl Iterator<Item = &'a MinuteFact>) -> DayRow {
    let mut row = DayRow {
        day,
        minutes: 0,
        watt_minutes: 0,
        peak_w: 0,
        sub_metering_mwh: [0; 3],
        voltage_mv: 0,
        voltage_minutes: 0,
        hours: [HourSum::default(); HOURS],
    };
    facts.for_each(|fact| row.add(fact));
    row
}

impl DayRow {
    /// Writes it, in the order of [`COLUMNS`].
    pub fn encode(&self, to: &mut RowWriter<'_>) {
        to.i32(self.day.days());
        to.i32(self.minutes);
        to.i64(self.watt_minutes);
        to.i32(self.peak_w);
        for energy in self.sub_metering_mwh {
            to.i64(energy);
        }
        to.i64(self.voltage_mv);
        to.i32(self.voltage_minutes);
        to.list(self.hours.iter().map(|hour| hour.watt_minutes));
        to.list(self.hours.iter().map(|hour| hour.minutes));
    }

    fn add(&mut self, fact: &MinuteFact) {
        debug_assert!(fact.minute < MINUTES, "a day has {MINUTES} minutes");
        let [power, _reactive, voltage, _intensity, subs @ ..] = fact.values;
        // Thousandths of kilowatts are watts, and a fact is of one minute.
        let Some(watts) = power.get() else { return };
        let hour = &mut self.hours[usize::from(fact.minute / HOUR)];
        hour.watt_minutes += i64::from(watts);
        hour.minutes += 1;
        self.watt_minutes += i64::from(watts);
        self.minutes += 1;
        self.peak_w = self.peak_w.max(watts);
        for (sum, sub) in self.sub_metering_mwh.iter_mut().zip(subs) {
            *sum += i64::from(sub.get().unwrap_or_default());
        }
        if let Some(millivolts) = voltage.get() {
            self.voltage_mv += i64::from(millivolts);
            self.voltage_minutes += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{array::uniform7, option, prelude::*};

    use super::*;
    use crate::thousandths::Thousandths;

    fn fact(minute: u16, values: [Option<i32>; 7]) -> MinuteFact {
        let value = |known: Option<i32>| {
            known.map_or(Thousandths::MISSING, |known| Thousandths::from_thousandths(known).unwrap())
        };
        MinuteFact { values: values.map(value), minute }
    }

    fn day(facts: &[MinuteFact]) -> DayRow {
        aggregate(Day::new(2008, 2, 29).unwrap(), facts.iter())
    }

    #[test]
    fn a_day_is_the_sum_of_its_minutes() {
        let found = day(&[
            fact(0, [Some(1_000), None, Some(240_000), None, Some(1_000), None, Some(17_000)]),
            fact(59, [Some(2_000), Some(9), None, Some(9), None, Some(2_000), Some(1_000)]),
            fact(1_439, [Some(500), None, Some(230_000), None, None, None, None]),
        ]);
        let mut hours = [HourSum::default(); 24];
        hours[0] = HourSum { watt_minutes: 3_000, minutes: 2 };
        hours[23] = HourSum { watt_minutes: 500, minutes: 1 };
        let expected = DayRow {
            day: Day::new(2008, 2, 29).unwrap(),
            minutes: 3,
            watt_minutes: 3_500,
            peak_w: 2_000,
            sub_metering_mwh: [1_000, 2_000, 18_000],
            voltage_mv: 470_000,
            voltage_minutes: 2,
            hours,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn the_largest_values_stay_in_range() {
        let most = 1_999_999_999;
        let facts: Vec<MinuteFact> = (0..1_440).map(|minute| fact(minute, [Some(most); 7])).collect();
        let found = day(&facts);
        assert_eq!((found.minutes, found.watt_minutes), (1_440, 1_440 * i64::from(most)));
        assert!(found.hours.iter().all(|hour| hour.minutes == 60));
    }

    proptest! {
        #[test]
        fn the_order_of_minutes_changes_nothing(
            (one, other) in
                proptest::collection::vec((0_u16..1440, uniform7(option::of(0..5_000_000_i32))), 0..50)
                    .prop_flat_map(|minutes| (Just(minutes.clone()), Just(minutes).prop_shuffle())),
        ) {
            let facts = |minutes: Vec<(u16, [Option<i32>; 7])>| -> Vec<MinuteFact> {
                minutes.into_iter().map(|(minute, values)| fact(minute, values)).collect()
            };
            prop_assert_eq!(day(&facts(one)), day(&facts(other)));
        }
    }
}

//! A sensor's window, and its row; whole numbers only, so that no sum depends on its order.

use std::fmt;

use formats::instant;
use stats::exact::Sums;
use stream::{
    Fact,
    columns::{Column, Kind, RowWriter},
};

/// A window of a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// The sensor.
    pub sensor: i32,
    /// When it begins, milliseconds since 1970 UTC.
    pub start_ms: i64,
}

impl Window {
    /// The window of that size, in milliseconds, in which an instant lies.
    pub fn of(sensor: i32, at_ms: i64, size_ms: i64) -> Self {
        Self { sensor, start_ms: at_ms.div_euclid(size_ms) * size_ms }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sensor {} from {}", self.sensor, instant::text(self.start_ms))
    }
}

/// A reading, as last known. 8 bytes: with its version a fact takes 16 in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingFact {
    /// When it was taken, milliseconds since its window began.
    pub at_ms: u32,
    /// The temperature, thousandths of a degree Celsius.
    pub milli: i32,
}

impl Fact for ReadingFact {
    type Key = u32;

    fn key(&self) -> u32 {
        self.at_ms
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

/// What is known of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// The window.
    pub window: Window,
    /// How long it is, milliseconds.
    pub size_ms: i64,
    /// Count, sum, least and greatest of its temperatures, thousandths of a degree.
    pub sums: Sums,
    /// How many of its readings came after it was final.
    pub late: u32,
}

/// The columns of `sensor_temperatures` that are written; the others follow from them.
pub const COLUMNS: &[Column] = &[
    Column::group("sensor_id", Kind::Int4),
    Column::group("window_start", Kind::Timestamp),
    Column::group("window_end", Kind::Timestamp),
    Column::value("reading_count", Kind::Int4),
    Column::value("late_count", Kind::Int4),
    Column::value("sum_milli", Kind::Int8),
    Column::value("min_milli", Kind::Int4),
    Column::value("max_milli", Kind::Int4),
];

impl WindowRow {
    /// Computes a window's row from its readings.
    pub fn of<'a>(window: Window, size_ms: i64, facts: impl Iterator<Item = &'a ReadingFact>, late: u32) -> Self {
        let mut sums = Sums::default();
        facts.for_each(|fact| sums.add(fact.milli.into()));
        Self { window, size_ms, sums, late }
    }

    /// Writes it, in the order of [`COLUMNS`].
    pub fn encode(&self, to: &mut RowWriter<'_>) {
        let number = |count: u64| i32::try_from(count).expect("a window has fewer than 2³¹ readings");
        let (least, greatest) = self.sums.range().unwrap_or_default();
        let milli = |value: i64| i32::try_from(value).expect("a temperature has 32 bits");
        to.i32(self.window.sensor);
        to.i64(instant::to_postgres(self.window.start_ms));
        to.i64(instant::to_postgres(self.window.start_ms + self.size_ms));
        to.i32(number(self.sums.count()));
        to.i32(number(self.late.into()));
        to.i64(i64::try_from(self.sums.sum()).expect("2³¹ temperatures have a sum of 64 bits"));
        to.i32(milli(least));
        to.i32(milli(greatest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_its_beginning_and_not_its_end() {
        let start = |at_ms| Window::of(7, at_ms, 900_000).start_ms;
        assert_eq!([0, 899_999, 900_000].map(start), [0, 0, 900_000]);
        assert_eq!([-1, -900_000, -900_001].map(start), [-900_000, -900_000, -1_800_000]);
        assert_eq!(Window::of(7, 1_767_225_600_123, 900_000).to_string(), "sensor 7 from 2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_fact_is_small() {
        assert_eq!(size_of::<ReadingFact>(), 8);
    }

    #[test]
    fn a_row_is_of_its_readings() {
        let facts = [(0, 21_500), (1_000, -3_250), (2_000, 21_500)].map(|(at_ms, milli)| ReadingFact { at_ms, milli });
        let row = WindowRow::of(Window { sensor: 7, start_ms: 0 }, 900_000, facts.iter(), 1);
        assert_eq!((row.sums.count(), row.sums.sum(), row.sums.range()), (3, 39_750, Some((-3_250, 21_500))));
    }
}

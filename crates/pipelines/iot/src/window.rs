//! A device's window, its readings, and its row; whole numbers only, so that no sum depends on its order.

use std::fmt;

use arrayvec::ArrayString;
use formats::instant;
use indexmap::IndexSet;
use stats::exact::Sums;
use stream::{
    Fact,
    columns::{Column, Kind, RowWriter},
};

/// The name of a device, or of its type. Kept inline, since every record's window is looked up by it.
pub type Name = ArrayString<50>;

/// A window of a device's readings of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// The device.
    pub device: Name,
    /// What it measures.
    pub kind: Name,
    /// When the window begins, milliseconds since 1970 UTC.
    pub start_ms: i64,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} from {}", self.kind, self.device, instant::text(self.start_ms))
    }
}

/// A reading, as last known. 24 bytes: with its version a fact takes 32 in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingFact {
    /// The value, thousandths of its unit.
    pub milli: i64,
    /// When it was taken, milliseconds since its window began.
    pub at_ms: u32,
    /// How long after that its record was written, by the record's Kafka timestamp, milliseconds.
    pub latency_ms: i32,
    /// Its unit's number among those of its window.
    pub unit: u32,
    /// How good it is, from 0 to 100; `None`: not said.
    pub quality: Option<u8>,
    /// Whether the device says that it is abnormal.
    pub is_anomaly: bool,
}

impl Fact for ReadingFact {
    type Key = u32;

    fn key(&self) -> u32 {
        self.at_ms
    }

    /// A copy of a message comes later, and says the same.
    fn same(&self, other: &Self) -> bool {
        Self { latency_ms: other.latency_ms, ..*self } == *other
    }
}

/// The units of a window's readings, each once.
#[derive(Debug, Default)]
pub struct Units(IndexSet<Box<str>>);

impl Units {
    /// The number of a unit; empty: it has none.
    pub(crate) fn number(&mut self, unit: &str) -> u32 {
        let number = self.0.get_index_of(unit).unwrap_or_else(|| self.0.insert_full(unit.into()).0);
        u32::try_from(number).expect("so many units do not fit in memory")
    }

    /// The unit of a reading.
    pub(crate) fn of(&self, fact: &ReadingFact) -> &str {
        &self.0[usize::try_from(fact.unit).expect("it was a place in memory")]
    }
}

/// What is known of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// The window.
    pub window: Window,
    /// How long it is, milliseconds.
    pub size_ms: i64,
    /// Of its values, thousandths of their unit.
    pub values: Sums,
    /// How many readings the device calls abnormal.
    pub anomalies: i32,
    /// How many say how good they are.
    pub rated: i32,
    /// The sum of that.
    pub quality: i64,
    /// The sum of their latencies, milliseconds.
    pub latency_ms: i64,
    /// How many came after the window was final.
    pub late: u32,
}

/// The columns of `sensor_readings_stream_agg` that are written; the others follow from them.
pub const COLUMNS: &[Column] = &[
    Column::group("window_start", Kind::Timestamp),
    Column::group("device_id", Kind::Text),
    Column::group("device_type", Kind::Text),
    Column::value("window_end", Kind::Timestamp),
    Column::value("reading_count", Kind::Int4),
    Column::value("late_count", Kind::Int4),
    Column::value("sum_milli", Kind::Int8),
    Column::value("min_milli", Kind::Int8),
    Column::value("max_milli", Kind::Int8),
    Column::nullable("stddev_value", Kind::Float8),
    Column::value("anomaly_count", Kind::Int4),
    Column::value("quality_count", Kind::Int4),
    Column::value("sum_quality", Kind::Int8),
    Column::value("sum_latency_ms", Kind::Int8),
];

impl WindowRow {
    /// Computes a window's row from its readings.
    pub fn of<'a>(window: Window, size_ms: i64, facts: impl Iterator<Item = &'a ReadingFact>, late: u32) -> Self {
        let values = Sums::default();
        let mut row = Self { window, size_ms, values, anomalies: 0, rated: 0, quality: 0, latency_ms: 0, late };
        for fact in facts {
            row.values.add(fact.milli);
            row.anomalies += i32::from(fact.is_anomaly);
            row.rated += i32::from(fact.quality.is_some());
            row.quality += i64::from(fact.quality.unwrap_or(0));
            row.latency_ms += i64::from(fact.latency_ms);
        }
        row
    }

    /// Writes it, in the order of [`COLUMNS`].
    pub fn encode(&self, to: &mut RowWriter<'_>) {
        let number = |count: u64| i32::try_from(count).expect("a window has fewer than 2²⁰ readings");
        let (least, greatest) = self.values.range().unwrap_or_default();
        to.i64(instant::to_postgres(self.window.start_ms));
        to.text(&self.window.device);
        to.text(&self.window.kind);
        to.i64(instant::to_postgres(self.window.start_ms + self.size_ms));
        to.i32(number(self.values.count()));
        to.i32(number(self.late.into()));
        to.i64(i64::try_from(self.values.sum()).expect("2²⁰ values of 43 bits have a sum of 63"));
        to.i64(least);
        to.i64(greatest);
        to.f64_or_null(self.values.standard_deviation().map(|deviation| deviation / 1_000.0));
        to.i32(self.anomalies);
        to.i32(self.rated);
        to.i64(self.quality);
        to.i64(self.latency_ms);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stats::exact::LARGEST;

    use super::*;

    fn window() -> Window {
        let name = |text| Name::from(text).unwrap();
        Window { device: name("TEMP-001"), kind: name("temperature"), start_ms: 1_767_225_600_000 }
    }

    fn fact(milli: i64) -> ReadingFact {
        ReadingFact { milli, at_ms: 0, latency_ms: 250, unit: 0, quality: Some(90), is_anomaly: true }
    }

    #[test]
    fn a_fact_is_small() {
        assert_eq!(size_of::<ReadingFact>(), 24);
    }

    #[test]
    fn a_copy_that_comes_later_says_the_same() {
        assert!(fact(1).same(&ReadingFact { latency_ms: 9_000, ..fact(1) }));
        assert!(!fact(1).same(&ReadingFact { quality: None, ..fact(1) }));
    }

    #[test]
    fn a_row_is_of_its_readings() {
        let facts = [fact(21_500), fact(-3_250), ReadingFact { quality: None, is_anomaly: false, ..fact(21_500) }];
        let row = WindowRow::of(window(), 60_000, facts.iter(), 1);
        assert_eq!((row.values.count(), row.values.sum(), row.values.range()), (3, 39_750, Some((-3_250, 21_500))));
        assert_eq!((row.anomalies, row.rated, row.quality, row.latency_ms, row.late), (2, 2, 180, 750, 1));
        assert_eq!(window().to_string(), "temperature of TEMP-001 from 2026-01-01T00:00:00Z");
    }

    proptest! {
        /// The deviation is that of exact rationals: of the sum of the squared differences from the mean, each times the count.
        #[test]
        fn a_deviation_is_exact(values in prop::collection::vec(-LARGEST..=LARGEST, 2..40), near in any::<bool>()) {
            let values: Vec<i64> = values.iter().map(|value| if near { LARGEST - value.rem_euclid(50) } else { *value }).collect();
            let row = WindowRow::of(window(), 60_000, values.iter().map(|value| fact(*value)).collect::<Vec<_>>().iter(), 0);
            let count = i128::try_from(values.len()).unwrap();
            let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
            // Σ (n·x − Σx)² / n² / (n − 1); the squares of 50 bits each fit.
            let squares: i128 = values.iter().map(|value| (count * i128::from(*value) - sum).pow(2)).sum();
            let expected = (squares as f64 / (count * count * (count - 1)) as f64).sqrt();
            let deviation = row.values.standard_deviation().unwrap();
            prop_assert!((deviation - expected).abs() <= expected * 1e-15, "{deviation} {expected}");
        }
    }
}

//! The feed of readings, from message to window.

use formats::instant;
use sqlx::PgConnection;
use stream::{
    About, Changelog, Decoded, Pipeline, Residency, Run, RunReport, Say, StateTable, Tables,
    columns::{Column, ColumnError, Kind, RowReader, RowWriter},
};

use crate::{
    reading_message::{self, Reading},
    settings::SensorSettings,
    window::{self, ReadingFact, Window, WindowRow},
};

/// Temperatures by sensor and window.
#[derive(Clone, Debug)]
pub struct Sensors(pub SensorSettings);

/// A reading, and the size of its window, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the message says.
    pub reading: Reading,
    /// How long a window is, milliseconds.
    pub size_ms: i64,
}

impl Record {
    /// When it was taken, as its record's Kafka timestamp has it where the message does not say.
    fn at_ms(&self, timestamp_ms: i64) -> i64 {
        self.reading.at_ms.unwrap_or(timestamp_ms)
    }

    /// Its window, and what is kept of it there.
    fn placed(&self, timestamp_ms: i64) -> (Window, ReadingFact) {
        let at_ms = self.at_ms(timestamp_ms);
        let window = Window::of(self.reading.sensor, at_ms, self.size_ms);
        let at_ms = u32::try_from(at_ms - window.start_ms).expect("a window is at most a day");
        (window, ReadingFact { at_ms, milli: self.reading.milli })
    }
}

impl Sensors {
    fn size_ms(&self) -> i64 {
        self.0.windows.windows().size_ms
    }
}

impl Pipeline for Sensors {
    const NAME: &'static str = "sensors";
    const TOPIC: &'static str = "sensor-data";
    const DATABASE: &'static str = "sensor_data";
    const TABLES: Tables = TABLES;

    type Record<'a> = Record;
    type Group = Window;
    type Fact = ReadingFact;
    type Interner = ();
    type Row = WindowRow;

    fn read<'a>(&self, _key: Option<&'a [u8]>, value: &'a [u8]) -> Decoded<Record> {
        let size_ms = self.size_ms();
        reading_message::decode(value, self.0.shared.range).map(|reading| Record { reading, size_ms })
    }

    fn apply(&self, record: &Record, timestamp_ms: i64, say: &mut impl Say<Self>) {
        let (window, fact) = record.placed(timestamp_ms);
        say.fact(window, record.at_ms(timestamp_ms), |()| fact);
    }

    fn residency(&self) -> Residency {
        Residency::Windows(self.0.windows.windows())
    }

    fn noted_settings(&self) -> Vec<(&'static str, String)> {
        self.0.noted()
    }

    fn rejects_per_day(&self) -> Option<u64> {
        self.0.windows.rejects_per_day.0
    }

    fn event_ms_of(record: &Record) -> i64 {
        record.at_ms(0)
    }

    fn event_ms(window: &Window, fact: &ReadingFact) -> i64 {
        window.start_ms + i64::from(fact.at_ms)
    }

    fn slot(window: &Window) -> i64 {
        window.start_ms
    }

    fn group(record: &Record) -> Window {
        record.placed(0).0
    }

    fn partition_key(window: &Window) -> String {
        window.sensor.to_string()
    }

    fn fact(record: &Record, (): &mut ()) -> ReadingFact {
        record.placed(0).1
    }

    fn encode(window: &Window, fact: &ReadingFact, (): &(), row: &mut RowWriter<'_>) {
        row.i32(window.sensor);
        row.i64(instant::to_postgres(window.start_ms));
        row.i32(i32::try_from(fact.at_ms).expect("a window is at most a day"));
        row.i32(fact.milli);
    }

    fn decode_group(row: &mut RowReader<'_>) -> Result<Window, ColumnError> {
        Ok(Window { sensor: row.i32()?, start_ms: instant::from_postgres(row.i64()?) })
    }

    fn decode_fact(row: &mut RowReader<'_>, (): &mut ()) -> Result<ReadingFact, ColumnError> {
        let at_ms = u32::try_from(row.i32()?).map_err(|error| row.impossible(error))?;
        Ok(ReadingFact { at_ms, milli: row.i32()? })
    }

    fn aggregate<'a>(
        &self,
        window: &Window,
        facts: impl Iterator<Item = &'a ReadingFact>,
        about: &About,
        (): &(),
    ) -> WindowRow {
        WindowRow::of(*window, self.size_ms(), facts, about.late)
    }

    fn encode_row(row: &WindowRow, to: &mut RowWriter<'_>) {
        row.encode(to);
    }

    async fn refresh_global(&self, _tx: &mut PgConnection, run: &Run) -> anyhow::Result<RunReport> {
        let (windows, plural) = (run.rows_written, if run.rows_written == 1 { "" } else { "s" });
        Ok(RunReport {
            rows_written: 0,
            is_recorded: windows > 0,
            summary: format!("{windows} window{plural} changed"),
        })
    }
}

/// The feed's tables in its database.
const TABLES: Tables = Tables {
    changelog: Changelog {
        table: "sensors_segments",
        columns: &[
            Column::group("sensor_id", Kind::Int4),
            Column::group("window_start", Kind::Timestamp),
            Column::key("at_ms", Kind::Int4),
            Column::value("milli", Kind::Int4),
        ],
    },
    cold: Some("sensors_cold"),
    state: StateTable { name: "sensor_temperatures", columns: window::COLUMNS },
    derived: &[],
    hashed: &[],
    legacy: &["sensor_temperatures"],
};

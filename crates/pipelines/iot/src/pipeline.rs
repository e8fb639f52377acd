//! The feed of readings, from message to window.

use formats::instant;
use sqlx::PgConnection;
use stream::{
    About, Changelog, Decoded, Hashed, Pipeline, Residency, Run, RunReport, Say, StateTable, Tables,
    columns::{Column, ColumnError, Kind, RowReader, RowWriter},
};

use crate::{
    message::{self, Reading},
    raw_rows,
    settings::IotSettings,
    window::{self, Name, ReadingFact, Units, Window, WindowRow},
};

/// Values by device, type and window.
#[derive(Clone, Debug)]
pub struct Iot(pub IotSettings);

/// A reading, and the size of its window, milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the message says.
    pub reading: Reading<'a>,
    /// How long a window is, milliseconds.
    pub size_ms: i64,
}

impl Record<'_> {
    /// When it was taken, as its record's Kafka timestamp has it where the message does not say.
    fn at_ms(&self, timestamp_ms: i64) -> i64 {
        self.reading.at_ms.unwrap_or(timestamp_ms)
    }

    fn window(&self, timestamp_ms: i64) -> Window {
        let start_ms = self.at_ms(timestamp_ms).div_euclid(self.size_ms) * self.size_ms;
        Window { device: self.reading.device, kind: self.reading.kind, start_ms }
    }

    fn reading_fact(&self, timestamp_ms: i64, units: &mut Units) -> ReadingFact {
        let at_ms = self.at_ms(timestamp_ms);
        // A record without a timestamp has none to be late by.
        let latency_ms = if timestamp_ms < 0 { 0 } else { timestamp_ms - at_ms };
        let latency_ms = latency_ms.clamp(i32::MIN.into(), i32::MAX.into());
        ReadingFact {
            milli: self.reading.milli,
            at_ms: u32::try_from(at_ms.rem_euclid(self.size_ms)).expect("a window is shorter than a day"),
            latency_ms: i32::try_from(latency_ms).expect("clamped"),
            unit: units.number(&self.reading.unit),
            quality: self.reading.quality,
            is_anomaly: self.reading.is_anomaly,
        }
    }
}

impl Iot {
    fn size_ms(&self) -> i64 {
        self.0.windows.0.windows().size_ms
    }
}

impl Pipeline for Iot {
    const NAME: &'static str = "iot";
    const TOPIC: &'static str = "iot-sensor-stream";
    const DATABASE: &'static str = "iot_data";
    const TABLES: Tables = TABLES;

    type Record<'a> = Record<'a>;
    type Group = Window;
    type Fact = ReadingFact;
    type Interner = Units;
    type Row = WindowRow;

    fn read<'a>(&self, _key: Option<&'a [u8]>, value: &'a [u8]) -> Decoded<Record<'a>> {
        message::decode(value).map(|reading| Record { reading, size_ms: self.size_ms() })
    }

    fn apply(&self, record: &Record<'_>, timestamp_ms: i64, say: &mut impl Say<Self>) {
        say.fact(record.window(timestamp_ms), record.at_ms(timestamp_ms), |units| {
            record.reading_fact(timestamp_ms, units)
        });
    }

    fn residency(&self) -> Residency {
        Residency::Windows(self.0.windows.0.windows())
    }

    fn rejects_per_day(&self) -> Option<u64> {
        self.0.windows.0.rejects_per_day.0
    }

    fn event_ms_of(record: &Record<'_>) -> i64 {
        record.at_ms(0)
    }

    fn event_ms(window: &Window, fact: &ReadingFact) -> i64 {
        window.start_ms + i64::from(fact.at_ms)
    }

    fn slot(window: &Window) -> i64 {
        window.start_ms
    }

    fn group(record: &Record<'_>) -> Window {
        record.window(0)
    }

    fn partition_key(window: &Window) -> String {
        format!("{}/{}", window.kind, window.device)
    }

    fn fact(record: &Record<'_>, units: &mut Units) -> ReadingFact {
        record.reading_fact(0, units)
    }

    fn encode(window: &Window, fact: &ReadingFact, units: &Units, row: &mut RowWriter<'_>) {
        row.text(&window.device);
        row.text(&window.kind);
        row.i64(instant::to_postgres(window.start_ms));
        row.i32(i32::try_from(fact.at_ms).expect("a window is shorter than a day"));
        row.i64(fact.milli);
        row.text(units.of(fact));
        row.i16_or_null(fact.quality.map(i16::from));
        row.bool(fact.is_anomaly);
        row.i32(fact.latency_ms);
    }

    fn decode_group(row: &mut RowReader<'_>) -> Result<Window, ColumnError> {
        let mut name = || Name::from(row.text()?).map_err(|error| row.impossible(error));
        let (device, kind) = (name()?, name()?);
        Ok(Window { device, kind, start_ms: instant::from_postgres(row.i64()?) })
    }

    fn decode_fact(row: &mut RowReader<'_>, units: &mut Units) -> Result<ReadingFact, ColumnError> {
        let at_ms = u32::try_from(row.i32()?).map_err(|error| row.impossible(error))?;
        let milli = row.i64()?;
        let unit = units.number(row.text()?);
        let quality = row.i16_or_null()?.map(u8::try_from).transpose().map_err(|error| row.impossible(error))?;
        Ok(ReadingFact { milli, at_ms, unit, quality, is_anomaly: row.bool()?, latency_ms: row.i32()? })
    }

    fn aggregate<'a>(
        &self,
        window: &Window,
        facts: impl Iterator<Item = &'a ReadingFact>,
        about: &About,
        _: &Units,
    ) -> WindowRow {
        WindowRow::of(*window, self.size_ms(), facts, about.late)
    }

    fn encode_row(row: &WindowRow, to: &mut RowWriter<'_>) {
        row.encode(to);
    }

    async fn prepare_refresh(&self, connection: &mut PgConnection, rows: &[WindowRow]) -> anyhow::Result<()> {
        if !self.0.no_raw_rows {
            raw_rows::prepare(connection, rows).await?;
        }
        Ok(())
    }

    async fn refresh_global(&self, tx: &mut PgConnection, run: &Run) -> anyhow::Result<RunReport> {
        let added = raw_rows::add(tx, self.0.no_raw_rows).await?;
        if added.without_day > 0 {
            tracing::warn!(
                readings = added.without_day,
                "sensor_readings has 1,500 days: {} readings of others have no row; `warehouse maintain` removes old days",
                added.without_day
            );
        }
        Ok(RunReport {
            rows_written: added.rows,
            is_recorded: run.rows_written > 0 || added.rows > 0,
            summary: format!("{} windows changed, {} readings added", run.rows_written, added.rows),
        })
    }
}

/// The feed's tables in its database.
const TABLES: Tables = Tables {
    changelog: Changelog {
        table: "iot_segments",
        columns: &[
            Column::group("device_id", Kind::Text),
            Column::group("device_type", Kind::Text),
            Column::group("window_start", Kind::Timestamp),
            Column::key("at_ms", Kind::Int4),
            Column::value("value_milli", Kind::Int8),
            Column::value("unit", Kind::Text),
            Column::nullable("quality_score", Kind::Int2),
            Column::value("is_anomaly", Kind::Bool),
            Column::value("latency_ms", Kind::Int4),
        ],
    },
    cold: Some("iot_cold"),
    state: StateTable { name: "sensor_readings_stream_agg", columns: window::COLUMNS },
    derived: &["sensor_readings", "reading_progress"],
    hashed: &[Hashed::all("sensor_readings")],
    legacy: &["sensor_readings_stream_agg", "sensor_readings"],
};

//! The feed of events: what sensors report besides temperatures, by sensor and hour.

use std::{fmt, time::Duration};

use formats::instant;
use indexmap::IndexSet;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use stream::{
    About, Changelog, Decoded, Fact, Hashed, Pipeline, Residency, Run, RunReport, Say, StateTable, Tables,
    columns::{Column, ColumnError, Kind, RowReader, RowWriter},
};

use crate::{
    event_message::{self, Event},
    range::Level,
    settings::SensorSettings,
    window::Window,
};

/// The topic, unless `--events-topic` names another.
pub const TOPIC: &str = "log-data";
/// Events of an hour are a group.
const HOUR: Duration = Duration::from_secs(60 * 60);
const HOUR_MS: i64 = 60 * 60 * 1_000;
/// So many events of a refresh are logged.
const LOGGED: i64 = 20;

/// Events by sensor and hour.
#[derive(Clone, Debug)]
pub struct Events(SensorSettings);

impl Events {
    /// The feed, unless the options leave it out.
    pub fn unless_left_out(settings: SensorSettings) -> Option<Self> {
        (!settings.shared.no_events).then_some(Self(settings))
    }
}

/// A sensor's hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hour(pub Window);

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "events of {}", self.0)
    }
}

/// An event: it is known by all that it says, so that the same one counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFact {
    /// The first half of the digest of level and text.
    digest: u64,
    /// When it happened, milliseconds since its hour began.
    at_ms: u32,
    /// Its text's number among those of its hour.
    text: u32,
    level: Level,
}

impl Fact for EventFact {
    type Key = (u32, u64);

    fn key(&self) -> (u32, u64) {
        (self.at_ms, self.digest)
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

/// The texts of an hour, each once.
#[derive(Debug, Default)]
pub struct Texts(IndexSet<Box<str>>);

impl Texts {
    fn fact(&mut self, at_ms: u32, level: Level, text: &str) -> EventFact {
        let number = self.0.get_index_of(text).unwrap_or_else(|| self.0.insert_full(text.into()).0);
        let digest = Sha256::new().chain_update([level as u8]).chain_update(text).finalize();
        let digest = u64::from_be_bytes(digest[..8].try_into().expect("it has 32 bytes"));
        EventFact { digest, at_ms, text: u32::try_from(number).expect("so many texts do not fit in memory"), level }
    }

    fn text(&self, fact: &EventFact) -> &str {
        &self.0[usize::try_from(fact.text).expect("it was a place in memory")]
    }
}

/// What is known of a sensor's hour: its events, by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourRow {
    hour: Hour,
    events: Vec<(u32, Level, String)>,
}

impl Pipeline for Events {
    const NAME: &'static str = "sensors-events";
    const TOPIC: &'static str = TOPIC;
    const DATABASE: &'static str = "sensor_data";
    const TABLES: Tables = TABLES;

    type Record<'a> = Event;
    type Group = Hour;
    type Fact = EventFact;
    type Interner = Texts;
    type Row = HourRow;

    fn topic(&self) -> Option<&str> {
        Some(&self.0.shared.events_topic)
    }

    fn read<'a>(&self, _key: Option<&'a [u8]>, value: &'a [u8]) -> Decoded<Event> {
        event_message::decode(value)
    }

    fn apply(&self, event: &Event, timestamp_ms: i64, say: &mut impl Say<Self>) {
        let (hour, within) = placed(event, timestamp_ms);
        let at_ms = event.at_ms.unwrap_or(timestamp_ms);
        say.fact(hour, at_ms, |texts| texts.fact(within, event.level, &event.text));
    }

    fn residency(&self) -> Residency {
        Residency::Windows(self.0.windows.windows_of(HOUR))
    }

    fn rejects_per_day(&self) -> Option<u64> {
        self.0.windows.rejects_per_day.0
    }

    fn event_ms_of(event: &Event) -> i64 {
        event.at_ms.unwrap_or_default()
    }

    fn event_ms(hour: &Hour, fact: &EventFact) -> i64 {
        hour.0.start_ms + i64::from(fact.at_ms)
    }

    fn slot(hour: &Hour) -> i64 {
        hour.0.start_ms
    }

    fn group(event: &Event) -> Hour {
        placed(event, 0).0
    }

    fn partition_key(hour: &Hour) -> String {
        hour.0.sensor.to_string()
    }

    fn fact(event: &Event, texts: &mut Texts) -> EventFact {
        texts.fact(placed(event, 0).1, event.level, &event.text)
    }

    fn encode(hour: &Hour, fact: &EventFact, texts: &Texts, row: &mut RowWriter<'_>) {
        row.i32(hour.0.sensor);
        row.i64(instant::to_postgres(hour.0.start_ms));
        row.i32(i32::try_from(fact.at_ms).expect("an hour has 3,600,000"));
        row.text(fact.level.name());
        row.text(texts.text(fact));
    }

    fn decode_group(row: &mut RowReader<'_>) -> Result<Hour, ColumnError> {
        Ok(Hour(Window { sensor: row.i32()?, start_ms: instant::from_postgres(row.i64()?) }))
    }

    fn decode_fact(row: &mut RowReader<'_>, texts: &mut Texts) -> Result<EventFact, ColumnError> {
        let at_ms = u32::try_from(row.i32()?).map_err(|error| row.impossible(error))?;
        let level = Level::of_name(row.text()?).ok_or_else(|| row.impossible("no level"))?;
        Ok(texts.fact(at_ms, level, row.text()?))
    }

    fn aggregate<'a>(
        &self,
        hour: &Hour,
        facts: impl Iterator<Item = &'a EventFact>,
        _: &About,
        texts: &Texts,
    ) -> HourRow {
        HourRow {
            hour: *hour,
            events: facts.map(|fact| (fact.at_ms, fact.level, texts.text(fact).to_owned())).collect(),
        }
    }

    fn encode_row(row: &HourRow, to: &mut RowWriter<'_>) {
        to.i32(row.hour.0.sensor);
        to.i64(instant::to_postgres(row.hour.0.start_ms));
        to.list(row.events.iter().map(|(at_ms, ..)| at_ms));
        to.text_list(row.events.iter().map(|(_, level, _)| level.name()));
        to.text_list(row.events.iter().map(|(.., text)| text.as_str()));
    }

    async fn refresh_global(&self, tx: &mut PgConnection, run: &Run) -> anyhow::Result<RunReport> {
        let added: Vec<(i64, i32, String, String)> = sqlx::query_as(ADD_EVENTS).bind(LOGGED).fetch_all(tx).await?;
        let count = added.first().map_or(0, |(count, ..)| *count);
        for (_, sensor, level, text) in &added {
            tracing::info!("[{level}] sensor {sensor}: {text}");
        }
        if count > LOGGED {
            tracing::info!("and {} more events", count - LOGGED);
        }
        let plural = if count == 1 { "" } else { "s" };
        Ok(RunReport {
            rows_written: u64::try_from(count).unwrap_or_default(),
            is_recorded: run.rows_written > 0,
            summary: format!("{count} event{plural} added"),
        })
    }
}

/// The hour of an event, and milliseconds since that began, as its record's Kafka timestamp has it where the message does not say.
fn placed(event: &Event, timestamp_ms: i64) -> (Hour, u32) {
    let at_ms = event.at_ms.unwrap_or(timestamp_ms);
    let hour = Window::of(event.sensor, at_ms, HOUR_MS);
    (Hour(hour), u32::try_from(at_ms - hour.start_ms).expect("an hour has 3,600,000"))
}

/// Adds the events of the hours that this refresh has changed, and gives the first of those that are new.
const ADD_EVENTS: &str = "
    WITH added AS (
        INSERT INTO sensor_events (sensor_id, happened_at, level, message)
        SELECT h.sensor_id, h.hour_start + e.at_ms * interval '1 millisecond', e.level, e.message
        FROM sensor_event_hours h CROSS JOIN LATERAL unnest(h.at_ms, h.levels, h.messages) AS e (at_ms, level, message)
        WHERE h.processing_time = now()
        ON CONFLICT DO NOTHING
        RETURNING sensor_id, happened_at, level, message
    )
    SELECT count(*) OVER (), sensor_id, level, message FROM added ORDER BY happened_at, sensor_id, message LIMIT $1";

/// The feed's tables in its database.
const TABLES: Tables = Tables {
    changelog: Changelog {
        table: "sensors_events_segments",
        columns: &[
            Column::group("sensor_id", Kind::Int4),
            Column::group("hour_start", Kind::Timestamp),
            Column::key("at_ms", Kind::Int4),
            Column::key("level", Kind::Text),
            Column::key("message", Kind::Text),
        ],
    },
    cold: Some("sensors_events_cold"),
    state: StateTable {
        name: "sensor_event_hours",
        columns: &[
            Column::group("sensor_id", Kind::Int4),
            Column::group("hour_start", Kind::Timestamp),
            Column::value("at_ms", Kind::Int4List),
            Column::value("levels", Kind::TextList),
            Column::value("messages", Kind::TextList),
        ],
    },
    derived: &["sensor_events"],
    hashed: &[Hashed::all("sensor_events")],
    legacy: &[],
};

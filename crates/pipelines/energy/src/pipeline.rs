//! The energy pipeline, from message to refresh.

use clap::Args;
use sqlx::PgConnection;
use stream::{
    About, Changelog, Decoded, Hashed, Pipeline, Residency, Run, RunReport, StateTable, Tables,
    columns::{Column, ColumnError, Kind, RowReader, RowWriter},
};

use crate::{
    aggregates::{self, DayRow, aggregate},
    day::Day,
    fact::MinuteFact,
    message,
    record::Record,
    refresh,
    thousandths::Thousandths,
};

/// Settings of the consumer that only this pipeline has: none yet.
#[derive(Args, Clone, Debug)]
pub struct EnergySettings {}

/// A household's electric power by day, month and quarter.
#[derive(Clone, Debug)]
pub struct Energy(pub EnergySettings);

impl Pipeline for Energy {
    const NAME: &'static str = "energy";
    const TOPIC: &'static str = "raw_energy";
    const DATABASE: &'static str = "energy_db";
    const TABLES: Tables = TABLES;

    type Record<'a> = Record;
    type Group = Day;
    type Fact = MinuteFact;
    type Interner = ();
    type Row = DayRow;

    fn read<'a>(&self, _key: Option<&'a [u8]>, value: &'a [u8]) -> Decoded<Record> {
        message::decode(value)
    }

    /// Most days are never corrected once they are over.
    fn residency(&self) -> Residency {
        Residency::Groups
    }

    fn group(record: &Record) -> Day {
        record.day
    }

    fn partition_key(day: &Day) -> String {
        day.to_string()
    }

    fn fact(record: &Record, (): &mut ()) -> MinuteFact {
        MinuteFact { values: record.values, minute: record.minute }
    }

    fn encode(day: &Day, fact: &MinuteFact, (): &(), row: &mut RowWriter<'_>) {
        // A `date` is the days since 2000-01-01.
        row.i32(day.days());
        row.i16(i16::try_from(fact.minute).expect("a day has 1,440 minutes"));
        for value in fact.values {
            row.i32_or_null(value.get());
        }
    }

    fn decode_group(row: &mut RowReader<'_>) -> Result<Day, ColumnError> {
        let days = row.i32()?;
        Day::from_days(days).ok_or_else(|| row.impossible("not a day of the years 1 to 9999"))
    }

    fn decode_fact(row: &mut RowReader<'_>, (): &mut ()) -> Result<MinuteFact, ColumnError> {
        let minute = row.i16()?.try_into().map_err(|error| row.impossible(error))?;
        let mut values = [Thousandths::MISSING; 7];
        for value in &mut values {
            if let Some(stored) = row.i32_or_null()? {
                *value = Thousandths::from_thousandths(stored).ok_or_else(|| row.impossible("out of range"))?;
            }
        }
        Ok(MinuteFact { values, minute })
    }

    fn aggregate<'a>(&self, day: &Day, facts: impl Iterator<Item = &'a MinuteFact>, _: &About, (): &()) -> DayRow {
        aggregate(*day, facts)
    }

    fn encode_row(day: &DayRow, to: &mut RowWriter<'_>) {
        day.encode(to);
    }

    fn is_empty(day: &DayRow) -> bool {
        day.minutes == 0
    }

    async fn refresh_global(&self, tx: &mut PgConnection, run: &Run) -> anyhow::Result<RunReport> {
        refresh::refresh_global(tx, run).await
    }
}

/// The pipeline's tables in its database.
const TABLES: Tables = Tables {
    changelog: Changelog {
        table: "energy_segments",
        columns: &[
            Column::group("day", Kind::Date),
            Column::key("minute", Kind::Int2),
            Column::nullable("power_w", Kind::Int4),
            Column::nullable("reactive_var", Kind::Int4),
            Column::nullable("voltage_mv", Kind::Int4),
            Column::nullable("intensity_ma", Kind::Int4),
            Column::nullable("sub_metering_1_mwh", Kind::Int4),
            Column::nullable("sub_metering_2_mwh", Kind::Int4),
            Column::nullable("sub_metering_3_mwh", Kind::Int4),
        ],
    },
    cold: Some("energy_cold"),
    state: StateTable { name: "daily_energy", columns: aggregates::COLUMNS },
    derived: &["quarterly_energy_data"],
    hashed: &[Hashed::all("quarterly_energy_data")],
    legacy: &["quarterly_energy_data"],
};

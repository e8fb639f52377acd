//! The energy pipeline, from message to refresh.

use clap::Args;
use sqlx::PgConnection;
use stream::{
    Changelog, Coverage, Decoded, Hashed, Pipeline, RefreshReport, Tables,
    columns::{Column, ColumnError, FactReader, FactWriter, Kind},
};

use crate::{
    aggregates::{DayRow, aggregate},
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

    fn group(record: &Record) -> Day {
        record.day
    }

    fn partition_key(day: &Day) -> String {
        day.to_string()
    }

    fn fact(record: &Record, (): &mut ()) -> MinuteFact {
        MinuteFact { values: record.values, minute: record.minute }
    }

    fn encode(day: &Day, fact: &MinuteFact, (): &(), row: &mut FactWriter<'_>) {
        // A `date` is the days since 2000-01-01.
        row.i32(day.days());
        row.i16(i16::try_from(fact.minute).expect("a day has 1,440 minutes"));
        for value in fact.values {
            row.i32_or_null(value.get());
        }
    }

    fn decode_group(row: &mut FactReader<'_>) -> Result<Day, ColumnError> {
        let days = row.i32()?;
        Day::from_days(days).ok_or_else(|| row.impossible("not a day of the years 1 to 9999"))
    }

    fn decode_fact(row: &mut FactReader<'_>, (): &mut ()) -> Result<MinuteFact, ColumnError> {
        let minute = row.i16()?.try_into().map_err(|error| row.impossible(error))?;
        let mut values = [Thousandths::MISSING; 7];
        for value in &mut values {
            if let Some(stored) = row.i32_or_null()? {
                *value = Thousandths::from_thousandths(stored).ok_or_else(|| row.impossible("out of range"))?;
            }
        }
        Ok(MinuteFact { values, minute })
    }

    fn aggregate<'a>(&self, day: &Day, facts: impl Iterator<Item = &'a MinuteFact>, (): &()) -> DayRow {
        aggregate(*day, facts)
    }

    async fn upsert(&self, tx: &mut PgConnection, rows: &[DayRow]) -> Result<u64, sqlx::Error> {
        refresh::upsert(tx, rows).await
    }

    async fn refresh_global(&self, tx: &mut PgConnection, coverage: &Coverage) -> anyhow::Result<RefreshReport> {
        refresh::refresh_global(tx, coverage).await
    }
}

/// The pipeline's tables in its database.
const TABLES: Tables = Tables {
    changelog: Changelog {
        table: "energy_segments",
        columns: &[
            Column::key("day", Kind::Date),
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
    derived: &["daily_energy", "quarterly_energy_data"],
    hashed: &[
        Hashed {
            table: "daily_energy",
            query: "SELECT (day, minutes, watt_minutes, peak_w, sub_metering_1_mwh, sub_metering_2_mwh,
                            sub_metering_3_mwh, voltage_mv, voltage_minutes, hour_watt_minutes, hour_minutes)::text
                    FROM daily_energy ORDER BY day",
        },
        Hashed {
            table: "quarterly_energy_data",
            query: "SELECT (quarter, total_energy_wh, record_count, watt_minutes, expected_minutes, missing_minutes,
                            coverage, average_kw, peak_kw, sub_metering_1_wh, sub_metering_2_wh, sub_metering_3_wh,
                            unmetered_wh, mean_voltage)::text
                    FROM quarterly_energy_data ORDER BY quarter",
        },
    ],
    legacy: &["quarterly_energy_data"],
};

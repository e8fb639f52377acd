//! The quarters and the load profile, as the consumer left them.

use sqlx::{FromRow, PgConnection};

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) whole: Whole,
    /// By time.
    pub(crate) quarters: Vec<Quarter>,
    /// By weekday and hour.
    pub(crate) profile: Vec<Cell>,
}

/// All days together.
#[derive(Debug, FromRow)]
pub(crate) struct Whole {
    pub(crate) days: i64,
    /// Minutes with power.
    pub(crate) minutes: i64,
    pub(crate) watt_minutes: i64,
}

/// A calendar quarter.
#[derive(Debug, FromRow)]
pub(crate) struct Quarter {
    /// Such as `2006-Q4`.
    pub(crate) label: String,
    pub(crate) total_energy_wh: f64,
    /// Minutes with power.
    pub(crate) record_count: i64,
    pub(crate) missing_minutes: i64,
    pub(crate) average_kw: f64,
    pub(crate) peak_kw: f64,
    pub(crate) sub_metering_1_wh: f64,
    pub(crate) sub_metering_2_wh: f64,
    pub(crate) sub_metering_3_wh: f64,
    /// What no sub-meter counts.
    pub(crate) unmetered_wh: f64,
}

impl Quarter {
    /// The energy by meter, watt-hours; the last is the rest.
    pub(crate) fn by_meter_wh(&self) -> [f64; 4] {
        [self.sub_metering_1_wh, self.sub_metering_2_wh, self.sub_metering_3_wh, self.unmetered_wh]
    }

    /// The same as shares of the quarter's energy, 0 to 1; `None` where there is none.
    pub(crate) fn shares(&self) -> [Option<f64>; 4] {
        let total_wh = Some(self.total_energy_wh).filter(|total_wh| *total_wh > 0.0);
        self.by_meter_wh().map(|wh| Some(wh / total_wh?))
    }
}

/// An hour of a weekday.
#[derive(Debug, FromRow)]
pub(crate) struct Cell {
    /// 1 Monday to 7 Sunday.
    pub(crate) weekday: i32,
    pub(crate) weekday_name: String,
    /// 0 to 23.
    pub(crate) hour: i32,
    /// `None` where there is no minute of it.
    pub(crate) average_kw: Option<f64>,
}

/// Reads it all.
pub(crate) async fn read(database: &mut PgConnection) -> sqlx::Result<Tables> {
    let whole = sqlx::query_as(
        "SELECT count(*) AS days, coalesce(sum(minutes), 0)::bigint AS minutes,
                coalesce(sum(watt_minutes), 0)::bigint AS watt_minutes
         FROM daily_energy",
    )
    .fetch_one(&mut *database)
    .await?;
    let quarters = sqlx::query_as(
        r#"SELECT to_char(quarter, 'YYYY-"Q"Q') AS label, total_energy_wh, record_count, missing_minutes,
                  average_kw, peak_kw, sub_metering_1_wh, sub_metering_2_wh, sub_metering_3_wh, unmetered_wh
           FROM quarterly_energy_data ORDER BY quarter"#,
    )
    .fetch_all(&mut *database)
    .await?;
    let profile =
        sqlx::query_as("SELECT weekday, weekday_name, hour, average_kw FROM daily_load_profile ORDER BY weekday, hour")
            .fetch_all(database)
            .await?;
    Ok(Tables { whole, quarters, profile })
}

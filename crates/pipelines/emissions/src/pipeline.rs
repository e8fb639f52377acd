//! The emissions pipeline, from message to refresh.

use sqlx::PgConnection;
use stream::{
    About, Changelog, Decoded, Hashed, Pipeline, Run, RunReport, StateTable, Tables,
    columns::{Column, ColumnError, Kind, RowReader, RowWriter},
};

use crate::{
    aggregates::{self, CountryAggregate, aggregate},
    fact::{Names, YearFact},
    iso_code::IsoCode,
    measure::Measure,
    message,
    record::{MEASURES, Record},
    refresh,
    settings::EmissionsSettings,
};

/// Countries clustered by their CO₂ emissions.
#[derive(Clone, Debug)]
pub struct Emissions(pub EmissionsSettings);

impl Pipeline for Emissions {
    const NAME: &'static str = "emissions";
    const TOPIC: &'static str = "emissions-topic";
    const DATABASE: &'static str = "co2_emissions";
    const TABLES: Tables = TABLES;

    type Record<'a> = Record<'a>;
    type Group = IsoCode;
    type Fact = YearFact;
    type Interner = Names;
    type Row = CountryAggregate;

    fn read<'a>(&self, _key: Option<&'a [u8]>, value: &'a [u8]) -> Decoded<Record<'a>> {
        message::decode(value)
    }

    fn group(record: &Record<'_>) -> IsoCode {
        record.iso_code
    }

    fn partition_key(iso_code: &IsoCode) -> String {
        iso_code.to_string()
    }

    fn fact(record: &Record<'_>, names: &mut Names) -> YearFact {
        YearFact { measures: record.measures, name: names.intern(&record.country), year: record.year }
    }

    fn encode(iso_code: &IsoCode, fact: &YearFact, names: &Names, row: &mut RowWriter<'_>) {
        row.text(iso_code.as_str());
        row.text(names.text(fact.name));
        row.i16(i16::try_from(fact.year).expect("a year is at most 9999"));
        for measure in fact.measures {
            row.f64_or_null(measure.get());
        }
    }

    fn decode_group(row: &mut RowReader<'_>) -> Result<IsoCode, ColumnError> {
        row.text()?.try_into().map_err(|error| row.impossible(error))
    }

    fn decode_fact(row: &mut RowReader<'_>, names: &mut Names) -> Result<YearFact, ColumnError> {
        let name = names.intern(row.text()?);
        let year = row.i16()?.try_into().map_err(|error| row.impossible(error))?;
        let mut measures = [Measure::MISSING; MEASURES.len()];
        for measure in &mut measures {
            if let Some(value) = row.f64_or_null()? {
                *measure = Measure::new(value).ok_or_else(|| row.impossible("not finite"))?;
            }
        }
        Ok(YearFact { measures, name, year })
    }

    fn aggregate<'a>(
        &self,
        iso_code: &IsoCode,
        facts: impl Iterator<Item = &'a YearFact>,
        _: &About,
        names: &Names,
    ) -> CountryAggregate {
        aggregate(iso_code, facts, names)
    }

    fn encode_row(country: &CountryAggregate, to: &mut RowWriter<'_>) {
        country.encode(to);
    }

    async fn refresh_global(&self, tx: &mut PgConnection, run: &Run) -> anyhow::Result<RunReport> {
        refresh::refresh_global(tx, &self.0, run).await
    }
}

/// The pipeline's tables in its database.
const TABLES: Tables = Tables {
    changelog: Changelog {
        table: "emissions_segments",
        columns: &[
            Column::group("iso_code", Kind::Text),
            Column::value("country", Kind::Text),
            Column::key("year", Kind::Int2),
            Column::nullable("population", Kind::Float8),
            Column::nullable("gdp", Kind::Float8),
            Column::nullable("co2", Kind::Float8),
            Column::nullable("co2_per_capita", Kind::Float8),
        ],
    },
    cold: None,
    state: StateTable { name: "country_aggregates", columns: aggregates::COLUMNS },
    derived: &["co2_clusters", "cluster_stats", "co2_cluster_history", "cluster_moves", "cluster_runs"],
    hashed: &[
        Hashed::all("co2_clusters"),
        Hashed { table: "cluster_stats", rows: "batch_id = (SELECT max(batch_id) FROM cluster_runs WHERE complete)" },
    ],
    legacy: &["co2_clusters", "cluster_stats", "cluster_analysis", "top_emitters_by_cluster"],
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stream::groups::read_back;

    use super::*;

    fn measures() -> impl Strategy<Value = Measure> {
        prop_oneof![Just(Measure::MISSING), (0.0..1e15).prop_map(|value| Measure::new(value).unwrap())]
    }

    proptest! {
        #[test]
        fn a_fact_is_read_back_as_it_was_written(
            code in "[A-Z]{1,32}",
            country in "[^\\p{Cc}]{1,200}",
            year in 1_u16..=9999,
            measures in prop::collection::vec(measures(), MEASURES.len()),
        ) {
            let mut names = Names::default();
            let iso_code = IsoCode::try_from(&*code).unwrap();
            let measures = measures.try_into().unwrap();
            let fact = YearFact { measures, name: names.intern(&country), year };
            prop_assert_eq!(read_back::<Emissions>(&iso_code, &fact, &mut names), Ok((iso_code, fact)));
        }
    }
}

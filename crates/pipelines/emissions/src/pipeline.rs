//! The emissions pipeline, from message to refresh.

use sqlx::PgConnection;
use stream::{
    Changelog, Coverage, Decoded, Hashed, Pipeline, RefreshReport, Tables,
    columns::{Column, ColumnError, FactReader, FactWriter, Kind},
};

use crate::{
    aggregates::{CountryAggregate, aggregate},
    fact::{Names, YearFact},
    iso_code::IsoCode,
    measure::Measure,
    message,
    record::Record,
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
        YearFact {
            population: record.population,
            gdp: record.gdp,
            co2: record.co2,
            co2_per_capita: record.co2_per_capita,
            name: names.intern(&record.country),
            year: record.year,
        }
    }

    fn encode(iso_code: &IsoCode, fact: &YearFact, names: &Names, row: &mut FactWriter<'_>) {
        row.text(iso_code.as_str());
        row.text(names.text(fact.name));
        row.i16(i16::try_from(fact.year).expect("a year is at most 9999"));
        for measure in [fact.population, fact.gdp, fact.co2, fact.co2_per_capita] {
            row.f64_or_null(measure.get());
        }
    }

    fn decode_group(row: &mut FactReader<'_>) -> Result<IsoCode, ColumnError> {
        row.text()?.try_into().map_err(|error| row.impossible(error))
    }

    fn decode_fact(row: &mut FactReader<'_>, names: &mut Names) -> Result<YearFact, ColumnError> {
        let name = names.intern(row.text()?);
        let year = row.i16()?.try_into().map_err(|error| row.impossible(error))?;
        let mut measure = || match row.f64_or_null()? {
            None => Ok(Measure::MISSING),
            Some(value) => Measure::new(value).ok_or_else(|| row.impossible("not finite")),
        };
        let (population, gdp) = (measure()?, measure()?);
        let (co2, co2_per_capita) = (measure()?, measure()?);
        Ok(YearFact { population, gdp, co2, co2_per_capita, name, year })
    }

    fn aggregate<'a>(
        &self,
        iso_code: &IsoCode,
        facts: impl Iterator<Item = &'a YearFact>,
        names: &Names,
    ) -> CountryAggregate {
        aggregate(iso_code, facts, names)
    }

    async fn upsert(&self, tx: &mut PgConnection, rows: &[CountryAggregate]) -> Result<u64, sqlx::Error> {
        refresh::upsert(tx, rows).await
    }

    async fn refresh_global(&self, tx: &mut PgConnection, coverage: &Coverage) -> anyhow::Result<RefreshReport> {
        refresh::refresh_global(tx, &self.0, coverage).await
    }
}

/// The pipeline's tables in its database.
const TABLES: Tables = Tables {
    changelog: Changelog {
        table: "emissions_segments",
        columns: &[
            Column::key("iso_code", Kind::Text),
            Column::value("country", Kind::Text),
            Column::key("year", Kind::Int2),
            Column::nullable("population", Kind::Float8),
            Column::nullable("gdp", Kind::Float8),
            Column::nullable("co2", Kind::Float8),
            Column::nullable("co2_per_capita", Kind::Float8),
        ],
    },
    derived: &[
        "country_aggregates",
        "co2_clusters",
        "cluster_stats",
        "co2_cluster_history",
        "cluster_moves",
        "cluster_runs",
    ],
    hashed: &[
        Hashed {
            table: "country_aggregates",
            query: "SELECT (iso_code, country, avg_co2, avg_co2_per_capita, avg_gdp, avg_population, data_points,
                            first_year, last_year, avg_co2_recent, co2_years, co2_first_year, co2_last_year,
                            not_clustered_because)::text
                    FROM country_aggregates ORDER BY iso_code",
        },
        Hashed {
            table: "co2_clusters",
            query: "SELECT (country, iso_code, avg_co2, avg_co2_per_capita, avg_gdp, avg_population, data_points,
                            first_year, last_year, avg_co2_recent, cluster)::text
                    FROM co2_clusters ORDER BY iso_code",
        },
        Hashed {
            table: "cluster_stats",
            query: "SELECT (cluster, num_countries, avg_co2_cluster, avg_co2_per_capita_cluster, avg_gdp_cluster,
                            silhouette_score)::text
                    FROM cluster_stats WHERE batch_id = (SELECT max(batch_id) FROM cluster_runs WHERE complete)
                    ORDER BY cluster",
        },
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
            values in [measures(), measures(), measures(), measures()],
        ) {
            let mut names = Names::default();
            let iso_code = IsoCode::try_from(&*code).unwrap();
            let [population, gdp, co2, co2_per_capita] = values;
            let fact = YearFact { population, gdp, co2, co2_per_capita, name: names.intern(&country), year };
            prop_assert_eq!(read_back::<Emissions>(&iso_code, &fact, &mut names), Ok((iso_code, fact)));
        }
    }
}

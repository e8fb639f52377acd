//! A country's row: its facts taken together.

use stream::columns::{Column, ColumnError, Kind, RowReader, RowWriter};

use crate::{
    fact::{Names, YearFact},
    iso_code::IsoCode,
    record::{CO2, CO2_PER_CAPITA, GDP, MEASURES, POPULATION},
};

/// The first year of `avg_co2_recent`: old enough to smooth single years, young enough to be today's economy.
pub const RECENT_FROM: u16 = 2010;

/// What a country's facts say, taken together.
///
/// A mean is that of the years that have a value, `None` when no year has one.
#[derive(Clone, Debug, PartialEq)]
pub struct CountryAggregate {
    /// The country's code.
    pub iso_code: IsoCode,
    /// The country's name in its latest year.
    pub country: String,
    /// The means of [`MEASURES`], a year.
    pub means: [Option<f64>; MEASURES.len()],
    /// The number of facts, whatever is missing in them.
    pub data_points: i32,
    /// The first year of them.
    pub first_year: i32,
    /// The last year of them.
    pub last_year: i32,
    /// Million tonnes a year, from [`RECENT_FROM`] on.
    pub avg_co2_recent: Option<f64>,
    /// The number of years with a value of co2.
    pub co2_years: i32,
    /// The first of these.
    pub co2_first_year: Option<i32>,
    /// The last of these.
    pub co2_last_year: Option<i32>,
}

/// The columns of `country_aggregates`, in which a country is stored; `not_clustered_because` is a model run's.
pub const COLUMNS: &[Column] = &[
    Column::group("iso_code", Kind::Text),
    Column::value("country", Kind::Text),
    Column::nullable("avg_co2", Kind::Float8),
    Column::nullable("avg_co2_per_capita", Kind::Float8),
    Column::nullable("avg_gdp", Kind::Float8),
    Column::nullable("avg_population", Kind::Float8),
    Column::value("data_points", Kind::Int4),
    Column::value("first_year", Kind::Int4),
    Column::value("last_year", Kind::Int4),
    Column::nullable("avg_co2_recent", Kind::Float8),
    Column::value("co2_years", Kind::Int4),
    Column::nullable("co2_first_year", Kind::Int4),
    Column::nullable("co2_last_year", Kind::Int4),
];
/// The number of columns at the end that `co2_clusters` does not have.
const CO2_YEARS: usize = 3;

/// The columns of a country that `co2_clusters` has too.
pub fn clustered_columns() -> Vec<&'static str> {
    COLUMNS[..COLUMNS.len() - CO2_YEARS].iter().map(|column| column.name).collect()
}

/// The order in which the means are among them.
const STORED: [usize; MEASURES.len()] = [CO2, CO2_PER_CAPITA, GDP, POPULATION];

impl CountryAggregate {
    /// Writes it, in the order of [`COLUMNS`].
    pub fn encode(&self, to: &mut RowWriter<'_>) {
        to.text(self.iso_code.as_str());
        to.text(&self.country);
        for measure in STORED {
            to.f64_or_null(self.means[measure]);
        }
        for number in [self.data_points, self.first_year, self.last_year] {
            to.i32(number);
        }
        to.f64_or_null(self.avg_co2_recent);
        to.i32(self.co2_years);
        to.i32_or_null(self.co2_first_year);
        to.i32_or_null(self.co2_last_year);
    }

    /// Reads what [`CountryAggregate::encode`] wrote.
    ///
    /// # Errors
    /// When a column does not hold what it should.
    pub fn decode(row: &mut RowReader<'_>) -> Result<Self, ColumnError> {
        let iso_code = row.text()?.try_into().map_err(|error| row.impossible(error))?;
        let country = row.text()?.to_owned();
        let mut means = [None; MEASURES.len()];
        for measure in STORED {
            means[measure] = row.f64_or_null()?;
        }
        Ok(Self {
            iso_code,
            country,
            means,
            data_points: row.i32()?,
            first_year: row.i32()?,
            last_year: row.i32()?,
            avg_co2_recent: row.f64_or_null()?,
            co2_years: row.i32()?,
            co2_first_year: row.i32_or_null()?,
            co2_last_year: row.i32_or_null()?,
        })
    }
}

/// Takes a country's facts together; they come in the order of their years, and there is one at least.
///
/// Sums run in that order, so that the same facts give the same bits. A value is at most 1e15 and
/// a country has at most 9,999 facts, so that no sum leaves the range.
pub fn aggregate<'a>(iso_code: &IsoCode, facts: impl Iterator<Item = &'a YearFact>, names: &Names) -> CountryAggregate {
    let (mut sums, mut recent, mut years) = (<[Sum; MEASURES.len()]>::default(), Sum::default(), Years::default());
    let mut last = None;
    for fact in facts {
        years.add(fact.year);
        for (sum, measure) in sums.iter_mut().zip(fact.measures) {
            sum.add(fact.year, measure.get());
        }
        recent.add(fact.year, fact.measures[CO2].get().filter(|_| fact.year >= RECENT_FROM));
        last = Some(fact.name);
    }
    CountryAggregate {
        iso_code: *iso_code,
        country: last.map_or(iso_code.as_str(), |name| names.text(name)).to_owned(),
        means: sums.each_ref().map(Sum::mean),
        data_points: years.count,
        first_year: years.first.unwrap_or_default(),
        last_year: years.last.unwrap_or_default(),
        avg_co2_recent: recent.mean(),
        co2_years: sums[CO2].years.count,
        co2_first_year: sums[CO2].years.first,
        co2_last_year: sums[CO2].years.last,
    }
}

/// The values of one measure, added up.
#[derive(Default)]
struct Sum {
    total: f64,
    years: Years,
}

impl Sum {
    fn add(&mut self, year: u16, value: Option<f64>) {
        if let Some(value) = value {
            self.total += value;
            self.years.add(year);
        }
    }

    fn mean(&self) -> Option<f64> {
        (self.years.count > 0).then(|| self.total / f64::from(self.years.count))
    }
}

/// Years in ascending order, counted.
#[derive(Default)]
struct Years {
    count: i32,
    first: Option<i32>,
    last: Option<i32>,
}

impl Years {
    fn add(&mut self, year: u16) {
        self.count += 1;
        self.first = self.first.or(Some(i32::from(year)));
        self.last = Some(i32::from(year));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measure;

    fn country(rows: &[(u16, &str, Option<f64>, Option<f64>)]) -> CountryAggregate {
        let mut names = Names::default();
        let measure = |value: Option<f64>| value.map_or(Measure::MISSING, |value| Measure::new(value).unwrap());
        let fact = |&(year, name, co2, gdp): &(u16, &str, Option<f64>, Option<f64>)| YearFact {
            measures: [Measure::new(1e15).unwrap(), measure(gdp), measure(co2), Measure::MISSING],
            name: names.intern(name),
            year,
        };
        let facts: Vec<YearFact> = rows.iter().map(fact).collect();
        aggregate(&IsoCode::try_from("SWZ").unwrap(), facts.iter(), &names)
    }

    #[test]
    fn a_mean_is_that_of_the_years_with_a_value() {
        let found = country(&[
            (1999, "Swaziland", None, Some(10.0)),
            (2001, "Swaziland", Some(1.0), None),
            (2010, "Swaziland", Some(2.0), None),
            (2018, "Eswatini", Some(6.0), None),
            (2020, "Eswatini", None, None),
        ]);
        let expected = CountryAggregate {
            iso_code: IsoCode::try_from("SWZ").unwrap(),
            country: "Eswatini".to_owned(),
            means: [Some(1e15), Some(10.0), Some(3.0), None],
            avg_co2_recent: Some(4.0),
            data_points: 5,
            first_year: 1999,
            last_year: 2020,
            co2_years: 3,
            co2_first_year: Some(2001),
            co2_last_year: Some(2018),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn the_largest_values_keep_a_finite_mean() {
        let rows: Vec<_> = (1..=9999).map(|year| (year, "Large", None, Some(1e15))).collect();
        let found = country(&rows);
        assert_eq!((found.means[GDP], found.data_points, found.avg_co2_recent), (Some(1e15), 9999, None));
    }
}

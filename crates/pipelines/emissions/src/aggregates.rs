//! A country's row: its facts taken together.

use crate::{
    fact::{Names, YearFact},
    iso_code::IsoCode,
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
    /// Million tonnes a year.
    pub avg_co2: Option<f64>,
    /// Tonnes per person a year.
    pub avg_co2_per_capita: Option<f64>,
    /// International-$ of 2011 a year.
    pub avg_gdp: Option<f64>,
    /// Persons.
    pub avg_population: Option<f64>,
    /// Million tonnes a year, from [`RECENT_FROM`] on.
    pub avg_co2_recent: Option<f64>,
    /// The number of facts, whatever is missing in them.
    pub data_points: i32,
    /// The first year of them.
    pub first_year: i32,
    /// The last year of them.
    pub last_year: i32,
    /// The number of years with a value of co2.
    pub co2_years: i32,
    /// The first of these.
    pub co2_first_year: Option<i32>,
    /// The last of these.
    pub co2_last_year: Option<i32>,
}

/// Takes a country's facts together; they come in the order of their years, and there is one at least.
///
/// Sums run in that order, so that the same facts give the same bits. A value is at most 1e15 and
/// a country has at most 9,999 facts, so that no sum leaves the range.
pub fn aggregate<'a>(iso_code: &IsoCode, facts: impl Iterator<Item = &'a YearFact>, names: &Names) -> CountryAggregate {
    let mut sums = Sums::default();
    facts.for_each(|fact| sums.add(fact));
    CountryAggregate {
        iso_code: *iso_code,
        country: sums.last.map_or(iso_code.as_str(), |fact| names.text(fact.name)).to_owned(),
        avg_co2: sums.co2.mean(),
        avg_co2_per_capita: sums.co2_per_capita.mean(),
        avg_gdp: sums.gdp.mean(),
        avg_population: sums.population.mean(),
        avg_co2_recent: sums.co2_recent.mean(),
        data_points: sums.years.count,
        first_year: sums.years.first.unwrap_or_default(),
        last_year: sums.years.last.unwrap_or_default(),
        co2_years: sums.co2.years.count,
        co2_first_year: sums.co2.years.first,
        co2_last_year: sums.co2.years.last,
    }
}

#[derive(Default)]
struct Sums {
    population: Sum,
    gdp: Sum,
    co2: Sum,
    co2_per_capita: Sum,
    co2_recent: Sum,
    years: Years,
    last: Option<YearFact>,
}

impl Sums {
    fn add(&mut self, fact: &YearFact) {
        self.years.add(fact.year);
        self.population.add(fact.year, fact.population.get());
        self.gdp.add(fact.year, fact.gdp.get());
        self.co2.add(fact.year, fact.co2.get());
        self.co2_per_capita.add(fact.year, fact.co2_per_capita.get());
        self.co2_recent.add(fact.year, fact.co2.get().filter(|_| fact.year >= RECENT_FROM));
        self.last = Some(*fact);
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
            population: Measure::new(1e15).unwrap(),
            gdp: measure(gdp),
            co2: measure(co2),
            co2_per_capita: Measure::MISSING,
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
            avg_co2: Some(3.0),
            avg_co2_per_capita: None,
            avg_gdp: Some(10.0),
            avg_population: Some(1e15),
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
        assert_eq!((found.avg_gdp, found.data_points, found.avg_co2_recent), (Some(1e15), 9999, None));
    }
}

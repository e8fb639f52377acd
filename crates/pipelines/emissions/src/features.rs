//! What countries are compared by, as a matrix.

use std::{fmt, ops::Deref, str::FromStr};

use ndarray::Array2;

use crate::{
    aggregates::CountryAggregate,
    record::{CO2, CO2_PER_CAPITA, GDP, POPULATION},
};

/// The fewest facts a country is clustered with: fewer years are too little for a mean.
pub const MIN_DATA_POINTS: i32 = 5;

/// One thing that countries are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Million tonnes a year.
    AvgCo2,
    /// Tonnes per person a year.
    AvgCo2PerCapita,
    /// International-$ of 2011 a year.
    AvgGdp,
    /// Persons.
    AvgPopulation,
    /// Million tonnes a year, of the recent years only.
    AvgCo2Recent,
}

impl Feature {
    /// Every feature, in the order in which a matrix has them.
    pub const ALL: [Self; 5] =
        [Self::AvgCo2, Self::AvgCo2PerCapita, Self::AvgGdp, Self::AvgPopulation, Self::AvgCo2Recent];

    /// The feature's name, as in settings and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::AvgCo2 => "avg_co2",
            Self::AvgCo2PerCapita => "avg_co2_per_capita",
            Self::AvgGdp => "avg_gdp",
            Self::AvgPopulation => "avg_population",
            Self::AvgCo2Recent => "avg_co2_recent",
        }
    }

    /// A country's value, in the feature's own unit.
    pub fn of(self, country: &CountryAggregate) -> Option<f64> {
        let value = match self {
            Self::AvgCo2 => country.means[CO2],
            Self::AvgCo2PerCapita => country.means[CO2_PER_CAPITA],
            Self::AvgGdp => country.means[GDP],
            Self::AvgPopulation => country.means[POPULATION],
            Self::AvgCo2Recent => country.avg_co2_recent,
        };
        value.filter(|value| value.is_finite())
    }
}

/// Some features, each once, in the order of [`Feature::ALL`]; one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features(Vec<Feature>);

/// A list that names no features.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFeatures {
    /// A name that no feature has.
    #[error("`{0}` is no feature: choose from {all}", all = join(&Feature::ALL))]
    Unknown(String),
    /// A feature that would count twice.
    #[error("`{0}` is named twice")]
    Twice(&'static str),
}

impl Default for Features {
    fn default() -> Self {
        Self(vec![Feature::AvgCo2, Feature::AvgCo2PerCapita, Feature::AvgGdp, Feature::AvgPopulation])
    }
}

impl Deref for Features {
    type Target = [Feature];

    fn deref(&self) -> &[Feature] {
        &self.0
    }
}

impl FromStr for Features {
    type Err = NotFeatures;

    fn from_str(text: &str) -> Result<Self, NotFeatures> {
        let mut features = Vec::new();
        for name in text.split(',').map(str::trim) {
            let named = Feature::ALL.into_iter().find(|feature| feature.name() == name);
            let feature = named.ok_or_else(|| NotFeatures::Unknown(name.to_owned()))?;
            if features.contains(&feature) {
                return Err(NotFeatures::Twice(feature.name()));
            }
            features.push(feature);
        }
        features.sort_unstable();
        Ok(Self(features))
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join(self))
    }
}

/// What is done to a feature before it is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transform {
    /// Nothing: large countries stand apart.
    None,
    /// The natural logarithm: countries are compared by orders of magnitude.
    Log,
}

impl Transform {
    /// The transform's name, as in settings and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Log => "log",
        }
    }

    /// Transforms a feature's value.
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Self::None => value,
            Self::Log => value.ln(),
        }
    }
}

/// Why a country cannot be clustered, for a person to read; `None` when it can.
pub fn not_clustered(country: &CountryAggregate, features: &Features, transform: Transform) -> Option<String> {
    let unusable = |usable: fn(f64) -> bool| -> Vec<Feature> {
        features.iter().copied().filter(|feature| !feature.of(country).is_some_and(usable)).collect()
    };
    let missing = unusable(|_| true);
    if !missing.is_empty() {
        return Some(format!("no value of {}", join(&missing)));
    }
    if country.data_points < MIN_DATA_POINTS {
        return Some(format!("{} data points are fewer than {MIN_DATA_POINTS}", country.data_points));
    }
    let without_log = unusable(|value| value > 0.0);
    match transform {
        Transform::Log if !without_log.is_empty() => {
            Some(format!("no logarithm of {}: not above 0", join(&without_log)))
        }
        _ => None,
    }
}

/// The features of countries, of shape `(n_countries, n_features)`, transformed, not yet scaled.
///
/// # Panics
/// When a country cannot be clustered: see [`not_clustered`].
pub fn matrix(countries: &[&CountryAggregate], features: &Features, transform: Transform) -> Array2<f64> {
    Array2::from_shape_fn((countries.len(), features.len()), |(row, column)| {
        let value = features[column].of(countries[row]).expect("a country that can be clustered has it");
        transform.apply(value)
    })
}

fn join(features: &[Feature]) -> String {
    features.iter().map(|feature| feature.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::clusters::tests::{country, without};

    fn features(names: &str) -> Features {
        names.parse().unwrap()
    }

    #[test]
    fn features_are_named_once_and_have_one_order() {
        let check = |text: &str, expected: &str| {
            let found =
                text.parse::<Features>().map_or_else(|error| error.to_string(), |features| features.to_string());
            assert_eq!(found, expected);
        };
        check("avg_gdp,avg_co2", "avg_co2, avg_gdp");
        check(" avg_co2_recent ", "avg_co2_recent");
        check("avg_co2,avg_co2", "`avg_co2` is named twice");
        let all = "avg_co2, avg_co2_per_capita, avg_gdp, avg_population, avg_co2_recent";
        check("co2", &format!("`co2` is no feature: choose from {all}"));
        check("", &format!("`` is no feature: choose from {all}"));
    }

    #[test]
    fn a_country_that_cannot_be_clustered_says_why() {
        let whole = country("AAA", [1.0, 2.0, 3.0, 4.0]);
        let check = |country: &CountryAggregate, transform, expected: Option<&str>| {
            let found = not_clustered(country, &features("avg_co2,avg_gdp"), transform);
            assert_eq!(found.as_deref(), expected);
        };
        check(&whole, Transform::Log, None);
        let no_gdp = CountryAggregate { data_points: 1, ..without(GDP, whole.clone()) };
        check(&no_gdp, Transform::None, Some("no value of avg_gdp"));
        let mut nothing = no_gdp;
        nothing.means[CO2] = Some(f64::INFINITY);
        check(&nothing, Transform::None, Some("no value of avg_co2, avg_gdp"));
        let short = CountryAggregate { data_points: 4, ..whole.clone() };
        check(&short, Transform::None, Some("4 data points are fewer than 5"));
        let mut sink = whole.clone();
        sink.means[CO2] = Some(0.0);
        check(&sink, Transform::None, None);
        check(&sink, Transform::Log, Some("no logarithm of avg_co2: not above 0"));
        // A feature that is not asked for may be missing.
        check(&without(POPULATION, whole), Transform::None, None);
    }

    #[test]
    fn a_row_is_a_country_and_a_column_a_feature() {
        let countries = [country("AAA", [1.0, 2.0, 3.0, 4.0]), country("BBB", [5.0, 6.0, 7.0, 8.0])];
        let countries: Vec<&CountryAggregate> = countries.iter().collect();
        let found = matrix(&countries, &features("avg_population,avg_co2"), Transform::None);
        assert_eq!(found, array![[1.0, 4.0], [5.0, 8.0]]);
        let found = matrix(&countries, &features("avg_gdp"), Transform::Log);
        assert_eq!(found, array![[3.0_f64.ln()], [7.0_f64.ln()]]);
    }
}

//! Countries divided into clusters, named by a stated rule.
//!
//! Labels 0, 1, 2 … ascend by the mean of the centroid's standardised values: 0 is low and
//! developing, the last one high and industrialised.

use std::{fmt, ops::RangeInclusive};

use ndarray::Array2;
use stats::{
    choose_k::choose_k,
    k_means::{Fit, FitError, KMeans, fit},
    scaling::standardise,
    silhouette::{Silhouette, silhouette},
};

use crate::{
    aggregates::CountryAggregate,
    features::{Feature, matrix, not_clustered},
    model_settings::{ClusterCount, ModelSettings},
    moves::FeatureSpace,
    record::CO2,
};

/// The numbers of clusters that `auto` chooses from: more than a person can name would say nothing.
const AUTO: RangeInclusive<usize> = 2..=8;

/// How many members of the last cluster a summary names.
const NAMED: usize = 3;

/// What came of a model run.
#[derive(Clone, Debug, PartialEq)]
pub enum Modelled {
    /// The clusters.
    Clusters(Model),
    /// There are no clusters: fewer countries that differ than clusters asked for.
    TooFew {
        /// The countries that have all features.
        countries: usize,
        /// How many of them differ.
        distinct: usize,
        /// The clusters asked for; with `auto` the least number.
        k: usize,
    },
}

/// Countries divided into clusters, and what divided them.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The features, their scaler and the clusters' centroids.
    pub space: FeatureSpace,
    /// Every clustered country, ordered by iso_code.
    pub countries: Vec<Clustered>,
    /// The clusters, ordered by label.
    pub clusters: Vec<Cluster>,
    /// The number of clusters.
    pub k: i32,
    /// The seed of the random starts.
    pub seed: u64,
    /// How many starts were made: fewer than asked for when there are many countries.
    pub restarts: i32,
    /// The share of the starts that ended in these clusters, above 0 and at most 1.
    pub best_share: f64,
    /// The sum of the countries' squared distances to their centroids, in squared standard deviations.
    pub inertia: f64,
    /// The mean silhouette of all countries, squared Euclidean, −1 to 1.
    pub silhouette: f64,
}

/// A country and its cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Clustered {
    /// The country's figures.
    pub country: CountryAggregate,
    /// The label of its cluster, from 0 on.
    pub cluster: i32,
    /// Its squared distance to each centroid, in squared standard deviations, of shape `(k,)`.
    pub squared_distances: Vec<f64>,
    /// Its silhouette, squared Euclidean, −1 to 1; 0 when it is alone in its cluster.
    pub silhouette: f64,
}

/// A cluster taken together; its means are those of the countries that have a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The label, from 0 on.
    pub cluster: i32,
    /// The number of its countries.
    pub num_countries: i32,
    /// Million tonnes a year.
    pub avg_co2: Option<f64>,
    /// Tonnes per person a year.
    pub avg_co2_per_capita: Option<f64>,
    /// International-$ of 2011 a year.
    pub avg_gdp: Option<f64>,
    /// Persons.
    pub avg_population: Option<f64>,
    /// The mean silhouette of its countries, squared Euclidean, −1 to 1.
    pub silhouette: f64,
}

/// Clusters the countries that can be clustered, in the order of their codes.
pub fn model(aggregates: &[CountryAggregate], settings: &ModelSettings) -> Modelled {
    let mut countries: Vec<&CountryAggregate> = aggregates
        .iter()
        .filter(|country| not_clustered(country, &settings.features, settings.transform).is_none())
        .collect();
    countries.sort_by_key(|country| country.iso_code);
    let (scaled, scaler) = standardise(&matrix(&countries, &settings.features, settings.transform));
    match divide(&scaled, settings) {
        Ok(found) => {
            let space = FeatureSpace {
                features: settings.features.clone(),
                transform: settings.transform,
                scaler,
                centroids: found.centroids.rows().into_iter().map(|centroid| centroid.to_vec()).collect(),
            };
            let separation = silhouette(&scaled, &found.labels).expect("there are two clusters at least");
            let countries = clustered(&countries, &space, &found, &separation);
            Modelled::Clusters(Model {
                clusters: clusters(&countries, &separation),
                space,
                countries,
                k: integer(found.counts.len()),
                seed: settings.seed,
                restarts: integer(found.restarts),
                best_share: found.best_share(),
                inertia: found.inertia,
                silhouette: separation.mean,
            })
        }
        Err(FitError::TooFewDistinct { distinct, k }) => Modelled::TooFew { countries: countries.len(), distinct, k },
        Err(error) => unreachable!("settings are checked when read, and scaled features are small: {error}"),
    }
}

/// Divides scaled rows into as many clusters as asked for, their labels ascending.
fn divide(scaled: &Array2<f64>, settings: &ModelSettings) -> Result<Fit, FitError> {
    let k_means = |k| KMeans {
        k,
        seed: settings.seed,
        restarts: usize::try_from(settings.restarts).expect("a usize has 32 bits at least"),
        max_iterations: settings.max_iterations.into(),
        tolerance: settings.tolerance,
    };
    let found = match settings.clusters {
        ClusterCount::Fixed(k) => fit(scaled, &k_means(k)),
        ClusterCount::Auto => choose_k(scaled, AUTO, &k_means(*AUTO.start())),
    };
    found.map(Fit::ordered_by_mean)
}

impl Model {
    /// The clusters' sizes by label: `156/5/3`.
    pub fn sizes(&self) -> String {
        self.clusters.iter().map(|cluster| cluster.num_countries.to_string()).collect::<Vec<_>>().join("/")
    }

    /// The largest emitters of a cluster in the recent years, at most `most`, the largest first.
    pub fn largest(&self, cluster: i32, most: usize) -> Vec<&CountryAggregate> {
        let members = self.countries.iter().filter(|country| country.cluster == cluster);
        let mut members: Vec<&CountryAggregate> = members.map(|country| &country.country).collect();
        let order = |mean: Option<f64>| mean.unwrap_or(f64::NEG_INFINITY);
        let recent =
            |a: &CountryAggregate, b: &CountryAggregate| order(b.avg_co2_recent).total_cmp(&order(a.avg_co2_recent));
        let ever = |a: &CountryAggregate, b: &CountryAggregate| order(b.means[CO2]).total_cmp(&order(a.means[CO2]));
        members.sort_by(|a, b| recent(a, b).then_with(|| ever(a, b)));
        members.truncate(most);
        members
    }
}

/// The clusters in short: `156/5/3; largest of 2: China, United States, India`.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.k - 1;
        let names: Vec<&str> = self.largest(last, NAMED).iter().map(|country| country.country.as_str()).collect();
        write!(f, "{}; largest of {last}: {}", self.sizes(), names.join(", "))
    }
}

impl Modelled {
    /// Why a country is in no cluster of this run, for a person to read; `None` when it is in one.
    pub fn not_clustered(&self, country: &CountryAggregate, settings: &ModelSettings) -> Option<String> {
        let reason = not_clustered(country, &settings.features, settings.transform);
        reason.or_else(|| matches!(self, Self::TooFew { .. }).then(|| self.to_string()))
    }
}

impl fmt::Display for Modelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clusters(model) => model.fmt(f),
            Self::TooFew { countries, distinct, k } => {
                write!(f, "too few countries: {countries} can be clustered, {distinct} of them differ, {k} are needed")
            }
        }
    }
}

fn clustered(
    countries: &[&CountryAggregate],
    space: &FeatureSpace,
    found: &Fit,
    separation: &Silhouette,
) -> Vec<Clustered> {
    let rows = countries.iter().zip(&found.labels).zip(&separation.points);
    let row = |((country, &label), &silhouette): ((&&CountryAggregate, &usize), &f64)| {
        let coordinates = space.coordinates(country).expect("a clustered country has every feature");
        Clustered {
            country: (*country).clone(),
            cluster: integer(label),
            squared_distances: space.squared_distances(&coordinates),
            silhouette,
        }
    };
    rows.map(row).collect()
}

fn clusters(countries: &[Clustered], separation: &Silhouette) -> Vec<Cluster> {
    let one = |(label, &silhouette): (usize, &f64)| {
        let cluster = integer(label);
        let members = || countries.iter().filter(move |country| country.cluster == cluster);
        let mean = |feature: Feature| mean(members().filter_map(|member| feature.of(&member.country)));
        Cluster {
            cluster,
            num_countries: integer(members().count()),
            avg_co2: mean(Feature::AvgCo2),
            avg_co2_per_capita: mean(Feature::AvgCo2PerCapita),
            avg_gdp: mean(Feature::AvgGdp),
            avg_population: mean(Feature::AvgPopulation),
            silhouette,
        }
    };
    separation.clusters.iter().enumerate().map(one).collect()
}

/// The mean of some values in their order, `None` when there is none.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// A count as a column holds it.
fn integer(count: usize) -> i32 {
    i32::try_from(count).expect("two billion countries do not fit in memory")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        features::Transform,
        iso_code::IsoCode,
        record::{CO2_PER_CAPITA, GDP, MEASURES, POPULATION},
    };

    /// A country that can be clustered: its co2, co2 per capita, gdp and population.
    fn means<const N: usize>(known: [(usize, f64); N]) -> [Option<f64>; MEASURES.len()] {
        let mut means = [None; MEASURES.len()];
        known.into_iter().for_each(|(measure, mean)| means[measure] = Some(mean));
        means
    }

    /// The same country, without the mean of a measure.
    pub(crate) fn without(measure: usize, mut country: CountryAggregate) -> CountryAggregate {
        country.means[measure] = None;
        country
    }

    pub(crate) fn country(code: &str, [co2, co2_per_capita, gdp, population]: [f64; 4]) -> CountryAggregate {
        CountryAggregate {
            iso_code: IsoCode::try_from(code).unwrap(),
            country: format!("Land of {code}"),
            means: means([(CO2, co2), (CO2_PER_CAPITA, co2_per_capita), (GDP, gdp), (POPULATION, population)]),
            avg_co2_recent: Some(co2 * 2.0),
            data_points: 50,
            first_year: 1950,
            last_year: 1999,
            co2_years: 50,
            co2_first_year: Some(1950),
            co2_last_year: Some(1999),
        }
    }

    /// Two giants, two rich and three small countries, and one without gdp.
    fn world() -> Vec<CountryAggregate> {
        vec![
            country("SM1", [2.0, 0.5, 1e10, 1e6]),
            country("BIG", [9000.0, 4.0, 9e12, 1.3e9]),
            country("RI1", [90.0, 40.0, 2e11, 2e6]),
            country("SM2", [3.0, 0.8, 2e10, 3e6]),
            country("GRT", [8000.0, 9.0, 1e13, 1.1e9]),
            country("RI2", [80.0, 45.0, 1e11, 1e6]),
            country("SM3", [1.0, 0.2, 1e10, 5e6]),
            without(GDP, country("AAA", [1.0; 4])),
        ]
    }

    fn run(countries: &[CountryAggregate], settings: &ModelSettings) -> Model {
        match model(countries, settings) {
            Modelled::Clusters(model) => model,
            too_few @ Modelled::TooFew { .. } => panic!("{too_few}"),
        }
    }

    fn labels(model: &Model) -> Vec<(&str, i32)> {
        model.countries.iter().map(|country| (country.country.iso_code.as_str(), country.cluster)).collect()
    }

    #[test]
    fn labels_ascend_from_developing_to_industrialised() {
        let found = run(&world(), &ModelSettings::default());
        let expected = [("BIG", 2), ("GRT", 2), ("RI1", 1), ("RI2", 1), ("SM1", 0), ("SM2", 0), ("SM3", 0)];
        assert_eq!(labels(&found), expected);
        assert_eq!(found.to_string(), "3/2/2; largest of 2: Land of BIG, Land of GRT");
        assert_eq!((found.k, found.restarts, found.seed), (3, 100, 42));
        let levels: Vec<f64> = found.space.centroids.iter().map(|centroid| centroid.iter().sum()).collect();
        assert!(levels.is_sorted(), "{levels:?}");
    }

    #[test]
    fn a_cluster_has_the_means_of_its_countries() {
        let found = run(&world(), &ModelSettings::default());
        let rich = &found.clusters[1];
        assert_eq!((rich.cluster, rich.num_countries, rich.avg_co2), (1, 2, Some(85.0)));
        assert_eq!(
            (rich.avg_co2_per_capita, rich.avg_gdp, rich.avg_population),
            (Some(42.5), Some(1.5e11), Some(1.5e6))
        );
        let each = found.countries.iter().filter(|country| country.cluster == 1).map(|country| country.silhouette);
        assert_eq!(rich.silhouette, each.sum::<f64>() / 2.0);
    }

    #[test]
    fn the_order_of_the_countries_changes_nothing() {
        let settings = ModelSettings::default();
        let mut turned = world();
        turned.reverse();
        assert_eq!(model(&turned, &settings), model(&world(), &settings));
    }

    #[test]
    fn a_country_lies_nearest_to_its_own_centroid() {
        let found = run(&world(), &ModelSettings::default());
        let mut inertia = 0.0;
        for country in &found.countries {
            let own = country.squared_distances[usize::try_from(country.cluster).unwrap()];
            assert!(country.squared_distances.iter().all(|&other| own <= other), "{country:?}");
            inertia += own;
        }
        assert_eq!(inertia, found.inertia);
    }

    #[test]
    fn settings_decide() {
        let check = |settings: ModelSettings, sizes: &str| assert_eq!(run(&world(), &settings).sizes(), sizes);
        check(ModelSettings { clusters: ClusterCount::Fixed(2), ..ModelSettings::default() }, "5/2");
        check(ModelSettings { clusters: ClusterCount::Auto, ..ModelSettings::default() }, "3/2/2");
        check(ModelSettings { transform: Transform::Log, ..ModelSettings::default() }, "3/2/2");
        let one = ModelSettings { features: "avg_co2_per_capita".parse().unwrap(), ..ModelSettings::default() };
        // Without gdp among the features the country that lacks it takes part.
        check(one, "5/1/2");
    }

    #[test]
    fn too_few_countries_are_no_error() {
        let check = |countries: &[CountryAggregate], clusters, expected: &str| {
            let settings = ModelSettings { clusters, ..ModelSettings::default() };
            assert_eq!(model(countries, &settings).to_string(), expected);
        };
        let same = [country("AAA", [1.0; 4]), country("BBB", [1.0; 4]), country("CCC", [2.0; 4])];
        let too_few = "too few countries: 3 can be clustered, 2 of them differ, 3 are needed";
        check(&same, ClusterCount::Fixed(3), too_few);
        check(&same, ClusterCount::Auto, "2/1; largest of 1: Land of CCC");
        let none = "too few countries: 0 can be clustered, 0 of them differ, 2 are needed";
        check(&[], ClusterCount::Auto, none);
    }
}

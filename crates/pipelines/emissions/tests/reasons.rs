//! Why a country is in no cluster.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::array;

use emissions::{
    aggregates::CountryAggregate,
    clusters::{Modelled, model},
    features::Transform,
    iso_code::IsoCode,
    model_settings::{ClusterCount, ModelSettings},
    record::{CO2, GDP, POPULATION},
};
use proptest::prelude::*;

/// A mean: missing, without a logarithm, or one of few, so that countries are often equal.
fn mean() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(0.0)), 8 => (1..4_i32).prop_map(|value| Some(f64::from(value)))]
}

fn settings() -> impl Strategy<Value = ModelSettings> {
    let clusters = prop_oneof![Just(ClusterCount::Auto), (2..6_usize).prop_map(ClusterCount::Fixed)];
    let transform = prop_oneof![Just(Transform::None), Just(Transform::Log)];
    let features = prop_oneof![Just("avg_co2"), Just("avg_gdp,avg_population"), Just("avg_co2,avg_co2_recent")];
    (clusters, transform, features).prop_map(|(clusters, transform, features)| ModelSettings {
        clusters,
        transform,
        features: features.parse().unwrap(),
        restarts: 2,
        ..ModelSettings::default()
    })
}

/// No country, some, or more than there are clusters.
fn countries() -> impl Strategy<Value = Vec<CountryAggregate>> {
    let country = |(n, ([co2, gdp, population], data_points)): (usize, ([Option<f64>; 3], i32))| CountryAggregate {
        iso_code: IsoCode::try_from(&*format!("C{n}")).unwrap(),
        country: format!("Country {n}"),
        means: array::from_fn(|measure| match measure {
            POPULATION => population,
            GDP => gdp,
            CO2 => co2,
            _ => Some(1.0),
        }),
        avg_co2_recent: co2,
        data_points,
        first_year: 1990,
        last_year: 1999,
        co2_years: data_points,
        co2_first_year: None,
        co2_last_year: None,
    };
    let figures = prop::collection::vec(([mean(), mean(), mean()], 3..8_i32), 0..9);
    figures.prop_map(move |figures| figures.into_iter().enumerate().map(country).collect())
}

proptest! {
    #[test]
    fn every_country_is_in_a_cluster_or_has_a_reason(countries in countries(), settings in settings()) {
        let modelled = model(&countries, &settings);
        for country in &countries {
            let clustered = match &modelled {
                Modelled::Clusters(model) => model.countries.iter().any(|one| one.country.iso_code == country.iso_code),
                Modelled::TooFew { .. } => false,
            };
            let reason = modelled.not_clustered(country, &settings);
            prop_assert_eq!(reason.is_none(), clustered, "{:?} {:?}", country, reason);
        }
    }
}

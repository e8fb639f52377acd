//! Why a country changed its cluster.

use stats::scaling::Scaler;

use crate::{
    aggregates::CountryAggregate,
    features::{Feature, Features, Transform},
};

/// Where countries and centroids lie in one model run.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureSpace {
    /// The features: the order of everything below.
    pub features: Features,
    /// What is done to a feature before it is scaled.
    pub transform: Transform,
    /// The transformed features' means and population standard deviations.
    pub scaler: Scaler,
    /// The clusters' centroids by label, in standard deviations: `k` times one value a feature.
    pub centroids: Vec<Vec<f64>>,
}

impl FeatureSpace {
    /// Where a country lies, in standard deviations; `None` when a feature is missing.
    pub fn coordinates(&self, country: &CountryAggregate) -> Option<Vec<f64>> {
        let values: Option<Vec<f64>> =
            self.features.iter().map(|feature| feature.of(country).map(|value| self.transform.apply(value))).collect();
        values.map(|values| self.scaler.scale(&values))
    }

    /// The squared distances of coordinates to the centroids, in squared standard deviations, of shape `(k,)`.
    pub fn squared_distances(&self, coordinates: &[f64]) -> Vec<f64> {
        let to = |centroid: &Vec<f64>| coordinates.iter().zip(centroid).map(|(x, c)| (x - c) * (x - c)).sum();
        self.centroids.iter().map(to).collect()
    }

    /// Each feature's share in (squared distance to `step.to` − squared distance to `step.from`).
    ///
    /// A share below 0 draws the country to the new cluster. `None` when the run has no such cluster.
    fn shares(&self, coordinates: &[f64], step: Step) -> Option<Vec<f64>> {
        let centroid = |label| usize::try_from(label).ok().and_then(|label: usize| self.centroids.get(label));
        let (from, to) = (centroid(step.from)?, centroid(step.to)?);
        let share = |((x, from), to): ((&f64, &f64), &f64)| (x - to) * (x - to) - (x - from) * (x - from);
        Some(coordinates.iter().zip(from).zip(to).map(share).collect())
    }
}

/// A country's change of cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its label in the run before.
    pub from: i32,
    /// Its label now.
    pub to: i32,
}

/// A country's coordinates in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement<'a> {
    /// The run's space.
    pub space: &'a FeatureSpace,
    /// The country's coordinates in it: see [`FeatureSpace::coordinates`].
    pub coordinates: &'a [f64],
}

/// What moved a country.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cause {
    /// The feature whose share changed most in favour of the new cluster.
    pub feature: Feature,
    /// That change, in squared standard deviations: below 0, since it brought the country nearer.
    pub share: f64,
}

/// Finds the feature whose share in (distance to new − distance to old centroid) fell most between two runs.
///
/// Both runs have the same features. Where the run before is not known, or has not both clusters,
/// the shares of this run stand for the change. `None` when this run has not both clusters.
pub(crate) fn cause(before: Option<Placement<'_>>, now: Placement<'_>, step: Step) -> Option<Cause> {
    let shares = now.space.shares(now.coordinates, step)?;
    let earlier = before.and_then(|before| before.space.shares(before.coordinates, step));
    let earlier = earlier.unwrap_or_else(|| vec![0.0; shares.len()]);
    let changes = shares.iter().zip(&earlier).map(|(now, before)| now - before);
    let causes = now.space.features.iter().zip(changes).map(|(&feature, share)| Cause { feature, share });
    causes.reduce(|most, other| if other.share < most.share { other } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clusters::tests::{country, without},
        record::GDP,
    };

    fn space(centroids: &[[f64; 2]]) -> FeatureSpace {
        FeatureSpace {
            features: "avg_co2,avg_gdp".parse().unwrap(),
            transform: Transform::None,
            scaler: Scaler { mean: vec![10.0, 100.0], std: vec![2.0, 50.0] },
            centroids: centroids.iter().map(|centroid| centroid.to_vec()).collect(),
        }
    }

    fn check(before: Option<(&FeatureSpace, [f64; 2])>, now: (&FeatureSpace, [f64; 2]), expected: Option<(&str, f64)>) {
        let before = before.as_ref().map(|(space, coordinates)| Placement { space, coordinates });
        let now = Placement { space: now.0, coordinates: &now.1 };
        let found = cause(before, now, Step { from: 0, to: 1 });
        assert_eq!(found.map(|cause| (cause.feature.name(), cause.share)), expected);
    }

    #[test]
    fn the_feature_that_changed_most_is_the_cause() {
        let still = space(&[[0.0, 0.0], [2.0, 2.0]]);
        // A share is 4 − 4x here: co2 rises by 1 and gdp by 0.25.
        check(Some((&still, [0.5, 0.9])), (&still, [1.5, 1.15]), Some(("avg_co2", -4.0)));
        check(Some((&still, [0.5, 0.0])), (&still, [0.75, 2.0]), Some(("avg_gdp", -8.0)));
    }

    #[test]
    fn a_centroid_that_moved_is_a_cause_too() {
        let (before, now) = (space(&[[0.0, 0.0], [2.0, 2.0]]), space(&[[0.0, -4.0], [2.0, 2.0]]));
        check(Some((&before, [0.5, 0.5])), (&now, [0.5, 0.5]), Some(("avg_gdp", -20.0)));
    }

    #[test]
    fn without_the_run_before_the_shares_of_this_one_decide() {
        let (two, one) = (space(&[[0.0, 0.0], [2.0, 2.0]]), space(&[[0.0, 0.0]]));
        check(None, (&two, [3.0, 1.5]), Some(("avg_co2", -8.0)));
        check(Some((&one, [0.0, 0.0])), (&two, [3.0, 1.5]), Some(("avg_co2", -8.0)));
        check(None, (&one, [3.0, 1.5]), None);
    }

    #[test]
    fn a_country_is_projected_as_the_run_scales() {
        let space = space(&[[0.0, 0.0], [1.0, 1.0]]);
        let coordinates = space.coordinates(&country("AAA", [14.0, 0.0, 50.0, 0.0])).unwrap();
        assert_eq!(coordinates, [2.0, -1.0]);
        assert_eq!(space.squared_distances(&coordinates), [5.0, 5.0]);
        let no_gdp = without(GDP, country("AAA", [1.0; 4]));
        assert_eq!(space.coordinates(&no_gdp), None);
    }
}

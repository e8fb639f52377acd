//! Scaling, k-means and silhouette against scikit-learn.
//!
//! The points are `data/skewed-groups.csv`: 73 rows of three features, drawn once from log-normal
//! distributions of three sizes, as countries' figures are distributed. The figures were made by
//! scikit-learn 1.9.1 (numpy 2.4.6) with
//!
//! ```python
//! x = numpy.loadtxt("skewed-groups.csv", delimiter=",", skiprows=1)
//! s = StandardScaler().fit(x); z = s.transform(x)      # s.mean_, s.scale_
//! m = KMeans(n_clusters=k, init="k-means++", n_init=1000, tol=0, max_iter=1000,
//!            random_state=0, algorithm="lloyd").fit(z)  # m.inertia_, m.cluster_centers_
//! o = numpy.argsort(m.cluster_centers_.mean(1)); n = numpy.empty(k, int); n[o] = range(k)
//! l = n[m.labels_]                                      # labels by ascending mean of the centroid
//! silhouette_score(z, l, metric="sqeuclidean")
//! p = silhouette_samples(z, l, metric="sqeuclidean"); [p[l == j].mean() for j in range(k)]
//! ```

use ndarray::Array2;
use stats::{
    choose_k::choose_k,
    k_means::{Fit, KMeans, fit},
    scaling::standardise,
    silhouette::{Silhouette, silhouette},
};

fn points() -> Array2<f64> {
    let lines = include_str!("data/skewed-groups.csv").lines().skip(1);
    let values: Vec<f64> =
        lines.flat_map(|line| line.split(',')).map(|value| value.parse().expect("a number")).collect();
    Array2::from_shape_vec((values.len() / 3, 3), values).expect("three a row")
}

fn settings(k: usize) -> KMeans {
    KMeans { k, seed: 42, restarts: 100, max_iterations: 20, tolerance: 1e-4 }
}

fn clusters(k: usize) -> (Fit, Silhouette) {
    let (scaled, _) = standardise(&points());
    let found = fit(&scaled, &settings(k)).expect("the points differ").ordered_by_mean();
    let separation = silhouette(&scaled, &found.labels).expect("two clusters at least");
    (found, separation)
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64]) {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * b.abs().max(1.0);
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?} is not {expected:?}");
}

#[test]
fn standard_scaler() {
    let (scaled, scaler) = standardise(&points());
    assert_near(&scaler.mean, &[20.960958904109596, 120.08205479452057, 2008.359589041096]);
    assert_near(&scaler.std, &[56.246511567065774, 258.07095567744733, 3817.103459215101]);
    assert_near(&scaled.row(0).to_vec(), &[-0.35488350029155247, -0.37075871069392946, -0.4686824992186522]);
    assert_near(&scaled.row(72).to_vec(), &[-0.34243828403729015, -0.43783328696525176, -0.4729737111742663]);
}

/// One number of clusters: sizes by ascending label, `inertia_`, `silhouette_score`.
fn check(sizes: &[usize], inertia: f64, score: f64) {
    let (found, separation) = clusters(sizes.len());
    assert_eq!(found.counts, sizes);
    assert_near(&[found.inertia, separation.mean], &[inertia, score]);
}

#[test]
fn k_means_and_silhouette_score() {
    check(&[65, 8], 63.69536814556359, 0.9123181566585141);
    check(&[65, 5, 3], 34.85152489024256, 0.9314933374982289);
    check(&[65, 5, 2, 1], 16.219720936642535, 0.9494429361932152);
    check(&[41, 24, 5, 2, 1], 10.972474311975393, 0.8088851115975345);
    check(&[41, 24, 3, 2, 2, 1], 6.394009574437503, 0.791898394919195);
    check(&[41, 24, 3, 1, 1, 2, 1], 4.148196057143249, 0.7781099726426296);
    check(&[41, 24, 1, 2, 1, 1, 2, 1], 2.9228719254319557, 0.7698166264905878);
}

#[test]
fn cluster_centers() {
    let (found, _) = clusters(4);
    let expected = [
        [-0.2748293048344647, -0.33169253167591134, -0.27620687143819406],
        [1.0400830107683467, 2.5411923766622846, 1.397653605138573],
        [3.17431314621179, 2.3590912956761034, 4.942939224088679],
        [6.314863467974884, 4.1358700842706035, 1.0793001696123912],
    ];
    assert_near(found.centroids.as_slice().unwrap(), expected.as_flattened());
}

#[test]
fn silhouette_samples() {
    let (_, separation) = clusters(4);
    // The last cluster has one point.
    let means = [0.9844862191724347, 0.6714813807279189, 0.9801615961284245, 0.0];
    assert_near(&separation.clusters, &means);
    let first = [0.9901605239602687, 0.9896785528096601, 0.9843980141834865, 0.9889138664120178, 0.9897134459181601];
    assert_near(&separation.points[..5], &first);
}

#[test]
fn the_number_with_the_highest_score_is_chosen() {
    let (scaled, _) = standardise(&points());
    assert_eq!(choose_k(&scaled, 2..=8, &settings(0)).unwrap().counts.len(), 4);
}

//! Worlds that are difficult for a model: too few countries, equal ones, ties, an outlier, a hundred thousand.

use crate::{
    datasets::emissions::{Emissions, Line},
    env::{Env, LIMIT},
    kafka,
    random::{Random, shuffled},
    report::{saw, seconds},
};

/// As many years as a country must have to be clustered.
const YEARS: std::ops::RangeInclusive<i32> = 2001..=2010;

/// A country with the same figures in each of its years.
fn country(number: usize, gdp: f64, co2: f64, per_capita: f64) -> Vec<Line> {
    // Codes of an X and four letters, which count: enough for 456,976 countries.
    let letter = |digit: u32| char::from(b'A' + u8::try_from(number / 26_usize.pow(digit) % 26).unwrap());
    let code: String = std::iter::once('X').chain((0..4).map(letter)).collect();
    let line = |year| Line {
        country: format!("Land {code}"),
        iso_code: Some(code.clone()),
        year,
        figures: [Some(1e6), Some(gdp), Some(co2), Some(per_capita)],
    };
    YEARS.map(line).collect()
}

/// Some countries of different sizes.
fn varied(countries: usize) -> Vec<Line> {
    let mut random = Random::new(11);
    let mut figure = move || f64::from(random.small(1_000_000)) / 8.0;
    (0..countries).flat_map(|number| country(number, figure(), figure(), figure())).collect()
}

/// What a run of the model left: its note, and the cluster of each country, by its number.
type Run = (Option<String>, Vec<i32>);

/// Sends and reads a world twice, in two orders, and asserts that both lead to the same tables and the same run.
fn model(lines: &[Line]) -> Run {
    let hashes = [1, 2].map(|seed| {
        let env = Env::<Emissions>::new(3);
        env.produce(&shuffled(lines, seed));
        env.consume(1);
        env.check_accounting();
        let run: Vec<(Option<String>,)> = env.query("SELECT note FROM cluster_runs ORDER BY batch_id DESC LIMIT 1");
        // A country's number has its least letter first.
        let clusters = env.query::<(i32,)>("SELECT cluster FROM co2_clusters ORDER BY reverse(iso_code)");
        (env.hash(), (run[0].0.clone(), clusters.into_iter().map(|(cluster,)| cluster).collect()))
    });
    let [first, second] = hashes;
    assert_eq!(first, second);
    first.1
}

pub(crate) fn fewer_countries_than_clusters_leave_a_note() {
    for countries in [1, 2] {
        let (note, clustered) = model(&varied(countries));
        assert!(note.as_ref().is_some_and(|note| note.starts_with("too few countries")), "{note:?}");
        assert!(clustered.is_empty(), "{clustered:?}");
        saw(note.unwrap());
    }
}

pub(crate) fn equal_countries_leave_a_note() {
    let equal: Vec<Line> = (0..20).flat_map(|number| country(number, 5e9, 7.0, 2.0)).collect();
    let (note, clustered) = model(&equal);
    assert!(note.as_ref().is_some_and(|note| note.contains("1 of them differ")), "{note:?}");
    assert!(clustered.is_empty(), "{clustered:?}");
    saw(note.unwrap());
}

pub(crate) fn a_constant_feature_says_nothing_and_harms_nothing() {
    let mut lines = varied(40);
    lines.iter_mut().for_each(|line| line.figures[1] = Some(5e9));
    let (note, clusters) = model(&lines);
    assert_eq!((note, clusters.len()), (None, 40));
    saw("40 countries clustered, the same in both orders");
}

pub(crate) fn ties_are_broken_the_same_way_every_time() {
    // Countries on the corners of a cube, several on each: many partitions are equally good.
    let corner = |number: usize, bit: usize| if number >> bit & 1 == 1 { 2.0 } else { 1.0 };
    let lines: Vec<Line> =
        (0..64).flat_map(|n| country(n, corner(n, 0) * 1e9, corner(n, 1) * 10.0, corner(n, 2))).collect();
    let (note, clusters) = model(&lines);
    assert_eq!((note, clusters.len()), (None, 64));
    // Every eighth has the same figures.
    let equal = |(n, cluster): (usize, &i32)| *cluster == clusters[n % 8];
    assert!(clusters.iter().enumerate().all(equal), "{clusters:?}");
    saw("8 equal countries on each of 8 corners share their cluster, the same in both orders");
}

pub(crate) fn an_extreme_outlier_harms_nothing() {
    let mut lines = varied(40);
    lines.extend(country(40, 9e14, 9e9, 9e9));
    let (note, mut clusters) = model(&lines);
    assert_eq!((note, clusters.len()), (None, 41));
    let outlier = clusters.pop().unwrap();
    assert!(!clusters.contains(&outlier), "{outlier} in {clusters:?}");
    saw("40 countries clustered, and the outlier in its own cluster");
}

pub(crate) fn a_hundred_thousand_countries_are_refreshed() {
    let Some(brokers) = kafka::real::<Emissions>("a hundred thousand countries") else { return };
    let countries = 100_000;
    let env = Env::<Emissions>::on(brokers, 6);
    env.produce(&varied(countries));
    let consume = || env.consumer(&["--until-end"]).run(4 * LIMIT).unwrap().expect_code(0).unwrap();
    let all = consume().took;
    for table in ["country_aggregates", "co2_clusters"] {
        assert_eq!(env.rows(table), i64::try_from(countries).unwrap(), "{table}");
    }
    // One country more: what it costs when all others are stored.
    env.produce(&country(countries, 5.0, 6.0, 7.0));
    let one = consume().took;
    assert_eq!(env.rows("co2_clusters"), i64::try_from(countries + 1).unwrap());
    env.check_counts(&env.held());
    saw(format!("a million records of them in {}, one country more in {}", seconds(all), seconds(one)));
}

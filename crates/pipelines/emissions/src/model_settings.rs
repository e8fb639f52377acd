//! The settings of a model run.

use std::{fmt, str::FromStr};

use clap::Args;

use crate::features::{Features, Transform};

/// The fewest clusters: one would say nothing.
const MIN_CLUSTERS: usize = 2;
/// The most clusters: far more than a person can name; a larger number would only cost time.
const MAX_CLUSTERS: usize = 100;

/// How countries are clustered. Runs with the same settings can be compared.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(next_help_heading = "Clusters")]
pub struct ModelSettings {
    /// Number of clusters, 2 to 100, or `auto`: the one from 2 to 8 with the best silhouette.
    #[arg(long, env = "CLUSTERS", default_value = "3", value_name = "N|auto")]
    pub clusters: ClusterCount,

    /// What countries are compared by, separated by commas: `avg_co2` (million tonnes), `avg_co2_per_capita`
    /// (tonnes per person), `avg_gdp` (international-$ of 2011), `avg_population` (persons),
    /// `avg_co2_recent` (million tonnes, from 2010 on).
    #[arg(
        long,
        env = "FEATURES",
        default_value = "avg_co2,avg_co2_per_capita,avg_gdp,avg_population",
        value_name = "NAME,…"
    )]
    pub features: Features,

    /// What is done to the features before they are scaled.
    #[arg(long, env = "TRANSFORM", default_value = "none", value_enum)]
    pub transform: Transform,

    /// Seed of the random starts, 0 to 2⁶³ − 1; the same seed and the same facts give the same clusters.
    #[arg(long, env = "SEED", default_value_t = 42, value_parser = clap::value_parser!(u64).range(..=9_223_372_036_854_775_807))]
    pub seed: u64,

    /// Random starts of k-means, 1 to 100,000, of which the best is kept; fewer are made of more than 4,166
    /// countries (1,250,000 divided by countries × clusters).
    #[arg(long, env = "RESTARTS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub restarts: u32,

    /// Most iterations of one start, 1 to 10,000, before its clusters are polished until no country changes.
    #[arg(
        long,
        env = "MAX_ITERATIONS",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub max_iterations: u32,

    /// A start stops early when its centroids move less than this, in standard deviations; above 0.
    #[arg(long, env = "TOLERANCE", default_value_t = 1e-4, value_parser = tolerance)]
    pub tolerance: f64,
}

/// How many clusters are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterCount {
    /// This many.
    Fixed(usize),
    /// The number from 2 to 8 with the best silhouette.
    Auto,
}

/// A text that is no number of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number from {MIN_CLUSTERS} to {MAX_CLUSTERS}, nor `auto`")]
pub struct NotACount;

impl FromStr for ClusterCount {
    type Err = NotACount;

    fn from_str(text: &str) -> Result<Self, NotACount> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(k) if (MIN_CLUSTERS..=MAX_CLUSTERS).contains(&k) => Ok(Self::Fixed(k)),
            _ => Err(NotACount),
        }
    }
}

impl fmt::Display for ClusterCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(k) => write!(f, "{k}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            clusters: ClusterCount::Fixed(3),
            features: Features::default(),
            transform: Transform::None,
            seed: 42,
            restarts: 100,
            max_iterations: 20,
            tolerance: 1e-4,
        }
    }
}

/// All settings in one line, the same for the same settings only.
impl fmt::Display for ModelSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clusters, features, transform, seed, restarts, max_iterations, tolerance } = self;
        write!(f, "clusters {clusters}; features {features}; transform {}; seed {seed}; ", transform.name())?;
        write!(f, "restarts {restarts}; max_iterations {max_iterations}; tolerance {tolerance}")
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err("not a finite number above 0".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        model: ModelSettings,
    }

    fn parse(args: &[&str]) -> Result<ModelSettings, clap::Error> {
        Program::try_parse_from([&["program"], args].concat()).map(|program| program.model)
    }

    #[test]
    fn the_defaults_are_the_contract() {
        assert_eq!(parse(&[]).unwrap(), ModelSettings::default());
    }

    #[test]
    fn settings_in_one_line_say_all() {
        let args = ["--clusters=auto", "--features=avg_gdp,avg_co2", "--transform=log", "--seed=7", "--restarts=9"];
        let line = "clusters auto; features avg_co2, avg_gdp; transform log; seed 7; restarts 9; max_iterations 20; \
                    tolerance 0.0001";
        assert_eq!(parse(&args).unwrap().to_string(), line);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for arg in [
            "--clusters=1",
            "--clusters=101",
            "--clusters=many",
            "--features=",
            "--transform=sqrt",
            "--seed=9223372036854775808",
            "--restarts=0",
            "--max-iterations=0",
            "--tolerance=0",
            "--tolerance=NaN",
            "--tolerance=inf",
        ] {
            assert!(parse(&[arg]).is_err(), "{arg}");
        }
        assert!(parse(&["--clusters=100", "--seed=9223372036854775807"]).is_ok());
    }
}

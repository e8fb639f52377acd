#![doc = include_str!("../README.md")]

pub mod corpus;
pub mod mutation;
pub mod pieces;

use std::env;

use proptest::test_runner::Config;

/// The variable that says how many cases a law is tried on.
const CASES: &str = "PROPTEST_CASES";
/// How many without it: enough to try every entry with some changes, few enough for every `make test`.
const FEW: u32 = 5_000;

/// How the laws are tried: on as many cases as the environment asks for, or on a few.
pub fn config() -> Config {
    let config = Config { max_shrink_iters: 20_000, ..Config::default() };
    if env::var_os(CASES).is_some() { config } else { Config { cases: FEW, ..config } }
}

/// The same for a law whose cases are each so many times as dear.
pub fn config_for_dear_cases(times: u32) -> Config {
    let config = config();
    Config { cases: config.cases.div_ceil(times), ..config }
}

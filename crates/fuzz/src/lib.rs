#![doc = include_str!("../README.md")]

pub mod corpus;
pub mod mutation;
pub mod pieces;

use std::env;

use proptest::test_runner::Config;

/// The variable with the number of cases of a property. Not proptest's own, which would override a property's number.
const CASES: &str = "FUZZ_CASES";
/// How many without it: enough to try every entry with some changes, few enough for every `make test`.
const FEW: u32 = 5_000;

/// How the properties are tried: on as many cases as the environment says, or on a few.
///
/// # Panics
/// When the variable is not a number of cases.
pub fn config() -> Config {
    let cases = env::var(CASES).map_or(FEW, |cases| match cases.parse() {
        Ok(cases @ 1..) => cases,
        _ => panic!("{CASES} is a number of cases, not `{cases}`"),
    });
    Config { cases, max_shrink_iters: 20_000, ..Config::default() }
}

/// The same for a property whose cases are each so many times as dear.
///
/// # Panics
/// As [`config`].
pub fn config_for_dear_cases(times: u32) -> Config {
    let config = config();
    Config { cases: config.cases.div_ceil(times), ..config }
}

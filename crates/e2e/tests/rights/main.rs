//! The real binaries on a Kafka with an authorizer: what they report to a user with too few rights.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod acls;
mod broker;
mod consumer;
mod producer;

use std::time::Duration;

use testkit::process::Ended;

/// No program of a test runs for longer.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a program waits at its start for what is missing: long enough for several tries.
const WAIT: &str = "3s";

/// The last ERROR line of a program that must have ended with `code`; it contains all of `words`.
fn check(ended: Ended, code: i32, words: &[&str]) -> Ended {
    let ended = ended.expect_code(code).unwrap();
    let error = ended.stderr.iter().rfind(|line| line.split_whitespace().nth(1) == Some("ERROR"));
    let error = error.unwrap_or_else(|| panic!("no ERROR: {ended}"));
    words.iter().for_each(|word| assert!(error.contains(word), "no `{word}` in the last ERROR: {ended}"));
    ended
}

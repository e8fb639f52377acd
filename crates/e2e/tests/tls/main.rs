//! The real binaries on servers with TLS and logins, and what they say when they are not let in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod certificates;
mod kafka;
mod postgres;

use std::{path::PathBuf, time::Duration};

use testkit::process::{Ended, Program};

/// No program of a test runs for longer.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a program waits for a server that does not let it in: long enough for several tries.
const WAIT: &str = "3s";
/// And for one that does, however busy the machine is.
const PATIENCE: &str = "30s";

/// A test's own empty folder.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tls").join(name);
    // What an earlier run left, if one was killed.
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a program that must end with `code`, say `expected`, and print none of the secrets.
fn check(program: Program, code: i32, expected: &str, secrets: &[&str]) -> Ended {
    let ended = program.run(LIMIT).unwrap().expect_code(code).unwrap();
    assert!(ended.said(expected), "no `{expected}`: {ended}");
    for secret in secrets {
        assert!(!ended.said(secret), "a secret is printed: {ended}");
    }
    ended
}

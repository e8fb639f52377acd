//! A test's own servers, which it may kill.

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use testkit::{kafka::Kafka, postgres::Postgres};

/// A new folder for a server's data.
pub(crate) fn folder(name: &str) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{number}", std::process::id()))
}

/// What a program can load before the C library, compiled from the C file of this name in this folder.
pub(crate) fn library(name: &str) -> PathBuf {
    let library = folder(name).with_extension("so");
    let source = format!("{}/tests/e2e/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([library.as_os_str()]).arg(source).output();
    let compiled = compiled.expect("the workspace was built with a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    library
}

/// A test's own Kafka.
pub(crate) fn kafka() -> Kafka {
    kafka_with(&[])
}

/// The same, with the variables that `scripts/kafka` reads.
pub(crate) fn kafka_with(env: &[(&str, &str)]) -> Kafka {
    Kafka::start_with(&folder("kafka"), env).unwrap()
}

/// A test's own PostgreSQL, which lets everybody in.
pub(crate) fn postgres() -> Postgres {
    Postgres::start_with(&folder("postgres"), &[("PGFAST", "1")]).unwrap()
}

/// A test's own PostgreSQL, which asks for passwords.
pub(crate) fn strict_postgres() -> Postgres {
    Postgres::start_with(&folder("postgres"), &[("PGFAST", "")]).unwrap()
}

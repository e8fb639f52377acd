#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod exit;
pub mod health;
pub mod postgres;
pub mod settings;
mod sqlstate;
mod stop;
pub mod telemetry;

/// The version and the git revision of the program that uses it, as `--version` shows them: `0.1.0 (1a2b3c4d5e6f)`.
///
/// Only for the programs: their `build.rs` sets the revision.
#[macro_export]
macro_rules! version {
    () => {
        concat!(env!("CARGO_PKG_VERSION"), " (", env!("TRIBUTARY_REVISION"), ")")
    };
}

pub use exit::{Exit, Failure, ResultExt};
pub use stop::Stop;

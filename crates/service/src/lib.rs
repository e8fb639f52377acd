#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod exit;
pub mod health;
pub mod settings;
pub mod stop;
pub mod telemetry;

pub use exit::{Exit, Failure, ResultExt};
pub use stop::Stop;

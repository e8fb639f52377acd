#![doc = include_str!("../README.md")]

pub mod event_message;
pub mod events;
pub mod file;
pub mod inlet;
pub mod pipeline;
pub mod range;
pub mod reading_message;
pub mod report;
mod routing;
pub mod settings;
pub mod simulator;
pub mod window;

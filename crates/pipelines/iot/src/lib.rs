#![doc = include_str!("../README.md")]

pub mod file;
pub mod inlet;
pub mod message;
pub mod pipeline;
mod raw_rows;
pub mod settings;
pub mod simulator;
pub mod window;

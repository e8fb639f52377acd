#![doc = include_str!("../README.md")]

pub mod broker;
pub mod kafka;
pub mod mosquitto;
pub mod numbers;
pub mod postgres;
pub mod probes;
pub mod process;
pub mod sample;
mod script;
mod test_database;
pub mod unpacked;

pub use script::repository;
pub use test_database::TestDatabase;

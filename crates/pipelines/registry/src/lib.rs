#![doc = include_str!("../README.md")]

pub mod consumers;
pub mod databases;
pub mod feeds;
mod list;
pub mod pipeline_arg;
pub mod producers;

#![doc = include_str!("../README.md")]

pub mod choice;
pub mod consumers;
pub mod databases;
pub mod feeds;
pub mod producers;

#![doc = include_str!("../README.md")]

pub mod aggregates;
pub mod csv_row;
mod date;
pub mod day;
pub mod fact;
pub mod message;
pub mod pipeline;
pub mod record;
pub mod refresh;
pub mod source;
pub mod thousandths;

#![doc = include_str!("../README.md")]

pub mod aggregates;
pub mod csv_row;
pub mod date;
pub mod day;
pub mod fact;
pub mod message;
pub mod pipeline;
pub mod publication;
pub mod record;
pub mod source;
pub mod thousandths;

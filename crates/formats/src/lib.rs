#![doc = include_str!("../README.md")]

mod csv_records;
mod error;
mod file_kind;
pub mod instant;
pub mod json;
mod layout;
pub mod milli;

pub use csv_records::{Ahead, CsvRecord, CsvRecords};
pub use error::ReadError;
pub use layout::{ColumnIndexes, Layout};

#![doc = include_str!("../README.md")]

pub mod aggregates;
pub mod clusters;
pub mod csv_row;
pub mod fact;
pub mod features;
pub mod fingerprint;
pub mod iso_code;
pub mod measure;
pub mod message;
pub mod model_settings;
mod moves;
pub mod pipeline;
pub mod record;
pub mod refresh;
mod run_tables;
pub mod settings;
pub mod source;

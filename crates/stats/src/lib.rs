#![doc = include_str!("../README.md")]

pub mod choose_k;
pub mod exact;
pub mod k_means;
mod partition;
pub mod scaling;
pub mod silhouette;

#![doc = include_str!("../README.md")]

pub mod connections;
pub mod kustomize;
pub mod object;
pub mod rendering;
pub mod rules;
pub mod tree;
mod workload;

use std::path::{Path, PathBuf};

/// The repository's top folder, where this crate was built.
pub fn repository() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in crates/");
    crates.parent().expect("crates/ lies in the repository").to_path_buf()
}

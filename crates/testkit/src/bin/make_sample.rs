//! Writes the made data in `data/` that `make demo` takes when it is given none: a file for each pipeline.

use anyhow::Context;
use testkit::{
    repository,
    sample::{self, household},
};

/// Any number would do; this one gives three clusters that are easy to distinguish.
const SEED: u64 = 42;

/// The files, from the repository's top folder, and what is in them.
fn samples() -> [(&'static str, String); 2] {
    [(sample::PATH, sample::make(SEED)), (household::PATH, household::make(SEED))]
}

fn main() -> anyhow::Result<()> {
    for (name, text) in samples() {
        let path = repository().join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_samples_are_what_this_makes() {
        for (name, text) in samples() {
            let committed = std::fs::read_to_string(repository().join(name)).unwrap();
            assert!(committed == text, "{name} is another: run make sample");
            assert!(committed.len() < 200_000);
        }
    }
}

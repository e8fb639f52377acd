//! Writes `data/sample_made.csv`, the made data that `make demo` takes when it is given none.

use anyhow::Context;
use demo::{repository, sample};

/// Any number would do; this one gives three clusters that are easy to tell apart.
const SEED: u64 = 42;

fn main() -> anyhow::Result<()> {
    let path = repository().join(sample::PATH);
    std::fs::write(&path, sample::make(SEED)).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_sample_is_what_this_makes() {
        let path = repository().join(sample::PATH);
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(
            committed == sample::make(SEED),
            "{} is another: run cargo run -p demo --bin make-sample",
            path.display()
        );
        assert!(committed.len() < 200_000);
    }
}

//! Every overlay, and the base with every combination of components that we claim, against every rule.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod breaches;
mod combinations;
mod connections;
mod mutations;
mod overlays;
mod rules;

use std::io::Write as _;

use manifests::{kustomize::Kustomize, tree::Tree};

/// A copy of the manifests to render. Without a kustomize the test says so on the terminal and ends; on CI it fails.
fn tree(test: &str) -> Option<Tree> {
    let kustomize = Kustomize::from_env();
    if kustomize.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI=true, and there is no kustomize: run make test");
        // Written past the test harness, which captures what a passing test prints.
        let line = format!("skipped: {test}: KUSTOMIZE is not set (make test finds one)\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    kustomize.map(|kustomize| Tree::new(kustomize).unwrap())
}

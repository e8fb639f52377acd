//! Runs kustomize over a folder.

use std::{path::Path, process::Command};

use anyhow::{Context, bail};

/// The command that renders a folder: `kubectl kustomize`, or `kustomize build`.
#[derive(Clone, Debug)]
pub struct Kustomize {
    program: String,
    arguments: Vec<String>,
}

impl Kustomize {
    /// The command of the environment's `KUSTOMIZE`; nothing where that is unset or empty.
    pub fn from_env() -> Option<Self> {
        let words = std::env::var("KUSTOMIZE").ok()?;
        let mut words = words.split_whitespace().map(str::to_owned);
        Some(Self { program: words.next()?, arguments: words.collect() })
    }

    /// Renders the folder.
    ///
    /// # Errors
    /// When the folder cannot be rendered, and when it can be with a warning: a deprecated field is a fault of ours.
    pub fn build(&self, folder: &Path) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .args(&self.arguments)
            .arg(folder)
            .output()
            .with_context(|| format!("{} cannot be started", self.program))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || !said.trim().is_empty() {
            bail!("{} says of {}: {}", self.program, folder.display(), said.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

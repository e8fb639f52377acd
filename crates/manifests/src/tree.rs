//! A copy of `kubernetes/` in which everything that a command would make has been made.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{kustomize::Kustomize, rendering::Rendering, repository};

/// The tag that the copy's images get, in place of a git revision.
pub const TAG: &str = "0123456789ab";

/// Where the copy lies, until it is dropped.
#[derive(Debug)]
pub struct Tree {
    folder: TempDir,
    kustomize: Kustomize,
}

impl Tree {
    /// Copies `kubernetes/`, without what was made in it, and makes that from the examples.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn new(kustomize: Kustomize) -> Result<Self> {
        let folder = TempDir::new()?;
        copy(&repository().join("kubernetes"), folder.path())?;
        let tree = Self { folder, kustomize };
        tree.fill_in_examples(tree.folder.path())?;
        tree.make_images()?;
        Ok(tree)
    }

    /// Renders one folder of the copy.
    ///
    /// # Errors
    /// When kustomize refuses it, or prints a warning.
    pub fn render(&self, folder: &str) -> Result<Rendering> {
        Rendering::parse(&self.kustomize.build(&self.folder.path().join(folder))?)
    }

    /// Renders the base with these components, as a user's own overlay would.
    ///
    /// # Errors
    /// As [`Tree::render`].
    pub fn render_with(&self, name: &str, components: &[&str]) -> Result<Rendering> {
        let mut overlay = String::from("resources: [../base]\ncomponents:\n- ../secrets\n");
        components.iter().try_for_each(|component| writeln!(overlay, "- ../components/{component}"))?;
        // Last, so that what a component adds gets its tag as well.
        overlay.push_str("- ../made-by-make-images\n");
        self.render_overlay(name, &overlay)
    }

    /// Renders a kustomization that lies in its own folder next to the base.
    ///
    /// # Errors
    /// As [`Tree::render`].
    pub fn render_overlay(&self, name: &str, kustomization: &str) -> Result<Rendering> {
        write(&self.folder.path().join(name).join("kustomization.yaml"), kustomization)?;
        self.render(name)
    }

    /// Gives every `NAME.example` its file: the one that a kustomization next to it needs.
    fn fill_in_examples(&self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.fill_in_examples(&path)?;
            } else if let Some(example) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".example")) {
                fs::copy(&path, path.with_file_name(format!("made-by-make-{example}")))?;
                fs::copy(&path, path.with_file_name(example))?;
            }
        }
        Ok(())
    }

    fn make_images(&self) -> Result<()> {
        let mut component = String::from("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n");
        for image in ["producer", "consumer", "migrate", "warehouse", "superset"] {
            writeln!(component, "- {{name: tributary/{image}, newTag: \"{TAG}\"}}")?;
        }
        write(&self.folder.path().join("made-by-make-images/kustomization.yaml"), &component)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))? {
        let path = entry?.path();
        let name = PathBuf::from(path.file_name().unwrap_or_default());
        // What a command or a person has made; the examples of it are copied.
        let text = name.to_string_lossy();
        if text.starts_with("made-by-") && !text.ends_with(".example") {
            continue;
        }
        if path.is_dir() {
            fs::create_dir(to.join(&name))?;
            copy(&path, &to.join(&name))?;
        } else {
            fs::copy(&path, to.join(&name))?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

//! What kustomize printed, as objects.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::object::Object;

/// All objects of one overlay.
#[derive(Clone, Debug)]
pub struct Rendering {
    /// In the order in which they were printed.
    pub objects: Vec<Object>,
}

impl Rendering {
    /// Reads a stream of YAML documents.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self> {
        let values: Vec<Value> = serde_saphyr::from_multiple(text).context("kustomize printed no YAML")?;
        Ok(Self { objects: values.into_iter().map(Object).collect() })
    }

    /// The objects of one kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |object| object.kind() == kind)
    }

    /// The object of a kind and a name.
    pub fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.objects.iter().find(|object| object.kind() == kind && object.name() == name)
    }
}

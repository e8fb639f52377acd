//! Passwords come from one Secret, each key only to whom it is for.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::{unless, volumes};
use crate::{
    object::{Object, text},
    rendering::Rendering,
    repository,
    workload::Workload,
};

/// The Secret that `make secrets` fills.
const SECRET: &str = "tributary-secrets";

/// What a producer needs that takes readings over HTTP: its port is open to everybody.
const TOKEN: &str = "HTTP_TOKEN";

/// Passwords in plain text, keys that the example lacks, containers that get all keys, and readings taken of anybody.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    let workloads = rendering.workloads();
    let keys = example_keys();
    let of_workload = |workload: &Workload<'_>| {
        let unknown = secret_keys(workload).into_iter().filter(|key| !keys.contains(key));
        let unknown = unknown.map(|key| format!("{workload}: secrets.env.example has no {key}"));
        unknown.chain(plain(workload)).chain(without_token(rendering, workload)).collect::<Vec<_>>()
    };
    workloads.iter().flat_map(of_workload).chain(rendering.of_kind("Secret").filter_map(renamed)).collect()
}

/// The keys that the committed example names.
pub fn example_keys() -> BTreeSet<String> {
    let example = fs::read_to_string(repository().join("kubernetes/secrets/secrets.env.example")).unwrap_or_default();
    let keys = example.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    keys.map(|(key, _)| key.to_owned()).collect()
}

/// The keys of our Secret that a workload's containers get.
pub fn secret_keys(workload: &Workload<'_>) -> BTreeSet<String> {
    let entries = workload.containers().flat_map(|container| container.list("/env").iter());
    let references = entries.filter_map(|entry| entry.pointer("/valueFrom/secretKeyRef"));
    references
        .filter(|reference| text(reference, "/name") == SECRET)
        .map(|reference| text(reference, "/key").to_owned())
        .collect()
}

/// Variables whose name says that they are secret, with a value that everybody reads, and Secrets given whole.
fn plain(workload: &Workload<'_>) -> Vec<String> {
    let mut breaches = Vec::new();
    for container in workload.containers() {
        let whole = container.list("/envFrom").iter().any(|source| source.get("secretRef").is_some());
        breaches.extend(unless(!whole, || format!("{workload}: a container gets every key of a Secret")));
        for entry in container.list("/env") {
            let (name, value) = (text(entry, "/name"), entry.get("value").and_then(Value::as_str));
            let secret = ["PASSWORD", "SECRET", "TOKEN"].iter().any(|word| name.contains(word));
            let in_url = value.is_some_and(has_password);
            breaches.extend(unless(!(in_url || secret && value.is_some()), || {
                format!("{workload}: the secret {name} is written in the manifest")
            }));
        }
    }
    breaches
}

fn without_token(rendering: &Rendering, workload: &Workload<'_>) -> Option<String> {
    let mut settings = workload.containers().flat_map(|container| container.settings(rendering));
    let takes = settings.any(|(name, value)| name == "SOURCE" && value == "http");
    unless(!takes || secret_keys(workload).contains(TOKEN), || format!("{workload}: takes readings of anybody"))
}

/// Whether a URL holds its own password: `user:password@` where the password is no `$(REFERENCE)`.
fn has_password(value: &str) -> bool {
    let user = value.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !password.starts_with("$("))
}

/// Everybody refers to a Secret by the name that it was given, Jobs above all.
fn renamed(secret: &Object) -> Option<String> {
    unless(!volumes::is_hashed(secret.name()), || format!("{secret}: has a name that changes with its content"))
}

//! What must hold of every rendered overlay. A rule returns its breaches, one sentence each.

pub mod identity;
pub mod images;
pub mod jobs;
pub mod operators;
pub mod probes;
pub mod resources;
pub mod restricted;
pub mod secrets;
pub mod variables;
pub mod volumes;

use crate::rendering::Rendering;

/// The breaches of all rules that need nothing but the rendering.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    let rules: [fn(&Rendering) -> Vec<String>; 9] = [
        restricted::breaches,
        identity::breaches,
        images::breaches,
        resources::breaches,
        volumes::breaches,
        probes::breaches,
        jobs::breaches,
        secrets::breaches,
        operators::breaches,
    ];
    rules.iter().flat_map(|rule| rule(rendering)).collect()
}

/// The sentence where something does not hold.
fn unless(holds: bool, sentence: impl FnOnce() -> String) -> Option<String> {
    (!holds).then(sentence)
}

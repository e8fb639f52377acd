//! All breaches of one rendering.

use std::collections::BTreeSet;

use manifests::{
    connections::{
        Connection,
        allowed::{self, Direction},
        derived,
    },
    rendering::Rendering,
    rules::{self, variables::Knowledge},
};

/// The breaches of every rule, connections included.
pub(crate) fn of(rendering: &Rendering, knowledge: &Knowledge) -> Vec<String> {
    [rules::breaches(rendering), knowledge.breaches(rendering), of_connections(rendering)].concat()
}

/// The connections that are wanted and closed, or open and not wanted, on either side.
fn of_connections(rendering: &Rendering) -> Vec<String> {
    let derived = derived::connections(rendering);
    let of_direction = |direction: Direction| {
        let wanted: BTreeSet<Connection> =
            derived.iter().filter(|connection| direction.governs(connection)).cloned().collect();
        let allowed = match allowed::connections(rendering, direction) {
            Ok(allowed) => allowed,
            Err(error) => return vec![format!("{direction:?}: {error:#}")],
        };
        let closed = wanted.difference(&allowed).map(|connection| format!("{direction:?} is closed: {connection}"));
        let idle =
            allowed.difference(&wanted).map(|connection| format!("{direction:?} is open for nobody: {connection}"));
        closed.chain(idle).collect()
    };
    [Direction::Ingress, Direction::Egress].into_iter().flat_map(of_direction).collect()
}

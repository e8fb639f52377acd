//! All breaches of one rendering.

use std::collections::BTreeSet;

use manifests::{
    laws::{self, variables::Knowledge},
    rendering::Rendering,
    roads::{
        Road,
        allowed::{self, Way},
        derived,
    },
};

/// The breaches of every law, roads included.
pub(crate) fn of(rendering: &Rendering, knowledge: &Knowledge) -> Vec<String> {
    [laws::breaches(rendering), knowledge.breaches(rendering), of_roads(rendering)].concat()
}

/// The roads that are wanted and closed, or open and not wanted, on either side.
fn of_roads(rendering: &Rendering) -> Vec<String> {
    let derived = derived::roads(rendering);
    let of_way = |way: Way| {
        let wanted: BTreeSet<Road> = derived.iter().filter(|road| way.governs(road)).cloned().collect();
        let allowed = match allowed::roads(rendering, way) {
            Ok(allowed) => allowed,
            Err(error) => return vec![format!("{way:?}: {error:#}")],
        };
        let closed = wanted.difference(&allowed).map(|road| format!("{way:?} is closed: {road}"));
        let idle = allowed.difference(&wanted).map(|road| format!("{way:?} is open for nobody: {road}"));
        closed.chain(idle).collect()
    };
    [Way::Ingress, Way::Egress].into_iter().flat_map(of_way).collect()
}

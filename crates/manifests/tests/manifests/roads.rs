//! The table of roads that people read is the one that the manifests have.

use std::{collections::BTreeSet, fs};

use manifests::{
    repository,
    roads::{Road, derived, table},
};

#[test]
fn the_table_in_the_readme_is_what_the_pods_need() {
    let Some(tree) = crate::tree("the_table_in_the_readme_is_what_the_pods_need") else { return };
    let readme = fs::read_to_string(repository().join("kubernetes/README.md")).unwrap();
    let table = table::read(&readme).unwrap();
    let lines = |roads: BTreeSet<Road>| roads.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let both = derived::roads(&tree.render_with("roads", &["energy"]).unwrap());
    for pipeline in ["emissions", "energy"] {
        let other = if pipeline == "energy" { "emissions-" } else { "energy-" };
        let own = both.iter().filter(|road| !road.to_string().contains(other));
        let roads = own.map(|road| road.clone().of(pipeline)).collect();
        assert_eq!(lines(table.clone()), lines(roads), "{pipeline}");
    }
}

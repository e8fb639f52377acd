//! The table of connections that people read is the one that the manifests have.

use std::{collections::BTreeSet, fs};

use manifests::{
    connections::{Connection, derived, table},
    repository,
};

#[test]
fn the_table_in_the_readme_is_what_the_pods_need() {
    let Some(tree) = crate::tree("the_table_in_the_readme_is_what_the_pods_need") else { return };
    let readme = fs::read_to_string(repository().join("kubernetes/README.md")).unwrap();
    let table = table::read(&readme).unwrap();
    let lines =
        |connections: BTreeSet<Connection>| connections.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let both = derived::connections(&tree.render_with("connections", &["energy"]).unwrap());
    for pipeline in ["emissions", "energy"] {
        let other = if pipeline == "energy" { "emissions-" } else { "energy-" };
        let own = both.iter().filter(|connection| !connection.to_string().contains(other));
        let connections = own.map(|connection| connection.clone().of(pipeline)).collect();
        assert_eq!(lines(table.clone()), lines(connections), "{pipeline}");
    }
}

//! The table of roads that people read is the one that the manifests have.

use std::{collections::BTreeSet, fs};

use manifests::{
    repository,
    roads::{derived, table},
};

#[test]
fn the_table_in_the_readme_is_what_the_pods_need() {
    let Some(tree) = crate::tree("the_table_in_the_readme_is_what_the_pods_need") else { return };
    let readme = fs::read_to_string(repository().join("kubernetes/README.md")).unwrap();
    let table = table::read(&readme).unwrap();
    let derived = derived::roads(&tree.render(".").unwrap());
    let lines = |roads: BTreeSet<_>| roads.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(lines(table), lines(derived));
}

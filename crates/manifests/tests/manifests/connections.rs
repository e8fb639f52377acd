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
    let table = table::read(&readme, "connections").unwrap();
    let reports = table::read(&readme, "connections of sensors").unwrap();
    let live = table::read(&readme, "connections of sensors and iot").unwrap();
    let lines =
        |connections: BTreeSet<Connection>| connections.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let all = derived::connections(&tree.render_with("connections", &["energy", "sensors", "iot"]).unwrap());
    let pipelines = ["emissions", "energy", "sensors", "iot"];
    for pipeline in pipelines {
        let is_other = |connection: &&Connection| {
            let others = pipelines.iter().filter(|other| **other != pipeline);
            others.into_iter().any(|other| connection.to_string().contains(&format!("{other}-")))
        };
        let connections = all.iter().filter(|connection| !is_other(connection)).cloned();
        let connections = connections.map(|connection| connection.of(pipeline)).collect();
        let mut expected = table.clone();
        for (further, pipelines) in [(&reports, &["sensors"][..]), (&live, &["sensors", "iot"])] {
            if pipelines.contains(&pipeline) {
                expected.extend(further.iter().cloned());
            }
        }
        assert_eq!(lines(expected), lines(connections), "{pipeline}");
    }
    for [pipeline, input] in
        [["sensors", "http-input"], ["sensors", "mqtt-input"], ["iot", "http-input"], ["iot", "mqtt-input"]]
    {
        let further = table::read(&readme, &format!("connections of {input}")).unwrap();
        let simulated = derived::connections(&tree.render_with("simulated", &[pipeline]).unwrap());
        let live = tree.render_with("live", &[pipeline, &format!("{input}/{pipeline}")]).unwrap();
        let live = derived::connections(&live);
        let expected = simulated.iter().cloned().map(|connection| connection.of(pipeline)).chain(further).collect();
        let connections = live.into_iter().map(|connection| connection.of(pipeline)).collect();
        assert_eq!(lines(expected), lines(connections), "{pipeline} by {input}");
    }
}

//! Which overlays and combinations of components are claimed to work.

/// The overlays of the repository.
pub(crate) const OVERLAYS: [&str; 2] = [".", "sample"];

/// The sources of the input: the volume's file, the made sample, an address.
const INPUTS: [&[&str]; 3] = [&[], &["sample"], &["https-input"]];

/// Which pipelines there are besides `emissions`, and whence they have their readings if not from a simulator.
const PIPELINES: [&[&str]; 7] = [
    &[],
    &["energy"],
    &["sensors"],
    &["iot"],
    &["energy", "sensors", "iot"],
    &["sensors", "iot", "http-input/sensors", "mqtt-input/iot"],
    &["sensors", "iot", "mqtt-input/sensors", "http-input/iot"],
];

/// Whose Kafka, and what KEDA then needs to measure the lag there.
const KAFKAS: [(&[&str], &[&str]); 3] = [
    (&[], &["autoscaling"]),
    (&["external-kafka/any"], &["autoscaling", "autoscaling/login-any"]),
    (&["external-kafka/strimzi"], &["autoscaling", "autoscaling/login-strimzi"]),
];

/// Whose PostgreSQL.
const DATABASES: [&[&str]; 3] = [&[], &["external-postgres/any"], &["external-postgres/cloudnative-pg"]];

/// Strimzi's objects, a topic and a user for each program, are those of `emissions` only.
const NOT_CLAIMED: [[&str; 2]; 3] =
    [["energy", "external-kafka/strimzi"], ["sensors", "external-kafka/strimzi"], ["iot", "external-kafka/strimzi"]];

/// Every claimed combination, in the order in which components are listed.
pub(crate) fn all() -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    for (pipelines, input) in PIPELINES.into_iter().flat_map(|pipelines| INPUTS.map(|input| (pipelines, input))) {
        // The input is that of emissions: what it changes is seen beside a pipeline with a file, and one with a simulator.
        if pipelines.contains(&"iot") && !input.is_empty() {
            continue;
        }
        for (kafka, scaling) in KAFKAS {
            for database in DATABASES {
                let parts = [pipelines, input, kafka, database].concat();
                // Whether it is watched changes nothing for the others, so the two are tried together.
                all.push([&parts[..], &["monitoring"], scaling].concat());
                // What is watched contains what is not: once is enough for several pipelines.
                if pipelines.is_empty() {
                    all.push(parts);
                }
            }
        }
    }
    all.retain(|parts| !NOT_CLAIMED.iter().any(|both| both.iter().all(|part| parts.contains(part))));
    all
}

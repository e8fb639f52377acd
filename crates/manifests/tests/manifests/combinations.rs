//! Which overlays and combinations of components are claimed to work.

/// The overlays of the repository.
pub(crate) const OVERLAYS: [&str; 2] = [".", "sample"];

/// The ways to get the input: the volume's file, the made sample, an address.
const INPUTS: [&[&str]; 3] = [&[], &["sample"], &["https-input"]];

/// Whose Kafka, and what KEDA then needs to measure the lag there.
const KAFKAS: [(&[&str], &[&str]); 3] = [
    (&[], &["autoscaling"]),
    (&["external-kafka/any"], &["autoscaling", "autoscaling/login-any"]),
    (&["external-kafka/strimzi"], &["autoscaling", "autoscaling/login-strimzi"]),
];

/// Whose PostgreSQL.
const DATABASES: [&[&str]; 3] = [&[], &["external-postgres/any"], &["external-postgres/cloudnative-pg"]];

/// Every claimed combination, in the order in which components are listed.
pub(crate) fn all() -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    for input in INPUTS {
        for (kafka, scaling) in KAFKAS {
            for database in DATABASES {
                let parts = [input, kafka, database].concat();
                // Whether it is watched changes nothing for the others, so the two are tried together.
                all.push([&parts[..], &["monitoring"], scaling].concat());
                all.push(parts);
            }
        }
    }
    all
}

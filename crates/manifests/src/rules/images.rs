//! Which images run: known ones, of a known version, without a query to a registry.

use super::unless;
use crate::{rendering::Rendering, tree::TAG};

/// Images without a version, or that are always pulled.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    let mut breaches = Vec::new();
    for workload in rendering.workloads() {
        for container in workload.containers() {
            let image = container.text("/image");
            let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
            let ours = !image.starts_with("tributary/") || tag == TAG;
            breaches
                .extend(unless(!tag.is_empty() && tag != "latest", || format!("{workload}: {image} has no version")));
            breaches.extend(unless(ours, || format!("{workload}: {image} does not get the revision's tag")));
            breaches.extend(unless(container.text("/imagePullPolicy") == "IfNotPresent", || {
                format!("{workload}: {image} may be pulled although it exists")
            }));
        }
    }
    breaches
}

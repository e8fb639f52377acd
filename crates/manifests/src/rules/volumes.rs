//! What is mounted: sized where it is written to, and present.

use super::unless;
use crate::{object::text, rendering::Rendering, workload::Workload};

/// What kustomize appends to the name of generated config: ten of these letters.
const HASH: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Secrets that an operator makes, so no manifest of ours holds them.
const MADE_ELSEWHERE: [&str; 5] =
    ["postgres-ca", "postgres-superuser", "kafka-cluster-ca-cert", "emissions-producer", "emissions-consumer"];

/// Scratch space without an end, and references to what does not exist or will get another name.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    let of_workload = |workload: &Workload<'_>| {
        let mut breaches = unsized_folders(workload);
        breaches.extend(unmounted(workload));
        breaches.extend(["ConfigMap", "Secret"].into_iter().flat_map(|kind| dangling(rendering, workload, kind)));
        breaches
    };
    rendering.workloads().iter().flat_map(of_workload).collect()
}

fn unsized_folders(workload: &Workload<'_>) -> Vec<String> {
    let folders = workload.pod_list("/volumes").iter().filter(|volume| volume.get("emptyDir").is_some());
    let endless = folders.filter(|volume| text(volume, "/emptyDir/sizeLimit").is_empty());
    endless.map(|volume| format!("{workload}: emptyDir {} has no size limit", text(volume, "/name"))).collect()
}

/// Volumes that nobody mounts, and mounts of no volume.
fn unmounted(workload: &Workload<'_>) -> Vec<String> {
    let claims = workload.object.list("/spec/volumeClaimTemplates").iter().map(|claim| text(claim, "/metadata/name"));
    let volumes: Vec<_> =
        workload.pod_list("/volumes").iter().map(|volume| text(volume, "/name")).chain(claims).collect();
    let mounts: Vec<_> = workload
        .containers()
        .flat_map(|container| container.list("/volumeMounts").iter().map(|mount| text(mount, "/name")))
        .collect();
    let idle = volumes.iter().filter(|name| !mounts.contains(name));
    let absent = mounts.iter().filter(|name| !volumes.contains(name));
    let idle = idle.map(|name| format!("{workload}: nobody mounts volume {name}"));
    idle.chain(absent.map(|name| format!("{workload}: mounts {name}, which is no volume"))).collect()
}

fn dangling(rendering: &Rendering, workload: &Workload<'_>, kind: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    for name in workload.references(kind) {
        let exists = rendering.find(kind, &name).is_some() || MADE_ELSEWHERE.contains(&name.as_str());
        breaches.extend(unless(exists, || format!("{workload}: there is no {kind} {name}")));
        // A Job's template cannot change, so a new hash could not be applied.
        let stays = workload.object.kind() != "Job" || !is_hashed(&name);
        breaches.extend(unless(stays, || {
            format!("{workload}: a Job refers to {name}, whose name changes with its content")
        }));
    }
    breaches
}

/// Whether kustomize has appended a hash of the content to the name.
pub(super) fn is_hashed(name: &str) -> bool {
    let last = name.rsplit('-').next().unwrap_or_default();
    last.len() == 10 && last.chars().all(|letter| HASH.contains(letter))
}

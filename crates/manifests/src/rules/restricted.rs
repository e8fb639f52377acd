//! The Pod Security Standard "restricted", and what this project requires beyond it.

use serde_json::{Value, json};

use super::unless;
use crate::{
    object,
    rendering::Rendering,
    workload::{Container, Workload},
};

/// The kinds of volumes that the standard lets in.
const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// Pods that would be refused, or that may do more than they need.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    let of_pod = |workload: Workload<'_>| {
        let containers = workload.containers().flat_map(move |container| of_container(&workload, container));
        pod(&workload).into_iter().chain(containers).collect::<Vec<_>>()
    };
    rendering.workloads().into_iter().flat_map(of_pod).collect()
}

fn pod(workload: &Workload<'_>) -> Vec<String> {
    let host = ["/hostNetwork", "/hostPID", "/hostIPC"].into_iter().filter(|field| is(workload.pod(field), true));
    let host = host.map(|field| format!("{workload}: {field} is on"));
    let volumes = workload.pod_list("/volumes").iter().filter(|volume| !VOLUMES.iter().any(|kind| has(volume, kind)));
    let volumes = volumes
        .map(|volume| format!("{workload}: volume {} is of no kind that is let in", object::text(volume, "/name")));
    let sysctls =
        unless(workload.pod_list("/securityContext/sysctls").is_empty(), || format!("{workload}: sets sysctls"));
    let token = unless(is(workload.pod("/automountServiceAccountToken"), false), || {
        format!("{workload}: mounts a service account's token, and talks to no API server")
    });
    host.chain(volumes).chain(sysctls).chain(token).collect()
}

fn of_container(workload: &Workload<'_>, container: Container<'_>) -> Vec<String> {
    // The container's own setting takes precedence over the pod's.
    let setting = |field: &str| {
        let own = container.value.pointer(&format!("/securityContext/{field}"));
        own.or_else(|| workload.pod(&format!("/securityContext/{field}")))
    };
    let capabilities = container.value.pointer("/securityContext/capabilities");
    let rules = [
        (is(setting("runAsNonRoot"), true), "may run as root"),
        (setting("runAsUser").and_then(Value::as_u64) != Some(0), "runs as root"),
        (setting("seccompProfile/type") == Some(&json!("RuntimeDefault")), "has no seccomp profile"),
        (is(setting("allowPrivilegeEscalation"), false), "may gain privileges"),
        (!is(setting("privileged"), true), "is privileged"),
        (is(setting("readOnlyRootFilesystem"), true), "may write to its root file system"),
        (setting("procMount").is_none(), "mounts /proc in its own way"),
        (capabilities == Some(&json!({"drop": ["ALL"]})), "keeps or adds capabilities"),
        (container.list("/ports").iter().all(|port| port.get("hostPort").is_none()), "takes a port of its node"),
    ];
    let name = container.text("/name");
    rules
        .into_iter()
        .filter_map(|(holds, what)| unless(holds, || format!("{workload}: container {name} {what}")))
        .collect()
}

fn has(volume: &Value, kind: &str) -> bool {
    volume.get(kind).is_some()
}

fn is(value: Option<&Value>, wanted: bool) -> bool {
    value.and_then(Value::as_bool) == Some(wanted)
}

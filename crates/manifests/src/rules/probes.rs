//! How a program that runs on is watched, and how it is stopped.

use serde_json::Value;

use super::unless;
use crate::{
    object::Object,
    rendering::Rendering,
    workload::{Container, Workload},
};

const PROBES: [&str; 3] = ["startupProbe", "readinessProbe", "livenessProbe"];

/// Our programs' own deadline for a stop, seconds; what is killed before has not finished its work.
const STOP_DEADLINE_S: u64 = 20;

/// Programs that are not watched, probes that are copies, and grace that is too short.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    let workloads = rendering.workloads();
    let lasting = workloads.iter().filter(|workload| workload.runs_on());
    let breaches = lasting.flat_map(|workload| {
        let probes = workload.containers().flat_map(move |container| of_container(workload, container));
        of_stop(workload).into_iter().chain(of_producer(workload)).chain(probes).collect::<Vec<_>>()
    });
    breaches.chain(rendering.of_kind("Deployment").filter_map(|object| of_budget(rendering, object))).collect()
}

fn of_container(workload: &Workload<'_>, container: Container<'_>) -> Vec<String> {
    let [startup, readiness, liveness] = PROBES.map(|probe| container.value.get(probe));
    // Ours have a path for each probe; other programs may get the same request with more patience.
    let distinct = match workload.program().as_str() {
        "consumer" | "producer" => {
            request(startup) != request(readiness)
                && request(startup) != request(liveness)
                && request(readiness) != request(liveness)
        }
        _ => request(readiness) != request(liveness) || patience(readiness) * 2 <= patience(liveness),
    };
    let mut breaches: Vec<String> = PROBES
        .into_iter()
        .filter(|probe| container.value.get(*probe).is_none())
        .map(|probe| format!("{workload}: container {} has no {probe}", container.text("/name")))
        .collect();
    breaches.extend(unless(distinct, || format!("{workload}: its probes send the same request")));
    let unknown = PROBES.into_iter().filter_map(|probe| port(container.value.get(probe)?));
    let unknown = unknown.filter(|port| !container.has_port(port));
    breaches
        .extend(unknown.map(|port| format!("{workload}: a probe uses port {port}, which the container does not name")));
    breaches
}

/// The request of a probe.
fn request(probe: Option<&Value>) -> Option<[Option<&Value>; 3]> {
    probe.map(|probe| ["httpGet", "exec", "tcpSocket"].map(|kind| probe.get(kind)))
}

/// How long a probe may fail, seconds: what is slow is not yet dead.
fn patience(probe: Option<&Value>) -> u64 {
    let number = |field: &str, default| probe.and_then(|probe| probe.get(field)?.as_u64()).unwrap_or(default);
    number("failureThreshold", 3) * number("periodSeconds", 10)
}

fn port(probe: &Value) -> Option<Value> {
    probe.pointer("/httpGet/port").or_else(|| probe.pointer("/tcpSocket/port")).cloned()
}

fn of_stop(workload: &Workload<'_>) -> Option<String> {
    let grace = workload.pod("/terminationGracePeriodSeconds").and_then(Value::as_u64).unwrap_or(0);
    unless(grace > STOP_DEADLINE_S, || format!("{workload}: is killed {grace} s after it was asked to stop"))
}

/// A producer that goes on is alone, also while it is replaced: two of them would send the same.
fn of_producer(workload: &Workload<'_>) -> Option<String> {
    let replicas = workload.object.0.pointer("/spec/replicas").and_then(Value::as_u64);
    let alone = replicas == Some(1) && workload.object.text("/spec/strategy/type") == "Recreate";
    unless(workload.program() != "producer" || alone, || format!("{workload}: may run beside another one like it"))
}

/// A budget where there is more than one replica, and only there: with one it would stop every drain of a node.
fn of_budget(rendering: &Rendering, object: &Object) -> Option<String> {
    let scaled =
        rendering.of_kind("ScaledObject").find(|scaled| scaled.text("/spec/scaleTargetRef/name") == object.name());
    let replicas = match scaled {
        Some(scaled) => scaled.0.pointer("/spec/minReplicaCount"),
        None => object.0.pointer("/spec/replicas"),
    };
    let many = replicas.and_then(Value::as_u64).unwrap_or(1) > 1;
    let selector = object.0.pointer("/spec/selector");
    let budgets =
        rendering.of_kind("PodDisruptionBudget").filter(|budget| budget.0.pointer("/spec/selector") == selector);
    let count = budgets.count();
    unless(count == usize::from(many), || format!("{object}: {count} disruption budgets, of several replicas: {many}"))
}

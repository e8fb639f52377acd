//! Labels, selectors and namespaces: who is who, and that nobody is taken for another.

use std::collections::BTreeMap;

use super::unless;
use crate::{
    object::{self, Object, selects},
    rendering::Rendering,
    workload::{INSTANCE, NAME, Workload},
};

/// What every pod is labelled with.
const WANTED: [&str; 4] = [NAME, INSTANCE, "app.kubernetes.io/component", "app.kubernetes.io/part-of"];

/// Objects that nobody finds, that are found as another, or that lie in another namespace.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    let all = rendering.objects.iter().flat_map(of_object);
    let pods = rendering.workloads();
    let labels = pods.iter().flat_map(of_pods);
    let selectors = rendering.objects.iter().flat_map(|object| of_selector(object, &pods));
    all.chain(labels).chain(selectors).collect()
}

fn of_object(object: &Object) -> Vec<String> {
    let part_of = object.labels().remove("app.kubernetes.io/part-of");
    let inside = object.kind() == "Namespace" || object.text("/metadata/namespace") == "tributary";
    let labelled = object.kind() == "Namespace" || part_of.as_deref() == Some("tributary");
    let breaches = [
        unless(inside, || format!("{object}: lies outside the namespace")),
        unless(labelled, || format!("{object}: is not labelled as a part of tributary, so `make down` leaves it")),
    ];
    breaches.into_iter().flatten().collect()
}

fn of_pods(workload: &Workload<'_>) -> Vec<String> {
    let (own, pods) = (workload.object.labels(), workload.pod_labels());
    // A CronJob makes Jobs, and scripts find those by their labels.
    let jobs =
        workload.object.0.pointer("/spec/jobTemplate").map(|job| object::labels(job.pointer("/metadata/labels")));
    let differs = |labels: &BTreeMap<String, String>, label| labels.get(label) != own.get(label);
    let missing = WANTED.into_iter().filter(|label| {
        !pods.contains_key(*label) || differs(&pods, *label) || jobs.as_ref().is_some_and(|jobs| differs(jobs, *label))
    });
    missing.map(|label| format!("{workload}: itself, its Jobs or its pods lack {label}, or they differ")).collect()
}

/// Every selector: exactly name and instance, and of one workload's pods. What operators select is their rule's.
fn of_selector(object: &Object, workloads: &[Workload<'_>]) -> Vec<String> {
    let pointer = match object.kind() {
        "Service" => "/spec/selector",
        "Deployment" | "StatefulSet" | "PodDisruptionBudget" => "/spec/selector/matchLabels",
        _ => return Vec::new(),
    };
    let selector = object::labels(object.0.pointer(pointer));
    let found: Vec<_> = workloads.iter().filter(|workload| selects(&selector, &workload.pod_labels())).collect();
    let whole = selector.keys().map(String::as_str).eq([INSTANCE, NAME]);
    let alone = found.len() == 1 && found.iter().all(|workload| is_own(object, workload));
    let entries = object.list("/spec/ports").iter();
    let mut targets = entries.map(|entry| entry.get("targetPort").unwrap_or(&entry["port"]));
    let leads =
        targets.all(|target| found.iter().any(|workload| workload.containers().any(|one| one.has_port(target))));
    let breaches = [
        unless(leads, || format!("{object}: leads to a port that its pods do not name")),
        unless(whole, || format!("{object}: selects by {:?}, not by name and instance", keys(&selector))),
        unless(alone, || format!("{object}: selects the pods of {} workloads, or not its own", found.len())),
    ];
    breaches.into_iter().flatten().collect()
}

/// A workload selects its own pods; a Service or a budget those of the workload that it names.
fn is_own(object: &Object, workload: &Workload<'_>) -> bool {
    Workload::of(object).is_none_or(|own| own.object.name() == workload.object.name())
}

fn keys(selector: &BTreeMap<String, String>) -> Vec<&str> {
    selector.keys().map(String::as_str).collect()
}

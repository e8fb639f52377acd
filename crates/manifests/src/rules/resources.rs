//! Requests and limits, and that everything together fits the smallest machine.

use serde_json::Value;

use super::unless;
use crate::{
    object::{Object, text},
    rendering::Rendering,
    workload::Workload,
};

/// Thousandths of a processor that what runs on and one Job may request: of two, what the cluster's own parts leave (Minikube's take 750).
const PROCESSOR: u64 = 1250;

/// MiB that all may request: of Minikube's 8 GiB, what its own parts and the page cache leave.
const MEMORY: u64 = 6144;

/// Containers that take what they like, and sets of pods that do not fit.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    let workloads = rendering.workloads();
    let mut breaches: Vec<String> = workloads.iter().flat_map(of_containers).collect();
    // A Job whose pod does not fit waits until that of another has ended, so of processor time one of them counts. What a
    // CronJob makes should find its place.
    let (jobs, others): (Vec<_>, Vec<_>) = workloads.iter().partition(|workload| workload.object.kind() == "Job");
    let of = |workloads: &[&Workload<'_>], resource: &str| -> Vec<u64> {
        workloads.iter().map(|workload| requested(workload, resource)).collect()
    };
    let processor = of(&others, "cpu").iter().sum::<u64>() + of(&jobs, "cpu").into_iter().max().unwrap_or(0);
    let memory = of(&others, "memory").iter().chain(&of(&jobs, "memory")).sum::<u64>();
    breaches.extend(unless(processor <= PROCESSOR, || format!("{processor} m of processor are requested")));
    breaches.extend(unless(memory <= MEMORY, || format!("{memory} MiB of memory are requested")));
    breaches.extend(rendering.of_kind("PersistentVolumeClaim").flat_map(of_claim));
    breaches
}

fn of_containers(workload: &Workload<'_>) -> Vec<String> {
    let wanted = ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"];
    let missing = workload.containers().flat_map(|container| {
        let missing = wanted.into_iter().filter(move |field| quantity(container.text(field)).is_none());
        missing.map(move |field| format!("{workload}: container {} lacks {field}", container.text("/name")))
    });
    missing.collect()
}

fn of_claim(claim: &Object) -> Vec<String> {
    let sized = quantity(claim.text("/spec/resources/requests/storage")).is_some();
    let portable = claim.0.pointer("/spec/storageClassName").is_none();
    let breaches = [
        unless(sized, || format!("{claim}: has no size")),
        unless(portable, || format!("{claim}: names a storage class, which another cluster does not have")),
    ];
    breaches.into_iter().flatten().collect()
}

/// What all replicas of a workload request, in thousandths of a processor or in MiB.
fn requested(workload: &Workload<'_>, resource: &str) -> u64 {
    let replicas = workload.object.0.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    let each = workload
        .pod_list("/containers")
        .iter()
        .filter_map(|container| quantity(text(container, &format!("/resources/requests/{resource}"))));
    replicas * each.sum::<u64>()
}

/// A quantity in thousandths or in MiB, in the few ways that we write one.
fn quantity(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let number: u64 = digits.parse().ok()?;
    match text.get(digits.len()..)? {
        "m" | "Mi" => Some(number),
        "Gi" => Some(number * 1024),
        "" => Some(number * 1000),
        _ => None,
    }
}

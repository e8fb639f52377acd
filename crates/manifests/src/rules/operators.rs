//! Custom resources must agree with the programs' settings: a scaler of another topic, or an alert on a metric that
//! nobody writes, is silent.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::unless;
use crate::{
    object::{self, Object, list, selects, text},
    rendering::Rendering,
    repository,
    workload::Workload,
};

/// Metrics that kube-state-metrics writes.
const OTHERS: [&str; 6] = [
    "kube_pod_container_status_restarts_total",
    "kube_job_status_failed",
    "kube_job_status_succeeded",
    "kube_job_owner",
    "kube_cronjob_created",
    "kube_cronjob_status_last_successful_time",
];

/// Custom resources that do not fit the programs.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    let scalers = rendering.of_kind("ScaledObject").flat_map(|scaler| of_scaler(rendering, scaler));
    let topics = rendering.of_kind("KafkaTopic").filter_map(|topic| of_topic(rendering, topic));
    let users = rendering.of_kind("KafkaUser").flat_map(|user| of_user(rendering, user));
    let monitors = rendering.of_kind("PodMonitor").flat_map(|monitor| of_monitor(rendering, monitor));
    let rules = rendering.of_kind("PrometheusRule").flat_map(of_rules);
    scalers.chain(topics).chain(users).chain(monitors).chain(rules).collect()
}

/// The value of a workload's variable; empty where one of them does not exist.
fn setting(rendering: &Rendering, name: &str, variable: &str) -> String {
    let workload = rendering.workloads().into_iter().find(|workload| workload.object.name() == name);
    let all = workload
        .iter()
        .flat_map(Workload::containers)
        .flat_map(|container| container.settings(rendering))
        .collect::<Vec<_>>();
    all.into_iter().find(|(name, _)| name == variable).map(|(_, value)| value).unwrap_or_default()
}

fn of_scaler(rendering: &Rendering, scaler: &Object) -> Vec<String> {
    let trigger = scaler.0.pointer("/spec/triggers/0/metadata").cloned().unwrap_or_default();
    let name = scaler.text("/spec/scaleTargetRef/name");
    let target = rendering.find("Deployment", name);
    let partitions = setting(rendering, &name.replace("consumer", "producer"), "PARTITIONS").parse().unwrap_or(6);
    let follows = |field: &str, variable: &str| {
        let wanted = setting(rendering, name, variable);
        !wanted.is_empty() && text(&trigger, field) == wanted
    };
    // KEDA connects from another namespace, so it needs whole names.
    let brokers = text(&trigger, "/bootstrapServers");
    let reachable = brokers.split(',').all(|broker| broker.contains('.'));
    let rules = [
        (target.is_some(), "scales what does not exist"),
        (
            target.is_none_or(|target| target.0.pointer("/spec/replicas").is_none()),
            "is undone by every apply: replicas are fixed",
        ),
        (follows("/topic", "TOPIC"), "measures another topic"),
        (follows("/consumerGroup", "GROUP_ID"), "measures another group"),
        (reachable, "names brokers in a way that KEDA's pods cannot find"),
        (
            scaler.0.pointer("/spec/maxReplicaCount").and_then(Value::as_u64) == Some(partitions),
            "may start idle replicas",
        ),
        (scaler.0.pointer("/spec/minReplicaCount").and_then(Value::as_u64) >= Some(1), "may stop the consumer"),
    ];
    rules.into_iter().filter_map(|(holds, what)| unless(holds, || format!("{scaler}: {what}"))).collect()
}

fn of_topic(rendering: &Rendering, topic: &Object) -> Option<String> {
    let wanted = setting(rendering, &format!("{}-producer", topic.name()), "TOPIC");
    let name = if topic.text("/spec/topicName").is_empty() { topic.name() } else { topic.text("/spec/topicName") };
    unless(name == wanted, || format!("{topic}: is {name}, and the producer sends to {wanted}"))
}

fn of_user(rendering: &Rendering, user: &Object) -> Vec<String> {
    let allowed: BTreeSet<(&str, &str)> = user
        .list("/spec/authorization/acls")
        .iter()
        .map(|rule| (text(rule, "/resource/type"), text(rule, "/resource/name")))
        .collect();
    let topic = setting(rendering, user.name(), "TOPIC");
    let group = setting(rendering, user.name(), "GROUP_ID");
    let mut breaches = Vec::new();
    breaches.extend(unless(allowed.contains(&("topic", &topic)), || format!("{user}: may not use {topic}")));
    let grouped = group.is_empty() || allowed.contains(&("group", &group));
    breaches.extend(unless(grouped, || format!("{user}: may not join {group}")));
    breaches
}

/// A monitor scrapes every pipeline's consumers, and nobody else, at a port that they name.
fn of_monitor(rendering: &Rendering, monitor: &Object) -> Vec<String> {
    let selector = object::labels(monitor.0.pointer("/spec/selector/matchLabels"));
    let others = rendering.workloads().into_iter().filter(|workload| {
        let consumer = workload.program() == "consumer";
        consumer != selects(&selector, &workload.pod_labels())
    });
    let mut breaches: Vec<String> =
        others.map(|workload| format!("{monitor}: {workload} is watched and no consumer, or the reverse")).collect();
    let ports: Vec<&str> =
        monitor.list("/spec/podMetricsEndpoints").iter().map(|endpoint| text(endpoint, "/port")).collect();
    let workloads = rendering.workloads();
    let named = workloads.iter().filter(|workload| workload.program() == "consumer").flat_map(Workload::containers);
    let named: Vec<&str> =
        named.flat_map(|container| container.list("/ports").iter().map(|port| text(port, "/name"))).collect();
    let found = !ports.is_empty() && ports.iter().all(|port| named.contains(port));
    breaches.extend(unless(found, || format!("{monitor}: scrapes {ports:?}, and the consumer names {named:?}")));
    breaches
}

fn of_rules(rules: &Object) -> Vec<String> {
    let written = metrics();
    let mut breaches = Vec::new();
    for rule in rules.list("/spec/groups").iter().flat_map(|group| list(group, "/rules")) {
        let name = text(rule, "/alert");
        let unknown = used(text(rule, "/expr")).filter(|metric| !written.contains(*metric) && !OTHERS.contains(metric));
        breaches.extend(unknown.map(|metric| format!("{rules}: {name} queries {metric}, which nobody writes")));
        let required = ["/annotations/summary", "/annotations/description", "/labels/severity"];
        breaches.extend(
            required
                .into_iter()
                .filter(|field| text(rule, field).is_empty())
                .map(|field| format!("{rules}: {name} has no {field}")),
        );
    }
    breaches
}

/// The words of an expression that look like metrics: our prefix, or kube-state-metrics'.
fn used(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| word.starts_with("tributary_") || word.starts_with("kube_"))
}

/// The metrics that our sources name, with what Prometheus makes of a histogram.
fn metrics() -> BTreeSet<String> {
    let sources = ["crates/stream/src", "crates/service/src", "crates/consumer/src"]
        .map(|folder| text_of(&repository().join(folder)));
    let names: BTreeSet<&str> = sources.iter().flat_map(|text| used(text)).collect();
    let parts = |name: &&str| ["", "_count", "_sum", "_bucket"].map(|part| format!("{name}{part}"));
    names.iter().flat_map(parts).collect()
}

/// All text of the Rust files of a folder.
fn text_of(folder: &Path) -> String {
    let paths = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .map(|path| if path.is_dir() { text_of(&path) } else { fs::read_to_string(path).unwrap_or_default() })
        .collect()
}

//! The connections that the NetworkPolicies allow, on each side of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::{Connection, End};
use crate::{
    object::{self, Object, selects},
    rendering::Rendering,
    workload::{self, Workload},
};

/// One direction of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What a pod may be sent.
    Ingress,
    /// What a pod may send.
    Egress,
}

impl Direction {
    /// Whether our policies decide about the connection in this direction: they do at the end that is our pod. The
    /// node's agent is always let in.
    pub fn governs(self, connection: &Connection) -> bool {
        let end = match self {
            Self::Ingress => &connection.to,
            Self::Egress => &connection.from,
        };
        matches!(end, End::Program(_)) && connection.from != End::Kubelet
    }
}

/// The labels of all pods that there will be.
type Pods = Vec<BTreeMap<String, String>>;

/// What the policies of a rendering allow in one direction.
///
/// # Errors
/// When nothing is denied to begin with, or a policy allows in a way that we do not use: every port, or all of our pods.
pub fn connections(rendering: &Rendering, direction: Direction) -> Result<BTreeSet<Connection>> {
    let policies: Vec<&Object> = rendering.of_kind("NetworkPolicy").collect();
    let denied = policies.iter().any(|policy| {
        let all = policy.0.pointer("/spec/podSelector") == Some(&serde_json::json!({}));
        all && policy.0.pointer("/spec/policyTypes") == Some(&serde_json::json!(["Ingress", "Egress"]))
    });
    ensure!(denied, "no policy denies all to begin with");
    let pods = pods(rendering);
    let mut connections = BTreeSet::new();
    for policy in policies {
        connections.extend(of_policy(policy, direction, &pods)?);
    }
    Ok(connections)
}

fn of_policy(policy: &Object, direction: Direction, pods: &Pods) -> Result<Vec<Connection>> {
    let (rules, peers) = match direction {
        Direction::Ingress => ("/spec/ingress", "from"),
        Direction::Egress => ("/spec/egress", "to"),
    };
    if policy.list(rules).is_empty() {
        return Ok(Vec::new());
    }
    let selected = programs(object::labels(policy.0.pointer("/spec/podSelector/matchLabels")), pods);
    ensure!(!selected.is_empty(), "{policy} protects no pods");
    let mut connections = Vec::new();
    for rule in policy.list(rules) {
        let ports = object::list(rule, "/ports");
        ensure!(!ports.is_empty(), "{policy} opens every port");
        for end in ends(policy, object::list(rule, &format!("/{peers}")), pods)? {
            for entry in ports {
                let (port, udp) = port(policy, entry)?;
                let pair = |one: &String| match direction {
                    Direction::Ingress => (end.clone(), End::Program(one.clone())),
                    Direction::Egress => (End::Program(one.clone()), end.clone()),
                };
                connections.extend(selected.iter().map(pair).map(|(from, to)| Connection { from, to, port, udp }));
            }
        }
    }
    Ok(connections)
}

fn ends(policy: &Object, peers: &[Value], pods: &Pods) -> Result<Vec<End>> {
    if peers.is_empty() {
        return Ok(vec![End::Anyone]);
    }
    let mut ends = Vec::new();
    for peer in peers {
        if peer.get("ipBlock").is_some() {
            ends.push(End::Outside);
            continue;
        }
        let namespace = object::labels(peer.pointer("/namespaceSelector/matchLabels"));
        let labels = object::labels(peer.pointer("/podSelector/matchLabels"));
        match namespace.get("kubernetes.io/metadata.name").map(String::as_str) {
            Some("kube-system") if labels.get("k8s-app").is_some_and(|app| app == "kube-dns") => ends.push(End::Dns),
            Some(namespace) => ends.push(End::Namespace(namespace.to_owned())),
            None if labels.is_empty() => bail!("{policy} has a peer that is everybody"),
            None => {
                let found = programs(labels, pods);
                ensure!(!found.is_empty(), "{policy} names a peer that does not exist: {peer}");
                ends.extend(found.into_iter().map(End::Program));
            }
        }
    }
    Ok(ends)
}

fn port(policy: &Object, entry: &Value) -> Result<(u16, bool)> {
    let number = entry.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let Some(number) = number else { bail!("{policy} has a port that is not a number: {entry}") };
    ensure!(entry.get("endPort").is_none(), "{policy} opens a range of ports");
    Ok((number, entry.get("protocol").is_some_and(|protocol| protocol == "UDP")))
}

/// Whose pods a selector finds.
fn programs(selector: BTreeMap<String, String>, pods: &Pods) -> BTreeSet<String> {
    let found = pods.iter().filter(|labels| selects(&selector, labels));
    found.filter_map(workload::identity).collect()
}

/// Our own pods, and those that operators will make.
fn pods(rendering: &Rendering) -> Pods {
    let own = rendering.workloads().iter().map(Workload::pod_labels).collect::<Vec<_>>();
    own.into_iter().chain(rendering.objects.iter().flat_map(operated)).collect()
}

/// The labels that an operator gives to the pods of a custom resource.
fn operated(object: &Object) -> Pods {
    let label = |key: &str, value: &str| (format!("app.kubernetes.io/{key}"), value.to_owned());
    let strimzi = |name: &str| BTreeMap::from([label("name", name), label("instance", object.name())]);
    match object.kind() {
        "Kafka" => vec![strimzi("kafka"), strimzi("entity-operator")],
        "Cluster" => vec![object::labels(object.0.pointer("/spec/inheritedMetadata/labels"))],
        _ => Vec::new(),
    }
}

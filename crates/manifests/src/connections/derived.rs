//! The connections that the pods need, from their settings: variables, arguments, mounted files, probes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Connection, End};
use crate::{
    object::{self, Object, selects, text},
    rendering::Rendering,
    workload::{Container, Workload},
};

/// Settings that say where a program itself listens, or is found by others: no connection to another.
const OWN: [&str; 5] = ["listeners", "advertised.listeners", "KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "LISTEN"];

/// Where fields of a reading come from, such as `sensor_id=topic:2`: no address, although it looks like one.
const NO_ADDRESS: &str = "FIELDS";

/// Ports of URLs that name none.
const SCHEMES: [(&str, u16); 4] = [("https", 443), ("http", 80), ("postgres", 5432), ("postgresql", 5432)];

/// All connections of a rendering.
pub fn connections(rendering: &Rendering) -> BTreeSet<Connection> {
    let mut connections = BTreeSet::new();
    for workload in rendering.workloads() {
        let from = End::Program(workload.identity());
        for container in workload.containers() {
            let settings = container.settings(rendering).into_iter().chain(mounted(rendering, &workload));
            for (name, value) in settings.filter(|(name, _)| !OWN.contains(&name.as_str()) && name != NO_ADDRESS) {
                connections.extend(addresses(&value).filter_map(|(host, port)| match name.as_str() {
                    // Senders are not known.
                    "HTTP_LISTEN" => Some(Connection { from: End::Anyone, to: from.clone(), port, udp: false }),
                    // The broker may be in the cluster or out of it.
                    "MQTT_URL" => Some(Connection { from: from.clone(), to: End::Anyone, port, udp: false }),
                    _ => connection(rendering, &from, &host, port),
                }));
            }
            connections.extend(probes(container).map(|port| Connection {
                from: End::Kubelet,
                to: from.clone(),
                port,
                udp: false,
            }));
        }
    }
    let names: BTreeSet<End> = connections
        .iter()
        .filter(|connection| matches!(connection.from, End::Program(_)))
        .map(|connection| connection.from.clone())
        .collect();
    for from in names {
        connections.extend([false, true].map(|udp| Connection { from: from.clone(), to: End::Dns, port: 53, udp }));
    }
    connections.extend(of_operators(rendering));
    connections
}

/// The lines `name=value` of settings that are mounted as files.
fn mounted(rendering: &Rendering, workload: &Workload<'_>) -> Vec<(String, String)> {
    let maps = workload
        .pod_list("/volumes")
        .iter()
        .filter_map(|volume| rendering.find("ConfigMap", text(volume, "/configMap/name")));
    let files = maps.flat_map(|map| object::labels(map.0.pointer("/data")).into_values());
    let lines = files.flat_map(|file| file.lines().map(str::to_owned).collect::<Vec<_>>());
    lines
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())))
        .collect()
}

/// Every `host:port` and every URL in a text.
fn addresses(text: &str) -> impl Iterator<Item = (String, u16)> {
    let urls = SCHEMES.into_iter().filter_map(|(scheme, port)| {
        let rest = text.strip_prefix(scheme)?.strip_prefix("://")?;
        let host = rest.split(['/', '?']).next()?.rsplit('@').next()?;
        (!host.contains(':')).then(|| (host.to_owned(), port))
    });
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || ".-:".contains(letter)));
    let pairs = words.filter_map(|word| {
        let (host, port) = word.rsplit_once(':')?;
        let port = port.parse().ok()?;
        (!host.is_empty() && !host.contains(':')).then(|| (host.to_owned(), port))
    });
    urls.chain(pairs.collect::<Vec<_>>()).collect::<Vec<_>>().into_iter()
}

/// The connection to an address: to a Service's pods, to another namespace, or out of the cluster.
fn connection(rendering: &Rendering, from: &End, host: &str, port: u16) -> Option<Connection> {
    if host == "localhost" || host.starts_with("127.") || host.starts_with("0.0.0.0") {
        return None;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let namespace = labels.iter().position(|label| *label == "svc").and_then(|at| labels.get(at.checked_sub(1)?));
    let connection = |to, port| Some(Connection { from: from.clone(), to, port, udp: false });
    match namespace {
        Some(namespace) if *namespace != "tributary" => connection(End::Namespace((*namespace).to_owned()), port),
        // `service`, `service.namespace`, or `pod.service` of a StatefulSet.
        _ => match labels.iter().take(2).find_map(|label| to_service(rendering, label, port)) {
            Some((program, port)) => connection(End::Program(program), port),
            None if labels.len() > 1 => connection(End::Outside, port),
            None => connection(End::Program(format!("{host}, which is no Service with that port:")), port),
        },
    }
}

/// The program behind a Service's port, and the port that its pods listen on.
fn to_service(rendering: &Rendering, name: &str, port: u16) -> Option<(String, u16)> {
    if let Some(found) = to_operated(rendering, name) {
        return Some((found, port));
    }
    let service = rendering.find("Service", name)?;
    let selector = object::labels(service.0.pointer("/spec/selector"));
    let workload = rendering.workloads().into_iter().find(|workload| selects(&selector, &workload.pod_labels()))?;
    let entry = service.list("/spec/ports").iter().find(|entry| entry["port"] == port)?;
    let target = entry.get("targetPort").unwrap_or(&entry["port"]);
    let target = workload.containers().find_map(|container| container_port(container, target))?;
    Some((workload.identity(), target))
}

/// The program behind a Service that an operator makes.
fn to_operated(rendering: &Rendering, name: &str) -> Option<String> {
    let kafka = rendering.of_kind("Kafka").find(|kafka| name == format!("{}-kafka-bootstrap", kafka.name()));
    let postgres = rendering.of_kind("Cluster").find(|cluster| name == format!("{}-rw", cluster.name()));
    kafka.map(|_| "kafka".to_owned()).or(postgres.map(|_| "postgres".to_owned()))
}

/// The number of a container's port, which is given by name or by number.
fn container_port(container: Container<'_>, wanted: &Value) -> Option<u16> {
    let ports = container.list("/ports").iter();
    let found = ports.filter(|port| port.get("name") == Some(wanted) || port.get("containerPort") == Some(wanted));
    found.filter_map(|port| u16::try_from(port["containerPort"].as_u64()?).ok()).next()
}

fn probes(container: Container<'_>) -> impl Iterator<Item = u16> {
    let all = ["startupProbe", "readinessProbe", "livenessProbe"]
        .into_iter()
        .filter_map(move |probe| container.value.get(probe));
    let ports = all.filter_map(|probe| probe.pointer("/httpGet/port").or_else(|| probe.pointer("/tcpSocket/port")));
    ports.filter_map(move |port| container_port(container, port))
}

/// The connections of operators that query our pods from their own namespaces.
fn of_operators(rendering: &Rendering) -> Vec<Connection> {
    let scraped = rendering.of_kind("PodMonitor").flat_map(|monitor| {
        let selector = object::labels(monitor.0.pointer("/spec/selector/matchLabels"));
        let ports = monitor.list("/spec/podMetricsEndpoints").iter().map(|endpoint| &endpoint["port"]);
        let workloads =
            rendering.workloads().into_iter().filter(move |workload| selects(&selector, &workload.pod_labels()));
        let connections = workloads.flat_map(|workload| {
            let found = ports
                .clone()
                .filter_map(move |port| workload.containers().find_map(|container| container_port(container, port)));
            found.map(move |port| into("monitoring", &workload.identity(), port)).collect::<Vec<_>>()
        });
        connections.collect::<Vec<_>>()
    });
    let triggers = rendering.of_kind("ScaledObject").flat_map(|scaler| scaler.list("/spec/triggers").iter());
    let scaled =
        triggers.flat_map(|trigger| addresses(text(trigger, "/metadata/bootstrapServers")).collect::<Vec<_>>());
    let keda = End::Namespace("keda".to_owned());
    // What KEDA queries outside of our namespace is not our connection.
    let scaled = scaled.filter_map(|(host, port)| connection(rendering, &keda, &host, port));
    let scaled = scaled.filter(|connection| matches!(connection.to, End::Program(_)));
    let operated = rendering.objects.iter().flat_map(operated);
    scraped.chain(scaled.collect::<Vec<_>>()).chain(operated).collect()
}

/// The connections of pods that an operator makes for us, as its documentation has them.
fn operated(object: &Object) -> Vec<Connection> {
    let between = |from: &str, to: &str, port| Connection { from: program(from), to: program(to), port, udp: false };
    match object.kind() {
        // Between instances, and from the operator: the server, and the state of each instance.
        "Cluster" => {
            let ports = [5432, 8000].into_iter();
            let own =
                ports.flat_map(|port| [between("postgres", "postgres", port), into("cnpg-system", "postgres", port)]);
            own.chain(managed("postgres")).collect()
        }
        // Controllers and brokers among themselves, the entity operator, and the cluster operator with its agent.
        "Kafka" => {
            let own = [
                between("kafka", "kafka", 9090),
                between("kafka", "kafka", 9091),
                between("entity-operator", "kafka", 9091),
            ];
            let operator = [9090, 9091, 8443].map(|port| into("strimzi", "kafka", port));
            own.into_iter().chain(operator).chain(managed("kafka")).chain(managed("entity-operator")).collect()
        }
        _ => Vec::new(),
    }
}

/// What every pod of an operator needs: names, and the API server, whose address and port no manifest knows.
fn managed(name: &str) -> impl Iterator<Item = Connection> {
    let dns = [false, true].map(|udp| Connection { from: program(name), to: End::Dns, port: 53, udp });
    let api = [443, 6443].map(|port| Connection { from: program(name), to: End::Outside, port, udp: false });
    dns.into_iter().chain(api)
}

/// A connection from another namespace into one of our programs.
fn into(namespace: &str, name: &str, port: u16) -> Connection {
    Connection { from: End::Namespace(namespace.to_owned()), to: program(name), port, udp: false }
}

fn program(name: &str) -> End {
    End::Program(name.to_owned())
}

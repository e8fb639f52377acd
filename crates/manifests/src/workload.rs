//! An object that makes pods, and the containers of those.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use crate::{
    object::{self, Object},
    rendering::Rendering,
};

/// The label that says which program a pod runs.
pub(crate) const NAME: &str = "app.kubernetes.io/name";

/// The label of the pipeline that a pod belongs to, or of the system.
pub(crate) const INSTANCE: &str = "app.kubernetes.io/instance";

/// The programs that belong to a pipeline.
const OF_A_PIPELINE: [&str; 4] = ["producer", "consumer", "migrate", "warehouse"];

/// Who a pod is, by its labels: its program, and before that its pipeline where it belongs to one.
pub(crate) fn identity(labels: &BTreeMap<String, String>) -> Option<String> {
    let program = labels.get(NAME)?;
    match labels.get(INSTANCE) {
        Some(pipeline) if OF_A_PIPELINE.contains(&program.as_str()) => Some(format!("{pipeline}-{program}")),
        _ => Some(program.clone()),
    }
}

/// A Deployment, StatefulSet, DaemonSet, Job or CronJob.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// The object itself.
    pub object: &'a Object,
    /// The template of its pods.
    pub template: &'a Value,
}

impl Rendering {
    /// Everything that makes pods.
    pub fn workloads(&self) -> Vec<Workload<'_>> {
        self.objects.iter().filter_map(Workload::of).collect()
    }
}

impl<'a> Workload<'a> {
    /// The object as a workload, if it is one.
    pub fn of(object: &'a Object) -> Option<Self> {
        let template = match object.kind() {
            "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => "/spec/template",
            "CronJob" => "/spec/jobTemplate/spec/template",
            _ => return None,
        };
        object.0.pointer(template).map(|template| Self { object, template })
    }

    /// Whether its pods run until somebody stops them.
    pub fn runs_on(&self) -> bool {
        !matches!(self.object.kind(), "Job" | "CronJob")
    }

    /// The labels of its pods.
    pub fn pod_labels(&self) -> BTreeMap<String, String> {
        object::labels(self.template.pointer("/metadata/labels"))
    }

    /// The program that its pods run, by their label.
    pub fn program(&self) -> String {
        self.pod_labels().remove(NAME).unwrap_or_default()
    }

    /// Who its pods are: see [`identity`].
    pub fn identity(&self) -> String {
        identity(&self.pod_labels()).unwrap_or_default()
    }

    /// A value of the pod's specification, by a pointer into it.
    pub fn pod(&self, pointer: &str) -> Option<&'a Value> {
        self.template.pointer("/spec")?.pointer(pointer)
    }

    /// A list of the pod's specification.
    pub fn pod_list(&self, pointer: &str) -> &'a [Value] {
        self.pod(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// All its containers, those that come first included.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> {
        let all = self.pod_list("/initContainers").iter().chain(self.pod_list("/containers"));
        all.map(|value| Container { value })
    }

    /// The names of what its pods take from objects of a kind: `ConfigMap` or `Secret`.
    pub fn references(&self, kind: &str) -> Vec<String> {
        let (volume, key, all) = match kind {
            "ConfigMap" => ("/configMap/name", "/valueFrom/configMapKeyRef/name", "/configMapRef/name"),
            _ => ("/secret/secretName", "/valueFrom/secretKeyRef/name", "/secretRef/name"),
        };
        let volumes = self.pod_list("/volumes").iter().map(|value| object::text(value, volume));
        let variables = self.containers().flat_map(|container| {
            let by_key = container.list("/env").iter().map(|value| object::text(value, key));
            by_key.chain(container.list("/envFrom").iter().map(|value| object::text(value, all)))
        });
        volumes.chain(variables).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }
}

impl fmt::Display for Workload<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.object)
    }
}

/// One container of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    /// Its specification.
    pub value: &'a Value,
}

impl<'a> Container<'a> {
    /// A string of its specification; empty where there is none.
    pub fn text(&self, pointer: &str) -> &'a str {
        object::text(self.value, pointer)
    }

    /// A list of its specification; empty where there is none.
    pub fn list(&self, pointer: &str) -> &'a [Value] {
        object::list(self.value, pointer)
    }

    /// Whether it names a port so, or by that number.
    pub fn has_port(&self, wanted: &Value) -> bool {
        let mut ports = self.list("/ports").iter();
        ports.any(|port| port.get("name") == Some(wanted) || port.get("containerPort") == Some(wanted))
    }

    /// The words of its command line that are written in the manifest.
    pub fn words(&self) -> impl Iterator<Item = &'a str> {
        self.list("/command").iter().chain(self.list("/args")).filter_map(Value::as_str)
    }

    /// Its variables in order: name and value, with what a ConfigMap of the rendering holds put in. A value that is not
    /// in the manifests, a secret's, is empty.
    pub fn variables(&self, rendering: &'a Rendering) -> Vec<(&'a str, &'a str)> {
        let value_of = |entry: &'a Value| match entry.pointer("/valueFrom/configMapKeyRef") {
            Some(reference) => {
                let map = rendering.find("ConfigMap", object::text(reference, "/name"));
                map.map_or("", |map| map.text(&format!("/data/{}", object::text(reference, "/key"))))
            }
            None => object::text(entry, "/value"),
        };
        self.list("/env").iter().map(|entry| (object::text(entry, "/name"), value_of(entry))).collect()
    }

    /// The variables that it takes from whole ConfigMaps of the rendering; of two the later one counts. They are filled
    /// in nowhere.
    pub fn shared_variables(&self, rendering: &'a Rendering) -> BTreeMap<&'a str, &'a str> {
        let names = self.list("/envFrom").iter().map(|source| object::text(source, "/configMapRef/name"));
        let maps = names.filter_map(|name| rendering.find("ConfigMap", name));
        let entries = maps.filter_map(|map| map.0.pointer("/data")?.as_object()).flatten();
        entries.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())).collect()
    }

    /// Its settings, with every `$(NAME)` filled in as Kubernetes does: from variables that come before.
    pub fn settings(&self, rendering: &'a Rendering) -> Vec<(String, String)> {
        let mut settings: Vec<(String, String)> = Vec::new();
        for (name, value) in self.variables(rendering) {
            let value = expand(value, &settings);
            settings.push((name.to_owned(), value));
        }
        let own: Vec<String> = settings.iter().map(|(name, _)| name.clone()).collect();
        let words: Vec<_> = self.words().map(|word| (String::new(), expand(word, &settings))).collect();
        settings.extend(words);
        // A container's own variable counts before a shared one.
        let shared =
            self.shared_variables(rendering).into_iter().filter(|(name, _)| !own.iter().any(|own| own == name));
        settings.extend(shared.map(|(name, value)| (name.to_owned(), value.to_owned())));
        settings
    }
}

fn expand(text: &str, variables: &[(String, String)]) -> String {
    let put_in = |text: String, (name, value): &(String, String)| match name.is_empty() {
        true => text,
        false => text.replace(&format!("$({name})"), value),
    };
    variables.iter().rev().fold(text.to_owned(), put_in)
}

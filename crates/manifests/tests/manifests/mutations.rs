//! Each rule is tried on a rendering that breaks it: one that nothing can break would say nothing.

use manifests::{rendering::Rendering, rules::variables::Knowledge};
use serde_json::{Value, json};

use crate::breaches;

const CONSUMER: &str = "Deployment/emissions-consumer";
/// Takes readings over HTTP.
const PRODUCER: &str = "Deployment/sensors-producer";
const POD: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// What is changed: an object, a path in it, the new value (null removes it), and a part of the breach that follows.
type Mutation = (&'static str, String, Value, &'static str);

#[test]
fn pods_that_may_do_too_much_are_found() {
    let own = |field: &str| format!("{CONTAINER}/securityContext/{field}");
    check(vec![
        (CONSUMER, format!("{POD}/hostNetwork"), json!(true), "/hostNetwork is on"),
        (
            CONSUMER,
            format!("{POD}/volumes/0"),
            json!({"name": "tmp", "hostPath": {"path": "/"}}),
            "no kind that is let in",
        ),
        (CONSUMER, format!("{POD}/automountServiceAccountToken"), Value::Null, "mounts a service account's token"),
        (CONSUMER, format!("{POD}/securityContext/runAsNonRoot"), json!(false), "may run as root"),
        (CONSUMER, own("runAsUser"), json!(0), "runs as root"),
        (CONSUMER, format!("{POD}/securityContext/seccompProfile"), Value::Null, "has no seccomp profile"),
        (CONSUMER, own("allowPrivilegeEscalation"), Value::Null, "may gain privileges"),
        (CONSUMER, own("privileged"), json!(true), "is privileged"),
        (CONSUMER, own("readOnlyRootFilesystem"), Value::Null, "may write to its root file system"),
        (CONSUMER, own("capabilities/add"), json!(["NET_ADMIN"]), "keeps or adds capabilities"),
        (CONSUMER, format!("{CONTAINER}/ports/0/hostPort"), json!(8080), "takes a port of its node"),
    ]);
}

#[test]
fn pods_that_are_taken_for_others_are_found() {
    let label = |label: &str| format!("/spec/template/metadata/labels/app.kubernetes.io~1{label}");
    check(vec![
        (CONSUMER, label("component"), Value::Null, "lack app.kubernetes.io/component"),
        (CONSUMER, label("instance"), json!("other"), "selects the pods of 0 workloads"),
        (CONSUMER, "/metadata/namespace".into(), json!("default"), "lies outside the namespace"),
        (CONSUMER, "/metadata/labels/app.kubernetes.io~1part-of".into(), Value::Null, "`make down` leaves it"),
        ("Service/kafka", "/spec/selector/app.kubernetes.io~1name".into(), json!("postgres"), "kafka 9092"),
        ("Service/kafka", "/spec/selector/app.kubernetes.io~1instance".into(), Value::Null, "not by name and instance"),
        (
            "Service/sensors-producer",
            "/spec/ports/0/targetPort".into(),
            json!("web"),
            "to a port that its pods do not name",
        ),
    ]);
}

#[test]
fn containers_that_are_not_bounded_are_found() {
    check(vec![
        (CONSUMER, format!("{CONTAINER}/image"), json!("tributary/consumer:latest"), "has no version"),
        (CONSUMER, format!("{CONTAINER}/image"), json!("tributary/consumer:other"), "does not get the revision's tag"),
        (CONSUMER, format!("{CONTAINER}/imagePullPolicy"), json!("Always"), "may be pulled although it exists"),
        (CONSUMER, format!("{CONTAINER}/resources/limits/memory"), Value::Null, "lacks /resources/limits/memory"),
        (CONSUMER, format!("{CONTAINER}/resources/requests/cpu"), json!("4000m"), "of processor are requested"),
        (CONSUMER, format!("{CONTAINER}/resources/requests/memory"), json!("8Gi"), "of memory are requested"),
        (CONSUMER, format!("{POD}/volumes/0/emptyDir"), json!({}), "emptyDir tmp has no size limit"),
        (CONSUMER, format!("{CONTAINER}/volumeMounts"), json!([]), "nobody mounts volume tmp"),
        (CONSUMER, format!("{CONTAINER}/volumeMounts/0/name"), json!("temp"), "mounts temp, which is no volume"),
        ("PersistentVolumeClaim/data", "/spec/storageClassName".into(), json!("fast"), "names a storage class"),
    ]);
}

#[test]
fn programs_that_are_watched_badly_are_found() {
    check(vec![
        (
            CONSUMER,
            format!("{CONTAINER}/livenessProbe/httpGet/path"),
            json!("/readyz"),
            "its probes send the same request",
        ),
        (CONSUMER, format!("{CONTAINER}/startupProbe"), Value::Null, "has no startupProbe"),
        (
            CONSUMER,
            format!("{CONTAINER}/readinessProbe/httpGet/port"),
            json!("web"),
            "which the container does not name",
        ),
        (
            CONSUMER,
            format!("{POD}/terminationGracePeriodSeconds"),
            json!(20),
            "is killed 20 s after it was asked to stop",
        ),
        ("Deployment/superset", "/spec/replicas".into(), json!(2), "0 disruption budgets, of several replicas: true"),
        (
            PRODUCER,
            format!("{CONTAINER}/readinessProbe/httpGet/path"),
            json!("/startupz"),
            "sensors-producer: its probes send the same request",
        ),
        (PRODUCER, "/spec/replicas".into(), json!(2), "may run beside another one like it"),
        (PRODUCER, "/spec/strategy".into(), json!({"type": "RollingUpdate"}), "may run beside another one like it"),
    ]);
}

#[test]
fn jobs_that_do_not_end_well_are_found() {
    const JOB: &str = "Job/emissions-producer";
    let rule = "/spec/podFailurePolicy/rules";
    check(vec![
        (JOB, "/spec/backoffLimit".into(), json!(6), "is not retried twice"),
        (JOB, "/spec/activeDeadlineSeconds".into(), Value::Null, "has no deadline"),
        (JOB, "/spec/ttlSecondsAfterFinished".into(), Value::Null, "is not removed after a day"),
        (JOB, format!("{POD}/restartPolicy"), json!("OnFailure"), "restarts in its pod"),
        (JOB, format!("{rule}/0/onExitCodes/values"), json!([64, 69]), "although its exit code says not to"),
        (JOB, format!("{rule}/1/onPodConditions"), json!([]), "counts the loss of its node"),
        (
            JOB,
            format!("{CONTAINER}/envFrom/0/configMapRef/name"),
            json!("emissions-producer-bb2c4d5f6g"),
            "changes with its content",
        ),
        (JOB, format!("{CONTAINER}/envFrom/0/configMapRef/name"), json!("producer"), "there is no ConfigMap producer"),
    ]);
}

#[test]
fn cron_jobs_that_run_at_any_time_or_twice_are_found() {
    const CRON: &str = "CronJob/sensors-report";
    let job = |field: &str| format!("/spec/jobTemplate/spec/{field}");
    check(vec![
        (CRON, "/spec/concurrencyPolicy".into(), Value::Null, "may run twice at once"),
        (CRON, "/spec/startingDeadlineSeconds".into(), Value::Null, "may begin at any time later"),
        (CRON, "/spec/timeZone".into(), Value::Null, "hours of an unnamed time zone"),
        (CRON, "/spec/failedJobsHistoryLimit".into(), Value::Null, "how many finished Jobs stay"),
        (CRON, job("activeDeadlineSeconds"), Value::Null, "sensors-report: has no deadline"),
        (CRON, job("backoffLimit"), json!(6), "sensors-report: is not retried twice"),
        (CRON, job("template/spec/restartPolicy"), json!("OnFailure"), "sensors-report: restarts in its pod"),
        (CRON, job("podFailurePolicy/rules/0/onExitCodes/values"), json!([64]), "although its exit code says not to"),
        (
            CRON,
            job("podFailurePolicy/rules/1/onPodConditions"),
            json!([]),
            "sensors-report: counts the loss of its node",
        ),
        (CRON, job("template/spec/automountServiceAccountToken"), Value::Null, "mounts a service account's token"),
        (
            CRON,
            "/spec/jobTemplate/metadata/labels/app.kubernetes.io~1part-of".into(),
            Value::Null,
            "its Jobs or its pods lack app.kubernetes.io/part-of",
        ),
    ]);
}

#[test]
fn secrets_and_variables_that_are_wrong_are_found() {
    let first = format!("{CONTAINER}/env/0");
    check(vec![
        (CONSUMER, first.clone(), json!({"name": "WRITER_PASSWORD", "value": "secret"}), "is written in the manifest"),
        (CONSUMER, first.clone(), json!({"name": "TOPIC", "value": "postgres://a:b@c"}), "is written in the manifest"),
        (
            CONSUMER,
            first.clone(),
            json!({"name": "TOPIK", "value": "x"}),
            "TOPIK is a variable that its program does not read",
        ),
        (CONSUMER, first.clone(), json!({"name": "LISTEN", "value": "x"}), "LISTEN is set twice"),
        (CONSUMER, first.clone(), json!({"name": "TOPIC", "value": "$(DATABASE_URL)"}), "which is not set before it"),
        (CONSUMER, first, secret("WRITER_PASSWROD"), "secrets.env.example has no WRITER_PASSWROD"),
        (CONSUMER, format!("{CONTAINER}/args"), json!(["--batch-sise=5"]), "--batch-sise is no option of its program"),
        (
            CONSUMER,
            format!("{CONTAINER}/envFrom"),
            json!([{"secretRef": {"name": "tributary-secrets"}}]),
            "every key of a Secret",
        ),
        (PRODUCER, format!("{CONTAINER}/env"), json!([]), "sensors-producer: takes readings of anybody"),
    ]);
}

#[test]
fn connections_that_are_denied_or_unused_are_found() {
    let policy = "NetworkPolicy/emissions-consumer";
    let port = |direction: &str| format!("/spec/{direction}/0/ports/0/port");
    let own =
        json!([{"name": "KAFKA_BROKERS", "value": "kafka:9092"}, {"name": "TOPIC", "value": "https://example.com/x"}]);
    check(vec![
        (policy, port("egress"), json!(9093), "Egress is closed: emissions-consumer → kafka 9092"),
        (policy, port("egress"), json!(9093), "Egress is open for nobody: emissions-consumer → kafka 9093"),
        (
            "NetworkPolicy/energy-consumer",
            port("egress"),
            json!(9093),
            "Egress is closed: energy-consumer → kafka 9092",
        ),
        ("NetworkPolicy/kafka", port("ingress"), json!(9093), "Ingress is closed: emissions-consumer → kafka 9092"),
        (
            "NetworkPolicy/sensors-warehouse-to-postgres",
            port("ingress"),
            json!(5433),
            "Ingress is closed: sensors-warehouse → postgres 5432",
        ),
        (
            "NetworkPolicy/sensors-warehouse",
            port("egress"),
            json!(5433),
            "Egress is closed: sensors-warehouse → postgres 5432",
        ),
        (
            "NetworkPolicy/sensors-producer",
            port("ingress"),
            json!(8080),
            "Ingress is closed: anyone → sensors-producer 8090",
        ),
        (
            "NetworkPolicy/iot-producer",
            "/spec/egress/2/ports/0/port".into(),
            json!(1883),
            "Egress is closed: iot-producer → anyone 8883",
        ),
        (policy, "/spec/egress/0/to".into(), json!([]), "Egress is open for nobody: emissions-consumer → anyone 9092"),
        (policy, "/spec/egress/0/to".into(), json!([{"podSelector": {}}]), "has a peer that is everybody"),
        (policy, "/spec/egress/0/ports".into(), json!([]), "opens every port"),
        ("NetworkPolicy/deny-all", "/spec/policyTypes".into(), json!(["Ingress"]), "no policy denies all"),
        (CONSUMER, format!("{CONTAINER}/env"), own, "Egress is closed: emissions-consumer → outside 443"),
        (
            "Service/postgres",
            "/spec/ports/0/port".into(),
            json!(5433),
            "emissions-consumer → postgres, which is no Service with that port",
        ),
    ]);
}

#[test]
fn custom_resources_that_do_not_fit_are_found() {
    let scaler = "ScaledObject/emissions-consumer";
    let trigger = |field: &str| format!("/spec/triggers/0/metadata/{field}");
    let alert = "/spec/groups/0/rules/0/expr".to_owned();
    let one_pipeline = "/spec/selector/matchLabels/app.kubernetes.io~1instance".to_owned();
    check(vec![
        (scaler, trigger("topic"), json!("other"), "measures another topic"),
        (scaler, trigger("consumerGroup"), json!("other"), "measures another group"),
        (scaler, trigger("bootstrapServers"), json!("kafka:9092"), "in a way that KEDA's pods cannot find"),
        (scaler, "/spec/maxReplicaCount".into(), json!(7), "may start idle replicas"),
        (CONSUMER, "/spec/replicas".into(), json!(2), "is undone by every apply"),
        ("PodMonitor/consumer", "/spec/podMetricsEndpoints/0/port".into(), json!("web"), "scrapes [\"web\"]"),
        (
            "PodMonitor/consumer",
            one_pipeline,
            json!("emissions"),
            "Deployment/energy-consumer is watched and no consumer",
        ),
        ("PrometheusRule/tributary", alert, json!("tributary_legs > 0"), "tributary_legs, which nobody writes"),
    ]);
}

/// What is mutated: all pipelines, both live inputs, autoscaling and monitoring.
const WHOLE: [&str; 7] =
    ["energy", "sensors", "iot", "http-input/sensors", "mqtt-input/iot", "monitoring", "autoscaling"];

/// Each mutation of that rendering breaks a rule, and says so.
fn check(mutations: Vec<Mutation>) {
    let Some(tree) = crate::tree("the rules, tried on what breaks them") else { return };
    let knowledge = Knowledge::new().unwrap();
    let whole = tree.render_with("mutated", &WHOLE).unwrap();
    for (object, pointer, value, expected) in mutations {
        let mut rendering = whole.clone();
        mutate(&mut rendering, object, &pointer, value.clone());
        let found = breaches::of(&rendering, &knowledge);
        let said = found.iter().any(|breach| breach.contains(expected));
        assert!(said, "{object} {pointer} = {value}: `{expected}` is not among {found:#?}");
    }
}

fn mutate(rendering: &mut Rendering, object: &str, pointer: &str, value: Value) {
    let object = rendering.objects.iter_mut().find(|found| found.to_string() == object).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    let parent = object.0.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(entries), Value::Null) => assert!(entries.remove(&key).is_some(), "{key} was not there"),
        (Value::Object(entries), value) => drop(entries.insert(key, value)),
        (Value::Array(entries), value) => entries[key.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{pointer} leads into {other}"),
    }
}

fn secret(key: &str) -> Value {
    json!({"name": "TOPIC", "valueFrom": {"secretKeyRef": {"name": "tributary-secrets", "key": key}}})
}

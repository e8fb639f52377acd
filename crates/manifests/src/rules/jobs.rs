//! What a Job must say: when it has failed, when it is retried, and when it is removed.

use serde_json::{Value, json};

use super::unless;
use crate::{object::Object, rendering::Rendering, workload::Workload};

/// Exit codes that no retry can mend: a wrong setting, and input that is at fault.
const FINAL: [u64; 2] = [64, 65];

/// How long a finished Job is kept, seconds: a day, to be inspected.
const KEPT_S: u64 = 86_400;

/// Jobs that run for ever, are retried although they fail again, or stay.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    rendering.of_kind("Job").flat_map(of_job).collect()
}

fn of_job(job: &Object) -> Vec<String> {
    let number = |field: &str| job.0.pointer(field).and_then(Value::as_u64);
    let producer = Workload::of(job).is_some_and(|workload| workload.program() == "producer");
    let rules = [
        (number("/spec/backoffLimit").is_some(), "has no backoffLimit"),
        (!producer || number("/spec/backoffLimit") == Some(2), "is not retried twice"),
        (number("/spec/activeDeadlineSeconds").is_some(), "has no deadline"),
        (number("/spec/ttlSecondsAfterFinished") == Some(KEPT_S), "is not removed after a day"),
        (job.text("/spec/template/spec/restartPolicy") == "Never", "restarts in its pod, which hides how it failed"),
        (fails_for_good(job), "is retried although its exit code says not to"),
        (ignores_evictions(job), "counts the loss of its node as its own failure"),
    ];
    rules.into_iter().filter_map(|(holds, what)| unless(holds, || format!("{job}: {what}"))).collect()
}

fn fails_for_good(job: &Object) -> bool {
    let fails = job.list("/spec/podFailurePolicy/rules").iter().filter(|rule| rule["action"] == "FailJob");
    let codes = fails
        .filter(|rule| rule["onExitCodes"]["operator"] == "In")
        .flat_map(|rule| rule["onExitCodes"]["values"].as_array().into_iter().flatten().filter_map(Value::as_u64));
    codes.eq(FINAL)
}

fn ignores_evictions(job: &Object) -> bool {
    let rules = job.list("/spec/podFailurePolicy/rules").iter();
    let condition = json!("DisruptionTarget");
    rules.filter(|rule| rule["action"] == "Ignore").any(|rule| rule["onPodConditions"][0]["type"] == condition)
}

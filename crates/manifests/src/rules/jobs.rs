//! What a Job must say: when it has failed, when it is retried, and when it is removed; and what a CronJob must say besides.

use serde_json::{Value, json};

use super::unless;
use crate::{
    object::{Object, list, text},
    rendering::Rendering,
};

/// Exit codes that no retry can mend: a wrong setting, and input that is at fault.
const FINAL: [u64; 2] = [64, 65];

/// How long a finished Job is kept, seconds: a day, to be inspected.
const KEPT_S: u64 = 86_400;

/// Jobs that run for ever, are retried although they fail again, or stay; CronJobs that run at no certain time, or twice.
pub fn breaches(rendering: &Rendering) -> Vec<String> {
    let jobs = rendering.of_kind("Job").flat_map(of_job);
    jobs.chain(rendering.of_kind("CronJob").flat_map(of_cron_job)).collect()
}

fn of_job(job: &Object) -> Vec<String> {
    let removed = number(&job.0, "/spec/ttlSecondsAfterFinished") == Some(KEPT_S);
    let own = unless(removed, || format!("{job}: is not removed after a day"));
    of_spec(job, &job.0["spec"]).into_iter().chain(own).collect()
}

fn of_cron_job(cron: &Object) -> Vec<String> {
    let limits = ["/spec/successfulJobsHistoryLimit", "/spec/failedJobsHistoryLimit"];
    let rules = [
        (cron.text("/spec/concurrencyPolicy") == "Forbid", "may run twice at once"),
        (number(&cron.0, "/spec/startingDeadlineSeconds").is_some(), "may begin at any time later"),
        (!cron.text("/spec/timeZone").is_empty(), "begins at hours of an unnamed time zone"),
        (limits.iter().all(|limit| number(&cron.0, limit).is_some()), "does not say how many finished Jobs stay"),
    ];
    let own = rules.into_iter().filter_map(|(holds, what)| unless(holds, || format!("{cron}: {what}")));
    of_spec(cron, &cron.0["spec"]["jobTemplate"]["spec"]).into_iter().chain(own).collect()
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

/// What holds of every Job, whoever makes it.
fn of_spec(object: &Object, job: &Value) -> Vec<String> {
    let rules = [
        (number(job, "/backoffLimit") == Some(2), "is not retried twice"),
        (number(job, "/activeDeadlineSeconds").is_some(), "has no deadline"),
        (text(job, "/template/spec/restartPolicy") == "Never", "restarts in its pod, which hides how it failed"),
        (fails_for_good(job), "is retried although its exit code says not to"),
        (ignores_evictions(job), "counts the loss of its node as its own failure"),
    ];
    rules.into_iter().filter_map(|(holds, what)| unless(holds, || format!("{object}: {what}"))).collect()
}

fn fails_for_good(job: &Value) -> bool {
    let fails = list(job, "/podFailurePolicy/rules").iter().filter(|rule| rule["action"] == "FailJob");
    let codes = fails
        .filter(|rule| rule["onExitCodes"]["operator"] == "In")
        .flat_map(|rule| rule["onExitCodes"]["values"].as_array().into_iter().flatten().filter_map(Value::as_u64));
    codes.eq(FINAL)
}

fn ignores_evictions(job: &Value) -> bool {
    let rules = list(job, "/podFailurePolicy/rules").iter();
    let condition = json!("DisruptionTarget");
    rules.filter(|rule| rule["action"] == "Ignore").any(|rule| rule["onPodConditions"][0]["type"] == condition)
}

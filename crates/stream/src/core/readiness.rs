//! Whether a consumer is ready, as a function of its state.

/// What readiness depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct View<'a> {
    /// Whether an assignment is in force, an empty one included.
    pub(crate) assigned: bool,
    /// Partitions that wait to be claimed.
    pub(crate) waiting: Vec<i32>,
    /// Partitions that are being claimed and loaded.
    pub(crate) loading: Vec<i32>,
    /// Why partitions are not read that could be.
    pub(crate) blocked: Vec<String>,
    /// Why Kafka, or the topic, is unavailable.
    pub(crate) kafka: Option<&'a str>,
    /// What Kafka denies.
    pub(crate) denied: Vec<String>,
    /// What of PostgreSQL's work is being retried.
    pub(crate) postgres: Vec<String>,
}

/// Lists everything that keeps a consumer from being ready; empty when it is.
pub(crate) fn unready(view: View<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    reasons.extend(view.blocked.into_iter().map(|why| format!("blocked: {why}")));
    reasons.extend(view.kafka.map(|why| format!("kafka is unavailable: {why}")));
    reasons.extend(view.denied);
    reasons.extend(view.postgres);
    if !view.assigned {
        reasons.push("no partitions are assigned yet".to_owned());
    }
    if !view.waiting.is_empty() {
        reasons.push(format!("partitions {} wait to be claimed", list(&view.waiting)));
    }
    if !view.loading.is_empty() {
        reasons.push(format!("partitions {} are being claimed and loaded", list(&view.loading)));
    }
    reasons
}

fn list<'a>(partitions: impl IntoIterator<Item = &'a i32>) -> String {
    partitions.into_iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_is_ready_exactly_when_all_its_partitions_are_read_and_both_services_answer() {
        let check = |view: View<'_>, expected: &[&str]| assert_eq!(unready(view), expected);
        let ready = View { assigned: true, ..View::default() };
        check(ready.clone(), &[]);
        check(View { assigned: false, ..ready.clone() }, &["no partitions are assigned yet"]);
        check(View { waiting: vec![1, 3], ..ready.clone() }, &["partitions 1, 3 wait to be claimed"]);
        check(View { loading: vec![2], ..ready.clone() }, &["partitions 2 are being claimed and loaded"]);
        check(
            View { blocked: vec!["DE belongs to another partition".to_owned()], ..ready.clone() },
            &["blocked: DE belongs to another partition"],
        );
        check(View { kafka: Some("timed out"), ..ready.clone() }, &["kafka is unavailable: timed out"]);
        check(View { denied: vec!["no".to_owned()], ..ready.clone() }, &["no"]);
        let postgres = vec!["postgres is unavailable".to_owned()];
        check(
            View { postgres, loading: vec![0], ..ready },
            &["postgres is unavailable", "partitions 0 are being claimed and loaded"],
        );
    }
}

//! Figures and labels of countries and clusters.

use super::tables::Run;
use crate::words::{figure, grouped};

/// International-$ in billions.
pub(crate) fn billions(value: Option<f64>) -> String {
    figure(value.map(|value| value / 1e9))
}

/// The cluster's label, with its meaning where there are the three that have one.
pub(crate) fn label(cluster: i32, clusters: usize) -> String {
    match (clusters, cluster) {
        (3, 0) => "0 low and developing".to_owned(),
        (3, 1) => "1 moderate".to_owned(),
        (3, 2) => "2 high and industrialised".to_owned(),
        _ => format!("{cluster}"),
    }
}

/// The model in one line.
pub(crate) fn run_in_words(run: &Run) -> String {
    let k = run.k.map_or_else(|| "no".to_owned(), |k| k.to_string());
    let quality = run
        .inertia
        .zip(run.silhouette)
        .map(|(inertia, silhouette)| format!(": inertia {inertia:.3}, silhouette {silhouette:.3}"))
        .unwrap_or_default();
    let scale = if run.transform == "none" { "" } else { " (log)" };
    let partial = if run.complete { "" } else { "; not all partitions were refreshed when it ran" };
    let note = run.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
    format!(
        "batch_id {}: {k} clusters of {} countries by {}{scale}{quality}{note}{partial}",
        run.batch_id,
        grouped(run.num_countries),
        run.features.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_shown_in_billions() {
        assert_eq!(billions(Some(8.678e12)), "8,678");
    }

    #[test]
    fn three_clusters_have_names() {
        assert_eq!([label(0, 3), label(2, 3), label(2, 4)], ["0 low and developing", "2 high and industrialised", "2"]);
    }
}

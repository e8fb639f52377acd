//! Numbers and labels as people read them.

use std::time::Duration;

use crate::{input::Input, tables::Run};

/// What is said wherever figures of the sample are shown.
pub(crate) const MADE: &str = "made data: no real country, no real figure";

/// What the file is, in a few words.
pub(crate) fn input_in_words(input: &Input) -> String {
    let name = input.path.file_name().unwrap_or(input.path.as_os_str()).to_string_lossy();
    if input.made { format!("{name} ({MADE})") } else { name.into_owned() }
}

/// A whole number with its thousands apart: `31,076`.
pub(crate) fn grouped(number: impl TryInto<i128>) -> String {
    let Ok(number) = number.try_into() else { return "?".to_owned() };
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "−".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A measured value with three digits that matter, and thousands apart; a dash where there is none.
pub(crate) fn figure(value: Option<f64>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let decimals = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let sign = if value < 0.0 { "−" } else { "" };
    whole.parse::<i128>().map_or_else(|_| format!("{sign}{text}"), |whole| format!("{sign}{}{rest}", grouped(whole)))
}

/// International-$ in billions.
pub(crate) fn billions(value: Option<f64>) -> String {
    figure(value.map(|value| value / 1e9))
}

/// Seconds, as exactly as a person wants to know.
pub(crate) fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
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
    let partial = if run.complete { "" } else { "; not all partitions were published when it ran" };
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
    fn numbers_are_grouped() {
        let check = |number: i64, text| assert_eq!(grouped(number), text);
        check(0, "0");
        check(999, "999");
        check(31_076, "31,076");
        check(-1_234_567, "−1,234,567");
    }

    #[test]
    fn figures_keep_three_digits() {
        let check = |value, text| assert_eq!(figure(Some(value)), text);
        check(0.456, "0.46");
        check(24.73, "24.7");
        check(2_807.27, "2,807");
        check(-0.314, "−0.31");
        assert_eq!(figure(None), "–");
        assert_eq!(billions(Some(8.678e12)), "8,678");
    }
}

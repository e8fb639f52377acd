//! Numbers for people.

use std::time::Duration;

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

/// A measured value with three significant digits, and thousands apart; a dash where there is none.
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

/// Seconds with two decimals.
pub(crate) fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

/// The text, safe inside HTML and its attributes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
    }
}

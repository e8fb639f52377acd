//! Numbers for people.

/// A whole number with its thousands apart: `31,076`; `?` where it is too large for anybody.
pub fn grouped(number: impl TryInto<i128>) -> String {
    let Ok(number) = number.try_into() else { return "?".to_owned() };
    let sign = if number < 0 { "−" } else { "" };
    format!("{sign}{}", thousands(&number.unsigned_abs().to_string()))
}

/// Digits with their thousands apart.
pub fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
}

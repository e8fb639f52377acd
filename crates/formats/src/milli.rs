//! Decimals in whole thousandths, so that no sum depends on its order.

/// The most digits before the point that are read without rounding.
const WHOLE_DIGITS: usize = 12;

/// A number in thousandths, rounded half away from zero; `None` where there would be more than `limit` of them, or less than `-limit`.
///
/// # Panics
/// When a double does not hold `limit` exactly.
pub fn of_number(number: f64, limit: i64) -> Option<i64> {
    assert!(limit < 1 << 53, "a double holds {limit}");
    let milli = (number * 1_000.0).round();
    #[expect(clippy::cast_precision_loss, reason = "as asserted")]
    let limit = limit as f64;
    // A NaN is in no range.
    #[expect(clippy::cast_possible_truncation, reason = "in range and whole")]
    (-limit..=limit).contains(&milli).then_some(milli as i64)
}

/// Reads a decimal, such as `-3.25`, that a text begins with, and returns its length in bytes: at most twelve digits, and at most three
/// decimals. What is longer, another reader has to round.
pub fn read(text: &[u8]) -> Option<(i64, usize)> {
    let digit = |at: usize| text.get(at).map(|byte| i64::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let begin = usize::from(text.first() == Some(&b'-'));
    let (mut value, mut at) = (0, begin);
    while let Some(digit) = digit(at).filter(|_| at < begin + WHOLE_DIGITS) {
        value = value * 10 + digit;
        at += 1;
    }
    // JSON knows no number with a leading zero.
    if at == begin || (at > begin + 1 && text[begin] == b'0') {
        return None;
    }
    let mut unit = 1_000;
    if text.get(at) == Some(&b'.') {
        at += 1;
        while let Some(digit) = digit(at).filter(|_| unit > 1) {
            value = value * 10 + digit;
            unit /= 10;
            at += 1;
        }
        if unit == 1_000 {
            return None;
        }
    }
    let goes_on = matches!(text.get(at), Some(b'0'..=b'9' | b'.' | b'e' | b'E'));
    let milli = if begin == 1 { -value * unit } else { value * unit };
    (!goes_on).then_some((milli, at))
}

/// Writes a number of thousandths as a decimal, without zeros that say nothing.
///
/// # Panics
/// Never.
pub fn write(milli: i64, out: &mut Vec<u8>) {
    if milli < 0 {
        out.push(b'-');
    }
    let value = milli.unsigned_abs();
    crate::instant::decimal(value / 1_000, out);
    let digit = |value: u64| b'0' + u8::try_from(value % 10).expect("a digit");
    let fraction = [digit(value / 100), digit(value / 10), digit(value)];
    let counts = 3 - fraction.iter().rev().take_while(|&&digit| digit == b'0').count();
    if counts > 0 {
        out.push(b'.');
        out.extend_from_slice(&fraction[..counts]);
    }
}

/// A number of thousandths as people read it.
pub fn text(milli: i64) -> String {
    let mut out = vec![];
    write(milli, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_finer_than_a_thousandth_is_rounded_half_away_from_zero() {
        for (number, expected) in [
            (21.299_999_999_999_997, Some(21_300)),
            (0.000_5, Some(1)),
            (-0.000_5, Some(-1)),
            (999.994, Some(999_994)),
            (999.995, None),
            (-1_000.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(of_number(number, 999_994), expected, "{number}");
        }
    }

    #[test]
    fn a_text_is_read_only_where_it_is_exact() {
        for (decimal, expected) in [
            ("21.5}", Some((21_500, 4))),
            ("-0.001,", Some((-1, 6))),
            ("7", Some((7_000, 1))),
            ("007", None),
            ("1.2345", None),
            ("123456789012.345", Some((123_456_789_012_345, 16))),
            ("1234567890123", None),
            ("1e3", None),
            ("5.", None),
            (".5", None),
            ("-", None),
        ] {
            assert_eq!(read(decimal.as_bytes()), expected, "{decimal}");
        }
    }

    proptest! {
        #[test]
        fn written_then_read_is_the_identity(milli in -(1 << 43)..1_i64 << 43) {
            let written = text(milli);
            prop_assert_eq!(read(written.as_bytes()), Some((milli, written.len())));
            prop_assert_eq!(of_number(written.parse().unwrap(), 1 << 43), Some(milli));
        }
    }
}

//! Temperatures in whole thousandths of a degree, so that no sum depends on its order.

/// A number in thousandths, rounded half away from zero; `None` where it is not below a thousand, as `numeric(5,2)` wants it.
pub fn of_number(number: f64) -> Option<i32> {
    let milli = (number * 1_000.0).round();
    // A NaN is in no range.
    let fits = (-999_994.0..=999_994.0).contains(&milli);
    #[expect(clippy::cast_possible_truncation, reason = "in range and whole")]
    fits.then_some(milli as i32)
}

/// Reads a decimal, such as `-3.25`, that a text begins with, and returns its length in bytes: at most three digits, and at most three
/// decimals. What is longer, another reader has to round.
pub fn read(text: &[u8]) -> Option<(i32, usize)> {
    let digit = |at: usize| text.get(at).map(|byte| i32::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let begin = usize::from(text.first() == Some(&b'-'));
    let (mut value, mut at) = (0, begin);
    while let Some(digit) = digit(at).filter(|_| at < begin + 3) {
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
    (!goes_on && milli.abs() <= 999_994).then_some((milli, at))
}

/// Writes a number of thousandths as a decimal, without zeros that say nothing.
pub fn write(milli: i32, out: &mut Vec<u8>) {
    if milli < 0 {
        out.push(b'-');
    }
    let value = milli.unsigned_abs();
    crate::instant::decimal(u64::from(value / 1_000), out);
    let digit = |value: u32| b'0' + u8::try_from(value % 10).expect("a digit");
    let fraction = [digit(value / 100), digit(value / 10), digit(value)];
    let counts = 3 - fraction.iter().rev().take_while(|&&digit| digit == b'0').count();
    if counts > 0 {
        out.push(b'.');
        out.extend_from_slice(&fraction[..counts]);
    }
}

/// A number of thousandths as people read it.
pub fn text(milli: i32) -> String {
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
            assert_eq!(of_number(number), expected, "{number}");
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
            ("1234", None),
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
        fn written_then_read_is_the_identity(milli in -999_994..=999_994_i32) {
            let written = text(milli);
            prop_assert_eq!(read(written.as_bytes()), Some((milli, written.len())));
            prop_assert_eq!(of_number(written.parse().unwrap()), Some(milli));
        }
    }
}

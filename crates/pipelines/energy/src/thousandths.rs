//! Decimals kept exactly, as whole thousandths: kilowatts become watts, volts millivolts.

/// A measured value in thousandths of its unit, or none.
///
/// Whole numbers, so that a sum does not depend on its order. Four bytes, because memory holds
/// millions of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thousandths(i32);

/// What is wrong with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotThousandths {
    /// Below 0, or not below [`Thousandths::LIMIT`], or infinite.
    #[error("is not within 0 to {}", Thousandths::LIMIT)]
    Range,
    /// Finer than a thousandth.
    #[error("has more than three decimals")]
    Precision,
}

/// The most digits before the point: more than any value has, few enough for an `i64`.
const WHOLE_DIGITS: usize = 9;

impl Thousandths {
    /// Nothing was measured.
    pub const MISSING: Self = Self(-1);
    /// Values are below this; far beyond what any household's meter shows.
    pub const LIMIT: i32 = 2_000_000;

    /// The value nearest to `number`, which has to be that value exactly, as far as a double can represent it.
    ///
    /// # Errors
    /// When it is out of range, or finer than a thousandth.
    pub fn new(number: f64) -> Result<Self, NotThousandths> {
        if !(0.0..f64::from(Self::LIMIT)).contains(&number) {
            return Err(NotThousandths::Range);
        }
        let scaled = (number * 1000.0).round();
        if scaled / 1000.0 != number {
            return Err(NotThousandths::Precision);
        }
        // Below 2e9 and whole: the conversion is exact.
        #[expect(clippy::cast_possible_truncation, reason = "in range and whole, as checked")]
        Ok(Self(scaled as i32))
    }

    /// A value in thousandths.
    pub fn from_thousandths(value: i32) -> Option<Self> {
        (0..Self::LIMIT * 1000).contains(&value).then_some(Self(value))
    }

    /// The value in thousandths.
    pub fn get(self) -> Option<i32> {
        (self != Self::MISSING).then_some(self.0)
    }

    /// Reads `4.216`: digits, perhaps a point and at most three more that count; pure text, no rounding.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::read(text).filter(|(_, len)| *len == text.len()).map(|(value, _)| value)
    }

    /// Reads the value that a text begins with, as [`Thousandths::parse`] does, and returns its length in bytes.
    pub fn read(text: &[u8]) -> Option<(Self, usize)> {
        let digit = |at: usize| text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10);
        let (mut value, mut at) = (0_i64, 0);
        while let Some(digit) = digit(at).filter(|_| at < WHOLE_DIGITS) {
            value = value * 10 + i64::from(digit);
            at += 1;
        }
        if at == 0 || digit(at).is_some() {
            return None;
        }
        let mut decimals = 0;
        if text.get(at) == Some(&b'.') {
            while let Some(digit) = digit(at + 1 + decimals) {
                match (decimals < 3, digit) {
                    (true, _) => value = value * 10 + i64::from(digit),
                    (false, 0) => {}
                    (false, _) => return None,
                }
                decimals += 1;
            }
            if decimals == 0 {
                return None;
            }
            at += 1 + decimals;
        }
        let thousandths = value * [1000, 100, 10, 1][decimals.min(3)];
        Some((Self::from_thousandths(i32::try_from(thousandths).ok()?)?, at))
    }

    /// Writes the value as a decimal, without zeros that say nothing; `null` when missing.
    pub fn write(self, out: &mut Vec<u8>) {
        let Some(value) = self.get() else {
            out.extend_from_slice(b"null");
            return;
        };
        let digit = |value: i32| b'0' + u8::try_from(value % 10).expect("a digit");
        let mut digits = [0; 10];
        let (mut at, mut whole) = (digits.len(), value / 1000);
        while at == digits.len() || whole > 0 {
            at -= 1;
            digits[at] = digit(whole);
            whole /= 10;
        }
        out.extend_from_slice(&digits[at..]);
        let fraction = [digit(value / 100), digit(value / 10), digit(value)];
        let counts = 3 - fraction.iter().rev().take_while(|&&digit| digit == b'0').count();
        if counts > 0 {
            out.push(b'.');
            out.extend_from_slice(&fraction[..counts]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<i32> {
        Thousandths::parse(text.as_bytes()).and_then(Thousandths::get)
    }

    #[test]
    fn a_text_is_read_without_rounding() {
        for (text, expected) in [
            ("4.216", Some(4216)),
            ("234.840", Some(234_840)),
            ("0.1", Some(100)),
            ("17", Some(17_000)),
            ("0.0000", Some(0)),
            ("1999999.999", Some(1_999_999_999)),
            ("2000000", None),
            ("0.0001", None),
            ("-1", None),
            ("1e3", None),
            (".5", None),
            ("5.", None),
            ("", None),
            ("?", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_double_is_taken_only_where_it_is_exact() {
        let check = |number, expected: Result<i32, NotThousandths>| {
            assert_eq!(Thousandths::new(number).map(|value| value.get().unwrap()), expected, "{number}");
        };
        check(0.3, Ok(300));
        check(4.216, Ok(4216));
        check(-0.0, Ok(0));
        check(4.2165, Err(NotThousandths::Precision));
        check(-0.001, Err(NotThousandths::Range));
        check(2e6, Err(NotThousandths::Range));
        check(f64::NAN, Err(NotThousandths::Range));
        check(f64::INFINITY, Err(NotThousandths::Range));
    }

    proptest! {
        #[test]
        fn written_then_read_is_the_identity(value in 0..Thousandths::LIMIT * 1000) {
            let known = Thousandths::from_thousandths(value).unwrap();
            let mut text = vec![];
            known.write(&mut text);
            prop_assert_eq!(Thousandths::parse(&text), Some(known));
            let number: f64 = std::str::from_utf8(&text).unwrap().parse().unwrap();
            prop_assert_eq!(Thousandths::new(number), Ok(known));
        }
    }
}

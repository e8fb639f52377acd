//! The code a country goes by.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// The longest code, in bytes.
pub const MAX_LEN: usize = 32;

/// A country's code: 1 to 32 characters without blanks or control characters, checked against no list.
///
/// Kept inline, since every record's group is looked up by it. Ordered by bytes, as Postgres
/// orders with collation "C".
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IsoCode {
    bytes: [u8; MAX_LEN],
    len: u8,
}

/// A text that is no country code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("iso_code is not 1 to {MAX_LEN} bytes without blanks or control characters")]
pub struct NotACode;

impl IsoCode {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("made from a str, and never changed")
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl TryFrom<&str> for IsoCode {
    type Error = NotACode;

    fn try_from(text: &str) -> Result<Self, NotACode> {
        let len = u8::try_from(text.len()).map_err(|_| NotACode)?;
        let mut bytes = [0; MAX_LEN];
        let valid = !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        match bytes.get_mut(..text.len()) {
            Some(into) if valid => into.copy_from_slice(text.as_bytes()),
            _ => return Err(NotACode),
        }
        Ok(Self { bytes, len })
    }
}

impl Hash for IsoCode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Ord for IsoCode {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for IsoCode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for IsoCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for IsoCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_checked_against_no_list() {
        for valid in ["BRA", "X", "OWID_KOS", "Ω"] {
            assert_eq!(IsoCode::try_from(valid).unwrap().as_str(), valid);
        }
        for invalid in ["", "B A", "BRA\n", "\u{0}", &"X".repeat(33)] {
            assert_eq!(IsoCode::try_from(invalid), Err(NotACode), "{invalid:?}");
        }
    }
}

//! The input's SHA-256, known to be the right one before anything is sent.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, Write},
    str::FromStr,
};

use service::{Exit, Failure, ResultExt};
use sha2::Digest;

use crate::{location::Location, raw::Raw, spool};

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sha256([u8; 32]);

impl FromStr for Sha256 {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "64 hexadecimal digits are wanted, as sha256sum prints them";
        let digits: Vec<u8> = text.chars().map_while(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
        if digits.len() != 64 || text.len() != 64 {
            return Err(wrong);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads all of the input, and gives it back from its beginning.
///
/// What cannot be read twice is kept in a temporary file that has no name, and so is gone with the program.
///
/// # Errors
/// Exit 65 when the checksum is another, 64 when there is no room for the temporary file, and what reading gives.
pub(crate) fn verified(raw: Raw, expected: Sha256, location: &Location) -> anyhow::Result<File> {
    let (file, found) = match raw {
        Raw::File(mut file) => {
            let found = hash(&mut file, &mut io::sink(), location)?;
            (file, found)
        }
        Raw::Stream(mut stream) => {
            let mut file = spool::nameless()?;
            let found = hash(&mut stream, &mut file, location)?;
            (file, found)
        }
    };
    if found != expected {
        let message = format!("the input `{location}` is not the one expected: its sha256 is {found}, not {expected}");
        return Err(Failure::new(Exit::Input, message).into());
    }
    tracing::info!(sha256 = %found, "the input is the one expected");
    let mut file = file;
    file.rewind().or_exit(Exit::Input, || format!("cannot read the input `{location}` a second time"))?;
    Ok(file)
}

/// The hash of what `from` gives; all of it is written to `to`.
fn hash(from: &mut dyn Read, to: &mut dyn Write, location: &Location) -> anyhow::Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    spool::copy(from, to, location, |chunk| hasher.update(chunk))?;
    Ok(Sha256(hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As sha256sum prints it of "abc".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_checksum_is_64_digits() {
        let sum: Sha256 = ABC.parse().unwrap();
        assert_eq!((sum.to_string(), ABC.to_uppercase().parse()), (ABC.to_owned(), Ok(sum)));
        for wrong in ["", "abc", &ABC[1..], &format!("{ABC}0"), &format!("{}x", &ABC[1..]), &"é".repeat(32)] {
            assert!(wrong.parse::<Sha256>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_verified_is_read_from_its_beginning() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        file.rewind().unwrap();
        for raw in [Raw::File(file), Raw::Stream(Box::new(&b"abc"[..]))] {
            let mut text = String::new();
            verified(raw, ABC.parse().unwrap(), &Location::Stdin).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "abc");
        }
    }

    #[test]
    fn another_input_is_at_fault() {
        let error = verified(Raw::Stream(Box::new(&b"abd"[..])), ABC.parse().unwrap(), &Location::Stdin).unwrap_err();
        assert_eq!(service::exit::exit_of(&error), Exit::Input);
        assert!(error.to_string().ends_with(&format!("not {ABC}")), "{error}");
    }
}

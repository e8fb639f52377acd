//! The settings several binaries share.

mod kafka;
mod postgres;
mod postgres_url;
mod secret;

use std::{fs::File, io::Read, time::Duration};

use anyhow::{Context, bail, ensure};

pub use kafka::{Identity, KafkaSettings, Login, Mechanism, Tls};
pub use postgres::{PostgresSettings, SecretUrl, address};
pub use secret::{SecretParser, check_secret};

/// The longest text of a duration, in bytes, and the most digits in a row.
///
/// The parser panics where parts add up to just more than a `Duration` holds, and so many numbers of such a length cannot.
/// Durations of use are far shorter: nine digits of seconds are thirty years.
const DURATION_LENGTH: usize = 64;
const DURATION_DIGITS: usize = 9;

/// Parses a duration such as `5s`, `300ms` or `2m`.
///
/// # Errors
/// When the text is not a duration, or is one of ages.
pub fn duration(text: &str) -> anyhow::Result<Duration> {
    let wrong = || format!("`{text}` is not a duration such as 5s, 300ms or 2m");
    let digits = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
    ensure!(text.len() <= DURATION_LENGTH && digits <= Some(DURATION_DIGITS), wrong());
    humantime::parse_duration(text).with_context(wrong)
}

/// Parses a switch, as an environment variable gives it; an empty one is off.
///
/// # Errors
/// When the text is neither yes nor no: taken for a yes, a misspelt no would do the opposite.
pub fn switch(text: &str) -> anyhow::Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "" | "0" | "n" | "no" | "f" | "false" | "off" => Ok(false),
        "1" | "y" | "yes" | "t" | "true" | "on" => Ok(true),
        _ => bail!("`{text}` is neither true nor false"),
    }
}

/// How much of a file is searched for PEM: authorities come with comments in front, but a device would never end.
const PEM_BEGINS_WITHIN: u64 = 1 << 20;

/// Checks that a file named by a setting holds PEM, before anyone connects with it.
///
/// The libraries that read it later name neither the file nor the setting.
fn check_pem(setting: &str, path: &std::path::Path) -> Result<(), String> {
    let (file, begins) = (path.display(), b"-----BEGIN ");
    // A key in place of its file's name must not be quoted.
    if path.as_os_str().as_encoded_bytes().trim_ascii_start().starts_with(begins.trim_ascii_end()) {
        return Err(format!("{setting} holds what a PEM file would, and wants the file's name"));
    }
    let mut bytes = vec![];
    let read = File::open(path).and_then(|open| open.take(PEM_BEGINS_WITHIN).read_to_end(&mut bytes));
    read.map_err(|error| format!("{setting} `{file}` cannot be read: {error}"))?;
    match bytes.windows(begins.len()).any(|window| window == begins) {
        true => Ok(()),
        false => Err(format!("{setting} `{file}` is not a PEM file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_or_off_and_nothing_else() {
        let read = |text: &str| switch(text).map_err(|error| error.to_string());
        assert_eq!(["true", "1", "Yes", "on"].map(read), [const { Ok(true) }; 4]);
        assert_eq!(["", "0", "false", "NO", "off"].map(read), [const { Ok(false) }; 5]);
        assert_eq!(read("flase"), Err("`flase` is neither true nor false".to_owned()));
    }

    #[test]
    fn a_duration_has_units() {
        for (text, millis) in
            [("5s", 5_000), ("300ms", 300), ("1m 30s", 90_000), ("0s", 0), ("999999999s", 999_999_999_000)]
        {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "5", "-5s", "soon", "18446744073709551615s 1000ms", "0000000000s", &"1s ".repeat(30)] {
            let error = duration(text).unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is not a duration such as 5s, 300ms or 2m"));
        }
    }
}

//! The settings several binaries share.

mod kafka;
mod postgres;

use std::time::Duration;

use anyhow::Context;

pub use kafka::{Identity, KafkaSettings, Login, Mechanism, Tls};
pub use postgres::{PostgresSettings, SecretUrl};

/// Parses a span of time such as `5s`, `300ms` or `2m`.
///
/// # Errors
/// When the text is not a span of time.
pub fn span(text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text).with_context(|| format!("`{text}` is not a span of time such as 5s, 300ms or 2m"))
}

/// Sees to it that a file named by a setting holds PEM, before anyone connects with it.
///
/// The libraries that read it later name neither the file nor the setting.
fn check_pem(setting: &str, path: &std::path::Path) -> Result<(), String> {
    let file = path.display();
    let bytes = std::fs::read(path).map_err(|error| format!("{setting} `{file}` cannot be read: {error}"))?;
    let begins = b"-----BEGIN ";
    match bytes.windows(begins.len()).any(|window| window == begins) {
        true => Ok(()),
        false => Err(format!("{setting} `{file}` is not a PEM file")),
    }
}

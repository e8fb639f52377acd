//! The settings several binaries share.

use std::{str::FromStr, time::Duration};

use anyhow::Context;
use clap::{Args, builder::NonEmptyStringValueParser};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;

/// Where Kafka is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaSettings {
    /// Kafka's bootstrap servers, `host:port`, separated by commas [env: KAFKA_BROKER is read as well].
    #[arg(long, global = true, env = "KAFKA_BROKERS", default_value_t = brokers_fallback(), value_name = "HOST:PORT,…",
          value_parser = NonEmptyStringValueParser::new())]
    pub kafka_brokers: String,
}

/// The variable's other name, or the address Kafka has by default.
fn brokers_fallback() -> String {
    std::env::var("KAFKA_BROKER").ok().filter(|value| !value.is_empty()).unwrap_or_else(|| "localhost:9092".to_owned())
}

/// Where Postgres is. The database itself is the pipeline's, unless the URL names another.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Postgres")]
pub struct PostgresSettings {
    /// Postgres, as `postgres://user:password@host:port[/database]`; without a database the pipeline's own is used.
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        hide_default_value = true,
        default_value = "postgres://postgres@localhost:5432",
        value_name = "URL"
    )]
    pub database_url: SecretUrl,
}

/// A URL whose password is never printed.
#[derive(Clone)]
pub struct SecretUrl {
    url: SecretString,
    options: PgConnectOptions,
}

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let o = &self.options;
        write!(
            f,
            "postgres://{}@{}:{}/{}",
            o.get_username(),
            o.get_host(),
            o.get_port(),
            o.get_database().unwrap_or("")
        )
    }
}

impl FromStr for SecretUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The parser's own message may quote the URL, password and all.
        let options = PgConnectOptions::from_str(text)
            .map_err(|_| "not a Postgres URL (postgres://user:password@host:port/database)".to_owned())?;
        Ok(Self { url: SecretString::from(text), options })
    }
}

impl SecretUrl {
    /// Connection options for the database the URL names, or for `default_database`.
    pub fn options(&self, default_database: &str) -> PgConnectOptions {
        let named = self.url.expose_secret().split('?').next().unwrap_or_default();
        let after_scheme = named.split_once("://").map_or(named, |(_, rest)| rest);
        match after_scheme.split_once('/') {
            Some((_, database)) if !database.is_empty() => self.options.clone(),
            _ => self.options.clone().database(default_database),
        }
    }
}

/// Parses a span of time such as `5s`, `300ms` or `2m`.
///
/// # Errors
/// When the text is not a span of time.
pub fn span(text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text).with_context(|| format!("`{text}` is not a span of time such as 5s, 300ms or 2m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let url: SecretUrl = "postgres://writer:s3cret@db:5433/co2".parse().unwrap();
        assert_eq!(format!("{url:?} {url}"), "postgres://writer@db:5433/co2 postgres://writer@db:5433/co2");
        let error = "postgres//writer:s3cret@db".parse::<SecretUrl>().unwrap_err();
        assert!(!error.contains("s3cret"));
    }

    #[test]
    fn the_url_decides_the_database_when_it_names_one() {
        let check = |url: &str| {
            let url: SecretUrl = url.parse().unwrap();
            url.options("co2_emissions").get_database().map(str::to_owned)
        };
        assert_eq!(check("postgres://w@db:5432/other?sslmode=disable").as_deref(), Some("other"));
        assert_eq!(check("postgres://w@db:5432").as_deref(), Some("co2_emissions"));
        assert_eq!(check("postgres://w@db/?sslmode=disable").as_deref(), Some("co2_emissions"));
    }
}

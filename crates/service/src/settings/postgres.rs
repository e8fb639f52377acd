//! Where Postgres is.

use std::{path::Path, str::FromStr};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::check_pem;

/// What [`PgConnectOptions`] puts before the path of a certificate when it shows it.
const FILE: &str = "file: ";
const NOT_A_URL: &str = "not a Postgres URL (postgres://user:password@host:port/database)";

/// Where Postgres is. The database itself is the pipeline's, unless the URL names another.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Postgres")]
pub struct PostgresSettings {
    /// Postgres, as `postgres://user:password@host:port[/database][?sslmode=verify-full&sslrootcert=FILE]`; without a
    /// database the pipeline's own is used. Of TLS it has sslmode, sslrootcert, sslcert and sslkey, as libpq does.
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        hide_default_value = true,
        allow_hyphen_values = true,
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
        check_shape(text)?;
        // The parser's own message may quote the URL, password and all.
        let options = PgConnectOptions::from_str(text).map_err(|_| NOT_A_URL)?;
        Ok(Self { url: SecretString::from(text), options: with_tls(options)? })
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

/// Refuses what the parser would take for a URL in which the password is something else, and so is shown or sent.
fn check_shape(text: &str) -> Result<(), &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or(NOT_A_URL)?;
    if !["postgres", "postgresql"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(NOT_A_URL);
    }
    // An unescaped `/`, `?` or `#` of a password ends the part in which it is looked for, and leaves its `@` behind.
    if rest.split_once(['/', '?', '#']).is_some_and(|(_, behind)| behind.contains('@')) {
        return Err(
            "not a Postgres URL: `/`, `?` and `#` of a password are written %2F, %3F and %23, `@` behind the host %40",
        );
    }
    Ok(())
}

/// Reads the options of TLS as libpq does, and sees to it that their files are there.
fn with_tls(options: PgConnectOptions) -> Result<PgConnectOptions, String> {
    // The client would take a mode it does not know for none.
    if let Ok(mode) = std::env::var("PGSSLMODE")
        && mode.parse::<PgSslMode>().is_err()
    {
        return Err(format!(
            "PGSSLMODE is `{mode}`, and must be one of disable, prefer, require, verify-ca, verify-full"
        ));
    }
    let [ca, certificate, key] = ["sslrootcert", "sslcert", "sslkey"].map(|name| (name, certificate(&options, name)));
    for (name, given) in [&ca, &certificate, &key] {
        // What is no file is the PEM itself, which a variable may hold.
        if let Some(file) = given.as_deref().and_then(|given| given.strip_prefix(FILE)) {
            check_pem(name, Path::new(file))?;
        }
    }
    if certificate.1.is_some() != key.1.is_some() {
        return Err("sslcert and sslkey go together only".to_owned());
    }
    // As libpq has it: whoever says whom to trust wants that looked at.
    Ok(match (options.get_ssl_mode(), ca.1) {
        (PgSslMode::Require, Some(_)) => options.ssl_mode(PgSslMode::VerifyCa),
        _ => options,
    })
}

/// A certificate or key that the URL or a `PG…` variable gives; the options tell it only as part of a URL.
fn certificate(options: &PgConnectOptions, name: &str) -> Option<String> {
    // A host or user that needs escapes does not survive being made a URL again, nor is it asked for.
    let url = options.clone().host("h").username("u").to_url_lossy();
    let (_, shown) = url.query_pairs().find(|(key, _)| key == name)?;
    Some(shown.into_owned())
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
    fn what_would_be_another_url_than_meant_is_refused() {
        for text in [
            "me:s3cret@db:5432",
            "postgres:me:s3cret@db",
            "mysql://me:s3cret@db",
            "postgres://me:12/s3cret@db/co2",
            "postgres://me:12?s3cret@db",
            "postgres://me:@s3cret#@db",
            "--s3cret",
            "",
        ] {
            let error = text.parse::<SecretUrl>().unwrap_err();
            assert!(error.contains("not a Postgres URL") && !error.contains("s3cret"), "{text}: {error}");
        }
        for text in
            ["postgresql://me@db", "POSTGRES://me@db/", "postgres://me:a@b@db", "postgres://db/a%40b?user=a%40b"]
        {
            assert!(text.parse::<SecretUrl>().is_ok(), "{text}");
        }
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
        assert_eq!(check("postgres://w@db?sslmode=require").as_deref(), Some("co2_emissions"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named_at_once() {
        let check = |query: &str, expected: &str| {
            let error = format!("postgres://w:s3cret@[::1]:5432/?{query}").parse::<SecretUrl>().unwrap_err();
            assert!(error.contains(expected) && !error.contains("s3cret"), "{query}: {error}");
        };
        check("sslmode=verify-full&sslrootcert=/not%20there", "sslrootcert `/not there` cannot be read: No such file");
        check("sslrootcert=Cargo.toml", "sslrootcert `Cargo.toml` is not a PEM file");
        check("sslmode=perhaps", "not a Postgres URL");
        check("sslkey=-----BEGIN PRIVATE KEY-----s3cret", "sslkey holds what a PEM file would");
    }

    #[test]
    fn who_names_an_authority_wants_it_looked_at() {
        let pem = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(pem.path(), "-----BEGIN CERTIFICATE-----").unwrap();
        let mode = |query: &str| {
            let url = format!("postgres://w@db/{query}").replace("FILE", &pem.path().display().to_string());
            url.parse::<SecretUrl>().unwrap().options("").get_ssl_mode()
        };
        assert!(matches!(mode("?sslmode=require&sslrootcert=FILE"), PgSslMode::VerifyCa));
        assert!(matches!(mode("?sslmode=require"), PgSslMode::Require));
        assert!(matches!(mode("?sslmode=verify-full&sslrootcert=FILE"), PgSslMode::VerifyFull));
        assert!(matches!(mode(""), PgSslMode::Prefer));
    }
}

//! Where Postgres is.

use std::str::FromStr;

use clap::Args;
use sqlx::postgres::PgConnectOptions;

use super::postgres_url;

/// Where Postgres is. The database itself is the pipeline's, unless the URL or PGDATABASE names another.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Postgres")]
pub struct PostgresSettings {
    /// Postgres, as `postgres://user:password@host:port[/database][?sslmode=verify-full&sslrootcert=FILE]`; without a
    /// database the pipeline's own is used.
    ///
    /// Parameters are libpq's: host, port, dbname, user, password, sslmode, sslrootcert, sslcert, sslkey,
    /// application_name, options; any other is refused. What the URL does not say, PGHOST, PGPORT, PGUSER, PGPASSWORD,
    /// PGDATABASE, PGSSLMODE and their like do.
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        hide_default_value = true,
        allow_hyphen_values = true,
        default_value = postgres_url::DEFAULT,
        value_name = "URL"
    )]
    pub database_url: SecretUrl,
}

/// A URL whose password is never printed.
#[derive(Clone)]
pub struct SecretUrl {
    options: PgConnectOptions,
}

impl SecretUrl {
    /// The URL that is used where none is given.
    pub const DEFAULT: &str = postgres_url::DEFAULT;

    /// Connection options for the database that the URL or PGDATABASE names, or for `default_database`.
    pub fn options(&self, default_database: &str) -> PgConnectOptions {
        match self.options.get_database() {
            Some(named) if !named.is_empty() => self.options.clone(),
            _ => self.options.clone().database(default_database),
        }
    }
}

impl FromStr for SecretUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let options = postgres_url::parse(text, |name| std::env::var(name).ok())?;
        Ok(Self { options })
    }
}

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let o = &self.options;
        write!(f, "postgres://{}@{}/{}", o.get_username(), address(o), o.get_database().unwrap_or(""))
    }
}

/// Host and port, or the folder of the socket and the port.
pub fn address(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or(options.get_host().into(), |socket| socket.to_string_lossy());
    let port = options.get_port();
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
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
        assert_eq!(check("postgres://w@db?sslmode=require").as_deref(), Some("co2_emissions"));
        assert_eq!(check("postgres://w@db?dbname=other").as_deref(), Some("other"));
        assert_eq!(check("postgres://w@db/?dbname=other&sslmode=disable").as_deref(), Some("other"));
    }
}

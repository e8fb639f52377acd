//! The settings of `migrate`.

use std::{collections::BTreeSet, time::Duration};

use clap::{
    Parser, Subcommand,
    builder::{NonEmptyStringValueParser, PossibleValuesParser},
};
use registry::databases::{DATABASES, Database};
use secrecy::SecretString;
use service::{
    Exit, Failure,
    settings::{SecretParser, SecretUrl, duration},
    telemetry::LogSettings,
};
use sqlx::postgres::PgConnectOptions;

use crate::connect::MAINTENANCE;

/// Creates and upgrades a pipeline's database and its roles.
///
/// Exit codes: 0 done; 64 a setting is wrong, a password or a missing privilege included; 65 the database holds
/// what must not be touched (an edited migration, a newer schema, that of a build before 0.1.0, legacy tables); 69
/// Postgres is unavailable, or another migrate is at work; 70 a bug.
#[derive(Debug, Parser)]
#[command(version = service::version!(), about)]
pub(crate) struct Settings {
    /// The pipeline whose database is meant, or all of them.
    #[arg(long, global = true, env = "PIPELINE", default_value = "all", value_parser = pipelines(), value_name = "NAME")]
    pub(crate) pipeline: String,
    /// How long Postgres, or another migrate at work, is waited for.
    #[arg(long, global = true, env = "STARTUP_WAIT", default_value = "60s", value_parser = duration, value_name = "DURATION")]
    pub(crate) wait: Duration,
    /// What is to be done.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Where Postgres is.
    #[command(flatten)]
    pub(crate) postgres: AdminSettings,
    /// The roles.
    #[command(flatten)]
    pub(crate) roles: RoleSettings,
    /// Logs.
    #[command(flatten)]
    pub(crate) logs: LogSettings,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Creates what is missing: roles, database, tables; sets the passwords that are given.
    Up {
        /// Moves legacy tables, at which `up` otherwise stops, to a schema `legacy_1` (or 2, …).
        #[arg(long)]
        move_legacy_tables: bool,
    },
    /// Prints which migrations each database has, and which roles exist.
    Status,
}

/// Where Postgres is, and as whom.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Postgres")]
pub(crate) struct AdminSettings {
    /// Postgres, as `postgres://user:password@host:port[/database][?sslmode=verify-full&sslrootcert=FILE]`, with a
    /// login that may create databases and roles; without a database the pipeline's own is meant.
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
        default_value = SecretUrl::DEFAULT,
        value_name = "URL"
    )]
    pub(crate) database_url: SecretUrl,
}

/// The roles' passwords. A role without one keeps the password it has, or has none.
// They may begin with a hyphen; taken for options, they would be quoted as ones that nobody knows.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Roles")]
pub(crate) struct RoleSettings {
    /// The password of tributary_owner, who owns the tables.
    #[arg(long, global = true, env = "OWNER_PASSWORD", hide_env_values = true, allow_hyphen_values = true, value_parser = SecretParser, value_name = "PASSWORD")]
    pub(crate) owner_password: Option<SecretString>,
    /// The password of tributary_writer, as whom the consumer writes.
    #[arg(long, global = true, env = "WRITER_PASSWORD", hide_env_values = true, allow_hyphen_values = true, value_parser = SecretParser, value_name = "PASSWORD")]
    pub(crate) writer_password: Option<SecretString>,
    /// The password of tributary_reader, as whom dashboards read.
    #[arg(long, global = true, env = "READER_PASSWORD", hide_env_values = true, allow_hyphen_values = true, value_parser = SecretParser, value_name = "PASSWORD")]
    pub(crate) reader_password: Option<SecretString>,
    /// The password of tributary_superset, as whom Superset keeps its own metadata; when given, `up` makes that role
    /// and its database.
    #[arg(long, global = true, env = "SUPERSET_PASSWORD", hide_env_values = true, allow_hyphen_values = true, value_parser = SecretParser, value_name = "PASSWORD")]
    pub(crate) superset_password: Option<SecretString>,
    /// The database of Superset's metadata.
    #[arg(long, global = true, env = "SUPERSET_DATABASE", default_value = "superset", value_parser = NonEmptyStringValueParser::new(), value_name = "NAME")]
    pub(crate) superset_database: String,
    /// What the roles' names begin with: roles belong to the whole server, and tests share one.
    #[arg(long, global = true, env = "ROLE_PREFIX", hide = true, default_value = "tributary", value_parser = prefix)]
    pub(crate) role_prefix: String,
}

impl Settings {
    /// The databases that are meant.
    ///
    /// # Errors
    /// Exit 64 when the URL names a database and no pipeline is named: two pipelines do not fit into one.
    pub(crate) fn databases(&self) -> Result<impl Iterator<Item = &'static Database>, Failure> {
        let all = self.pipeline == "all";
        let named: BTreeSet<String> =
            DATABASES.iter().filter_map(|database| Some(self.options(database).get_database()?.to_owned())).collect();
        if all && named.len() < DATABASES.len() {
            let message = "DATABASE_URL or PGDATABASE names one database, and each pipeline has its own; say which one with --pipeline";
            return Err(Failure::new(Exit::Usage, message));
        }
        Ok(DATABASES.iter().filter(move |database| all || self.pipeline == database.pipeline))
    }

    /// How to connect to a pipeline's database.
    pub(crate) fn options(&self, database: &Database) -> PgConnectOptions {
        self.postgres.database_url.options(database.name)
    }

    /// How to connect to the database every server has, for what belongs to the whole server.
    pub(crate) fn maintenance(&self) -> PgConnectOptions {
        self.postgres.database_url.options(MAINTENANCE).database(MAINTENANCE)
    }
}

fn pipelines() -> PossibleValuesParser {
    PossibleValuesParser::new(DATABASES.iter().map(|database| database.pipeline).chain(["all"]))
}

/// Names that need no quotes and leave room for `_writer` within Postgres's 63 bytes.
fn prefix(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    match plain && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.len() <= 48 {
        true => Ok(text.to_owned()),
        false => Err("up to 48 lower-case letters, digits and underscores, a letter first".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_prefix_needs_no_quotes() {
        let check = |text: &str| prefix(text).is_ok();
        assert!(check("tributary") && check("t_1"));
        assert!(!check("") && !check("1t") && !check("Tributary") && !check("t\"; DROP") && !check(&"t".repeat(49)));
    }

    #[test]
    fn one_database_has_one_pipeline() {
        let check = |arguments: &[&str], expected: Option<usize>| {
            let settings = Settings::try_parse_from([&["migrate", "status"], arguments].concat()).unwrap();
            assert_eq!(settings.databases().ok().map(Iterator::count), expected, "{arguments:?}");
        };
        check(&["--database-url", "postgres://me@db"], Some(DATABASES.len()));
        check(&["--database-url", "postgres://me@db/mine"], None);
        check(&["--database-url", "postgres://me@db/mine", "--pipeline", "energy"], Some(1));
    }

    #[test]
    fn passwords_are_never_printed() {
        for password in ["s3cret", "--s3cret"] {
            let settings = Settings::try_parse_from(["migrate", "--writer-password", password, "status"]).unwrap();
            assert!(!format!("{settings:?}").contains("s3cret"));
        }
        assert!(Settings::try_parse_from(["migrate", "--writer-password", "", "status"]).is_err());
    }

    #[test]
    fn no_role_gets_a_password_that_nobody_can_type() {
        for role in ["owner", "writer", "reader", "superset"] {
            let arguments = ["migrate", &format!("--{role}-password"), "s3cret\n", "up"];
            let said = Settings::try_parse_from(arguments).unwrap_err().to_string();
            let named = format!("{}_PASSWORD holds a control character", role.to_uppercase());
            assert!(said.contains(&named) && !said.contains("s3cret"), "{said}");
        }
    }
}

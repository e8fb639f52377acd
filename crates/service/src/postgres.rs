//! What an error of Postgres means, and the settings that every session of ours needs.

use sqlx::{PgConnection, Row, postgres::PgConnectOptions};

use crate::{
    Exit, Failure,
    sqlstate::{NOT_UTF8, Remedy, remedy},
};

/// What a role's or a database's own settings must not change: where our tables are, that we may write, and what a
/// transaction sees.
const SESSION: [(&str, &str); 5] = [
    ("search_path", "public"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("idle_session_timeout", "0"),
    ("standard_conforming_strings", "on"),
];
/// The oldest server that knows what our statements use, as `server_version_num` has it.
const OLDEST: u32 = 150_000;

/// The options of a session of ours: with a name, unless one is given, and its settings.
pub fn session(options: PgConnectOptions, name: &str) -> PgConnectOptions {
    let named = options.get_application_name().is_some();
    let options = if named { options } else { options.application_name(name) };
    options.options(SESSION)
}

/// Checks that a session has the settings asked for, on a server that is new enough.
///
/// # Errors
/// When a pooler keeps the settings from the server, or the server is too old, or Postgres does not answer.
pub async fn check_session(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let [search_path, version] = settings(connection, ["search_path", "server_version_num"]).await?;
    session_fault(&search_path, &version).map_or(Ok(()), |fault| Err(sqlx::Error::Configuration(fault.into())))
}

fn session_fault(search_path: &str, version: &str) -> Option<String> {
    let version: u32 = version.parse().unwrap_or_default();
    if version < OLDEST {
        return Some(format!("the server is PostgreSQL {}; version 15 to 17 is needed", version / 10_000));
    }
    let pooler = "a connection pooler keeps our settings from the server";
    (search_path != "public")
        .then(|| format!("search_path is {search_path}, not public: {pooler}; let DATABASE_URL name the server itself"))
}

/// Checks that the connected database can hold every text.
///
/// # Errors
/// When its encoding is another than UTF8, or Postgres does not answer.
pub async fn check_encoding(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let [encoding] = settings(connection, ["server_encoding"]).await?;
    match encoding.as_str() {
        "UTF8" => Ok(()),
        other => {
            let fault = format!("the database is encoded in {other}, and cannot hold every text; {NOT_UTF8}");
            Err(sqlx::Error::Configuration(fault.into()))
        }
    }
}

/// Reads settings of the session, with a simple query: a prepared one may be another client's behind a pooler.
async fn settings<const N: usize>(connection: &mut PgConnection, names: [&str; N]) -> Result<[String; N], sqlx::Error> {
    let columns = names.map(|name| format!("current_setting('{name}')")).join(", ");
    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("SELECT {columns}"))).fetch_one(connection).await?;
    let mut values = names.map(str::to_owned);
    for (column, value) in values.iter_mut().enumerate() {
        *value = row.try_get(column)?;
    }
    Ok(values)
}

/// The SQLSTATE of an error that Postgres itself reported.
pub fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}

/// What an error says and what to do, with Postgres's code where it has one, without the position in Postgres's source
/// that sqlx adds, and without repetition.
pub fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => match remedy(&code, error.message()) {
                (_, "") => format!("{} (SQLSTATE {code})", error.message()),
                (_, advice) => format!("{} (SQLSTATE {code}); {advice}", error.message()),
            },
            None => error.message().to_owned(),
        },
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => format!("TLS: {error}"),
        sqlx::Error::Configuration(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Says what failed and why, with the exit code the error deserves where it is not tried again.
pub fn failure(error: &sqlx::Error, failed: impl Into<String>) -> anyhow::Error {
    anyhow::anyhow!(plain(error)).context(Failure::new(exit(error), failed))
}

/// Whether another try may succeed without anyone's doing.
pub fn is_transient(error: &sqlx::Error) -> bool {
    // Trust may be fixed from outside, as a certificate that is renewed.
    remedy_of(error) == Remedy::Retry || is_distrusted(error)
}

/// Whether the database or its schema does not exist yet, which `migrate` fixes.
pub fn is_unmigrated(error: &sqlx::Error) -> bool {
    remedy_of(error) == Remedy::Migrate
}

/// Whether one side refuses the other: the login, what it may do, or a certificate.
///
/// It may be about to be fixed, as a role that is being created; when it is not, a setting is wrong.
pub fn is_refused(error: &sqlx::Error) -> bool {
    remedy_of(error) == Remedy::Refused
}

/// The exit code an error deserves where it is not tried again.
pub fn exit(error: &sqlx::Error) -> Exit {
    remedy_of(error).exit()
}

fn remedy_of(error: &sqlx::Error) -> Remedy {
    match error {
        error if is_distrusted(error) => Remedy::Refused,
        sqlx::Error::Database(error) => remedy(&error.code().unwrap_or_default(), error.message()).0,
        // How the server authenticates us is the server's own setting.
        sqlx::Error::Protocol(why) if why.starts_with("unsupported ") => Remedy::Setting,
        // A server that ends in mid-message leaves the protocol in an unknown state.
        sqlx::Error::Protocol(_) | sqlx::Error::Io(_) => Remedy::Retry,
        sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => Remedy::Retry,
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => Remedy::Setting,
        _ => Remedy::Bug,
    }
}

fn is_distrusted(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        // The handshake is done while reading, and reports what went wrong as an error of reading.
        sqlx::Error::Io(error) => error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_certificate_that_is_not_trusted_is_a_refusal_and_a_lost_connection_is_not() {
        let check = |error: sqlx::Error, expected: Exit| assert_eq!(exit(&error), expected, "{error:?}");
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        check(io::Error::new(io::ErrorKind::InvalidData, untrusted).into(), Exit::Usage);
        check(sqlx::Error::Tls("server does not support TLS".into()), Exit::Usage);
        check(io::Error::from(io::ErrorKind::ConnectionRefused).into(), Exit::Unavailable);
        check(io::Error::new(io::ErrorKind::TimedOut, "connecting took more than 10 s").into(), Exit::Unavailable);
        check(sqlx::Error::Protocol("unsupported authentication method: 7".to_owned()), Exit::Usage);
        check(sqlx::Error::Protocol("expecting 1, got 2".to_owned()), Exit::Unavailable);
        check(sqlx::Error::Configuration("search_path".into()), Exit::Usage);
        check(sqlx::Error::RowNotFound, Exit::Bug);
    }

    #[test]
    fn a_session_needs_its_settings_and_a_server_that_is_new_enough() {
        assert_eq!(session_fault("public", "150012"), None);
        assert_eq!(session_fault("public", "170002"), None);
        assert!(session_fault("public", "140019").unwrap().contains("PostgreSQL 14; version 15 to 17 is needed"));
        let kept = session_fault("\"$user\", public", "170002").unwrap();
        assert!(kept.contains("pooler") && kept.contains("DATABASE_URL"), "{kept}");
    }
}

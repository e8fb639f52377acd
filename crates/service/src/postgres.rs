//! What an error of Postgres means: whether another try may help, and which exit code it deserves.

use crate::Exit;

/// The SQLSTATE of an error that Postgres itself reported.
pub fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}

/// What an error says, with Postgres's code where it has one, without the place in Postgres's source that sqlx adds, and
/// without saying it twice.
pub fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{} (SQLSTATE {code})", error.message()),
            None => error.message().to_owned(),
        },
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => format!("TLS: {error}"),
        other => other.to_string(),
    }
}

/// Whether another try may succeed without anyone's doing.
///
/// Classes of PostgreSQL's error codes (appendix A): 08 connection, 53 resources (disk full, too
/// many connections), 57 operator (shutdown, timeouts), 58 system, 40 rolled back (serialization,
/// deadlock), 55 lock not available, 25006 read-only while a standby takes over, 25P03 and 25P04
/// the server ended a transaction of ours that had stood still, as after the machine was asleep.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        // A server that ends in mid-message leaves the protocol in an unknown state.
        sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(_) => has_code(error, &["08", "40", "53", "55", "57", "58", "25006", "25P03", "25P04"]),
        _ => false,
    }
}

/// Whether the database or its schema are not there yet, which `migrate` mends.
pub fn is_unmigrated(error: &sqlx::Error) -> bool {
    has_code(error, &["3D000", "42P01", "42703"])
}

/// Whether one side refuses the other: the login, what it may do, or a certificate.
///
/// It may be about to be mended, as a role that is being made; when it is not, a setting is wrong.
pub fn is_refused(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        // The handshake is done while reading, and tells what went wrong as an error of reading.
        sqlx::Error::Io(error) => error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()),
        error => has_code(error, &["28", "42501"]),
    }
}

/// The exit code an error deserves where it is not tried again.
pub fn exit(error: &sqlx::Error) -> Exit {
    match error {
        error if is_refused(error) => Exit::Usage,
        error if is_transient(error) || is_unmigrated(error) => Exit::Unavailable,
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => Exit::Usage,
        _ => Exit::Bug,
    }
}

/// Whether Postgres reported one of these codes, or one of these classes of codes.
fn has_code(error: &sqlx::Error, begins: &[&str]) -> bool {
    code(error).is_some_and(|code| begins.iter().any(|begin| code.starts_with(begin)))
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
        check(sqlx::Error::RowNotFound, Exit::Bug);
    }
}

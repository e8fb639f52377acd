//! What an error of Postgres means for whoever started the program.

use service::{Exit, Failure};

/// Gives an error of Postgres the exit code it deserves.
pub(crate) trait Judge<T> {
    /// Says what could not be done: `cannot …`.
    fn or_judge(self, failed: impl FnOnce() -> String) -> anyhow::Result<T>;
}

impl<T> Judge<T> for Result<T, sqlx::Error> {
    fn or_judge(self, failed: impl FnOnce() -> String) -> anyhow::Result<T> {
        self.map_err(|error| {
            let exit = exit_of(&error);
            let mut message = failed();
            if let Some(help) = code_of(&error).as_deref().and_then(help) {
                message = format!("{message}; {help}");
            }
            anyhow::anyhow!(plain(&error)).context(Failure::new(exit, message))
        })
    }
}

/// The SQLSTATE of an error that Postgres itself reported.
pub(crate) fn code_of(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}

/// What an error says, without the wrapping that would say it twice.
pub(crate) fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// The exit code an error deserves.
pub(crate) fn exit_of(error: &sqlx::Error) -> Exit {
    match code_of(error).as_deref() {
        None => match error {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Exit::Unavailable,
            sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) | sqlx::Error::InvalidArgument(_) => Exit::Usage,
            _ => Exit::Bug,
        },
        // Lock not available; object in use.
        Some("55P03" | "55006") => Exit::Unavailable,
        // Insufficient privilege; reserved name.
        Some("42501" | "42939") => Exit::Usage,
        // The schema, or the relation, is already there and is not ours.
        Some("42P06" | "42P07") => Exit::Input,
        Some(code) => match &code[..2] {
            // Connection lost, transaction rolled back, out of resources, operator's intervention, system error.
            "08" | "40" | "53" | "57" | "58" => Exit::Unavailable,
            // Invalid authorisation; invalid catalogue name.
            "28" | "3D" => Exit::Usage,
            _ => Exit::Bug,
        },
    }
}

fn help(code: &str) -> Option<&'static str> {
    match code {
        "42501" => {
            Some("DATABASE_URL needs a login that may do this: a superuser, or one with CREATEROLE and CREATEDB")
        }
        "42P07" => Some("it was not made by migrate: move it to another schema, or give an empty database"),
        "55P03" | "55006" => Some("someone is using it: stop them and run this again"),
        _ => None,
    }
}

//! What an error of Postgres means for whoever started the program.

use service::{
    Exit, Failure,
    postgres::{code, exit, plain},
};

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
            if let Some(help) = code(&error).as_deref().and_then(help) {
                message = format!("{message}; {help}");
            }
            anyhow::anyhow!(plain(&error)).context(Failure::new(exit, message))
        })
    }
}

/// The exit code an error deserves. Here a database that is missing, or a relation that is there, is nobody's hurry.
pub(crate) fn exit_of(error: &sqlx::Error) -> Exit {
    match code(error).as_deref() {
        // Reserved name; invalid catalogue name.
        Some("42939" | "3D000") => Exit::Usage,
        // The schema, or the relation, is already there and is not ours.
        Some("42P06" | "42P07") => Exit::Input,
        // Nobody else makes a table or column that a migration of ours lacks.
        Some("42P01" | "42703") => Exit::Bug,
        _ => exit(error),
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

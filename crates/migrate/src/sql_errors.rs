//! What an error of Postgres means for the person who started the program.

use service::postgres::failure;

/// Gives an error of Postgres the exit code it deserves.
pub(crate) trait OrFailure<T> {
    /// Says what could not be done: `cannot …`.
    fn or_failure(self, failed: impl FnOnce() -> String) -> anyhow::Result<T>;
}

impl<T> OrFailure<T> for Result<T, sqlx::Error> {
    fn or_failure(self, failed: impl FnOnce() -> String) -> anyhow::Result<T> {
        self.map_err(|error| failure(&error, failed()))
    }
}

//! Why the demonstration ended early.

use std::fmt;

/// Why the transfer ended early, and the exit code that a caller should see.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// A failure with an exit code.
    pub(crate) fn new(message: String, code: u8) -> Self {
        Self { message, code }
    }

    /// The input is invalid.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 65 }
    }

    /// A server is missing.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 69 }
    }

    /// The exit code of an error; an unclassified error is a bug.
    pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
        error.downcast_ref::<Self>().map_or(70, |failure| failure.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

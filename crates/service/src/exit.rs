//! What an exit code means, and the only code that turns an error into one.
//!
//! The codes are those of BSD's `sysexits.h`, so that a Kubernetes `podFailurePolicy` can
//! distinguish "do not retry" from "try again".

use std::{fmt, process::ExitCode};

use clap::error::{ContextKind, ContextValue};

/// How a program ended, as its caller should understand it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all that was asked for is done.
    Done,
    /// 64: the command line, the environment or a setting is wrong; retrying will not help.
    Usage,
    /// 65: the input is at fault; retrying will not help.
    Input,
    /// 69: a service is unavailable; trying again later may help.
    Unavailable,
    /// 70: a bug of ours.
    Bug,
}

impl Exit {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 64,
            Self::Input => 65,
            Self::Unavailable => 69,
            Self::Bug => 70,
        }
    }
}

/// An error that knows which exit code it deserves.
///
/// Anything that reaches [`run`] without one is a bug of ours.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure that ends the program with `exit`; `message` says what failed and what to do.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The exit code's meaning.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Says which exit code an error deserves, where that becomes known.
pub trait ResultExt<T> {
    /// Marks an error with `exit` and a sentence that says what failed and what to do.
    fn or_exit<M: fmt::Display>(self, exit: Exit, message: impl FnOnce() -> M) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> ResultExt<T> for Result<T, E> {
    fn or_exit<M: fmt::Display>(self, exit: Exit, message: impl FnOnce() -> M) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(Failure::new(exit, message().to_string())))
    }
}

/// Reads the exit code off an error: that of the outermost [`Failure`] in its chain.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Failure>().map_or(Exit::Bug, Failure::exit)
}

/// Prints how the program ended, once, and turns it into the process exit code.
pub fn finish(result: anyhow::Result<()>) -> ExitCode {
    let exit = match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            let exit = exit_of(&error);
            if tracing::dispatcher::has_been_set() {
                tracing::error!(exit_code = exit.code(), "{error:#}");
            } else {
                eprintln!("error: {error:#}");
            }
            exit
        }
    };
    ExitCode::from(exit.code())
}

/// Runs `main`'s work on a Tokio runtime, and ends with the exit code its result deserves.
///
/// A panic is a bug of ours: it is logged as one line and ends with 70.
pub fn run(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(exit_code = Exit::Bug.code(), "panicked, which is a bug: {panic}");
    }));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(anyhow::Error::new(error).context("cannot start the runtime"))),
    };
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(work)));
    // A client library that hangs on close must not delay an exit that is decided already.
    runtime.shutdown_background();
    match ended {
        Ok(result) => finish(result),
        Err(_) => ExitCode::from(Exit::Bug.code()),
    }
}

/// Parses the command line; a mistake in it ends the program with 64, `--help` with 0.
pub fn parse<T>(parsed: Result<T, clap::Error>) -> Result<T, ExitCode> {
    parsed.map_err(|error| {
        let error = without_secrets(error);
        let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
        // Nothing sensible is left to do when the terminal is gone.
        let _ = error.print();
        ExitCode::from(exit.code())
    })
}

/// Takes out of a usage error the value it quotes, where that may hold a password; [`parse`] does so.
pub fn without_secrets(mut error: clap::Error) -> clap::Error {
    let secret = |arg: String| {
        ["--database-url", "--input", "--mqtt-url", "password", "token"].iter().any(|name| arg.contains(name))
    };
    if error.get(ContextKind::InvalidArg).is_some_and(|arg| secret(arg.to_string())) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("(not shown)".to_owned()));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_survives_context() {
        let error = Err::<(), _>(std::io::Error::other("connection refused"))
            .or_exit(Exit::Unavailable, || "kafka at x:9092 does not answer")
            .unwrap_err();
        let error = error.context("while creating the topic");
        assert_eq!(exit_of(&error), Exit::Unavailable);
        assert_eq!(
            format!("{error:#}"),
            "while creating the topic: kafka at x:9092 does not answer: connection refused"
        );
    }

    #[test]
    fn a_usage_error_quotes_no_password() {
        #[derive(Debug, clap::Parser)]
        struct Settings {
            #[command(flatten)]
            postgres: crate::settings::PostgresSettings,
        }
        let arguments = ["test", "--database-url", "db//me:s3cret@db"];
        let error = <Settings as clap::Parser>::try_parse_from(arguments).unwrap_err();
        let said = without_secrets(error).to_string();
        assert!(said.contains("not a Postgres URL") && !said.contains("s3cret"), "{said}");
    }

    #[test]
    fn an_unclassified_error_is_a_bug() {
        assert_eq!(exit_of(&anyhow::anyhow!("?")), Exit::Bug);
    }
}

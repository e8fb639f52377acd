//! Which pipeline a command line chooses, and the options it then has.

use std::{env, ffi::OsString};

use clap::{ArgMatches, Command, builder::Resettable};

/// The pipeline, unless another is chosen.
pub const DEFAULT: &str = "emissions";
/// The variable that chooses one.
pub const VARIABLE: &str = "PIPELINE";

/// The name `--pipeline` gives, or else the variable, or else the default.
///
/// A pipeline has its own options, so that the command line can be parsed only when it is known.
pub fn pipeline(args: &[OsString], variable: Option<OsString>) -> String {
    let given = args.iter().enumerate().skip(1).take_while(|(_, arg)| *arg != "--").find_map(|(at, arg)| {
        let arg = arg.to_str()?;
        match arg.strip_prefix("--pipeline")? {
            // An option is not a value, for clap either; as a wrong name it would be quoted, password and all.
            "" => args.get(at + 1).filter(|value| !value.as_encoded_bytes().starts_with(b"-")).cloned(),
            value => value.strip_prefix('=').map(OsString::from),
        }
    });
    let chosen = given.or(variable).filter(|name| !name.is_empty());
    chosen.map_or_else(|| DEFAULT.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A pipeline's entry in one of the registry's lists.
pub trait Entry {
    /// The pipeline's name.
    fn name(&self) -> &'static str;

    /// Adds the pipeline's own options to a program's.
    fn augment(&self, command: Command) -> Command;
}

/// Parses a command line whose options depend on the pipeline it chooses, out of `entries`.
///
/// `command` has its own `--pipeline`, which knows their names.
///
/// # Errors
/// What clap has to say, `--help` and `--version` included.
pub fn parse<E: Entry>(
    command: &Command,
    entries: Vec<E>,
    args: Vec<OsString>,
) -> Result<(E, ArgMatches), clap::Error> {
    let name = pipeline(&args, env::var_os(VARIABLE));
    let Some(chosen) = entries.into_iter().find(|entry| entry.name() == name) else {
        // Only the name is parsed, so that the error is about the name.
        let only_name = command.clone().mut_args(|arg| arg.required(false));
        let args = [command.get_name().to_owned(), format!("--pipeline={name}")];
        return Err(only_name.try_get_matches_from(args).expect_err("the parser takes no name the registry lacks"));
    };
    // A pipeline's options come with their own description, which is not the program's.
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    let whole = chosen.augment(command.clone()).about(Resettable::from(about)).long_about(Resettable::from(long_about));
    let matches = whole.mut_args(|arg| arg.hide_env_values(true)).try_get_matches_from(args)?;
    Ok((chosen, matches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_variable() {
        let check = |args: &str, variable: Option<&str>, expected: &str| {
            let args: Vec<OsString> = args.split(' ').map(OsString::from).collect();
            assert_eq!(pipeline(&args, variable.map(OsString::from)), expected, "{args:?}");
        };
        check("producer", None, "emissions");
        check("producer", Some(""), "emissions");
        check("producer", Some("energy"), "energy");
        check("producer --from-year 1 --pipeline taxi", Some("energy"), "taxi");
        check("producer --pipeline=taxi --input x", Some("energy"), "taxi");
        check("producer --pipelines taxi", None, "emissions");
        check("producer -- --pipeline taxi", None, "emissions");
        check("producer --pipeline", None, "emissions");
        check("producer --pipeline --kafka-sasl-password=s3cret", None, "emissions");
    }
}

//! Settings that hold a secret.

use std::ffi::OsStr;

use clap::{
    Arg, Command,
    builder::TypedValueParser,
    error::{Error, ErrorKind},
};
use secrecy::SecretString;

/// Reads a password or a user's name. Its errors name the variable and never the value.
#[derive(Clone, Copy, Debug)]
pub struct SecretParser;

impl TypedValueParser for SecretParser {
    type Value = SecretString;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<SecretString, Error> {
        let variable = arg.and_then(|arg| arg.get_env()?.to_str());
        let name = variable.or_else(|| arg?.get_long()).unwrap_or("a secret");
        let checked = match value.to_str() {
            Some("") => Err(format!("{name} is empty; leave it unset where there is none")),
            Some(text) => check_secret(name, text).map(|()| SecretString::from(text)),
            None => Err(format!("{name} is not UTF-8")),
        };
        checked.map_err(|why| Error::raw(ErrorKind::ValueValidation, format!("{why}\n")).with_cmd(command))
    }
}

/// Refuses what an editor or `echo` adds to a password unseen: a user who types the password never sends it.
///
/// # Errors
/// When `text` holds a control character, a line separator or a byte order mark.
pub fn check_secret(name: &str, text: &str) -> Result<(), String> {
    match text.contains(|c: char| c.is_control() || ['\u{2028}', '\u{2029}', '\u{feff}'].contains(&c)) {
        true => Err(format!(
            "{name} holds a control character, such as the line end of a Secret made with `echo`; make it with `printf %s`"
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use secrecy::ExposeSecret;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[arg(long, env = "SOME_PASSWORD_OF_TESTS", value_parser = SecretParser, allow_hyphen_values = true)]
        password: Option<SecretString>,
    }

    #[test]
    fn a_secret_with_a_control_character_is_refused_by_its_variables_name() {
        let parse = |password: &str| Program::try_parse_from(["program", "--password", password]);
        for unseen in ['\n', '\r', '\t', '\0', '\u{1b}', '\u{7f}', '\u{85}', '\u{2028}', '\u{feff}'] {
            for password in [format!("s3cret{unseen}"), format!("{unseen}s3cret"), format!("s3{unseen}cret")] {
                let said = parse(&password).unwrap_err().to_string();
                assert!(said.starts_with("error: SOME_PASSWORD_OF_TESTS holds a control character"), "{said}");
                assert!(!said.contains("s3"), "{said}");
            }
        }
        assert!(parse("").unwrap_err().to_string().contains("SOME_PASSWORD_OF_TESTS is empty"));
        for password in ["s3cret", "--s3cret", " s3 cret ", "Zürich ²Ⅳ", "\u{a0}"] {
            assert_eq!(parse(password).unwrap().password.unwrap().expose_secret(), password);
        }
    }
}

//! Command lines: settings, or an error of the command line that shows no password.

use std::{collections::HashMap, ffi::OsString, os::unix::ffi::OsStringExt, sync::LazyLock};

use clap::{
    Command, CommandFactory, FromArgMatches, Parser,
    builder::PossibleValuesParser,
    error::{Error, ErrorKind},
};
use fuzz::mutation::{Input, inputs};
use proptest::{prelude::*, sample::select};
use registry::{
    consumers,
    pipeline_arg::{self, Entry},
    producers,
};
use service::{
    exit,
    settings::{KafkaSettings, PostgresSettings},
    telemetry::LogSettings,
};
use stream::ConsumeSettings;

use crate::corpus;

/// What every password of the corpus contains, and nothing else does.
const SECRET: &str = "s3cret";
/// A password that no change of the corpus makes.
const UNHEARD_OF: &str = "unheard-of";
/// The options whose values are not to be seen.
const PASSWORD: &str = "--kafka-sasl-password";
const URL: &str = "--database-url";
const KEY: &str = "--kafka-ssl-key-location";

/// All the settings that libraries hold, as a consumer has them; a pipeline's own are added.
#[derive(Debug, Parser)]
#[command(name = "fuzz")]
struct Settings {
    #[arg(long, env = pipeline_arg::VARIABLE, default_value = pipeline_arg::DEFAULT, value_parser = PossibleValuesParser::new(consumers::names()))]
    pipeline: String,
    #[command(flatten)]
    consume: ConsumeSettings,
    #[command(flatten)]
    kafka: KafkaSettings,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    log: LogSettings,
}

static COMMAND: LazyLock<Command> = LazyLock::new(Settings::command);

/// The options that variables stand for, those of all pipelines included.
static VARIABLES: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let consumers = consumers::all().into_iter().fold(Settings::command(), |command, entry| entry.augment(command));
    let producers = producers::all().into_iter().fold(Command::new("fuzz"), |command, entry| entry.augment(command));
    let arguments = consumers.get_arguments().chain(producers.get_arguments());
    arguments.filter_map(|arg| Some((arg.get_env()?.to_str()?.to_owned(), format!("--{}", arg.get_long()?)))).collect()
});

/// A line an argument; a variable is given as the option it stands for, since a test may not change its environment.
fn arguments(bytes: &[u8]) -> Vec<OsString> {
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let given = lines.map(|line| {
        let name = line.split(|&byte| byte == b'=').next().unwrap_or_default();
        match std::str::from_utf8(name).ok().and_then(|name| VARIABLES.get(name)) {
            Some(option) => OsString::from_vec([option.as_bytes(), &line[name.len()..]].concat()),
            None => OsString::from_vec(line.to_vec()),
        }
    });
    std::iter::once(OsString::from("fuzz")).chain(given).collect()
}

/// Parses as the binaries do; the error is as they would print it.
fn parse<E: Entry>(entries: Vec<E>, args: Vec<OsString>) -> Result<Settings, Error> {
    let parsed = pipeline_arg::parse(&COMMAND, entries, args).and_then(|(_, found)| Settings::from_arg_matches(&found));
    parsed.map_err(exit::without_secrets)
}

/// Whether the secret is given, and only where it is one: as Kafka's password, within the URL, or as a key for a file.
fn hides_a_secret(args: &[OsString]) -> bool {
    // An error is printed without control characters.
    let shows = |text: &str| text.replace(char::is_control, "").contains(SECRET);
    let mut args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    let mut hides = false;
    while let Some(arg) = args.next() {
        let (option, value) = match arg.split_once('=') {
            Some((option, value)) => (option, value.to_owned()),
            None if [PASSWORD, URL].contains(&&*arg) => (&*arg, args.next().unwrap_or_default()),
            None => ("", arg.clone()),
        };
        let secret = match option {
            PASSWORD => true,
            URL => in_password(&value),
            KEY => value.starts_with("-----BEGIN"),
            _ => false,
        };
        match (shows(&value), secret) {
            (true, true) => hides = true,
            (false, _) if arg != "--" && !shows(option) => {}
            _ => return false,
        }
    }
    hides
}

/// Whether a URL has the secret in its password, once; a password may hold what should have been escaped.
fn in_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let login =
        rest.split(['?', '#']).next().and_then(|address| address.rsplit_once('@')).map_or("", |(login, _)| login);
    let password = login.split_once(':').map_or("", |(_, password)| password);
    password.contains(SECRET) && url.matches(SECRET).count() == 1
}

fn properties<E: Entry>(entries: Vec<E>, args: Vec<OsString>) -> Result<(), TestCaseError> {
    let hides = hides_a_secret(&args);
    let said = match parse(entries, args) {
        Ok(settings) => format!("{settings:?} {}", settings.postgres.database_url),
        Err(error) => {
            let requested = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            prop_assert_eq!(error.use_stderr(), !requested, "{}", error);
            error.to_string()
        }
    };
    prop_assert!(!hides || !said.contains(SECRET), "{}", said);
    Ok(())
}

/// Passwords of any kind, those that look like something else among them.
fn passwords() -> impl Strategy<Value = String> {
    let prefixes =
        ["", "-", "--", "---", "-h", "--topic=", "=", "@", " ", "'", "${", "%", "\\", "\u{1b}[", "12/", "12?", "12#"];
    (select(prefixes.to_vec()), "[ -~]{0,4}").prop_map(|(before, behind)| format!("{before}{UNHEARD_OF}{behind}"))
}

/// An option and the value that holds a password.
fn secrets() -> impl Strategy<Value = (&'static str, String)> {
    let urls = select(vec!["postgres://me:", "postgresql://:", "postgres:me:", "//me:", "me:", "mysql://me:"]);
    prop_oneof![
        passwords().prop_map(|password| (PASSWORD, password)),
        (urls, passwords()).prop_map(|(before, password)| (URL, format!("{before}{password}@db"))),
    ]
}

proptest! {
    #![proptest_config(fuzz::config())]

    #[test]
    fn a_consumer_of_any_command_line(Input(bytes) in inputs(&corpus("settings"))) {
        properties(consumers::all(), arguments(&bytes))?;
    }

    #[test]
    fn a_producer_of_any_command_line(Input(bytes) in inputs(&corpus("settings"))) {
        properties(producers::all(), arguments(&bytes))?;
    }

    #[test]
    fn no_password_is_printed(
        (option, value) in secrets(),
        joined in any::<bool>(),
        Input(bytes) in inputs(&corpus("settings")),
    ) {
        let mut args = vec![OsString::from("fuzz")];
        match joined {
            true => args.push(format!("{option}={value}").into()),
            false => args.extend([option.into(), value.into()]),
        }
        args.extend(arguments(&bytes).split_off(1));
        let said = parse(consumers::all(), args).map_or_else(|error| error.to_string(), |settings| format!("{settings:?}"));
        prop_assert!(!said.contains(UNHEARD_OF), "{}", said);
    }
}

#[test]
fn the_corpus_itself() {
    for bytes in corpus("settings").iter() {
        properties(consumers::all(), arguments(bytes)).unwrap();
        properties(producers::all(), arguments(bytes)).unwrap();
    }
}

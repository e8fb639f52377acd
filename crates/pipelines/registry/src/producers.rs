//! What each pipeline offers the producer.

use std::{
    io::{self, Cursor, Read},
    sync::{Arc, Mutex, PoisonError},
};

use clap::{ArgMatches, Args, Command, builder::PossibleValuesParser};
use sqlx::migrate::Migrator;
use stream::{Inlet, Pipeline, ReadError, Source};

pub use crate::list::Input;
use crate::{
    list::{self, OfPipeline},
    pipeline_arg::Entry,
};

type Open = Box<dyn Fn(Input, &ArgMatches) -> anyhow::Result<Box<dyn Source>> + Send + Sync>;

type Simulate = Box<dyn Fn(&ArgMatches) -> anyhow::Result<Box<dyn Source>> + Send + Sync>;

type Take = Box<dyn Fn(&ArgMatches) -> anyhow::Result<Box<dyn Inlet>> + Send + Sync>;

/// The sources that `--source` chooses from.
pub const FILE: &str = "file";
/// A source that makes its rows.
pub const SIMULATOR: &str = "simulator";

/// A live input: requests over HTTP.
pub const HTTP: &str = "http";
/// A live input: messages of an MQTT broker.
pub const MQTT: &str = "mqtt";
/// The headings of the options of live inputs, which are shown only where a pipeline takes them.
pub const LIVE_HEADINGS: [&str; 3] = ["Live inputs", "HTTP input", "MQTT input"];

/// How much of an input is kept until its header is read: longer than any header, and small compared with the input.
const KEPT: usize = 64 << 10;

/// A pipeline, as the producer sees it.
pub struct Producer {
    /// The pipeline's name, as given to `--pipeline`.
    pub name: &'static str,
    /// The topic, unless `--topic` names another.
    pub topic: &'static str,
    augment: fn(Command) -> Command,
    open: Open,
    simulate: Option<Simulate>,
    take: Option<Take>,
}

impl Producer {
    /// Begins to read an input with the pipeline's own options.
    ///
    /// # Errors
    /// A [`ReadError`] when the input is not what the pipeline reads; where another one reads it, that is said.
    pub fn source(&self, input: Input, options: &ArgMatches) -> anyhow::Result<Box<dyn Source>> {
        let begin = Begin::default();
        let opened = (self.open)(Box::new(Watched { input, begin: begin.clone() }), options);
        opened.map_err(|error| match error.downcast_ref() {
            Some(ReadError::Unusable(_)) => self.of_another(&begin).map_or(error, anyhow::Error::new),
            _ => error,
        })
    }

    /// Begins to simulate an input, with the pipeline's own options; `None` where the pipeline has no simulator.
    ///
    /// # Errors
    /// A [`ReadError`] when the options contradict each other.
    pub fn simulated(&self, options: &ArgMatches) -> Option<anyhow::Result<Box<dyn Source>>> {
        self.simulate.as_ref().map(|simulate| simulate(options))
    }

    /// What the pipeline takes of live inputs, with its own options; `None` where it takes none.
    ///
    /// # Errors
    /// When the options are not the pipeline's.
    pub fn inlet(&self, options: &ArgMatches) -> Option<anyhow::Result<Box<dyn Inlet>>> {
        self.take.as_ref().map(|take| take(options))
    }

    /// What `--source` chooses from.
    fn sources(&self) -> Vec<&'static str> {
        let simulator = self.simulate.iter().map(|_| SIMULATOR);
        let live = self.take.iter().flat_map(|_| [HTTP, MQTT]);
        std::iter::once(FILE).chain(simulator).chain(live).collect()
    }

    /// What is said where another pipeline reads an input that begins so.
    fn of_another(&self, begin: &Begin) -> Option<ReadError> {
        let other = all().into_iter().find(|other| other.name != self.name && other.reads(begin))?;
        let what = format!("it has the columns that --pipeline {} reads; choose that one, or another file", other.name);
        Some(ReadError::Unusable(what))
    }

    /// Whether an input that begins so is one of the pipeline's, whatever its options.
    fn reads(&self, begin: &Begin) -> bool {
        let kept = begin.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let options = (self.augment)(Command::new(self.name)).try_get_matches_from([self.name]);
        options.is_ok_and(|options| (self.open)(Box::new(Cursor::new(kept)), &options).is_ok())
    }
}

/// The first bytes of an input.
#[derive(Clone, Default)]
struct Begin(Arc<Mutex<Vec<u8>>>);

/// An input, the first bytes of which are kept.
struct Watched {
    input: Input,
    begin: Begin,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.input.read(buffer)?;
        let mut kept = self.begin.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = KEPT - kept.len();
        kept.extend_from_slice(&buffer[..len.min(free)]);
        Ok(len)
    }
}

impl Entry for Producer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn augment(&self, command: Command) -> Command {
        let command = (self.augment)(command);
        // A command without the two has nothing to choose.
        if command.get_arguments().all(|arg| arg.get_id() != "source" && arg.get_id() != "input") {
            return command;
        }
        let command = command.mut_args(|arg| {
            let is_of_live = arg.get_help_heading().is_some_and(|heading| LIVE_HEADINGS.contains(&heading));
            if is_of_live && self.take.is_none() { arg.hide(true) } else { arg }
        });
        let sources = self.sources();
        let is_file_only = sources.len() == 1;
        let command = command
            .mut_arg("source", |source| source.hide(is_file_only).value_parser(PossibleValuesParser::new(sources)));
        command.mut_arg("input", |input| match is_file_only {
            true => input.required(true),
            false => input.required_unless_present("source").required_if_eq("source", FILE),
        })
    }
}

/// Every pipeline that has a producer.
pub fn all() -> Vec<Producer> {
    list::all()
}

/// The names of the pipelines that have a producer.
pub fn names() -> Vec<&'static str> {
    all().iter().map(|producer| producer.name).collect()
}

impl OfPipeline for Producer {
    fn of_pipeline<P, O, S, I>(
        _build: fn(O) -> P,
        open: fn(Input, &I) -> Result<S, ReadError>,
        _migrations: Migrator,
    ) -> Self
    where
        P: Pipeline,
        O: Args + 'static,
        S: Source + 'static,
        I: Args + 'static,
    {
        let open: Open = Box::new(move |input, matches| Ok(Box::new(open(input, &I::from_arg_matches(matches)?)?)));
        Self { name: P::NAME, topic: P::TOPIC, augment: I::augment_args, open, simulate: None, take: None }
    }

    fn with_feed<P: Pipeline, O: Args + 'static>(self, _build: fn(O) -> Option<P>) -> Self {
        self
    }

    fn with_simulator<S: Source + 'static, I: Args + 'static>(mut self, open: fn(&I) -> Result<S, ReadError>) -> Self {
        self.simulate = Some(Box::new(move |matches| Ok(Box::new(open(&I::from_arg_matches(matches)?)?))));
        self
    }

    fn with_inlet<L: Inlet + 'static, I: Args + 'static>(mut self, open: fn(&I) -> L) -> Self {
        self.take = Some(Box::new(move |matches| Ok(Box::new(open(&I::from_arg_matches(matches)?)))));
        self
    }
}

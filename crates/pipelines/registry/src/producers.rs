//! What each pipeline offers the producer; a new pipeline is one line in [`all`].

use std::io::Read;

use clap::{ArgMatches, Args, Command};
use stream::{Source, SourceError};

use crate::choice::Entry;

/// The file, or standard input, unpacked.
pub type Input = Box<dyn Read + Send>;

type Open = Box<dyn Fn(Input, &ArgMatches) -> anyhow::Result<Box<dyn Source>> + Send + Sync>;

/// A pipeline, as the producer sees it.
pub struct Producer {
    /// The pipeline's name, as given to `--pipeline`.
    pub name: &'static str,
    /// The topic, unless `--topic` names another.
    pub topic: &'static str,
    augment: fn(Command) -> Command,
    open: Open,
}

impl Producer {
    /// Begins to read an input with the pipeline's own options.
    ///
    /// # Errors
    /// A [`SourceError`] when the input is not what the pipeline reads.
    pub fn source(&self, input: Input, options: &ArgMatches) -> anyhow::Result<Box<dyn Source>> {
        (self.open)(input, options)
    }
}

impl Entry for Producer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn augment(&self, command: Command) -> Command {
        (self.augment)(command)
    }
}

/// Every pipeline that has a producer.
pub fn all() -> Vec<Producer> {
    vec![
        entry("emissions", emissions::source::TOPIC, emissions::source::CsvSource::open),
        entry("energy", energy::source::TOPIC, energy::source::MeterSource::open),
    ]
}

/// The names of the pipelines that have a producer.
pub fn names() -> Vec<&'static str> {
    all().iter().map(|producer| producer.name).collect()
}

fn entry<O, S>(name: &'static str, topic: &'static str, open: fn(Input, &O) -> Result<S, SourceError>) -> Producer
where
    O: Args + 'static,
    S: Source + 'static,
{
    let open: Open = Box::new(move |input, matches| Ok(Box::new(open(input, &O::from_arg_matches(matches)?)?)));
    Producer { name, topic, augment: O::augment_args, open }
}

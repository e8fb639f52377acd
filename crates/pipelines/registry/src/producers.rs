//! What each pipeline offers the producer; a new pipeline is one line in [`all`].

use std::io::Read;

use clap::{ArgMatches, Args, Command, builder::Resettable};
use stream::{Source, SourceError};

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
    /// Adds the pipeline's own options to the producer's.
    pub fn augment(&self, command: Command) -> Command {
        // What the options say of themselves must not stand in for what the program says of itself.
        let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
        (self.augment)(command).about(Resettable::from(about)).long_about(Resettable::from(long_about))
    }

    /// Begins to read an input with the pipeline's own options.
    ///
    /// # Errors
    /// A [`SourceError`] when the input is not what the pipeline reads.
    pub fn source(&self, input: Input, options: &ArgMatches) -> anyhow::Result<Box<dyn Source>> {
        (self.open)(input, options)
    }
}

/// Every pipeline that has a producer.
pub fn all() -> Vec<Producer> {
    vec![entry("emissions", emissions::source::TOPIC, emissions::source::CsvSource::open)]
}

/// The names of the pipelines that have a producer.
pub fn names() -> Vec<&'static str> {
    all().iter().map(|producer| producer.name).collect()
}

/// The pipeline of this name.
pub fn find(name: &str) -> Option<Producer> {
    all().into_iter().find(|producer| producer.name == name)
}

fn entry<O, S>(name: &'static str, topic: &'static str, open: fn(Input, &O) -> Result<S, SourceError>) -> Producer
where
    O: Args + 'static,
    S: Source + 'static,
{
    let open: Open = Box::new(move |input, matches| Ok(Box::new(open(input, &O::from_arg_matches(matches)?)?)));
    Producer { name, topic, augment: O::augment_args, open }
}

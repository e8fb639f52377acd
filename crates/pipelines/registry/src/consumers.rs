//! What each pipeline offers the consumer; a new pipeline is one line in [`all`].

use std::{error::Error as _, pin::Pin};

use anyhow::anyhow;
use clap::{ArgMatches, Args, Command};
use emissions::pipeline::Emissions;
use energy::pipeline::Energy;
use service::{Failure, postgres::plain};
use stream::{Consume, Pipeline, Tables};

use crate::pipeline_arg::Entry;

/// Work under way, whatever the pipeline's types.
pub type Working = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

type Start = Box<dyn Fn(&ArgMatches, Consume) -> anyhow::Result<Working> + Send + Sync>;

/// A pipeline, as the consumer sees it.
pub struct Consumer {
    /// The pipeline's name, as given to `--pipeline`.
    pub name: &'static str,
    /// The topic, unless `--topic` names another.
    pub topic: &'static str,
    /// Its tables in its database.
    pub tables: Tables,
    augment: fn(Command) -> Command,
    start: Start,
}

impl Consumer {
    /// Begins to carry the topic into Postgres, with the pipeline's own options.
    ///
    /// # Errors
    /// When the options are not the pipeline's.
    pub fn start(&self, options: &ArgMatches, what: Consume) -> anyhow::Result<Working> {
        (self.start)(options, what)
    }
}

impl Entry for Consumer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn augment(&self, command: Command) -> Command {
        (self.augment)(command)
    }
}

/// Every pipeline that has a consumer.
pub fn all() -> Vec<Consumer> {
    vec![
        entry(emissions::source::TOPIC, emissions::pipeline::TABLES, Emissions),
        entry(energy::source::TOPIC, energy::pipeline::TABLES, Energy),
    ]
}

/// The names of the pipelines that have a consumer.
pub fn names() -> Vec<&'static str> {
    all().iter().map(|consumer| consumer.name).collect()
}

fn entry<O, P>(topic: &'static str, tables: Tables, build: fn(O) -> P) -> Consumer
where
    O: Args + 'static,
    P: Pipeline,
{
    let start: Start = Box::new(move |options, what| {
        let pipeline = build(O::from_arg_matches(options)?);
        Ok(Box::pin(async move { stream::consume(pipeline, what).await.map_err(to_exit) }))
    });
    Consumer { name: P::NAME, topic, tables, augment: O::augment_args, start }
}

/// Gives an error the exit code it deserves.
fn to_exit(error: stream::Error) -> anyhow::Error {
    let failure = Failure::new(error.exit(), error.to_string());
    match error.source() {
        Some(source) => match source.downcast_ref() {
            Some(source) => anyhow!(plain(source)).context(failure),
            None => anyhow!("{source}").context(failure),
        },
        None => failure.into(),
    }
}

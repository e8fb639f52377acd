//! What each pipeline offers the consumer.

use std::{error::Error as _, pin::Pin, time::Duration};

use anyhow::anyhow;
use clap::{ArgMatches, Args, Command};
use service::{Failure, postgres::plain};
use sqlx::{PgConnection, migrate::Migrator};
use stream::{Consume, Pipeline, ReadError, Source, Tables, maintenance::compact::compact};

use crate::{
    list::{self, Input, OfPipeline},
    pipeline_arg::Entry,
};

/// Work under way, whatever the pipeline's types.
pub type Working = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

type Start = Box<dyn Fn(&ArgMatches, Consume) -> anyhow::Result<Working> + Send + Sync>;

/// `compact` under way.
pub type Compacting<'a> = Pin<Box<dyn Future<Output = Result<u64, sqlx::Error>> + 'a>>;

/// A pipeline, as the consumer sees it.
pub struct Consumer {
    /// The pipeline's name, as given to `--pipeline`.
    pub name: &'static str,
    /// The topic, unless `--topic` names another.
    pub topic: &'static str,
    /// Its tables in its database.
    pub tables: Tables,
    /// Drops superseded facts: see [`compact`].
    pub compact: for<'a> fn(&'a mut PgConnection, Duration) -> Compacting<'a>,
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
    list::all()
}

/// The names of the pipelines that have a consumer.
pub fn names() -> Vec<&'static str> {
    all().iter().map(|consumer| consumer.name).collect()
}

impl OfPipeline for Consumer {
    fn of_pipeline<P, O, S, I>(
        build: fn(O) -> P,
        _open: fn(Input, &I) -> Result<S, ReadError>,
        _migrations: Migrator,
    ) -> Self
    where
        P: Pipeline,
        O: Args + 'static,
        S: Source + 'static,
        I: Args + 'static,
    {
        let start: Start = Box::new(move |options, what| {
            let pipeline = build(O::from_arg_matches(options)?);
            Ok(Box::pin(async move { stream::consume(pipeline, what).await.map_err(to_exit) }))
        });
        let (name, topic, tables) = (P::NAME, P::TOPIC, P::TABLES);
        Self { name, topic, tables, compact: compacting::<P>, augment: O::augment_args, start }
    }
}

fn compacting<P: Pipeline>(connection: &mut PgConnection, keep: Duration) -> Compacting<'_> {
    Box::pin(compact::<P>(connection, keep))
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

//! What each pipeline offers the consumer.

use std::{error::Error as _, pin::Pin, time::Duration};

use anyhow::anyhow;
use clap::{ArgMatches, Args, Command};
use service::{Failure, postgres::plain};
use sqlx::{PgConnection, migrate::Migrator};
use stream::{Consume, FeedTables, Pipeline, ReadError, Source, maintenance::compact::compact};

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
    /// Its feeds, one at least; `--topic` names the topic of the first.
    pub feeds: Vec<Feed>,
    augment: fn(Command) -> Command,
}

/// A feed of a pipeline.
pub struct Feed {
    /// The topic, unless a setting names another.
    pub topic: &'static str,
    /// Its name, and its tables in the pipeline's database.
    pub tables: FeedTables,
    /// Drops superseded facts: see [`compact`].
    pub compact: for<'a> fn(&'a mut PgConnection, Duration) -> Compacting<'a>,
    start: Start,
}

impl Consumer {
    /// The names of its feeds.
    pub fn feed_names(&self) -> Vec<&'static str> {
        self.feeds.iter().map(|feed| feed.tables.feed).collect()
    }

    /// Their tables.
    pub fn tables(&self) -> Vec<FeedTables> {
        self.feeds.iter().map(|feed| feed.tables).collect()
    }
}

impl Feed {
    /// Begins to store the topic in PostgreSQL, with the pipeline's own options.
    ///
    /// # Errors
    /// When the options are not the pipeline's.
    pub fn start(&self, options: &ArgMatches, what: Consume) -> anyhow::Result<Working> {
        (self.start)(options, what)
    }

    fn of<P: Pipeline, O: Args + 'static>(build: fn(O) -> P) -> Self {
        let start: Start = Box::new(move |options, mut what| {
            let pipeline = build(O::from_arg_matches(options)?);
            if let Some(topic) = pipeline.topic() {
                what.topic = topic.to_owned();
            }
            Ok(Box::pin(async move { stream::consume(pipeline, what).await.map_err(to_exit) }))
        });
        Self { topic: P::TOPIC, tables: FeedTables::of::<P>(), compact: compacting::<P>, start }
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
        Self { name: P::NAME, feeds: vec![Feed::of(build)], augment: O::augment_args }
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

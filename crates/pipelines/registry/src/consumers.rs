//! What each pipeline offers the consumer.

use std::{error::Error as _, pin::Pin, time::Duration};

use anyhow::{Context, anyhow};
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

/// The topic of a feed under the pipeline's options; `None` where they leave the feed out.
type TopicOf = Box<dyn Fn(&ArgMatches) -> Option<String> + Send + Sync>;

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
    /// Its name, and its tables in the pipeline's database.
    pub tables: FeedTables,
    /// Drops superseded facts: see [`compact`].
    pub compact: for<'a> fn(&'a mut PgConnection, Duration) -> Compacting<'a>,
    topic: TopicOf,
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

    /// The topic, unless a setting of the program names another; `None` where the pipeline's own options leave the feed out.
    pub fn topic(&self, options: &ArgMatches) -> Option<String> {
        (self.topic)(options)
    }

    fn of<P: Pipeline, O: Args + 'static>(build: impl Fn(O) -> Option<P> + Copy + Send + Sync + 'static) -> Self {
        let topic: TopicOf = Box::new(move |options| {
            let pipeline = build(O::from_arg_matches(options).ok()?)?;
            Some(pipeline.topic().unwrap_or(P::TOPIC).to_owned())
        });
        let start: Start = Box::new(move |options, what| {
            let pipeline = build(O::from_arg_matches(options)?).context("the options leave the feed out")?;
            Ok(Box::pin(async move { stream::consume(pipeline, what).await.map_err(to_exit) }))
        });
        Self { tables: FeedTables::of::<P>(), compact: compacting::<P>, topic, start }
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
        Self { name: P::NAME, feeds: vec![Feed::of(move |options| Some(build(options)))], augment: O::augment_args }
    }

    fn with_feed<P: Pipeline, O: Args + 'static>(mut self, build: fn(O) -> Option<P>) -> Self {
        self.feeds.push(Feed::of(build));
        self
    }

    fn with_simulator<S: Source + 'static, I: Args + 'static>(self, _open: fn(&I) -> Result<S, ReadError>) -> Self {
        self
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

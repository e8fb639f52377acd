//! The PostgreSQL and the Kafka of a demonstration: those that were named, or private ones.

use std::path::{Path, PathBuf};

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::{
    broker::EmbeddedBroker,
    kafka::Kafka,
    numbers::grouped,
    postgres::{Postgres, database_of, with_database},
    repository,
};

use crate::{
    failure::Failure,
    input::{Input, PARTITIONS},
    settings::Settings,
};

/// The owner of a server, and the value that keeps it running.
enum Host<Private> {
    /// The caller's: used, and left as it is.
    Theirs,
    /// Ours: gone when dropped.
    Ours(Private),
}

/// A Kafka of ours, which runs until it is dropped.
enum Broker {
    Embedded { _alive: EmbeddedBroker },
    Real { _alive: Kafka },
}

/// A PostgreSQL of ours.
enum Database {
    /// Started for this demonstration.
    Started(Postgres),
    /// It ran before, because an earlier demonstration left it running; this one does too.
    Found,
}

/// The two servers. Dropping this stops those that are ours.
pub(crate) struct Servers {
    postgres: Host<Database>,
    kafka: Host<Broker>,
    /// The database's URL, with a login that may create it.
    pub(crate) database_url: String,
    /// Kafka's bootstrap servers.
    pub(crate) brokers: String,
}

/// The folder of all files that a demonstration leaves.
pub(crate) fn folder() -> PathBuf {
    repository().join("target/demo")
}

/// Starts what the caller did not name.
pub(crate) async fn start(settings: &Settings, input: &Input) -> anyhow::Result<Servers> {
    std::fs::create_dir_all(folder())?;
    let (kafka, brokers) = match settings.kafka_brokers() {
        Some(brokers) => (Host::Theirs, brokers.to_owned()),
        None => private_kafka(input).await?,
    };
    let (postgres, database_url) = match settings.database_url() {
        Some(url) => (Host::Theirs, their_database(url, input, &kafka)),
        None => private_postgres(input).await?,
    };
    Ok(Servers { postgres, kafka, database_url, brokers })
}

/// Real data go to the database the URL names, if it names one; made data always to their own.
///
/// Records of our broker go to a separate database too: their offsets would conflict with those of the caller's Kafka.
fn their_database(url: &str, input: &Input, kafka: &Host<Broker>) -> String {
    if matches!(kafka, Host::Ours(_)) {
        return with_database(url, &format!("{}_demo", input.target.database));
    }
    match database_of(url) {
        Some(_) if input.made.is_none() => url.to_owned(),
        _ => with_database(url, input.target.database),
    }
}

async fn private_postgres(input: &Input) -> anyhow::Result<(Host<Database>, String)> {
    let start = tokio::task::spawn_blocking(|| start_or_find(&folder().join("postgres")));
    let (postgres, url) = start.await?.map_err(|error| error.context(Failure::unavailable("no private PostgreSQL")))?;
    // One that DEMO_KEEP=1 left running still has the tables of the last time.
    let mut server = PgConnection::connect(&url).await.context("the private PostgreSQL does not answer")?;
    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", input.target.database);
    sqlx::query(AssertSqlSafe(drop)).execute(&mut server).await?;
    server.close().await?;
    Ok((Host::Ours(postgres), with_database(&url, input.target.database)))
}

/// The server in `folder`, and its URL. One that runs there already is not taken over: it would be deleted at the end.
fn start_or_find(folder: &Path) -> anyhow::Result<(Database, String)> {
    if let Some(url) = Postgres::running(folder)? {
        return Ok((Database::Found, url));
    }
    let postgres = Postgres::start(folder)?;
    let url = postgres.url().to_owned();
    Ok((Database::Started(postgres), url))
}

async fn private_kafka(input: &Input) -> anyhow::Result<(Host<Broker>, String)> {
    if input.fits_embedded_broker {
        let embedded = EmbeddedBroker::start()?;
        // It supports no request that creates a topic, so the producer could not create one.
        input.topics().try_for_each(|topic| embedded.create_topic(topic, PARTITIONS.into()))?;
        let brokers = embedded.bootstrap().to_owned();
        return Ok((Host::Ours(Broker::Embedded { _alive: embedded }), brokers));
    }
    let start = tokio::task::spawn_blocking(|| Kafka::start(&folder().join("kafka")));
    let kafka = start.await?.map_err(|error| {
        let rows = input.rows().map_or_else(|| "so many".to_owned(), grouped);
        error.context(Failure::unavailable(format!("{rows} rows are more than the embedded broker can store")))
    })?;
    let brokers = kafka.bootstrap().to_owned();
    Ok((Host::Ours(Broker::Real { _alive: kafka }), brokers))
}

impl Servers {
    /// The role with only the consumer's rights, with its password; `None` on a server that is not ours, where
    /// the caller's login is used for everything.
    pub(crate) fn writer(&self) -> Option<(String, String)> {
        if matches!(self.postgres, Host::Theirs) {
            return None;
        }
        let (_, rest) = self.database_url.split_once("://")?;
        let (login, host) = rest.split_once('@')?;
        let (_, password) = login.split_once(':')?;
        Some((format!("postgres://tributary_writer:{password}@{host}"), password.to_owned()))
    }

    /// Whether Kafka's topic is new while the database has offsets of an earlier one.
    pub(crate) fn topic_is_newer_than_database(&self) -> bool {
        matches!((&self.kafka, &self.postgres), (Host::Ours(_), Host::Theirs))
    }

    /// Whether all that was ever sent to the topic, or stored of it, is of this run.
    pub(crate) fn are_fresh(&self) -> bool {
        matches!((&self.kafka, &self.postgres), (Host::Ours(_), Host::Ours(_)))
    }

    /// Which Kafka it is, for a person.
    pub(crate) fn kafka_in_words(&self) -> String {
        let kind = match &self.kafka {
            Host::Theirs => "yours",
            Host::Ours(Broker::Embedded { .. }) => "embedded broker (its groups wait 3 s for more members)",
            Host::Ours(Broker::Real { .. }) => "private Apache Kafka",
        };
        format!("{kind}, {}", self.brokers)
    }

    /// Which PostgreSQL it is, for a person.
    pub(crate) fn postgres_in_words(&self) -> String {
        let kind = match self.postgres {
            Host::Theirs => "yours",
            Host::Ours(Database::Started(_)) => "private server",
            Host::Ours(Database::Found) => "private server that ran already and is left running",
        };
        format!("{kind}, database {}", database_of(&self.database_url).unwrap_or_default())
    }

    /// Whether a PostgreSQL of ours stays when the demonstration is over.
    pub(crate) fn postgres_stays(&self, keep: bool) -> bool {
        match self.postgres {
            Host::Theirs => false,
            Host::Ours(Database::Started(_)) => keep,
            Host::Ours(Database::Found) => true,
        }
    }

    /// Ends what was started; `keep` leaves the PostgreSQL running.
    pub(crate) fn end(self, keep: bool) -> anyhow::Result<()> {
        if let (true, Host::Ours(Database::Started(postgres))) = (keep, self.postgres) {
            postgres.leave();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_runs_already_is_found_and_left_running() {
        let folder = std::env::temp_dir().join(format!("found-{}", std::process::id()));
        assert_eq!(Postgres::running(&folder).unwrap(), None);
        let kept = Postgres::start(&folder).unwrap();
        let (found, url) = start_or_find(&folder).unwrap();
        assert!(matches!(found, Database::Found));
        assert_eq!(url, kept.url());
        drop(found);
        assert_eq!(Postgres::running(&folder).unwrap().as_deref(), Some(kept.url()));
        drop(kept);
        assert_eq!(Postgres::running(&folder).unwrap(), None);
        assert!(!folder.exists());
    }
}

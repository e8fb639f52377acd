//! Maintenance of a pipeline's tables: hash, reset and compact.

use std::time::Duration;

use service::postgres::failure;
use sqlx::PgConnection;
use stream::{
    database::Database,
    maintenance::{
        hash,
        reset::{self, Count},
    },
    topic::{self, Losses},
};

use crate::{schema, settings::Job};

/// Prints the hash of the state tables, and of each one.
pub(crate) async fn hash(job: &Job) -> anyhow::Result<()> {
    let mut connection = connect(job).await?;
    let hashes = hash::hash(&mut connection, &job.pipeline.tables())
        .await
        .map_err(|error| failure(&error, "cannot hash the state tables"))?;
    for table in hashes {
        println!("{}  {} ({} rows)", table.sha256, table.table, table.rows);
    }
    Ok(())
}

/// Whether to do what cannot be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Only say what it would do.
    DryRun,
    /// Do it.
    Given,
}

impl From<bool> for Consent {
    fn from(yes: bool) -> Self {
        if yes { Self::Given } else { Self::DryRun }
    }
}

/// Empties facts, results and offsets, after saying what that removes and what of it cannot be read again.
pub(crate) async fn reset(job: &Job, consent: Consent) -> anyhow::Result<()> {
    let mut connection = connect(job).await?;
    let tables = &job.pipeline.tables();
    let failed = |error: sqlx::Error| failure(&error, "cannot reset the pipeline; nothing was removed");
    for Count { table, count, of } in reset::count(&mut connection, tables).await.map_err(failed)? {
        println!("{count:>12} {of} of {table}");
    }
    for topic in job.topics() {
        for warning in lost_by_a_reset(job, topic).await? {
            println!("warning: {warning}");
        }
    }
    if consent == Consent::DryRun {
        println!("nothing was removed; add --yes to remove all of these and begin at the earliest offset");
        return Ok(());
    }
    reset::reset(&mut connection, tables).await.map_err(failed)?;
    println!("removed; a consumer now begins at the earliest offset");
    Ok(())
}

/// What a reset loses for good, because Kafka does not have it any more.
async fn lost_by_a_reset(job: &Job, topic: String) -> anyhow::Result<Vec<String>> {
    let (kafka, asked) = (job.settings.kafka.clone(), topic.clone());
    let losses = tokio::task::spawn_blocking(move || topic::losses(&kafka, &asked)).await?;
    Ok(match losses {
        Ok(Losses { first_offsets, compacted }) => {
            let removed = first_offsets.into_iter().map(|(partition, first)| {
                let last = first - 1;
                format!("kafka has removed offsets 0 to {last} of topic {topic}, partition {partition}: they cannot be read again")
            });
            let superseded = compacted.then(|| {
                format!("kafka compacts topic {topic}: records with a later one of the same key cannot be read again")
            });
            removed.chain(superseded).collect()
        }
        Err(why) => vec![format!("kafka does not say whether all of topic {topic} can be read again: {why}")],
    })
}

/// Drops superseded facts.
pub(crate) async fn compact(job: &Job, keep: Duration) -> anyhow::Result<()> {
    let mut connection = connect(job).await?;
    for feed in &job.pipeline.feeds {
        let dropped = (feed.compact)(&mut connection, keep).await.map_err(|error| {
            failure(&error, "cannot compact the changelog; what was dropped before is dropped, and no more")
        })?;
        println!("dropped {dropped} superseded facts of {}", feed.tables.tables.changelog.table);
    }
    Ok(())
}

async fn connect(job: &Job) -> anyhow::Result<PgConnection> {
    let connected = Database::new(job.database()).connect().await;
    let url = &job.settings.postgres.database_url;
    let mut connection = connected.map_err(|error| failure(&error, format!("cannot connect to {url}")))?;
    schema::check_pipeline(job, &mut connection).await?;
    Ok(connection)
}

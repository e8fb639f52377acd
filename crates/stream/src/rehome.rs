//! `consumer rehome`: moves groups to the partition their records come from now.
//!
//! After partitions were added to a topic, keys go to other partitions than before. One consumer
//! alone, which owns all of them, reads to the end and then moves every group whose newest record
//! came from elsewhere. From then on any number of replicas is right again.

use sqlx::{Connection, PgConnection};

use crate::{
    Error, Pipeline,
    batch::Changes,
    changelog, claims,
    offsets::Feed,
    publication::{self, Through},
    reader::Reader,
    writer::Task,
};

/// Groups that are to live in another partition, and the claims under which they were read.
#[derive(Debug)]
pub struct Moves {
    /// `(route, the partition it is to live in)`.
    routes: Vec<(String, i32)>,
    /// The groups' facts, to be stored there.
    changes: Changes,
    /// How far every partition was read.
    through: Vec<Through>,
}

impl<P: Pipeline> Reader<P> {
    /// Asks for every group to be moved whose newest record came from another partition than it lives in.
    pub(crate) fn rehome(&mut self) -> Result<(), Error> {
        let all: Vec<i32> = self.parts.ends.keys().copied().collect();
        if self.intake.partitions.numbers() != all {
            return Err(Error::NotAlone);
        }
        let strays = self.intake.state.strays();
        let mut changes = Changes::new(&self.parts.feed.changelog);
        for (group, home) in &strays {
            self.intake.state.rehome(group, *home, &mut changes);
        }
        let routes = strays.iter().map(|(group, home)| (P::route(group), i32::from(*home))).collect();
        let moves = Moves { routes, changes, through: self.intake.partitions.through() };
        self.ask(Task::Rehome(Box::new(moves)))
    }
}

/// Moves groups, in one transaction with the check that all partitions are still ours. Doing it again after an error is
/// safe: what was moved already is not moved again.
///
/// # Errors
/// [`Error::NotAlone`] when another consumer has claimed a partition since; when Postgres does not answer or refuses.
pub(crate) async fn store(connection: &mut PgConnection, feed: &Feed, moves: &mut Moves) -> anyhow::Result<()> {
    let all: Vec<i32> = moves.through.iter().map(|through| through.partition).collect();
    let mut tx = connection.begin().await?;
    let stored = claims::lock(&mut tx, feed, &all).await?;
    if publication::refused(&moves.through, &stored).is_some() {
        // One that is only dropped keeps its locks until the connection is used again.
        tx.rollback().await?;
        return Err(Error::NotAlone.into());
    }
    let moved = changelog::rehome(&mut tx, feed, (&moves.routes, &mut moves.changes)).await?;
    tx.commit().await?;
    tracing::info!(groups = moved, "moved to the partitions their records come from");
    Ok(())
}

//! `consumer rehome`: moves groups to the partition their records come from now.
//!
//! After partitions were added to a topic, keys go to other partitions than before. One consumer
//! alone, which owns all of them, reads to the end and then moves every group whose newest record
//! came from elsewhere. From then on any number of replicas is right again.

use sqlx::Connection;

use crate::{
    Error, Pipeline,
    batch::Changes,
    changelog::{self, Standing},
    reader::Reader,
};

impl<P: Pipeline> Reader<P> {
    /// Moves groups, in one transaction with the check that all partitions are still ours.
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
        let routes: Vec<(String, i32)> =
            strays.iter().map(|(group, home)| (P::route(group), i32::from(*home))).collect();
        let doing = "moving groups to other partitions";
        let (database, feed) = (&self.parts.loader.database, &self.parts.feed);
        let through = self.intake.partitions.through();
        let moved = self.parts.runtime.block_on(async {
            let mut connection = database.connect().await?;
            let mut tx = connection.begin().await?;
            let stored = crate::claims::lock(&mut tx, feed, &all).await?;
            if let Some(refused) = crate::publication::refused(&through, &stored) {
                return Ok(Some(refused));
            }
            changelog::rehome(&mut tx, feed, (&routes, &mut changes)).await?;
            tx.commit().await?;
            Ok(None::<Standing>)
        });
        match moved.map_err(|source| Error::of_postgres(doing, source))? {
            Some(_) => Err(Error::NotAlone),
            None => {
                tracing::info!(groups = routes.len(), "moved to the partitions their records come from");
                Ok(())
            }
        }
    }
}

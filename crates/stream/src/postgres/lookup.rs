//! Looking groups up in the cold store, next to the thread that polls Kafka: one connection for all lookups, one after another.

use std::time::Duration;

use crate::{
    Error, Pipeline,
    core::jobs::{LookedUp, Lookup},
    postgres::{
        retry::{Postgres, Work},
        statements::{Server, Statements},
    },
};

const LOOKING_UP: Work = Work { doing: "reading groups from the cold store", limit: Duration::from_secs(60) };

/// Looks up until nothing more is asked; hands each answer to `answer`, which says whether anybody receives it.
pub(crate) async fn run<P: Pipeline, D: Server<P>>(
    postgres: Postgres<D>,
    mut lookups: tokio::sync::mpsc::Receiver<Lookup>,
    answer: impl Fn(u64, Result<LookedUp, Error>) -> bool,
) {
    let mut session = None;
    while let Some(Lookup { number, shards }) = lookups.recv().await {
        let looking_up = postgres.retrying(LOOKING_UP, &mut session, async |session| {
            let mut found = Vec::with_capacity(shards.len());
            for (shard, groups) in &shards {
                found.push((*shard, session.cold_rows(groups).await?));
            }
            Ok(found)
        });
        if !answer(number, looking_up.await) {
            return;
        }
    }
}

//! Reading facts back from the changelog.

use crate::{
    Error, Pipeline,
    core::{
        groups::{Groups, Loading},
        mutation::{self, Mutation},
        offsets::Stored,
    },
    postgres::statements::Statements,
};

/// Loads what belongs to shards of partitions that were claimed and stand like this: one COPY for all of them. `check` is asked after
/// each piece.
///
/// In a transaction of its own, after the claim's: in one with it, the rows would be locked for as long as a load takes.
///
/// # Errors
/// When PostgreSQL does not answer or refuses, when what is stored is not what this program writes, or when `check` says so.
pub(crate) async fn load<P: Pipeline>(
    session: &mut impl Statements<P>,
    shards: &[Vec<i32>],
    claimed: &[Stored],
    check: impl Fn() -> Result<(), Error>,
) -> anyhow::Result<Vec<Groups<P>>> {
    let partitions: Vec<i32> = claimed.iter().map(|stored| stored.partition).collect();
    if !mutation::is(Mutation::ClaimWithLoad) {
        session.begin_snapshot().await?;
    }
    let mut loading = Loading::new(shards, claimed, session.keys(&partitions).await?)?;
    let mut take = |piece: &[u8]| {
        loading.push(piece)?;
        check()
    };
    session.facts(&partitions, &mut take).await?;
    session.commit().await?;
    Ok(loading.finish())
}

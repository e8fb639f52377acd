//! Reading facts back from the changelog.

use crate::{
    Error, Pipeline,
    core::{
        groups::{GroupLoader, Groups},
        mutation::{self, Mutation},
        offsets::PartitionRow,
    },
    postgres::statements::Statements,
};

/// Loads what belongs to shards, for partitions whose claim returned the rows `claimed`: one COPY for all of them.
/// Calls `check` after each piece.
///
/// In its own transaction, after the claim's: in one with it, the rows would be locked for as long as a load takes.
///
/// # Errors
/// When PostgreSQL does not answer or refuses, when what is stored is not what this program writes, or when `check` says so.
pub(crate) async fn load<P: Pipeline>(
    session: &mut impl Statements<P>,
    shards: &[Vec<i32>],
    claimed: &[PartitionRow],
    check: impl Fn() -> Result<(), Error>,
) -> anyhow::Result<Vec<Groups<P>>> {
    let partitions: Vec<i32> = claimed.iter().map(|stored| stored.partition).collect();
    if !mutation::is(Mutation::ClaimWithLoad) {
        session.begin_snapshot().await?;
    }
    let mut loading = GroupLoader::new(shards, claimed, session.keys(&partitions).await?)?;
    let mut take = |piece: &[u8]| {
        loading.push(piece)?;
        check()
    };
    session.facts(&partitions, &mut take).await?;
    session.commit().await?;
    Ok(loading.finish())
}

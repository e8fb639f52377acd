//! Reading facts back from the changelog.

use crate::{
    Error, Pipeline,
    core::{
        group_loader::GroupLoader,
        groups::Groups,
        mutation::{self, Mutation},
        offsets::PartitionRow,
    },
    pipeline::Residency,
    postgres::statements::Statements,
};

/// Rows of the cold store that are read together.
const LOOKUP: usize = 256;

/// Loads what belongs to shards, for partitions whose claim returned the rows `claimed`: one COPY for all of them.
/// Calls `check` after each piece.
///
/// In its own transaction, after the claim's: in one with it, the rows would be locked for as long as a load takes.
///
/// # Errors
/// When PostgreSQL does not answer or refuses, when what is stored is not what this program writes, or when `check` says so.
pub(crate) async fn load<P: Pipeline>(
    session: &mut impl Statements<P>,
    residency: Residency,
    shards: &[Vec<i32>],
    claimed: &[PartitionRow],
    check: impl Fn() -> Result<(), Error>,
) -> anyhow::Result<Vec<Groups<P>>> {
    let partitions: Vec<i32> = claimed.iter().map(|stored| stored.partition).collect();
    if !mutation::is(Mutation::ClaimWithLoad) {
        session.begin_snapshot().await?;
    }
    let mut loading = GroupLoader::new(residency, shards, claimed, &session.keys(&partitions).await?)?;
    let owners: Vec<(i32, i64)> = claimed.iter().map(|stored| (stored.partition, stored.redo_from)).collect();
    if residency != Residency::Memory {
        let size_ms = if let Residency::Windows(windows) = residency { Some(windows.size_ms) } else { None };
        loading.heads(session.cold_heads(&owners, size_ms).await?);
    }
    let mut take = |piece: &[u8]| {
        loading.push(piece)?;
        check()
    };
    session.facts(&owners, &mut take).await?;
    for groups in loading.wanted().chunks(LOOKUP) {
        loading.cold(&session.cold_rows(groups).await?)?;
        check()?;
    }
    session.commit().await?;
    Ok(loading.finish())
}

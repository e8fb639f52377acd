//! Claiming partitions: after a claim no older owner can commit.

use crate::{
    core::{
        jobs::Claim,
        mutation::{self, Mutation},
        offsets::PartitionRow,
    },
    pipeline::Pipeline,
    postgres::{database::SqlResult, statements::Statements},
};

/// Claims partitions for `owner`; returns their stored state, in order, and whether keys are spread over partitions.
///
/// Waits for a commit under way (its row lock); afterwards every older epoch is refused. Doing it again after an error is
/// safe: offsets that are forgotten are not forgotten twice.
///
/// # Errors
/// When PostgreSQL does not answer or refuses.
pub(crate) async fn claim<P: Pipeline>(
    session: &mut impl Statements<P>,
    claim: &Claim,
    owner: &str,
) -> SqlResult<(Vec<PartitionRow>, bool)> {
    session.begin().await?;
    session.add_partitions(&claim.partitions).await?;
    // In order, so that two consumers that claim at once wait for one another and never deadlock.
    session.lock_partitions(&claim.partitions).await?;
    if !claim.forget.is_empty() {
        session.forget_offsets(&claim.forget).await?;
    }
    if claim.spread {
        session.set_spread(true).await?;
    }
    let spread = session.is_spread().await?;
    let stored = session.raise_epochs(&claim.partitions, owner).await?;
    if !mutation::is(Mutation::ClaimWithLoad) {
        session.commit().await?;
    }
    Ok((stored, spread))
}

//! Giving partition keys the owner partition that their records come from now.

use std::collections::BTreeMap;

use crate::{
    Error, Pipeline,
    core::{check::check_refresh, repartition::Moves, segments::ID_SHIFT},
    postgres::statements::Statements,
};

/// Gives partition keys another owner partition, and appends their groups' facts there. The same transaction checks
/// that all partitions are still ours. Returns how many keys had another owner.
///
/// Doing it again after an error is safe: what was moved already is not moved again.
///
/// # Errors
/// [`Error::NotSoleOwner`] when another consumer has claimed a partition since; when PostgreSQL does not answer or
/// refuses.
pub(crate) async fn repartition<P: Pipeline>(
    session: &mut impl Statements<P>,
    moves: &mut Moves,
) -> anyhow::Result<u64> {
    let all: Vec<i32> = moves.to.iter().map(|to| to.partition).collect();
    session.begin().await?;
    let stored = session.lock_partitions(&all).await?;
    if check_refresh(&moves.to, &stored).is_some() {
        session.rollback().await?;
        return Err(Error::NotSoleOwner.into());
    }
    let moved = session.move_keys(&moves.keys).await?;
    if moved > 0 {
        // More facts than a batch may have get the ids of as many batches as they need.
        let numbers = session.draw_numbers(1 + (moves.changes.facts() >> ID_SHIFT)).await?;
        let number = numbers.into_iter().min().expect("one was asked for at least");
        moves.changes.number(number, 0);
        session.append_facts(&[moves.changes.rows()]).await?;
        let ids: BTreeMap<i32, i64> = moves.changes.last_ids(number).collect();
        // What is refreshed already counts as refreshed under the new ids as well.
        session.raise_refreshed_ids(&ids).await?;
        session.raise_last_ids(&ids).await?;
    }
    // Every key's records come from its owner now.
    session.set_spread(false).await?;
    session.commit().await?;
    Ok(moved)
}

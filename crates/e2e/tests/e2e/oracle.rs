//! What the tables must hold, computed from the topic's records by the simplest program that can: a second opinion.

use std::collections::BTreeMap;

use crate::{
    datasets::{Change, Dataset, Facts, Said},
    kafka::Held,
};

/// A record's position in the order of all: the greatest timestamp of its partition up to it, partition, offset.
type Position = (i64, i32, i64);

/// The accounting: new, unchanged, corrected, filtered, rejected.
pub(crate) type Counts = [i64; 5];

/// What one record does; its index in [`Counts`].
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    New,
    Unchanged,
    Corrected,
    Filtered,
    Rejected,
}

fn said<D: Dataset>(record: &Held) -> Said<D> {
    record.value.as_deref().map_or(Said::Rejected, D::said)
}

/// What is known of a key, and whether anything is.
fn outcome<D: Dataset>(before: Option<&D::Known>, now: &D::Known) -> Outcome {
    match (before.filter(|known| !D::is_retraction(known)), D::is_retraction(now)) {
        (None, true) => Outcome::Filtered,
        (None, false) => Outcome::New,
        (Some(before), false) if before == now => Outcome::Unchanged,
        (Some(_), _) => Outcome::Corrected,
    }
}

/// Every fact that was new, corrected or retracted, the first word on a key even if it retracts nothing, and the
/// accounting; where each key's records come from one partition.
pub(crate) fn changes<D: Dataset>(records: &[Held]) -> (Vec<Change<D>>, Counts) {
    let mut known = Facts::<D>::new();
    let (mut changes, mut counts) = (Vec::new(), Counts::default());
    for record in records {
        let outcome = match said::<D>(record) {
            Said::Filtered => Outcome::Filtered,
            Said::Rejected => Outcome::Rejected,
            Said::Fact(key, now) => {
                let outcome = outcome::<D>(known.get(&key), &now);
                if matches!(outcome, Outcome::New | Outcome::Corrected) || !known.contains_key(&key) {
                    known.insert(key.clone(), now.clone());
                    changes.push((record.partition, record.offset, key, now));
                }
                outcome
            }
        };
        counts[outcome as usize] += 1;
    }
    (changes, counts)
}

/// The last word on each key, retractions among them: the record with the greatest timestamp wins, which never goes
/// back within a partition; then the greater partition, then the greater offset.
pub(crate) fn last_words<D: Dataset>(records: &[Held]) -> Facts<D> {
    let mut winners: BTreeMap<D::Key, (Position, D::Known)> = BTreeMap::new();
    let mut latest = BTreeMap::new();
    for record in records {
        let max = latest.entry(record.partition).or_insert(0);
        *max = record.timestamp_ms.max(*max);
        let Said::Fact(key, known) = said::<D>(record) else { continue };
        let position = (*max, record.partition, record.offset);
        if winners.get(&key).is_none_or(|(winner, _)| *winner < position) {
            winners.insert(key, (position, known));
        }
    }
    winners.into_iter().map(|(key, (_, known))| (key, known)).collect()
}

/// All facts.
pub(crate) fn facts<D: Dataset>(records: &[Held]) -> Facts<D> {
    current::<D>(last_words::<D>(records))
}

/// What is left when everything retracted is gone.
pub(crate) fn current<D: Dataset>(mut words: Facts<D>) -> Facts<D> {
    words.retain(|_, known| !D::is_retraction(known));
    words
}

/// How many facts these rows have, each key once.
pub(crate) fn facts_in<D: Dataset>(lines: &[D::Line]) -> usize {
    current::<D>(words_of::<D>(lines)).len()
}

/// How many keys these rows say something of, even if only that nothing is known.
pub(crate) fn keys_in<D: Dataset>(lines: &[D::Line]) -> usize {
    words_of::<D>(lines).len()
}

/// The last word on each key, had these rows been sent one after another.
fn words_of<D: Dataset>(lines: &[D::Line]) -> Facts<D> {
    let held = |(offset, line): (i64, &D::Line)| Held {
        partition: 0,
        offset,
        timestamp_ms: 0,
        key: None,
        value: Some(D::message_value(line).into_bytes()),
    };
    last_words::<D>(&(0..).zip(lines).map(held).collect::<Vec<_>>())
}

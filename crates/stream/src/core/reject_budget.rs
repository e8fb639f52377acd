//! Which rejected records are kept with their bytes: a device that sends rubbish for a day must not fill the disk.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The time that a limit is for.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Of all keys together, so many times as many as of one are kept.
const KEYS: u64 = 100;

/// How many were kept since a day began: the first ones of each key, and not too many of all together.
///
/// It is known to this process only, and only for a day. So a start in between may keep as many once more.
#[derive(Debug)]
pub(crate) struct RejectBudget {
    /// How many of a key are kept in a day; `None`: all of them.
    of_key: Option<u64>,
    since: Option<Instant>,
    kept: HashMap<Box<[u8]>, u64>,
    of_all: u64,
}

impl RejectBudget {
    /// Keeps so many of a key; `None`: all of them.
    pub(crate) fn new(of_key: Option<u64>) -> Self {
        Self { of_key, since: None, kept: HashMap::new(), of_all: 0 }
    }

    /// Whether another one of a key is kept. It is counted.
    pub(crate) fn keeps(&mut self, now: Instant, key: Option<&[u8]>) -> bool {
        let Some(most) = self.of_key else { return true };
        if self.since.is_none_or(|since| now.duration_since(since) >= DAY) {
            *self = Self { since: Some(now), ..Self::new(self.of_key) };
        }
        if self.of_all >= most.saturating_mul(KEYS) {
            return false;
        }
        let key = key.unwrap_or_default();
        let kept = match self.kept.get_mut(key) {
            Some(kept) => kept,
            None => self.kept.entry(key.into()).or_default(),
        };
        if *kept >= most {
            return false;
        }
        (*kept, self.of_all) = (*kept + 1, self.of_all + 1);
        let further = "further ones are counted, and not kept, for the rest of this day";
        if *kept == most {
            let key = String::from_utf8_lossy(key);
            tracing::warn!(%key, "{most} records of a key were rejected: {further} (--rejects-per-day)");
        }
        if self.of_all == most.saturating_mul(KEYS) {
            tracing::warn!("{} records were rejected: {further} (--rejects-per-day)", self.of_all);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_of_each_key_are_kept(most in 0_u64..4, keys in prop::collection::vec(0_u8..5, 0..60)) {
            let (mut budget, now) = (RejectBudget::new(Some(most)), Instant::now());
            for (at, key) in keys.iter().enumerate() {
                let before = keys[..at].iter().filter(|other| *other == key).count() as u64;
                prop_assert_eq!(budget.keeps(now, Some(&[*key])), before < most);
            }
        }

        #[test]
        fn of_any_keys_not_too_many_are_kept(most in 1_u64..4, count in 0_u64..1_000) {
            let (mut budget, now) = (RejectBudget::new(Some(most)), Instant::now());
            let kept = (0..count).filter(|n| budget.keeps(now, Some(&n.to_be_bytes()))).count() as u64;
            prop_assert_eq!(kept, count.min(most * KEYS));
            prop_assert!(budget.keeps(now + DAY, None), "a day later");
        }
    }

    #[test]
    fn without_a_limit_all_are_kept() {
        let mut budget = RejectBudget::new(None);
        assert!((0..1_000).all(|_| budget.keeps(Instant::now(), None)) && budget.kept.is_empty());
    }
}

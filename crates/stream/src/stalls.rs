//! Notices records that Kafka has and that do not come.
//!
//! librdkafka numbers what it is asked of a partition, and drops what answers an older number. It gives the numbers on
//! two threads, its own and ours: should two of them overtake one another on their way into the partition's queue, all
//! that is fetched passes for old until the next rebalance, without a word. A consumer that was there for hours waits
//! for ever then. Whoever waits for records that are known to be there therefore asks for them again after some time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// For so long nothing may come of a partition that has more: longer than a lost connection takes to be missed.
const STALL: Duration = Duration::from_secs(75);

/// Where partitions have stood, and since when.
#[derive(Debug, Default)]
pub(crate) struct Stalls(BTreeMap<i32, Stand>);

#[derive(Clone, Copy, Debug)]
struct Stand {
    next: i64,
    since: Instant,
    /// The end up to which was asked again: what then does not come is no record, but the end of a transaction.
    asked_for: Option<i64>,
}

impl Stalls {
    /// Partitions of which nothing has come for too long, with the next offset to read; each is told once for an end.
    ///
    /// `standing` are the partitions that are read, with the next offset; `ends` what Kafka has, as far as is known.
    pub(crate) fn due(
        &mut self,
        standing: impl Iterator<Item = (i32, i64)>,
        ends: &BTreeMap<i32, i64>,
        now: Instant,
    ) -> Vec<(i32, i64)> {
        let mut before = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        for (partition, next) in standing {
            let Some(&end) = ends.get(&partition).filter(|end| **end > next) else { continue };
            let known = before.remove(&partition).filter(|stand| stand.next == next);
            let mut stand = known.unwrap_or(Stand { next, since: now, asked_for: None });
            if now.duration_since(stand.since) >= STALL && stand.asked_for != Some(end) {
                (stand.since, stand.asked_for) = (now, Some(end));
                due.push((partition, next));
            }
            self.0.insert(partition, stand);
        }
        due
    }

    /// Nothing was read for a reason of ours: time begins anew.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_come_is_asked_for_once_for_an_end() {
        let (mut stalls, start) = (Stalls::default(), Instant::now());
        let mut due = |next: i64, end: i64, seconds: u64| {
            stalls.due([(3, next)].into_iter(), &BTreeMap::from([(3, end)]), start + Duration::from_secs(seconds))
        };
        assert_eq!(due(10, 10, 0), []);
        assert_eq!(due(10, 12, 80), []);
        assert_eq!(due(11, 12, 150), [], "one has come");
        assert_eq!(due(11, 12, 224), []);
        assert_eq!(due(11, 12, 225), [(3, 11)]);
        assert_eq!(due(11, 12, 900), [], "it was no record");
        assert_eq!(due(11, 14, 905), [(3, 11)], "there are more");
        assert_eq!(due(11, 15, 910), [], "not more often than that");
        assert_eq!(due(15, 15, 915), []);
    }

    #[test]
    fn what_is_not_ours_or_not_known_is_not_asked_for() {
        let (mut stalls, start) = (Stalls::default(), Instant::now());
        let late = start + 2 * STALL;
        assert_eq!(stalls.due([(1, 5)].into_iter(), &BTreeMap::new(), late), []);
        assert_eq!(stalls.due([(1, 5)].into_iter(), &BTreeMap::from([(1, 9), (2, 9)]), start), []);
        assert_eq!(stalls.due(std::iter::empty(), &BTreeMap::from([(1, 9)]), late), []);
        assert_eq!(stalls.due([(1, 5)].into_iter(), &BTreeMap::from([(1, 9)]), late), [], "ours anew, and so the time");
        stalls.clear();
        assert_eq!(stalls.due([(1, 5)].into_iter(), &BTreeMap::from([(1, 9)]), late + 2 * STALL), []);
    }
}

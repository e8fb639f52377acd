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

/// After so long without a record Kafka is asked whether there are more: longer than a lost connection takes to be missed.
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
    /// Partitions of which nothing has come for too long, with the next offset to read; each again after as long.
    ///
    /// `standing` are the partitions that are read, with the next offset.
    pub(crate) fn due(&mut self, standing: impl Iterator<Item = (i32, i64)>, now: Instant) -> Vec<(i32, i64)> {
        let mut before = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        for (partition, next) in standing {
            let known = before.remove(&partition).filter(|stand| stand.next == next);
            let mut stand = known.unwrap_or(Stand { next, since: now, asked_for: None });
            if now.duration_since(stand.since) >= STALL {
                stand.since = now;
                due.push((partition, next));
            }
            self.0.insert(partition, stand);
        }
        due
    }

    /// Whether records of a partition that is due are to be asked for again, now that its end is known: once for an end.
    pub(crate) fn lack(&mut self, partition: i32, end: i64) -> bool {
        let lacks = |stand: &mut Stand| end > stand.next && stand.asked_for.replace(end) != Some(end);
        self.0.get_mut(&partition).is_some_and(lacks)
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
    fn a_partition_is_due_when_nothing_came_of_it() {
        let (mut stalls, start) = (Stalls::default(), Instant::now());
        let mut due =
            |next: i64, seconds: u64| stalls.due([(3, next)].into_iter(), start + Duration::from_secs(seconds)).len();
        assert_eq!([due(10, 0), due(10, 74), due(11, 80), due(11, 154)], [0; 4], "one has come at 80");
        assert_eq!([due(11, 155), due(11, 160), due(11, 230)], [1, 0, 1]);
        assert_eq!(stalls.due(std::iter::empty(), start), []);
        assert_eq!(stalls.due([(3, 11)].into_iter(), start + 9 * STALL), [], "ours anew, and so the time");
        stalls.clear();
        assert_eq!(stalls.due([(3, 11)].into_iter(), start + 12 * STALL), []);
    }

    #[test]
    fn what_does_not_come_is_asked_for_once_for_an_end() {
        let mut stalls = Stalls::default();
        assert!(!stalls.lack(3, 12), "not ours");
        stalls.due([(3, 10)].into_iter(), Instant::now());
        assert_eq!([10, 12, 12, 14, 14].map(|end| stalls.lack(3, end)), [false, true, false, true, false]);
    }
}

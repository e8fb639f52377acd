//! Transactions that stay open in front of records. Pure: the time comes in as a value.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long a transaction may be open before that is told: producers that are well end theirs within seconds.
const OPEN: Duration = Duration::from_secs(30);

/// What is behind an open transaction, by partition: the first offset that cannot be read, and the end.
pub(crate) type Behind = BTreeMap<i32, (i64, i64)>;

/// Since when each partition stands before the same open transaction.
#[derive(Debug, Default)]
pub(crate) struct OpenTransactions(BTreeMap<i32, Open>);

#[derive(Debug)]
struct Open {
    stable: i64,
    since: Instant,
    is_told: bool,
}

impl OpenTransactions {
    /// Takes in what is behind open transactions now, and gives what has been so for long, each once.
    pub(crate) fn look(&mut self, now: Instant, behind: &Behind) -> Behind {
        self.0.retain(|partition, open| behind.get(partition).is_some_and(|(stable, _)| *stable == open.stable));
        let mut told = Behind::new();
        for (partition, (stable, end)) in behind {
            let begin = || Open { stable: *stable, since: now, is_told: false };
            let open = self.0.entry(*partition).or_insert_with(begin);
            if now.duration_since(open.since) >= OPEN && !std::mem::replace(&mut open.is_told, true) {
                told.insert(*partition, (*stable, *end));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_stays_open_is_told_once() {
        let (began, mut open) = (Instant::now(), OpenTransactions::default());
        let behind = |stable, end| Behind::from([(3, (stable, end))]);
        let mut look = |seconds, behind: &Behind| open.look(began + Duration::from_secs(seconds), behind);
        let none = Behind::new();
        assert_eq!(look(0, &behind(5, 9)), none);
        assert_eq!(look(29, &behind(8, 20)), none, "that one has ended, and another is open");
        assert_eq!(look(58, &behind(8, 25)), none);
        assert_eq!(look(59, &behind(8, 30)), behind(8, 30));
        assert_eq!(look(99, &behind(8, 40)), none, "once");
        assert_eq!(look(100, &none), none);
        assert_eq!(look(101, &behind(8, 40)), none, "it was read meanwhile");
        assert_eq!(look(131, &behind(8, 41)), behind(8, 41));
    }
}

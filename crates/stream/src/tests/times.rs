//! Timestamps that are not valid times: they decide nothing between partitions.

use proptest::prelude::*;

use crate::{
    core::{
        batch::Outcome,
        cursor::{Arrived, Cursor, Cursors, Start, Verdict},
        offsets::{LastRecord, PartitionRow, Position},
    },
    tests::memory::{Lying, Memory},
};

/// 2024-05-26 06:40 in milliseconds.
const VALID: i64 = 1_716_705_600_000;

/// What wrong producers write: nothing, a negative number, micro- and nanoseconds, the first time that is not valid.
fn wild() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(-1),
        Just(i64::MIN),
        Just(i64::MAX),
        Just(4_102_444_800_000),
        (VALID * 1_000..VALID * 1_001),
        (VALID * 1_000_000..VALID * 1_000_001),
    ]
}

/// The stored state of a partition that nobody has read.
fn unread(partition: i32) -> PartitionRow {
    PartitionRow { partition, epoch: 1, ..PartitionRow::default() }
}

/// Two partitions that are read, and what is stored of them, which a restart keeps.
struct Read(Cursors, [PartitionRow; 2]);

impl Read {
    fn new() -> Self {
        let mut read = Self(Cursors::default(), [unread(0), unread(1)]);
        read.1.clone().into_iter().for_each(|stored| read.begin(stored));
        read
    }

    fn begin(&mut self, stored: PartitionRow) {
        let start = Start { offset: stored.next_offset.unwrap_or(0), checked: false, stable: 0 };
        self.0.insert(stored.partition, Cursor::new(&stored, start, 1).unwrap());
        let at = usize::try_from(stored.partition).unwrap();
        self.1[at] = stored;
    }

    fn restart(&mut self) {
        for range in self.0.take_ranges() {
            let stored = &mut self.1[usize::try_from(range.partition).unwrap()];
            (stored.next_offset, stored.last) = (Some(range.end), range.last);
            stored.max_timestamp_ms = range.max_timestamp_ms;
        }
        self.1.clone().into_iter().for_each(|stored| self.begin(stored));
    }

    fn accept(&mut self, partition: i32, offset: i64, timestamp_ms: i64) -> Position {
        let cursor = self.0.get_mut(partition).unwrap();
        match cursor.accept(Arrived { offset, timestamp_ms, crc32: 0 }) {
            Verdict::Apply(at) => {
                cursor.count(Outcome::New);
                at
            }
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn one_wild_timestamp_anywhere_and_the_later_valid_record_of_another_partition_still_wins(
        before in prop::collection::vec((0..2_i32, any::<bool>()), 0..20),
        (wild, wild_at, wild_in) in (wild(), any::<prop::sample::Index>(), 0..2_i32),
        picks in prop::collection::vec(any::<bool>(), 1..20),
        restarts in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        // Logs of two partitions: one key, times that grow; the wild one somewhere; last a valid one in the other
        // partition.
        let mut sent: Vec<(i32, i64)> =
            (1..).zip(&before).map(|(n, (partition, _))| (*partition, VALID + n)).collect();
        sent.insert(wild_at.index(sent.len() + 1), (wild_in, wild));
        let latest = VALID + 1_000;
        sent.push((1 - wild_in, latest));
        let mut logs: Vec<Vec<(usize, i64)>> = (0..2)
            .map(|of| sent.iter().enumerate().filter(|(_, (p, _))| *p == of).map(|(n, (_, time))| (n, *time)).rev().collect())
            .collect();
        let (mut read, mut memory) = (Read::new(), Memory::new());
        let (mut offsets, mut picks, mut restarts) = ([0_i64; 2], picks.iter().cycle(), restarts.iter().cycle());
        while logs.iter().any(|log| !log.is_empty()) {
            let from = usize::from(*picks.next().unwrap());
            let from = if logs[from].is_empty() { 1 - from } else { from };
            let (value, time) = logs[from].pop().unwrap();
            let at = read.accept(i32::try_from(from).unwrap(), offsets[from], time);
            offsets[from] += 1;
            memory.take(&Lying { at, group: 1, key: 1, value: i64::try_from(value).unwrap() });
            if *restarts.next().unwrap() {
                read.restart();
            }
        }
        let last = sent.len() - 1;
        prop_assert_eq!(memory.facts(), [("g1".to_owned(), format!("1={last}"))]);
    }

    #[test]
    fn within_a_partition_the_later_record_wins_whatever_its_timestamp(
        times in prop::collection::vec(prop_oneof![wild(), VALID..VALID + 9], 1..20),
        restarts in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let (mut read, mut before) = (Read::new(), None);
        for ((offset, time), restart) in (0..).zip(times).zip(restarts.iter().cycle()) {
            let at = read.accept(0, offset, time);
            prop_assert!(before.is_none_or(|before| before <= at.version));
            before = Some(at.version);
            if *restart {
                read.restart();
            }
        }
    }

    #[test]
    fn a_wild_maximum_that_was_stored_yields_to_the_next_valid_record(wild in wild(), valid_last in any::<bool>()) {
        let last = LastRecord { offset: 7, timestamp_ms: if valid_last { VALID } else { wild }, crc32: 0 };
        let stored = PartitionRow { next_offset: Some(8), last: Some(last), max_timestamp_ms: wild, ..unread(0) };
        let mut read = Read::new();
        read.begin(stored);
        prop_assert_eq!(read.accept(0, 8, -1).version.timestamp_ms(), if valid_last { VALID } else { 0 });
        prop_assert_eq!(read.accept(0, 9, VALID + 1).version.timestamp_ms(), VALID + 1);
        read.restart();
        prop_assert_eq!(read.1[0].max_timestamp_ms, VALID + 1);
    }
}

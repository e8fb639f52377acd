//! How far each owned partition has been read.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    Error,
    core::{
        batch::{Counts, OffsetRange, Outcome},
        interface::Fetch,
        mutation::{self, Mutation},
        numbers::Numbers,
        offsets::{Feed, LastRecord, PartitionRow, Position, Version, known_time, short},
        refresh::PartitionProgress,
    },
};

/// How often a transaction in front of records is checked for its end.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// What is known of a message before its value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// The Kafka offset.
    pub offset: i64,
    /// The Kafka timestamp, milliseconds since 1970 UTC; −1 when it has none.
    pub timestamp_ms: i64,
    /// The CRC-32 of key and value.
    pub crc32: u32,
}

/// What to do with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next record: apply it.
    Apply(Position),
    /// It was read before; there is nothing to do.
    Skip,
    /// It is of an older fetch, or of a partition that was given back: it comes again, or the next owner reads it.
    Stale,
    /// It is not where reading was to begin: fetch from there once more.
    FetchFrom(i64),
    /// It is not the record that was read before.
    OtherRecord(String),
}

/// How far one partition has been read.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    number: u16,
    epoch: i64,
    /// The fetch whose records are taken in; those of an older one are not.
    fetch: u64,
    /// The offset that reading began at.
    begin: i64,
    /// What PostgreSQL holds once all batches sent so far are stored.
    expected: Option<i64>,
    /// The next offset to read; `None` before the first record, where none is stored.
    next: Option<i64>,
    last: Option<LastRecord>,
    max_timestamp_ms: i64,
    /// The record that has to come first, because it was read last.
    check: Option<LastRecord>,
    fetched_again: bool,
    /// The first offset of the open batch.
    start: Option<i64>,
    counts: Counts,
    at_end: bool,
    /// What could be read when fetching began, transactions that were open then excluded: the partition's end comes after it.
    stable: i64,
    stall: Option<Stall>,
    catching_up: bool,
    refreshed: Option<i64>,
}

/// What a partition that was read to its end still lacks of the run: records behind an open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    /// Since when.
    pub since: Instant,
    /// The end that the run is to read to.
    pub end: i64,
    /// When it was last checked.
    checked: Instant,
    /// Whether it was reported.
    is_reported: bool,
}

/// Where reading a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// The offset to begin at.
    pub offset: i64,
    /// Whether the record there was read before and is compared.
    pub checked: bool,
    /// Up to where records can be read, before transactions that are open.
    pub stable: i64,
}

/// Says where reading begins, given the offsets `[start, end)` that Kafka lets us read.
///
/// Begins at the record read last, where Kafka still has it, so that it is compared when it arrives.
///
/// # Errors
/// When what is stored does not fit what Kafka has.
pub(crate) fn start(feed: &Feed, stored: &PartitionRow, (start, end): (i64, i64)) -> Result<Start, Error> {
    let (topic, partition) = (feed.topic.clone(), stored.partition);
    let Some(next) = stored.next_offset else { return Ok(Start { offset: start, checked: false, stable: end }) };
    if let (Some(ours), Some(theirs)) = (stored.cluster_id.as_deref(), feed.cluster_id.as_deref())
        && ours != theirs
    {
        let why = format!("they belong to the Kafka cluster {ours}, and this is {theirs}");
        return Err(Error::TopicChanged { topic, partition, why });
    }
    if next > end {
        let why = format!("the next offset to read is {next}, and the topic ends at {end}");
        return Err(Error::TopicChanged { topic, partition, why });
    }
    if next < start {
        return Err(Error::RetentionGap { topic, partition, needed: next, start });
    }
    match stored.last {
        Some(last) if last.offset >= start && last.offset < end => {
            Ok(Start { offset: last.offset, checked: true, stable: end })
        }
        _ => Ok(Start { offset: next, checked: false, stable: end }),
    }
}

/// The greatest time read so far. The time of the record read last replaces a stored one that is not valid.
fn greatest_time(stored: &PartitionRow) -> i64 {
    let last = stored.last.map_or(0, |last| known_time(last.timestamp_ms));
    known_time(stored.max_timestamp_ms).max(last)
}

impl Cursor {
    /// A partition just claimed, about to be read from `start` by the fetch of that number.
    ///
    /// # Errors
    /// When the partition's number is beyond what is supported.
    pub(crate) fn new(stored: &PartitionRow, start: Start, fetch: u64) -> Result<Self, Error> {
        Ok(Self {
            number: short(stored.partition)?,
            epoch: stored.epoch,
            fetch,
            begin: start.offset,
            expected: stored.next_offset,
            next: stored.next_offset,
            last: stored.last,
            max_timestamp_ms: greatest_time(stored),
            check: stored.last.filter(|_| start.checked),
            fetched_again: false,
            start: None,
            counts: Counts::default(),
            at_end: false,
            stable: start.stable,
            stall: None,
            catching_up: stored.catching_up,
            refreshed: stored.refreshed_through,
        })
    }

    /// Whether what came belongs to the fetch that is under way.
    pub(crate) fn is_of(&self, fetch: u64) -> bool {
        self.fetch == fetch
    }

    /// The offset that is stored once all batches sent so far are; the first one where none is.
    pub(crate) fn committed(&self) -> i64 {
        self.expected.unwrap_or(self.begin)
    }

    /// Has the partition fetched again; returns the offset to fetch from.
    pub(crate) fn fetch_again(&mut self, fetch: u64) -> i64 {
        self.fetch = fetch;
        match self.check {
            Some(last) => last.offset,
            None => self.next.unwrap_or(self.begin),
        }
    }

    /// Classifies a message by its offset, and notes it as read when it is to be applied.
    pub(crate) fn accept(&mut self, arrived: Arrived) -> Verdict {
        if self.check.is_some()
            && let Some(verdict) = self.compare(arrived)
        {
            return verdict;
        }
        if self.next.is_some_and(|next| arrived.offset < next) {
            return Verdict::Skip;
        }
        self.at_end = false;
        self.stall = None;
        self.start.get_or_insert(self.next.unwrap_or(self.begin));
        self.next = Some(arrived.offset + 1);
        self.last =
            Some(LastRecord { offset: arrived.offset, timestamp_ms: arrived.timestamp_ms, crc32: arrived.crc32 });
        self.max_timestamp_ms = self.max_timestamp_ms.max(known_time(arrived.timestamp_ms));
        Verdict::Apply(Position { version: Version::new(self.max_timestamp_ms, self.number), offset: arrived.offset })
    }

    /// Compares the first message with the record read last.
    fn compare(&mut self, arrived: Arrived) -> Option<Verdict> {
        let check = self.check?;
        if arrived.offset < check.offset {
            return Some(Verdict::Skip);
        }
        if arrived.offset > check.offset && !self.fetched_again {
            // Compaction may have taken the record, or the position was not the one that we requested.
            self.fetched_again = true;
            return Some(Verdict::FetchFrom(check.offset));
        }
        self.check = None;
        if arrived.offset > check.offset {
            return None;
        }
        if (arrived.timestamp_ms, arrived.crc32) == (check.timestamp_ms, check.crc32) {
            return Some(Verdict::Skip);
        }
        Some(Verdict::OtherRecord(format!("the record at offset {} is not the one that was read there", check.offset)))
    }

    /// Counts what became of the record that was last to be applied.
    pub(crate) fn count(&mut self, outcome: Outcome) {
        self.counts.add(outcome);
    }

    /// Notes that all records before `to` have been read; those that never came are control records, or were compacted away.
    pub(crate) fn pass(&mut self, to: i64) {
        self.at_end = true;
        // Reading may have begun beyond, where Kafka had removed what was before.
        let to = if mutation::is(Mutation::EndBelowBegin) { to } else { to.max(self.begin) };
        if self.next.unwrap_or(0) < to {
            self.start.get_or_insert(self.next.unwrap_or(self.begin));
            self.next = Some(to);
        }
    }

    /// Notes that all has been read that can be. Where that is not all up to `end`, to which a run is to go, the rest is behind
    /// a transaction that is open, or was when fetching began.
    pub(crate) fn reach_end(&mut self, end: i64, now: Instant) {
        self.pass(end.min(self.stable));
        let begin = || Stall { since: now, end, checked: now, is_reported: false };
        self.stall = (self.next.unwrap_or(0) < end).then(|| self.stall.unwrap_or_else(begin));
    }

    /// Notes what can be read by now. Returns whether the stall is over: then the partition is to be fetched once more,
    /// since records may have come between its end and this response.
    pub(crate) fn learn(&mut self, stable: i64) -> bool {
        let is_over = self.stall.is_none_or(|stall| stable >= stall.end);
        // Else an end that was reached before, and is reported later, would be taken for one after those records.
        if is_over {
            self.stable = stable;
        }
        is_over
    }

    /// Whether its stall was not reported yet; it counts as reported then.
    pub(crate) fn report_stall(&mut self) -> bool {
        self.stall.as_mut().is_some_and(|stall| !std::mem::replace(&mut stall.is_reported, true))
    }

    /// What it waits for while an open transaction blocks it.
    pub(crate) fn stall(&self) -> Option<Stall> {
        self.stall
    }

    /// Takes what the open batch covers of this partition; afterwards the next batch begins.
    fn take_range(&mut self, partition: i32) -> Option<OffsetRange> {
        let start = self.start.take()?;
        let end = self.next?;
        let expected = self.expected.replace(end);
        let (epoch, last, max_timestamp_ms) = (self.epoch, self.last, self.max_timestamp_ms);
        let counts = std::mem::take(&mut self.counts);
        Some(OffsetRange { partition, epoch, expected, start, end, last, max_timestamp_ms, counts })
    }
}

/// All partitions we own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursors {
    owned: BTreeMap<i32, Cursor>,
}

impl Cursors {
    /// Takes a partition in.
    pub(crate) fn insert(&mut self, partition: i32, cursor: Cursor) {
        self.owned.insert(partition, cursor);
    }

    /// One of them.
    pub(crate) fn get_mut(&mut self, partition: i32) -> Option<&mut Cursor> {
        self.owned.get_mut(&partition)
    }

    /// Takes in further partitions.
    pub(crate) fn absorb(&mut self, mut others: Self) {
        self.owned.append(&mut others.owned);
    }

    /// Whether it is one of them.
    pub(crate) fn holds(&self, partition: i32) -> bool {
        self.owned.contains_key(&partition)
    }

    /// Has all of them fetched again, from where they are.
    pub(crate) fn fetch_again(&mut self, numbers: &mut Numbers) -> Vec<Fetch> {
        let fetch = |(partition, cursor): (&i32, &mut Cursor)| {
            let number = numbers.draw();
            Fetch { partition: *partition, offset: cursor.fetch_again(number), number }
        };
        self.owned.iter_mut().map(fetch).collect()
    }

    /// The claim under which each is owned.
    pub(crate) fn claims(&self) -> Vec<(i32, i64)> {
        self.owned.iter().map(|(partition, cursor)| (*partition, cursor.epoch)).collect()
    }

    /// The first of which anything was ever read.
    pub(crate) fn first_read(&self) -> Option<i32> {
        self.owned.iter().find_map(|(partition, cursor)| cursor.next.map(|_| *partition))
    }

    /// Takes what the open batch covers.
    pub(crate) fn take_ranges(&mut self) -> Vec<OffsetRange> {
        self.owned.iter_mut().filter_map(|(partition, cursor)| cursor.take_range(*partition)).collect()
    }

    /// Whether the open batch covers anything.
    pub(crate) fn has_range(&self) -> bool {
        self.owned.values().any(|cursor| cursor.start.is_some())
    }

    /// Whether every one of them was read to its end, and nothing has come since.
    pub(crate) fn at_end(&self) -> bool {
        self.owned.values().all(|cursor| cursor.at_end)
    }

    /// Whether every one of them has been read to the end it had at start, and the record read last was compared, or is gone.
    pub(crate) fn reached(&self, ends: &BTreeMap<i32, i64>) -> bool {
        let reached = |(partition, cursor): (&i32, &Cursor)| match ends.get(partition) {
            Some(end) => (cursor.at_end || cursor.check.is_none()) && cursor.next.unwrap_or(0) >= *end,
            None => cursor.at_end,
        };
        self.owned.iter().all(reached)
    }

    /// One that has been stalled for so long that it is to be checked; it counts as checked then.
    pub(crate) fn stall(&mut self, now: Instant) -> Option<i32> {
        let due = |stall: &Stall| now.duration_since(stall.checked) >= RETRY_INTERVAL;
        self.owned.iter_mut().find_map(|(partition, cursor)| {
            let stall = cursor.stall.as_mut().filter(|stall| due(stall))?;
            stall.checked = now;
            Some(*partition)
        })
    }

    /// Whether the stall of one of them was reported.
    pub(crate) fn is_stall_reported(&self, partition: i32) -> bool {
        self.owned.get(&partition).and_then(|cursor| cursor.stall).is_some_and(|stall| stall.is_reported)
    }

    /// When one that is stalled is to be checked next.
    pub(crate) fn stalled_until(&self) -> Option<Instant> {
        self.owned.values().filter_map(|cursor| Some(cursor.stall?.checked + RETRY_INTERVAL)).min()
    }

    /// Whether the topic of any of them was recreated and is not yet read to its end.
    pub(crate) fn catching_up(&self) -> bool {
        self.owned.values().any(|cursor| cursor.catching_up && !cursor.at_end)
    }

    /// Whether any of them was read beyond what the state tables hold.
    pub(crate) fn unrefreshed(&self) -> bool {
        self.owned.values().any(|cursor| cursor.refreshed != cursor.next)
    }

    /// How far each goes, for a refresh; what was read must have been sent.
    pub(crate) fn refreshed_to(&self) -> Vec<PartitionProgress> {
        let to = |(partition, cursor): (&i32, &Cursor)| PartitionProgress {
            partition: *partition,
            epoch: cursor.epoch,
            next_offset: cursor.expected,
            refreshed: cursor.refreshed,
            catching_up: cursor.catching_up && !cursor.at_end,
        };
        self.owned.iter().map(to).collect()
    }

    /// Notes that a refresh is stored, of partitions that are still owned under the claim that it was made under.
    pub(crate) fn refreshed(&mut self, to: &[PartitionProgress]) {
        for to in to {
            if let Some(cursor) = self.owned.get_mut(&to.partition).filter(|cursor| cursor.epoch == to.epoch) {
                cursor.refreshed = to.next_offset;
                cursor.catching_up &= to.catching_up;
            }
        }
    }
}

#[cfg(test)]
mod tests;

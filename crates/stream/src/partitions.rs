//! How far each owned partition has been read. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    Error,
    batch::{Counts, Outcome, Span},
    offsets::{Feed, LastRecord, Stamp, Stored, known_time, short},
    publication::Through,
    state::Position,
};

/// How often it is asked whether a transaction in front of records is over.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// What is known of a message before its value is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The Kafka offset.
    pub offset: i64,
    /// The Kafka timestamp, milliseconds since 1970 UTC; −1 when it has none.
    pub timestamp_ms: i64,
    /// The CRC-32 of key and value.
    pub crc32: u32,
}

/// What to do with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next record.
    Fold(Position),
    /// It was read before; there is nothing to do.
    Skip,
    /// It is not where reading was to begin: seek there once more.
    Seek(i64),
    /// It is not the record that was read before.
    Changed(String),
}

/// A partition we own.
#[derive(Clone, Debug)]
pub struct Progress {
    number: u16,
    epoch: i64,
    /// The offset that reading began at.
    begin: i64,
    /// What Postgres holds once all batches sent so far are stored.
    held: Option<i64>,
    /// The next offset to read; `None` before the first record, where none is stored.
    next: Option<i64>,
    last: Option<LastRecord>,
    max_timestamp_ms: i64,
    /// The record that has to come first, because it was read last.
    check: Option<LastRecord>,
    sought_again: bool,
    /// The first offset of the batch in hand.
    from: Option<i64>,
    counts: Counts,
    at_end: bool,
    /// What could be read when fetching began, transactions that were open then excluded: the partition's end comes after it.
    stable: i64,
    held_up: Option<HeldUp>,
    catching_up: bool,
    published: Option<i64>,
}

/// What a partition that was read to its end still lacks of the run: records behind an open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldUp {
    /// Since when.
    pub since: Instant,
    /// The end that the run is to read to.
    pub end: i64,
    /// When it was last asked for.
    asked: Instant,
    /// Whether it was asked for before.
    pub is_known: bool,
}

/// Where reading a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
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
pub fn start(feed: &Feed, stored: &Stored, (start, end): (i64, i64), cluster_id: Option<&str>) -> Result<Start, Error> {
    let (topic, partition) = (feed.topic.clone(), stored.partition);
    let Some(next) = stored.next_offset else { return Ok(Start { offset: start, checked: false, stable: end }) };
    if let (Some(ours), Some(theirs)) = (stored.cluster_id.as_deref(), cluster_id)
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

/// The greatest time read so far. A stored one that is no time gives way to that of the record read last.
fn greatest_time(stored: &Stored) -> i64 {
    let last = stored.last.map_or(0, |last| known_time(last.timestamp_ms));
    known_time(stored.max_timestamp_ms).max(last)
}

impl Progress {
    /// A partition just claimed, about to be read from `start`.
    ///
    /// # Errors
    /// When the partition's number is beyond what is supported.
    pub fn new(stored: &Stored, start: Start) -> Result<Self, Error> {
        Ok(Self {
            number: short(stored.partition)?,
            epoch: stored.epoch,
            begin: start.offset,
            held: stored.next_offset,
            next: stored.next_offset,
            last: stored.last,
            max_timestamp_ms: greatest_time(stored),
            check: stored.last.filter(|_| start.checked),
            sought_again: false,
            from: None,
            counts: Counts::default(),
            at_end: false,
            stable: start.stable,
            held_up: None,
            catching_up: stored.catching_up,
            published: stored.published_through,
        })
    }

    /// The offset to fetch from, had nothing been fetched yet.
    pub fn position(&self) -> i64 {
        match self.check {
            Some(last) => last.offset,
            None => self.next.unwrap_or(self.begin),
        }
    }

    /// Judges a message by its offset, and notes it as read when it is to be folded.
    pub fn arrive(&mut self, arrived: Arrived) -> Verdict {
        if self.check.is_some()
            && let Some(verdict) = self.compare(arrived)
        {
            return verdict;
        }
        if self.next.is_some_and(|next| arrived.offset < next) {
            return Verdict::Skip;
        }
        self.at_end = false;
        self.held_up = None;
        self.from.get_or_insert(self.next.unwrap_or(self.begin));
        self.next = Some(arrived.offset + 1);
        self.last =
            Some(LastRecord { offset: arrived.offset, timestamp_ms: arrived.timestamp_ms, crc32: arrived.crc32 });
        self.max_timestamp_ms = self.max_timestamp_ms.max(known_time(arrived.timestamp_ms));
        Verdict::Fold(Position { stamp: Stamp::new(self.max_timestamp_ms, self.number), offset: arrived.offset })
    }

    /// Compares the first message with the record read last.
    fn compare(&mut self, arrived: Arrived) -> Option<Verdict> {
        let check = self.check?;
        if arrived.offset < check.offset {
            return Some(Verdict::Skip);
        }
        if arrived.offset > check.offset && !self.sought_again {
            // Compaction may have taken the record, or the position was not where we asked for it.
            self.sought_again = true;
            return Some(Verdict::Seek(check.offset));
        }
        self.check = None;
        if arrived.offset > check.offset {
            return None;
        }
        if (arrived.timestamp_ms, arrived.crc32) == (check.timestamp_ms, check.crc32) {
            return Some(Verdict::Skip);
        }
        Some(Verdict::Changed(format!("the record at offset {} is not the one that was read there", check.offset)))
    }

    /// Counts what became of the record that was last to be folded.
    pub fn count(&mut self, outcome: Outcome) {
        self.counts.add(outcome);
    }

    /// Notes that all records before `to` have been read; those that never came are control records, or were compacted away.
    pub fn pass(&mut self, to: i64) {
        self.at_end = true;
        if self.next.unwrap_or(0) < to {
            self.from.get_or_insert(self.next.unwrap_or(self.begin));
            self.next = Some(to);
        }
    }

    /// Notes that all has been read that can be. Where that is not all up to `end`, to which a run is to go, the rest is behind
    /// a transaction that is open, or was when fetching began.
    pub fn reach_end(&mut self, end: i64, now: Instant) {
        self.pass(end.min(self.stable));
        let begin = || HeldUp { since: now, end, asked: now, is_known: false };
        self.held_up = (self.next.unwrap_or(0) < end).then(|| self.held_up.unwrap_or_else(begin));
    }

    /// Notes what can be read by now. Whether that is all that the partition was held up for: then it is to be fetched once
    /// more, since records may have come between its end and this answer.
    pub fn learn(&mut self, stable: i64) -> bool {
        self.stable = stable;
        self.held_up.is_none_or(|held_up| stable >= held_up.end)
    }

    /// Takes what the batch in hand covers of this partition; afterwards the next batch begins.
    fn seal(&mut self, partition: i32) -> Option<Span> {
        let from = self.from.take()?;
        let to = self.next?;
        let held = self.held.replace(to);
        let (epoch, last, max_timestamp_ms) = (self.epoch, self.last, self.max_timestamp_ms);
        let counts = std::mem::take(&mut self.counts);
        Some(Span { partition, epoch, held, from, to, last, max_timestamp_ms, counts })
    }
}

/// All partitions we own.
#[derive(Clone, Debug, Default)]
pub struct Partitions {
    owned: BTreeMap<i32, Progress>,
}

impl Partitions {
    /// Takes a partition in.
    pub fn insert(&mut self, partition: i32, progress: Progress) {
        self.owned.insert(partition, progress);
    }

    /// Lets a partition go.
    pub fn remove(&mut self, partition: i32) {
        self.owned.remove(&partition);
    }

    /// Lets all go.
    pub fn clear(&mut self) {
        self.owned.clear();
    }

    /// One of them.
    pub fn get_mut(&mut self, partition: i32) -> Option<&mut Progress> {
        self.owned.get_mut(&partition)
    }

    /// The claim one of them is held under; 0, which none has, when it is not ours.
    pub fn epoch(&self, partition: i32) -> i64 {
        self.owned.get(&partition).map_or(0, |progress| progress.epoch)
    }

    /// Their numbers, in order.
    pub fn numbers(&self) -> Vec<i32> {
        self.owned.keys().copied().collect()
    }

    /// The first of which anything was ever read.
    pub fn first_read(&self) -> Option<i32> {
        self.owned.iter().find_map(|(partition, progress)| progress.next.map(|_| *partition))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.owned.is_empty()
    }

    /// Takes what the batch in hand covers.
    pub fn seal(&mut self) -> Vec<Span> {
        self.owned.iter_mut().filter_map(|(partition, progress)| progress.seal(*partition)).collect()
    }

    /// Whether every one of them was read to its end, and nothing has come since.
    pub fn at_end(&self) -> bool {
        self.owned.values().all(|progress| progress.at_end)
    }

    /// Whether every one of them has been read to the end it had at start, and the record read last was compared, or is gone.
    pub fn reached(&self, ends: &BTreeMap<i32, i64>) -> bool {
        let reached = |(partition, progress): (&i32, &Progress)| match ends.get(partition) {
            Some(end) => (progress.at_end || progress.check.is_none()) && progress.next.unwrap_or(0) >= *end,
            None => progress.at_end,
        };
        self.owned.iter().all(reached)
    }

    /// One that has been held up for so long that it is to be asked for; it counts as asked then.
    pub fn held_up(&mut self, now: Instant) -> Option<(i32, HeldUp)> {
        let due = |held_up: &HeldUp| now.duration_since(held_up.asked) >= ASK_AGAIN;
        self.owned.iter_mut().find_map(|(partition, progress)| {
            let held_up = progress.held_up.as_mut().filter(|held_up| due(held_up))?;
            let found = *held_up;
            (held_up.asked, held_up.is_known) = (now, true);
            Some((*partition, found))
        })
    }

    /// Whether any of them was made again and is not yet read to its end.
    pub fn catching_up(&self) -> bool {
        self.owned.values().any(|progress| progress.catching_up && !progress.at_end)
    }

    /// Whether any of them stands elsewhere than it was published.
    pub fn unpublished(&self) -> bool {
        self.owned.values().any(|progress| progress.published != progress.next)
    }

    /// How far each goes, for a publication; all that was read must have been sealed.
    pub fn through(&self) -> Vec<Through> {
        let through = |(partition, progress): (&i32, &Progress)| Through {
            partition: *partition,
            epoch: progress.epoch,
            next_offset: progress.held,
        };
        self.owned.iter().map(through).collect()
    }

    /// Notes that a publication is there.
    pub fn published(&mut self, through: &[Through]) {
        for through in through {
            if let Some(progress) = self.owned.get_mut(&through.partition) {
                progress.published = through.next_offset;
                progress.catching_up = false;
            }
        }
    }
}

#[cfg(test)]
mod tests;

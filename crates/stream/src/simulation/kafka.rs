//! Kafka, as a member of a consumer group sees it: a log a partition, a cooperative group, and fetches that may deliver
//! something late.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    time::Instant,
};

use crate::core::{Fetch, Message, kafka::given_back};

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) value: String,
}

impl Record {
    pub(crate) fn message(&self, partition: i32) -> Message<'_> {
        let value = Some(self.value.as_bytes());
        Message { partition, offset: self.offset, timestamp_ms: self.timestamp_ms, key: Some(b"key"), value }
    }
}

/// A partition's log. Offsets without a record are those of control records, or of what was compacted away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) records: Vec<Record>,
    /// The first offset that Kafka still has.
    pub(crate) first: i64,
    pub(crate) end: i64,
    /// Offsets that were removed before they were read: nobody need have read them.
    pub(crate) lost: Vec<Range<i64>>,
}

impl Log {
    pub(crate) fn append(&mut self, timestamp_ms: i64, value: String) {
        self.records.push(Record { offset: self.end, timestamp_ms, value });
        self.end += 1;
    }

    /// Removes what is before `first`, of which what is before `stored` was read.
    pub(crate) fn remove(&mut self, first: i64, stored: i64) {
        if first > self.first {
            self.first = first;
            self.lost.push(stored..first);
        }
    }

    /// What was read counts as not read; records that no longer exist need not be read.
    pub(crate) fn read_again(&mut self) {
        self.lost.push(0..self.first);
    }

    /// Whether a record need not have been read.
    pub(crate) fn is_lost(&self, offset: i64) -> bool {
        self.lost.iter().any(|lost| lost.contains(&offset))
    }

    fn next(&self, position: i64) -> Option<&Record> {
        self.records.iter().find(|record| record.offset >= position)
    }
}

/// What the group requests of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Assign(Vec<i32>),
    Revoke(Vec<i32>),
    /// As a revocation, of what others have been given already.
    Lost(Vec<i32>),
}

/// What a fetch delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    Record(u64, i32, Record),
    End(u64, i32),
    OutOfRange,
}

#[derive(Clone, Debug)]
struct Fetched {
    number: u64,
    position: i64,
    end_delivered: bool,
}

/// A member's client.
#[derive(Debug, Default)]
pub(crate) struct Client {
    fetched: BTreeMap<i32, Fetched>,
    /// What the group requests next.
    pub(crate) requests: VecDeque<Request>,
    /// The request that was handed over and has no response yet.
    pending: Option<Request>,
    /// What older fetches had delivered before they were dropped.
    late: VecDeque<Arrived>,
    paused: BTreeSet<i32>,
    /// The partitions that the group has given, as far as this member knows.
    given: BTreeSet<i32>,
    /// When a heartbeat reports what has happened.
    notified_at: Option<Instant>,
}

impl Client {
    /// The group's next request, where no other request waits for a response.
    pub(crate) fn take_request(&mut self, now: Instant) -> Option<Request> {
        if self.pending.is_some() || self.notified_at.is_some_and(|at| now < at) {
            return None;
        }
        self.notified_at = None;
        self.pending = self.requests.pop_front();
        if let Some(Request::Assign(partitions)) = &self.pending {
            self.given.extend(partitions);
        }
        self.pending.clone()
    }

    /// The group requests something; each request gets its response before the next one is received.
    pub(crate) fn request(&mut self, request: Request) {
        if self.requests.back() != Some(&request) {
            self.requests.push_back(request);
        }
    }

    /// Its partitions were given to others while it did not run: all that it has is revoked, once it is notified.
    pub(crate) fn lose_all(&mut self, at: Instant) {
        self.requests.clear();
        let mut lost = self.given.clone();
        if let Some(Request::Revoke(partitions) | Request::Lost(partitions)) = &self.pending {
            lost.retain(|partition| !partitions.contains(partition));
        }
        if !lost.is_empty() {
            self.requests.push_back(Request::Lost(lost.into_iter().collect()));
            self.notified_at = Some(at);
        }
    }

    /// Whether partitions that were given wait to be fetched.
    pub(crate) fn waits(&self) -> bool {
        self.given.iter().any(|partition| !self.fetched.contains_key(partition))
    }

    /// Responds to an assignment; returns which rule of the client library that breaks.
    pub(crate) fn accept(&mut self) -> Result<(), String> {
        match self.pending.take() {
            Some(Request::Assign(_)) => Ok(()),
            other => Err(format!("an assignment gets a response, and the group had requested {other:?}")),
        }
    }

    /// Gives all back at its end.
    pub(crate) fn close(&mut self) -> Result<(), String> {
        let given: Vec<i32> = self.given.iter().copied().collect();
        let back = given_back(&given, &self.fetched());
        match back.iter().find(|partition| !self.fetched.contains_key(partition)) {
            Some(partition) => Err(format!("partition {partition} is given back at the end and was never added")),
            None => Ok(()),
        }
    }

    /// Whether the group waits for a response, or is about to send a request.
    pub(crate) fn has_request(&self) -> bool {
        self.pending.is_some() || !self.requests.is_empty()
    }

    /// Fetches nothing more for now, of all that is fetched.
    pub(crate) fn pause(&mut self) {
        self.paused = self.fetched();
    }

    pub(crate) fn pause_one(&mut self, partition: i32) {
        self.paused.insert(partition);
    }

    pub(crate) fn resume(&mut self) {
        self.paused.clear();
    }

    /// The number of the fetch of a partition.
    pub(crate) fn fetch_of(&self, partition: i32) -> Option<u64> {
        self.fetched.get(&partition).map(|fetched| fetched.number)
    }

    pub(crate) fn fetched(&self) -> BTreeSet<i32> {
        self.fetched.keys().copied().collect()
    }

    /// Adds partitions, or takes them out and adds them again; returns which rule of the client library that breaks.
    pub(crate) fn fetch(&mut self, fetches: &[Fetch], logs: &[Log], keeps: impl Fn() -> bool) -> Result<(), String> {
        self.has_no_request_pending()?;
        if let Some(fetch) = fetches.iter().find(|fetch| !self.given.contains(&fetch.partition)) {
            return Err(format!("partition {} is fetched and was not given", fetch.partition));
        }
        for fetch in fetches {
            self.paused.remove(&fetch.partition);
            if self.fetched.contains_key(&fetch.partition) {
                while let Some(arrived) = keeps().then(|| self.fetched_next(fetch.partition, logs)).flatten() {
                    self.late.push_back(arrived);
                }
            }
            let fetched = Fetched { number: fetch.number, position: fetch.offset, end_delivered: false };
            self.fetched.insert(fetch.partition, fetched);
        }
        Ok(())
    }

    /// Partitions are taken out and added only while no request waits for a response: the call would be taken for it.
    fn has_no_request_pending(&self) -> Result<(), String> {
        let waits =
            |request| Err(format!("partitions are taken out or added while {request:?} waits for its response"));
        self.pending.as_ref().map_or(Ok(()), waits)
    }

    /// Takes partitions out that stay ours; returns which rule of the client library that breaks.
    pub(crate) fn stop_fetching(
        &mut self,
        partitions: &BTreeSet<i32>,
        logs: &[Log],
        keeps: impl Fn() -> bool,
    ) -> Result<(), String> {
        self.has_no_request_pending()?;
        self.take_out(partitions, logs, keeps);
        Ok(())
    }

    fn take_out(&mut self, partitions: &BTreeSet<i32>, logs: &[Log], keeps: impl Fn() -> bool) {
        for partition in partitions {
            while let Some(arrived) = keeps().then(|| self.fetched_next(*partition, logs)).flatten() {
                self.late.push_back(arrived);
            }
            self.fetched.remove(partition);
            self.paused.remove(partition);
        }
    }

    /// Gives partitions back in response to the revocation; returns whether the group waits for that.
    pub(crate) fn release(
        &mut self,
        partitions: &BTreeSet<i32>,
        logs: &[Log],
        keeps: impl Fn() -> bool,
    ) -> Result<bool, String> {
        self.take_out(partitions, logs, keeps);
        self.given.retain(|partition| !partitions.contains(partition));
        match self.pending.take() {
            Some(Request::Revoke(_)) => Ok(true),
            Some(Request::Lost(_)) => Ok(false),
            other => Err(format!("partitions are given back, and the group had requested {other:?}")),
        }
    }

    fn fetched_next(&mut self, partition: i32, logs: &[Log]) -> Option<Arrived> {
        let fetched = self.fetched.get_mut(&partition)?;
        let log = &logs[usize::try_from(partition).expect("partitions are small")];
        if fetched.position < log.first {
            return Some(Arrived::OutOfRange);
        }
        if let Some(record) = log.next(fetched.position) {
            (fetched.position, fetched.end_delivered) = (record.offset + 1, false);
            return Some(Arrived::Record(fetched.number, partition, record.clone()));
        }
        fetched.position = fetched.position.max(log.end);
        (!std::mem::replace(&mut fetched.end_delivered, true)).then_some(Arrived::End(fetched.number, partition))
    }

    /// What a poll brings of one of its partitions; nothing of those that are paused, but for what is late.
    pub(crate) fn poll(&mut self, partition: i32, logs: &[Log], late: bool) -> Option<Arrived> {
        if late && let Some(arrived) = self.late.pop_front() {
            return Some(arrived);
        }
        // The library pauses everything while a rebalance waits for its response.
        if self.paused.contains(&partition) || self.pending.is_some() {
            return None;
        }
        self.fetched_next(partition, logs)
    }
}

/// The group's coordinator: sticky, cooperative.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    members: BTreeSet<usize>,
    /// The member that holds each partition; none while it moves from one to another.
    pub(crate) holders: BTreeMap<i32, usize>,
    /// Those that were revoked and not given back yet.
    revoking: BTreeSet<i32>,
}

impl Coordinator {
    pub(crate) fn join(&mut self, member: usize) {
        self.members.insert(member);
    }

    /// A member leaves, or sends no heartbeat for too long.
    pub(crate) fn leave(&mut self, member: usize) {
        self.members.remove(&member);
        self.released(member, &self.of(member));
    }

    pub(crate) fn has(&self, member: usize) -> bool {
        self.members.contains(&member)
    }

    fn of(&self, member: usize) -> BTreeSet<i32> {
        self.holders.iter().filter(|(_, holder)| **holder == member).map(|(partition, _)| *partition).collect()
    }

    /// A member has given partitions back.
    pub(crate) fn released(&mut self, member: usize, partitions: &BTreeSet<i32>) {
        let theirs: BTreeSet<i32> = self.of(member).intersection(partitions).copied().collect();
        self.holders.retain(|partition, _| !theirs.contains(partition));
        self.revoking.retain(|partition| !theirs.contains(partition));
    }

    /// What is to be requested of members so that each has its share.
    pub(crate) fn rebalance(&mut self, partitions: i32) -> Vec<(usize, Request)> {
        let members: Vec<usize> = self.members.iter().copied().collect();
        if members.is_empty() {
            return Vec::new();
        }
        let total = usize::try_from(partitions).expect("partitions are small");
        let most = total.div_ceil(members.len());
        let mut counts: BTreeMap<usize, usize> = members.iter().map(|member| (*member, 0)).collect();
        let mut requests = Vec::new();
        // Each keeps what it has, up to its share.
        let mut surplus: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
        for (partition, holder) in &self.holders {
            let count = counts.entry(*holder).or_default();
            if self.revoking.contains(partition) {
                continue;
            }
            if *count < most {
                *count += 1;
            } else {
                self.revoking.insert(*partition);
                surplus.entry(*holder).or_default().push(*partition);
            }
        }
        let mut given: BTreeMap<usize, Vec<i32>> = members.iter().map(|member| (*member, Vec::new())).collect();
        for partition in 0..partitions {
            if self.holders.contains_key(&partition) {
                continue;
            }
            let (least, count) = counts.iter_mut().min_by_key(|(_, count)| **count).expect("there are members");
            *count += 1;
            given.entry(*least).or_default().push(partition);
            self.holders.insert(partition, *least);
        }
        requests.extend(surplus.into_iter().map(|(member, partitions)| (member, Request::Revoke(partitions))));
        requests.extend(given.into_iter().map(|(member, partitions)| (member, Request::Assign(partitions))));
        requests
    }
}

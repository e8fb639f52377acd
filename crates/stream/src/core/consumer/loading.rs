//! Shards are claimed, loaded and compared with Kafka, and begin to be read.

use std::{collections::BTreeMap, time::Instant};

use service::telemetry::millis;

use crate::{
    Error, Pipeline,
    core::{
        interface::{Command, Fetch},
        jobs::{Claim, Load, Loaded, LoadedShard},
        kafka::{Failure, Right, TopicQuery, TopicState},
        mutation::{self, Mutation},
        shard::{Begun, Known, Shard},
    },
    kafka_errors::{Decision, Resource},
};

use super::{Consumer, MOST_LOADS, PRESENCE_TIMEOUT, Purpose, REQUEST_TIMEOUT, RETRY_DELAY, assignment::free_groups};

impl<P: Pipeline> Consumer<P> {
    /// When a shard is to be claimed and loaded; not while another load may still claim what is missing in it.
    pub(super) fn load_at(&self, shard: &Shard<P>) -> Option<Instant> {
        let may_load = !self.joins && self.loads.len() < MOST_LOADS;
        let is_claimed = |partition: &i32| self.loads.values().any(|claimed| claimed.contains(partition));
        shard.load_at().filter(|_| may_load && !shard.missing().iter().any(is_claimed))
    }

    /// Begins to claim and load all that wait for it, together.
    pub(super) fn load_if_due(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        let is_due = |shard: &&Shard<P>| self.load_at(shard).is_some_and(|until| until <= now);
        let due: Vec<u64> = self.shards.iter().filter(is_due).map(|shard| shard.number).collect();
        if due.is_empty() {
            return;
        }
        let number = self.numbers.draw();
        let mut claim = Claim { as_one: self.spread, spread: self.notes_spread, ..Claim::default() };
        let mut shards = Vec::new();
        for shard in self.shards.iter_mut().filter(|shard| due.contains(&shard.number)) {
            claim.forget.extend(shard.begin_load(now, number));
            let missing = shard.missing();
            claim.partitions.extend(&missing);
            shards.push(missing);
        }
        claim.partitions.sort_unstable();
        self.loads.insert(number, claim.partitions.clone());
        out.push(Command::Load(Load { number, claim, shards }));
    }

    /// Takes what a load brings, as far as it is still waited for.
    pub(super) fn loaded(
        &mut self,
        load: u64,
        loaded: Result<Box<Loaded<P>>, Error>,
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        if self.loads.remove(&load).is_none() && !mutation::is(Mutation::OldLoadBelieved) {
            if let Ok(Loaded::Shards(loaded)) = loaded.map(|loaded| *loaded) {
                free_groups(loaded.into_iter().map(|loaded| loaded.groups).collect(), out);
            }
            return Ok(());
        }
        let loaded = match *loaded? {
            Loaded::Spread if self.spread => return Ok(()),
            Loaded::Spread => {
                self.unite(out);
                return Ok(());
            }
            Loaded::Shards(loaded) => loaded,
        };
        self.notes_spread = false;
        for loaded in loaded {
            let is_of = |shard: &&mut Shard<P>| {
                let is_old = mutation::is(Mutation::OldLoadBelieved) && shard.load().is_some();
                (shard.load() == Some(load) || is_old) && shard.missing() == loaded.partitions
            };
            match self.shards.iter_mut().find(is_of) {
                Some(shard) => shard.loaded(loaded),
                None => out.push(Command::Free(vec![loaded.groups])),
            }
        }
        Ok(())
    }

    /// Queries Kafka about the topic, unless a query is under way.
    pub(super) fn query_topic(&mut self, purpose: Purpose, out: &mut Vec<Command<P>>) {
        if self.topic_query.is_some() {
            return;
        }
        let number = self.numbers.draw();
        self.topic_query = Some((number, purpose));
        if purpose == Purpose::Begin {
            self.shards.iter_mut().for_each(|shard| shard.await_topic_state(number));
        }
        let patience = if purpose == Purpose::Presence { PRESENCE_TIMEOUT } else { REQUEST_TIMEOUT };
        let only = if let Purpose::Transaction(partition) = purpose { Some(partition) } else { None };
        let ends = if only.is_none() { self.ends.clone() } else { BTreeMap::new() };
        out.push(Command::TopicQuery(TopicQuery { number, patience, only, ends }));
    }

    pub(super) fn topic(
        &mut self,
        now: Instant,
        number: u64,
        response: Result<Option<TopicState>, Failure>,
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let Some((_, purpose)) = self.topic_query.take_if(|query| query.0 == number) else { return Ok(()) };
        if self.ending.is_some() {
            return Ok(());
        }
        match response {
            Ok(Some(seen)) => {
                self.watch.responds();
                self.watch.topic_exists();
                self.lower_ends(&seen);
                self.latest_ends.extend(seen.offsets.iter().map(|(partition, offsets)| (*partition, offsets.1)));
                return match purpose {
                    Purpose::Begin => self.begin_reading(now, number, &seen, out),
                    Purpose::Transaction(partition) => self.query_transactions(now, partition, &seen, out),
                    Purpose::Presence => Ok(()),
                };
            }
            Ok(None) => {
                self.watch.responds();
                self.watch.topic_is_missing(now);
            }
            Err(failure) if failure.decision == Decision::Denied(Resource::Topic) => {
                self.watch.denies(now, Right::DescribeTopic, &self.group.fetched);
            }
            Err(failure) => self.kafka_failed(now, &failure, out)?,
        }
        // They are claimed and loaded once more: what is stored may be another's by then.
        let cancelled = self.shards.iter_mut().filter(|shard| shard.awaits_topic_state(number));
        free_groups(cancelled.filter_map(|shard| shard.cancel_load(now + RETRY_DELAY)).collect(), out);
        Ok(())
    }

    /// Lowers the ends to read to where the topic's own have fallen. They never do: the topic is another one, which is to be
    /// read to its own end. What can be read of it may end before an open transaction.
    pub(super) fn lower_ends(&mut self, seen: &TopicState) {
        for (partition, end) in &seen.ends {
            self.ends.entry(*partition).and_modify(|known| *known = (*end).min(*known));
        }
    }

    pub(super) fn begin_reading(
        &mut self,
        now: Instant,
        query: u64,
        seen: &TopicState,
        out: &mut Vec<Command<P>>,
    ) -> Result<(), Error> {
        let (mut fetches, mut to_free) = (Vec::new(), Vec::new());
        let known = Known { offsets: &seen.offsets, feed: &self.feed, reset_offsets: self.settings.reset_offsets };
        let awaits = |shard: &&Shard<P>| shard.awaits_topic_state(query);
        log_loaded(now, self.shards.iter().filter(awaits).filter_map(Shard::just_loaded));
        for shard in self.shards.iter_mut().filter(|shard| shard.awaits_topic_state(query)) {
            match shard.begin_reading(now, &known, &mut self.numbers)? {
                Begun::Reading(begun) => fetches.extend(begun),
                Begun::NotRead(groups) => to_free.extend(groups),
                Begun::Owing => {}
            }
            for partition in &shard.partitions {
                let stable = seen.offsets.get(partition).map_or(0, |offsets| offsets.1);
                self.ends.entry(*partition).or_insert(stable);
            }
        }
        free_groups(to_free, out);
        self.fetch(fetches, out);
        self.schedule.begin();
        Ok(())
    }

    /// Has partitions fetched that are ready for it; not those of shards that are about to become one, which fetches all of them.
    pub(super) fn fetch(&mut self, fetches: Vec<Fetch>, out: &mut Vec<Command<P>>) {
        if self.joins {
            return;
        }
        for fetch in &fetches {
            // Also where nothing is stored: only the response to a commit shows that a right of the group was taken.
            let cursor = self.shards.cursor(fetch.partition);
            self.watch.note_stored(cursor.map(|cursor| (fetch.partition, cursor.committed())));
            self.group.fetched.insert(fetch.partition);
        }
        if !fetches.is_empty() {
            out.push(Command::Fetch(fetches));
        }
    }

    /// Has partitions fetched again: from a given offset, or from where they are.
    pub(super) fn fetch_again(&mut self, partitions: &[(i32, Option<i64>)], out: &mut Vec<Command<P>>) {
        let mut fetches = Vec::new();
        for &(partition, from) in partitions.iter().filter(|(partition, _)| self.group.fetched.contains(partition)) {
            let number = self.numbers.draw();
            let Some(cursor) = self.shards.cursor(partition) else { continue };
            let position = cursor.fetch_again(number);
            let offset = from.unwrap_or(position);
            fetches.push(Fetch { partition, offset, number });
        }
        if !fetches.is_empty() {
            out.push(Command::Fetch(fetches));
        }
    }
}

/// Says what was claimed and loaded.
fn log_loaded<'a, P: Pipeline>(now: Instant, all: impl Iterator<Item = (Instant, &'a LoadedShard<P>)>) {
    let (mut partitions, mut facts, mut groups, mut first) = (Vec::<i32>::new(), 0, 0, now);
    for (began, loaded) in all {
        partitions.extend(&loaded.partitions);
        facts += loaded.groups.facts();
        groups += loaded.groups.len();
        first = first.min(began);
    }
    if partitions.is_empty() {
        return;
    }
    partitions.sort_unstable();
    let load_ms = millis(now.duration_since(first));
    tracing::info!(?partitions, facts, groups, load_ms, "claimed and loaded");
}

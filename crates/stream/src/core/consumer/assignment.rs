//! Partitions are assigned and revoked; their shards come, are joined, and go.

use std::{collections::BTreeSet, time::Instant};

use service::telemetry::millis;

use crate::{
    Pipeline,
    core::{
        groups::Groups,
        interface::Command,
        kafka::Right,
        mutation::{self, Mutation},
        shard::{Dropped, Shard},
    },
};

use super::Consumer;

impl<P: Pipeline> Consumer<P> {
    pub(super) fn assigned(&mut self, now: Instant, partitions: &[i32], out: &mut Vec<Command<P>>) {
        if !std::mem::replace(&mut self.group.member, true) {
            tracing::info!(joined_in_ms = millis(now.duration_since(self.group.began)), "joined the group");
        }
        tracing::info!(?partitions, "assigned");
        self.group.unassigned = None;
        self.watch.grants(Right::ReadGroup);
        self.watch.responds();
        // The client fetches nothing at all until the assignment is accepted.
        out.push(Command::Accept);
        if partitions.is_empty() {
            return;
        }
        self.watch.topic_exists();
        self.group.assigned.extend(partitions);
        let has_what_blocks = |shard: &Shard<P>| shard.blocked_by().is_some_and(|by| partitions.contains(&by.owner));
        if self.spread {
            self.join_shards(out);
        } else if self.shards.iter().any(has_what_blocks) {
            self.unite(out);
        } else {
            for partition in partitions {
                self.shards.add(Shard::new(self.numbers.draw(), [*partition], now));
            }
        }
    }

    /// What is in hand is sent, and the partitions are given back at once: it is stored, or refused once another consumer has claimed
    /// them.
    pub(super) fn revoked(&mut self, now: Instant, partitions: Vec<i32>, out: &mut Vec<Command<P>>) {
        tracing::info!(?partitions, "revoked");
        self.send_batch(out);
        let partitions: BTreeSet<i32> = partitions.into_iter().collect();
        self.group.assigned.retain(|partition| !partitions.contains(partition));
        self.group.unassigned = Some(now);
        self.watch.state().forget(&partitions);
        let kept = mutation::is(Mutation::RevokedFactsKept);
        let removed = if kept { Vec::new() } else { self.shards.remove(&partitions) };
        self.group.fetched.retain(|partition| !partitions.contains(partition));
        // This comes first: to stop fetching others would complete the revocation.
        out.push(Command::CompleteRevocation(partitions.clone()));
        let release = out.len() - 1;
        self.cancel_claims(now, &partitions);
        self.drop_shards(removed, out);
        if mutation::is(Mutation::OthersTakenOutFirst) {
            out[release..].rotate_left(1);
        }
        if self.spread {
            self.join_shards(out);
        }
    }

    /// Cancels loads that may still claim one of these partitions. Another consumer owns those by now, and would be
    /// fenced for nothing.
    pub(super) fn cancel_claims(&mut self, now: Instant, partitions: &BTreeSet<i32>) {
        let may_claim = |load: u64| {
            self.loads.get(&load).is_some_and(|claimed| claimed.iter().any(|partition| partitions.contains(partition)))
        };
        for shard in self.shards.iter_mut().filter(|shard| shard.load().is_some_and(may_claim)) {
            // It has brought nothing yet.
            shard.cancel_load(now);
        }
    }

    /// Keys are spread over partitions, all of which are ours: there is one shard of all from now on, and at later starts.
    pub(super) fn unite(&mut self, out: &mut Vec<Command<P>>) {
        tracing::info!("keys come from several partitions: these are loaded and read as one");
        (self.spread, self.notes_spread) = (true, true);
        self.join_shards(out);
    }

    /// Has all partitions become one shard, once nothing of them is unanswered; until then nothing is read.
    pub(super) fn join_shards(&mut self, out: &mut Vec<Command<P>>) {
        self.send_batch(out);
        self.joins = true;
        let all = self.group.assigned.clone();
        self.stop_fetching(&all, out);
    }

    pub(super) fn join_if_due(&mut self, now: Instant, out: &mut Vec<Command<P>>) {
        if !self.joins {
            return;
        }
        if self.shards.has_range() {
            self.send_batch(out);
        }
        if self.unanswered.batches > 0 || self.unanswered.refresh || self.lookup.is_some() {
            return;
        }
        self.joins = false;
        let all = self.group.assigned.clone();
        let shards = self.shards.remove(&all);
        let until = shards.iter().filter_map(Shard::load_at).fold(now, Instant::max);
        if !all.is_empty() {
            let (shard, loaded) = Shard::of(self.numbers.draw(), all, until, shards);
            self.shards.add(shard);
            free_groups(loaded, out);
        }
        self.cancel_loads(out);
        self.schedule.begin();
    }

    /// Shards are gone: nothing of them is fetched or loaded any more.
    pub(super) fn drop_shards(&mut self, shards: Vec<Shard<P>>, out: &mut Vec<Command<P>>) {
        let partitions = shards.iter().flat_map(|shard| shard.partitions.iter().copied()).collect();
        self.stop_fetching(&partitions, out);
        self.free(shards.into_iter().map(Shard::into_dropped), out);
        self.cancel_loads(out);
    }

    pub(super) fn stop_fetching(&mut self, partitions: &BTreeSet<i32>, out: &mut Vec<Command<P>>) {
        let fetched: BTreeSet<i32> = self.group.fetched.intersection(partitions).copied().collect();
        self.group.fetched.retain(|partition| !fetched.contains(partition));
        if !fetched.is_empty() {
            out.push(Command::StopFetching(fetched));
        }
    }

    /// Frees what shards had in memory. Their records are not in the open batch any more.
    pub(super) fn free(&mut self, all: impl IntoIterator<Item = Dropped<P>>, out: &mut Vec<Command<P>>) {
        let mut groups = Vec::new();
        for Dropped { memory, loaded } in all {
            if let Some(memory) = memory {
                self.open.remove(memory.open.records(), memory.open.len_bytes());
                groups.push(memory.groups);
            }
            groups.extend(loaded);
        }
        free_groups(groups, out);
    }

    /// Cancels the loads that no shard waits for any more.
    pub(super) fn cancel_loads(&mut self, out: &mut Vec<Command<P>>) {
        let wanted: BTreeSet<u64> = self.shards.iter().filter_map(Shard::load).collect();
        let unwanted = self.loads.extract_if(.., |load, _| !wanted.contains(load));
        out.extend(unwanted.map(|(load, _)| Command::CancelLoad(load)));
    }
}

/// Frees these elsewhere, where there are any.
pub(super) fn free_groups<P: Pipeline>(groups: Vec<Groups<P>>, out: &mut Vec<Command<P>>) {
    if !groups.is_empty() {
        out.push(Command::Free(groups));
    }
}

//! The statements, as the server executes them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Fate, SimSession,
    database::{Change, Lock, Transaction},
    lost,
    tables::{Accounted, FactRow, SimCold, SimPartition, Tables, read_cold, read_segments, write_cold, write_segment},
};
use crate::{
    Error,
    copy::{CopyBuffer, HEADER},
    core::{
        batch::{KeyOwner, OffsetRange},
        cold::{ColdHead, ColdName, ColdRows},
        keys::KeyRow,
        offsets::{Forget, Gap, PartitionRow},
        refresh::PartitionProgress,
        windows::KeyTimes,
    },
    pipeline::Coverage,
    postgres::{database::SqlResult, state::RefreshReport, statements::Statements},
    simulation::turns::yield_once,
    tests::tiny::{Row, Tiny},
};

impl Statements<Tiny> for SimSession {
    async fn begin(&mut self) -> SqlResult<()> {
        let by = self.server.name.clone();
        let id = self
            .statement(|database, _| {
                database.next_transaction += 1;
                let id = database.next_transaction;
                database.transactions.insert(id, Transaction { by, ..Transaction::default() });
                id
            })
            .await?;
        self.transaction = Some(id);
        Ok(())
    }

    async fn begin_snapshot(&mut self) -> SqlResult<()> {
        self.begin().await?;
        let id = self.transaction.expect("it has just begun");
        self.server.database.borrow_mut().transactions.entry(id).or_default().snapshot = Some(None);
        Ok(())
    }

    async fn commit(&mut self) -> SqlResult<()> {
        yield_once().await;
        let faults = &self.server.faults;
        let goes_wrong =
            faults.down.get() || (faults.lost.get() > 0 && self.server.chance.once_in(1 + faults.lost.get() / 4));
        let fates = [Fate::AnswerLost, Fate::NeverSent, Fate::StillRuns];
        let fate = if goes_wrong { fates[self.server.chance.below(3)] } else { Fate::Done };
        self.server.statements.set(self.server.statements.get() + 1);
        let Some(id) = self.transaction.take() else { return Ok(()) };
        let mut database = self.server.database.borrow_mut();
        match fate {
            Fate::Done | Fate::AnswerLost => database.commit(id),
            Fate::NeverSent => drop(database.orphans.insert(id, false)),
            Fate::StillRuns => drop(database.orphans.insert(id, true)),
        }
        self.is_lost |= fate != Fate::Done;
        if self.is_lost { Err(lost()) } else { Ok(()) }
    }

    async fn rollback(&mut self) -> SqlResult<()> {
        self.statement(|database, transaction| drop(transaction.and_then(|id| database.transactions.remove(&id))))
            .await?;
        self.transaction = None;
        Ok(())
    }

    async fn other_topic(&mut self) -> SqlResult<Option<String>> {
        self.read(|_| None).await
    }

    async fn add_partitions(&mut self, partitions: &[i32]) -> SqlResult<()> {
        for partition in partitions.iter().copied() {
            // A session that adds or changes the same row is waited for; one that only has it locked is not.
            self.wait_while(|database, id| {
                let others = database.transactions.iter().filter(|(other, _)| **other != id);
                let mut changes = others.flat_map(|(_, other)| &other.changes);
                changes.any(|change| matches!(change, Change::Partition(row) if row.stored.partition == partition))
            })
            .await?;
            let is_new = self.read(|view| !view.partitions.contains_key(&partition)).await?;
            if is_new {
                self.lock(vec![Lock::Partition(partition)]).await?;
                let stored = PartitionRow { partition, ..PartitionRow::default() };
                let row = Change::Partition(Box::new(SimPartition { stored, ..SimPartition::default() }));
                // Another may have been quicker.
                self.write(|view| ((), if view.partitions.contains_key(&partition) { vec![] } else { vec![row] }))
                    .await?;
            }
        }
        Ok(())
    }

    async fn lock_partitions(&mut self, partitions: &[i32]) -> SqlResult<Vec<PartitionRow>> {
        let requested: BTreeSet<i32> = partitions.iter().copied().collect();
        let seen: Vec<i32> = self
            .read(|view| requested.into_iter().filter(|partition| view.partitions.contains_key(partition)).collect())
            .await?;
        self.lock(seen.iter().copied().map(Lock::Partition).collect()).await?;
        self.read(|view| {
            seen.iter().filter_map(|partition| Some(view.partitions.get(partition)?.stored.clone())).collect()
        })
        .await
    }

    fn has_claimed(&self, partition: i32) -> bool {
        let database = self.server.database.borrow();
        database.tables.partitions.get(&partition).is_some_and(|row| row.owner == *self.server.name)
    }

    async fn forget_offsets(&mut self, partitions: &BTreeMap<i32, Forget>) -> SqlResult<()> {
        let change = |row: &mut SimPartition| {
            let Some(next) = row.stored.next_offset else { return false };
            row.resume_from = if partitions[&row.stored.partition] == Forget::Gap { next } else { 0 };
            row.generation += 1;
            row.topic += usize::from(partitions[&row.stored.partition] == Forget::OtherTopic);
            let stored = &mut row.stored;
            (stored.next_offset, stored.refreshed_through, stored.last, stored.cluster_id) = (None, None, None, None);
            stored.catching_up = true;
            true
        };
        self.change_partitions(partitions.keys().copied(), change).await.map(drop)
    }

    async fn raise_epochs(&mut self, partitions: &[i32], owner: &str) -> SqlResult<Vec<PartitionRow>> {
        let raise = |row: &mut SimPartition| {
            row.stored.epoch += 1;
            owner.clone_into(&mut row.owner);
            true
        };
        self.change_partitions(partitions.iter().copied(), raise).await
    }

    async fn partitions(&mut self) -> SqlResult<Vec<PartitionRow>> {
        self.read(|view| view.partitions.values().map(|row| row.stored.clone()).collect()).await
    }

    async fn advance(&mut self, ranges: &[OffsetRange]) -> SqlResult<u64> {
        let advance = |row: &mut SimPartition| {
            let stored = &mut row.stored;
            let range = ranges.iter().find(|range| range.partition == stored.partition).expect("it was asked for");
            if (stored.epoch, stored.next_offset) != (range.epoch, range.expected) {
                return false;
            }
            (stored.next_offset, stored.last) = (Some(range.end), range.last);
            stored.max_timestamp_ms = range.max_timestamp_ms;
            stored.cluster_id = Some("cluster".to_owned());
            true
        };
        let moved = self.change_partitions(ranges.iter().map(|range| range.partition), advance).await?;
        let id = self.transaction.expect("offsets are moved in a transaction");
        if let Some(own) = self.server.database.borrow_mut().transactions.get_mut(&id) {
            own.advanced = moved.iter().map(|stored| stored.partition).collect();
        }
        Ok(moved.len() as u64)
    }

    async fn raise_last_ids(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()> {
        let raise = |row: &mut SimPartition| {
            row.stored.last_id = row.stored.last_id.max(ids[&row.stored.partition]);
            true
        };
        self.change_partitions(ids.keys().copied(), raise).await.map(drop)
    }

    async fn raise_refreshed_ids(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()> {
        let raise = |row: &mut SimPartition| {
            let is_refreshed = row.stored.refreshed_id == row.stored.last_id;
            if is_refreshed {
                row.stored.refreshed_id = ids[&row.stored.partition];
            }
            is_refreshed
        };
        self.change_partitions(ids.keys().copied(), raise).await.map(drop)
    }

    async fn mark_refreshed(&mut self, to: &[PartitionProgress]) -> SqlResult<()> {
        let mark = |row: &mut SimPartition| {
            let stored = &mut row.stored;
            let to = to.iter().find(|to| to.partition == stored.partition).expect("it was asked for");
            let is_current = stored.refreshed_through == to.next_offset
                && stored.refreshed_id == stored.last_id
                && (!stored.catching_up || to.catching_up);
            stored.refreshed_through = to.next_offset;
            stored.refreshed_id = stored.last_id;
            stored.catching_up &= to.catching_up;
            !is_current
        };
        self.change_partitions(to.iter().map(|to| to.partition), mark).await?;
        let id = self.transaction.expect("a refresh is a transaction");
        if let Some(own) = self.server.database.borrow_mut().transactions.get_mut(&id) {
            own.refresh.get_or_insert_default().0 = to.to_vec();
        }
        Ok(())
    }

    async fn note_gaps(&mut self, first: &[OffsetRange]) -> SqlResult<()> {
        self.write(|view| {
            let gap = |range: &OffsetRange| {
                let row = view.partitions.get(&range.partition)?;
                let gap = Gap { partition: range.partition, from_offset: row.resume_from, to_offset: range.start };
                (row.resume_from < range.start).then_some(Change::Gap(row.generation, gap))
            };
            ((), first.iter().filter_map(gap).collect())
        })
        .await
    }

    async fn gaps(&mut self) -> SqlResult<Vec<Gap>> {
        self.read(|view| view.gaps.values().cloned().collect()).await
    }

    async fn note_coverage(&mut self, coverage: &Coverage) -> SqlResult<()> {
        self.write(|_| ((), vec![Change::Complete(coverage.complete)])).await
    }

    async fn register_keys(&mut self, keys: &[KeyOwner]) -> SqlResult<u64> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        let mut registered = 0;
        for (key, owner) in keys {
            // A session that registers or moves the same key is waited for.
            self.lock(vec![Lock::Key(key.clone())]).await?;
            registered += self
                .write(|view| match view.keys.contains_key(&key) {
                    true => (0, Vec::new()),
                    false => (1, vec![Change::Key(key.clone(), owner)]),
                })
                .await?;
            self.unlock_unless_changed(&Lock::Key(key));
        }
        Ok(registered)
    }

    async fn owners(&mut self, keys: &[&str]) -> SqlResult<Vec<KeyOwner>> {
        let of = |(key, owner): (&String, &i32)| keys.contains(&&**key).then(|| (key.clone(), *owner));
        self.read(|view| view.keys.iter().filter_map(of).collect()).await
    }

    async fn is_spread(&mut self) -> SqlResult<bool> {
        self.read(|view| view.spread).await
    }

    async fn set_spread(&mut self, spread: bool) -> SqlResult<()> {
        if self.read(|view| view.spread != spread).await? {
            self.lock(vec![Lock::Feed]).await?;
            let changed = |view: &Tables| (view.spread != spread).then_some(Change::Spread(spread));
            self.write(|view| ((), changed(view).into_iter().collect())).await?;
        }
        Ok(())
    }

    async fn move_keys(&mut self, keys: &[KeyOwner]) -> SqlResult<u64> {
        let elsewhere = |view: &Tables| -> Vec<KeyOwner> {
            let other = |(key, owner): &&KeyOwner| view.keys.get(key).is_some_and(|stored| stored != owner);
            keys.iter().filter(other).cloned().collect()
        };
        let seen: Vec<KeyOwner> = self.read(elsewhere).await?;
        self.lock(seen.iter().map(|(key, _)| Lock::Key(key.clone())).collect()).await?;
        self.write(|view| {
            let moved = elsewhere(view).into_iter().filter(|key| seen.contains(key));
            let changes: Vec<Change> = moved.map(|(key, owner)| Change::Key(key, owner)).collect();
            (changes.len() as u64, changes)
        })
        .await
    }

    async fn keys(&mut self, owners: &[i32]) -> SqlResult<Vec<KeyRow>> {
        self.read(|view| {
            let row = |(key, owner): (&String, &i32)| KeyRow {
                key: key.clone(),
                owner: *owner,
                times: view.times.get(key).copied().unwrap_or_default(),
            };
            view.keys.iter().filter(|(_, owner)| owners.contains(owner)).map(row).collect()
        })
        .await
    }

    async fn store_times(&mut self, times: &[(String, KeyTimes)]) -> SqlResult<()> {
        let seen: Vec<&(String, KeyTimes)> =
            self.read(|view| times.iter().filter(|(key, _)| view.keys.contains_key(key)).collect()).await?;
        self.lock(seen.iter().map(|(key, _)| Lock::Key(key.clone())).collect()).await?;
        let changes = seen.into_iter().map(|(key, times)| Change::Times(key.clone(), *times)).collect();
        self.write(|_| ((), changes)).await
    }

    async fn cold_heads(&mut self, owners: &[(i32, i64)], size_ms: Option<i64>) -> SqlResult<Vec<ColdHead>> {
        self.read(|view| {
            let redo_from = |key: &String| {
                let owner = view.keys.get(key)?;
                owners.iter().find(|(partition, _)| partition == owner).map(|(_, redo_from)| *redo_from)
            };
            let is_wanted = |(key, slot): &ColdName, cold: &SimCold| {
                let times = view.times.get(key).copied().unwrap_or_default();
                let is_open = size_ms.is_some_and(|size_ms| !times.is_final(slot + size_ms));
                redo_from(key).is_some_and(|redo_from| cold.through > redo_from || is_open)
            };
            let wanted = view.cold.iter().filter(|(name, cold)| is_wanted(name, cold));
            let head = |(key, slot): &ColdName, through| ColdHead { key: key.clone(), slot: *slot, through };
            wanted.map(|(name, cold)| head(name, cold.through)).collect()
        })
        .await
    }

    async fn cold_rows(&mut self, groups: &[ColdName]) -> SqlResult<Vec<u8>> {
        self.read(|view| write_cold(view.cold.iter().filter(|(name, _)| groups.contains(name)))).await
    }

    async fn has_cold_rows(&mut self, groups: &[(ColdName, i64)]) -> SqlResult<bool> {
        let is_older =
            |view: &Tables, (name, id): &(ColdName, i64)| view.cold.get(name).is_some_and(|cold| cold.through < *id);
        self.read(|view| groups.iter().any(|group| is_older(view, group))).await
    }

    async fn write_cold_rows(&mut self, rows: &ColdRows) -> SqlResult<()> {
        let changes =
            read_cold(rows.rows().bytes()).into_iter().map(|(name, cold)| Change::Cold(name, Some(cold))).collect();
        self.write(|_| ((), changes)).await
    }

    async fn remove_cold_rows(&mut self, keys: &[&str], size_ms: i64) -> SqlResult<()> {
        self.write(|view| {
            let is_gone = |(key, slot): &ColdName| {
                let times = view.times.get(key).copied().unwrap_or_default();
                keys.contains(&&**key) && times.is_behind_horizon(slot + size_ms)
            };
            ((), view.cold.keys().filter(|name| is_gone(name)).map(|name| Change::Cold(name.clone(), None)).collect())
        })
        .await
    }

    async fn set_redo_from(&mut self, ids: &BTreeMap<i32, i64>) -> SqlResult<()> {
        let mut back = None;
        let set = |row: &mut SimPartition| {
            let id = ids[&row.stored.partition];
            if id < row.stored.redo_from {
                back = Some(row.stored.partition);
            }
            std::mem::replace(&mut row.stored.redo_from, id) != id
        };
        self.change_partitions(ids.keys().copied(), set).await?;
        if let Some(partition) = back {
            let violation = format!("what a load of partition {partition} reads grows backwards");
            self.server.database.borrow_mut().violations.push(violation);
        }
        Ok(())
    }

    async fn remove_history(&mut self, owners: &[i32], history_ms: i64) -> SqlResult<()> {
        self.write(|view| {
            let is_old = |id: i64, facts: &[FactRow]| {
                let Some(row) = view.partitions.get(&facts[0].owner).map(|row| &row.stored) else { return false };
                owners.contains(&row.partition)
                    && id + i64::try_from(facts.len()).unwrap() <= row.redo_from + 1
                    && facts[0].timestamp_ms < row.max_timestamp_ms - history_ms
            };
            let old = view.segments.iter().filter(|(id, facts)| is_old(**id, facts));
            ((), old.map(|(id, _)| Change::Removed(*id)).collect())
        })
        .await
    }

    async fn fix_settings(&mut self, _settings: &[(&'static str, String)]) -> SqlResult<Vec<(String, String)>> {
        // None of them ever changes here.
        self.read(|_| Vec::new()).await
    }

    async fn note_settings(&mut self, _settings: &[(&'static str, String)]) -> SqlResult<()> {
        unreachable!("the pipelines of the simulation note none")
    }

    async fn draw_numbers(&mut self, count: usize) -> SqlResult<Vec<i64>> {
        self.statement(|database, _| {
            let first = database.sequence + 1;
            database.sequence += i64::try_from(count).expect("it is small");
            database.drawn += count;
            (first..=database.sequence).collect()
        })
        .await
    }

    async fn append_facts(&mut self, rows: &[&CopyBuffer]) -> SqlResult<()> {
        let rows = rows.iter().flat_map(|buffer| read_segments(buffer)).collect();
        self.write(|_| ((), vec![Change::Facts(rows)])).await
    }

    async fn append_rejects(&mut self, rows: &[&CopyBuffer]) -> SqlResult<()> {
        let rows = rows.iter().map(|buffer| buffer.rows()).sum();
        self.write(|_| ((), vec![Change::Rejects(rows)])).await
    }

    async fn account(&mut self, ranges: &[(i64, &OffsetRange)]) -> SqlResult<()> {
        self.write(|view| {
            let row = |(batch, range): &(i64, &OffsetRange)| Accounted {
                batch: *batch,
                partition: range.partition,
                start: range.start,
                end: range.end,
                read: range.counts.read(),
                filtered: range.counts.filtered,
                topic: view.partitions.get(&range.partition).map_or(0, |row| row.topic),
            };
            ((), vec![Change::Accounted(ranges.iter().map(row).collect())])
        })
        .await
    }

    async fn facts(
        &mut self,
        owners: &[(i32, i64)],
        take: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> anyhow::Result<()> {
        let of = |id: i64, facts: &Vec<FactRow>| {
            let last_id = id + i64::try_from(facts.len()).unwrap() - 1;
            owners.iter().any(|(owner, redo_from)| *owner == facts[0].owner && last_id > *redo_from)
        };
        let mut segments: Vec<(i64, Vec<FactRow>)> = self
            .read(|view| {
                let wanted = view.segments.iter().filter(|(id, facts)| of(**id, facts));
                wanted.map(|(id, facts)| (*id, facts.clone())).collect()
            })
            .await?;
        segments.sort_by_key(|(_, facts)| facts[0].owner);
        take(HEADER)?;
        for segments in segments.chunks(3) {
            self.statement(|database, transaction| {
                let locks = transaction.and_then(|id| database.transactions.get(&id)).map_or(0, |own| own.locks.len());
                if locks > 0 {
                    database.violations.push("rows are locked for as long as facts are loaded".to_owned());
                }
            })
            .await?;
            segments.iter().try_for_each(|(id, facts)| take(&write_segment(*id, facts)))?;
        }
        Ok(())
    }

    async fn try_lock_refreshes(&mut self) -> SqlResult<bool> {
        self.statement(|database, id| database.lock(id.expect("a lock is taken in a transaction"), Lock::Refreshes))
            .await
    }

    async fn prepare_refresh(&mut self, _rows: &[Row]) -> anyhow::Result<()> {
        Ok(())
    }

    async fn upsert(&mut self, rows: &[Row]) -> SqlResult<u64> {
        let changes: Vec<Change> = rows
            .iter()
            .map(|(group, facts)| Change::Group(group.clone(), (!facts.is_empty()).then(|| facts.clone())))
            .collect();
        self.write(|_| ((), changes)).await?;
        let id = self.transaction.expect("a refresh is a transaction");
        if let Some(own) = self.server.database.borrow_mut().transactions.get_mut(&id) {
            own.refresh.get_or_insert_default().1.extend_from_slice(rows);
        }
        Ok(rows.len() as u64)
    }

    async fn refresh_global(&mut self, _rows_written: u64, coverage: &Coverage) -> anyhow::Result<RefreshReport> {
        self.write(|_| ((), vec![Change::Run])).await?;
        let id = self.transaction.expect("a refresh is a transaction");
        let database = &mut *self.server.database.borrow_mut();
        if let Some(own) = database.transactions.get_mut(&id) {
            own.complete_to = coverage.complete.then(|| self.server.ends.clone());
        }
        Ok(RefreshReport::default())
    }
}

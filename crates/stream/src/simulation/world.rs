//! A schedule: what happens, in which order, until nothing is left to do.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use crate::{
    Error,
    core::{Input, Settings},
    kafka_errors::Decision,
    pipeline::{Residency, Windows},
    simulation::{
        kafka::{Coordinator, Log},
        postgres::{SimPartition, SimServer, Tables},
        replica::{Around, Ended, Replica, failure},
        turns::{Clock, Rng},
    },
    tests::tiny::{OF_A_KEY, SIZE_MS, WHOLE, WINDOWS},
};

/// How many things happen before faults end.
const STEPS: usize = 260;
/// How long all may take to come to rest once faults have ended, of the simulation's time.
const REST: Duration = Duration::from_secs(180);
/// How long it takes until a member notices that the group has removed it.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);
/// How many steps that may take: more is a loop.
const MOST_STEPS: usize = 60_000;

/// What differs between schedules.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) partitions: usize,
    pub(crate) keyed: bool,
    /// Whether keys that had one partition have come to others since.
    pub(crate) has_spread: bool,
    /// Whether nothing is sent once consumers run.
    pub(crate) quiet: bool,
    /// Whether all but the first come once that one has read for a while.
    pub(crate) late: bool,
    /// Whether the topic is recreated, which is accepted as well.
    pub(crate) recreates: bool,
    /// Which groups leave memory; the lateness of windows may change with a restart.
    pub(crate) residency: Residency,
    pub(crate) lateness_changes: bool,
    /// No batch is smaller, unless time is up.
    pub(crate) least_batch: usize,
    pub(crate) settings: Settings,
}

/// A process that runs, or does not right now.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) replica: Option<Replica>,
    /// Whether it has been asleep for so long that the group goes on without it, and does not know.
    asleep: bool,
}

/// All parts of the simulation.
pub(crate) struct World {
    pub(crate) plan: Plan,
    /// Whether the consumers that start late may start.
    is_late: bool,
    chance: Rc<Rng>,
    pub(super) clock: Rc<Clock>,
    pub(crate) server: SimServer,
    pub(crate) logs: Vec<Log>,
    /// Those of the previous topic, if it was recreated.
    pub(crate) old_logs: Option<Vec<Log>>,
    coordinator: Coordinator,
    pub(super) slots: Vec<Slot>,
    kafka_down: bool,
    next_value: i64,
    pub(crate) violations: Vec<String>,
    /// The tables as they were once, for a restore.
    older: Option<Tables>,
    pub(crate) sent: usize,
    /// What has happened, in words.
    pub(crate) trace: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let chance = Rc::new(Rng::new(seed));
        let clock = Rc::new(Clock::new());
        // A sixth are of one kind that chance alone brings about too seldom.
        let spread = chance.once_in(6);
        let (replicas, partitions) = if spread { (2, 2) } else { (1 + chance.below(3), 1 + chance.below(3)) };
        let keyed = !spread && chance.once_in(2);
        let settings = Settings {
            until_end: chance.once_in(3),
            refresh_every: Duration::from_millis(if spread { 50 } else { [50, 500, 5_000][chance.below(3)] }),
            batch_size: 1 + chance.below(5),
            // Where Kafka removes records, that is accepted.
            reset_offsets: !spread && chance.once_in(4),
            repartition: false,
            wait: Duration::from_secs(60),
            outage_timeout: Duration::from_secs(86_400),
            compacted: false,
            facts_memory: 0,
            tail_facts: 0,
        };
        let quiet = spread || chance.once_in(3);
        let server = SimServer::new(Rc::clone(&chance), Rc::clone(&clock));
        server.database.borrow_mut().ends = vec![0; partitions];
        Self {
            logs: vec![Log::default(); partitions],
            old_logs: None,
            slots: (0..replicas).map(|_| Slot::default()).collect(),
            plan: Plan {
                partitions,
                keyed,
                has_spread: false,
                quiet,
                late: chance.once_in(3),
                recreates: settings.reset_offsets && !quiet && chance.once_in(2),
                residency: Residency::Memory,
                lateness_changes: false,
                least_batch: 1,
                settings,
            },
            is_late: false,
            chance,
            clock,
            server,
            coordinator: Coordinator::default(),
            kafka_down: false,
            next_value: 0,
            violations: Vec::new(),
            older: None,
            sent: 0,
            trace: Vec::new(),
        }
    }

    /// A schedule of groups that leave memory; with `windows` they are such.
    pub(crate) fn leaving(seed: u64, windows: bool) -> Self {
        let mut world = Self::new(seed);
        let chance = Rc::new(Rng::new(seed ^ 0x5eed));
        let settings = &mut world.plan.settings;
        settings.facts_memory = [0, 600, 3_000, 1 << 20][chance.below(4)];
        settings.tail_facts = [2, 10, 1_000][chance.below(3)];
        let small = |number: usize| i64::try_from(number).expect("it is small");
        let lateness_ms = [5, 15, 30][chance.below(3)];
        let keep_ms = (chance.once_in(2)).then(|| 30 + SIZE_MS + small(chance.below(20)));
        let history_ms = (chance.once_in(3)).then(|| small(chance.below(10)));
        let of_windows = Windows { size_ms: SIZE_MS, lateness_ms, ahead_ms: i64::MAX, keep_ms, history_ms };
        world.plan.residency = if windows { Residency::Windows(of_windows) } else { Residency::Groups };
        world.plan.lateness_changes = windows && chance.once_in(4);
        world
    }

    /// Runs a schedule to its end.
    pub(crate) fn run(mut self) -> Self {
        (0..self.chance.below(30)).for_each(|_| self.produce());
        if !self.chance.once_in(4) {
            self.server.faults.lost.set(20 + self.chance.below(200));
        }
        for step in 0..STEPS {
            self.is_late = step > STEPS / 2;
            self.happen();
            if !self.holds() {
                return self;
            }
        }
        self.come_to_rest();
        self
    }

    /// Whether nothing has gone wrong so far.
    pub(super) fn holds(&mut self) -> bool {
        self.violations.append(&mut self.server.database.borrow_mut().violations);
        self.violations.is_empty()
    }

    fn note(&mut self, what: impl Into<String>) {
        self.trace.push(what.into());
    }

    /// Sends a record of a group that leaves memory: at times it is late, said before, or moves what was said before.
    fn produce_leaving(&mut self) {
        self.next_value += 1;
        let small = |number: usize| i16::try_from(number).expect("it is small");
        let key = small(self.chance.below(3));
        let partition = if self.plan.keyed { usize::from(key.unsigned_abs()) } else { self.chance.below(100) }
            % self.plan.partitions;
        let place = |key: i16, at: i16| match self.plan.residency {
            Residency::Windows(_) => (WINDOWS + key * OF_A_KEY + at / 10, at % 10),
            _ => (WHOLE + key * OF_A_KEY + at / 30, at % 30),
        };
        let now = i16::try_from(self.next_value * 4).unwrap_or(i16::MAX);
        let back = [0, 0, 0, 1, 7, 25, 60, 130][self.chance.below(8)];
        let ahead = if self.chance.once_in(30) { 40 } else { 0 };
        let at = |now: i16| (now - back + ahead).clamp(0, OF_A_KEY * 10 - 1);
        let (group, fact) = place(key, at(now));
        // A repeated retraction of another partition is the exception that guarantee 3 of the README names.
        // Nor is anything said again by another partition: what a repetition overtakes is not stored.
        let value = match (self.plan.keyed, self.chance.once_in(8)) {
            (true, true) => -1,
            (true, false) => i64::from(small(1 + self.chance.below(3))),
            (false, _) => self.next_value,
        };
        let mut text = format!("{group} {fact} {value}");
        if self.plan.keyed && self.chance.once_in(6) {
            let (group, fact) = place(key, at(now - small(self.chance.below(12))));
            text = format!("{text} {group} {fact}");
        }
        let said =
            self.logs[partition].records.iter().rev().take(8).map(|record| record.value.clone()).collect::<Vec<_>>();
        if let Some(said) = self.chance.pick(&said).filter(|_| self.plan.keyed && self.chance.once_in(6)) {
            text.clone_from(said);
        }
        let late = i64::try_from(self.chance.below(4)).expect("it is small");
        let log = &mut self.logs[partition];
        log.append(1_000 + self.next_value - late, text);
        self.server.database.borrow_mut().ends[partition] = log.end;
    }

    /// Sends a record: a fact, at times one that retracts, is poison, or is not kept.
    fn produce(&mut self) {
        if self.plan.residency != Residency::Memory {
            return self.produce_leaving();
        }
        let (group, key) = (self.chance.below(6), self.chance.below(3));
        let partition = if self.plan.keyed { group / 2 } else { self.chance.below(100) } % self.plan.partitions;
        self.next_value += 1;
        // A repeated retraction of another partition is the exception that guarantee 3 of the README names.
        let value = if self.plan.keyed && self.chance.once_in(8) { -1 } else { self.next_value };
        let text = match self.chance.below(12) {
            0 => "poison".to_owned(),
            1 => "aggregate".to_owned(),
            _ => format!("{group} {key} {value}"),
        };
        let log = &mut self.logs[partition];
        // Where the record read last may be a control record, a recreated topic cannot be distinguished from the old
        // one.
        if !self.plan.recreates && self.chance.once_in(10) {
            log.end += 1;
        }
        // Clocks of producers differ: within a partition the later record counts all the same.
        let late = i64::try_from(self.chance.below(4)).expect("it is small");
        log.append(1_000 + self.next_value - late, text);
        self.server.database.borrow_mut().ends[partition] = log.end;
    }

    /// One thing happens.
    fn happen(&mut self) {
        match self.chance.below(100) {
            0..=41 => (0..=self.chance.below(4)).for_each(|_| self.step_any()),
            42..=59 => self.deliver_any(),
            60..=79 => self.poll_any(),
            80..=86 => self.let_time_pass(),
            87..=91 if !self.plan.quiet => self.produce(),
            87..=91 => self.deliver_any(),
            92 => drop(self.server.database.borrow_mut().end_orphan(&self.chance)),
            _ => self.disturb(),
        }
        self.reap();
    }

    /// Something goes wrong, or somebody comes or goes.
    fn disturb(&mut self) {
        let at = self.chance.below(self.slots.len());
        match self.chance.below(17) {
            14 => drop(self.with(at, |replica, around| replica.on(Input::ClientLost("simulated".to_owned()), around))),
            15 if self.plan.recreates && self.old_logs.is_none() => self.recreate_topic(),
            16 if self.plan.partitions < 4 && !self.plan.quiet && self.chance.once_in(4) => self.add_partition(),
            12 => {
                let decision = [Decision::OffsetOutOfRange, Decision::TopicMissing][self.chance.below(2)];
                self.with(at, |replica, around| replica.kafka_fails(decision, around));
            }
            13 if self.plan.settings.reset_offsets && !self.plan.recreates => self.remove_old_records(),
            0..=4 if self.slots[at].replica.is_none() && (at == 0 || !self.plan.late || self.is_late) => self.start(at),
            5 => self.kill(at),
            6 => self.stop(at),
            7 => self.fall_asleep(at),
            8 => self.wake(at),
            9 => self.server.faults.down.set(!self.server.faults.down.get()),
            10 => {
                self.kafka_down = !self.kafka_down;
                if self.kafka_down {
                    let input = || Input::KafkaFailed(failure(Decision::Retry));
                    self.with(at, |replica, around| replica.on(input(), around));
                }
            }
            11 => self.maintain(),
            _ => self.step_any(),
        }
    }

    /// What is done to the tables while the consumers run.
    fn maintain(&mut self) {
        if self.plan.residency != Residency::Memory && self.chance.once_in(2) {
            self.server.database.borrow_mut().by_hand(Tables::delete);
            return;
        }
        match self.chance.below(4) {
            0 => {
                let done = self.server.database.borrow_mut().by_hand(|tables| {
                    for row in tables.partitions.values_mut() {
                        let epoch = row.stored.epoch + 1;
                        let partition = row.stored.partition;
                        *row = SimPartition::default();
                        (row.stored.epoch, row.stored.partition) = (epoch, partition);
                    }
                    let partitions = std::mem::take(&mut tables.partitions);
                    *tables = Tables { partitions, ..Tables::default() };
                });
                if done {
                    self.loses_commits();
                    self.older = None;
                    self.note("reset");
                }
            }
            // What leaves memory is not compacted.
            1 if self.plan.residency != Residency::Memory => {}
            1 => {
                self.server.database.borrow_mut().by_hand(Tables::compact);
            }
            2 => self.older = Some(self.server.database.borrow().tables.clone()),
            _ => {
                let Some(older) = self.older.take() else { return };
                if self.server.database.borrow_mut().by_hand(|tables| *tables = older) {
                    self.server.database.borrow_mut().is_restored = true;
                    self.loses_commits();
                    self.note("restored");
                }
            }
        }
    }

    /// What was stored is lost: a run that had ended well may have to be repeated.
    pub(super) fn loses_commits(&mut self) {
        self.logs.iter_mut().for_each(Log::read_again);
        self.slots.iter_mut().flat_map(|slot| &mut slot.replica).for_each(Replica::undo);
    }

    /// Kafka removes the oldest records of a partition, read or not.
    fn remove_old_records(&mut self) {
        let at = self.chance.below(self.logs.len());
        let partition = i32::try_from(at).expect("partitions are few");
        let log = &mut self.logs[at];
        let first = log.end - i64::try_from(self.chance.below(5)).expect("it is small");
        log.remove(first, self.server.database.borrow().tables.next_offset(partition));
        self.note("removed");
    }

    /// The topic is deleted, and one of the same name created.
    fn recreate_topic(&mut self) {
        let new = vec![Log::default(); self.logs.len()];
        self.old_logs = Some(std::mem::replace(&mut self.logs, new));
        self.server.database.borrow_mut().ends.fill(0);
        self.slots.iter_mut().flat_map(|slot| &mut slot.replica).for_each(|replica| replica.recreated = true);
        self.loses_commits();
        (0..self.chance.below(20)).for_each(|_| self.produce());
        self.note("recreated");
    }

    /// The topic gets another partition: keys go to other partitions than before.
    fn add_partition(&mut self) {
        self.logs.push(Log::default());
        self.old_logs.iter_mut().for_each(|logs| logs.push(Log::default()));
        self.server.database.borrow_mut().ends.push(0);
        self.plan.partitions += 1;
        self.plan.has_spread |= self.plan.keyed;
        self.plan.keyed = false;
        self.note("partition added");
        self.rebalance();
    }

    pub(super) fn start(&mut self, at: usize) {
        // Settings may change with a restart.
        let batch_size = (1 + self.chance.below(5)).max(self.plan.least_batch);
        let settings = Settings { batch_size, ..self.plan.settings.clone() };
        let name = format!("{at}, started {}", self.trace.len());
        let mut residency = self.plan.residency;
        if let Residency::Windows(windows) = &mut residency
            && self.plan.lateness_changes
        {
            windows.lateness_ms = [5, 15, 30][self.chance.below(3)];
        }
        let mut replica = Replica::start(&self.server, name, settings, residency, &self.logs, &self.clock);
        replica.is_after_another = self.old_logs.is_some();
        self.slots[at] = Slot { replica: Some(replica), asleep: false };
        self.coordinator.join(at);
        self.note(format!("start {at}"));
        self.rebalance();
    }

    /// The process is gone at once; the group notices.
    pub(super) fn kill(&mut self, at: usize) {
        if let Some(replica) = self.slots[at].replica.take() {
            self.sent += replica.sent;
            self.note(format!("kill {at}"));
        }
        self.slots[at].asleep = false;
        self.leave(at);
    }

    fn leave(&mut self, at: usize) {
        self.coordinator.leave(at);
        self.rebalance();
    }

    fn stop(&mut self, at: usize) {
        let is_stopping =
            self.slots[at].replica.as_mut().is_none_or(|replica| std::mem::replace(&mut replica.stop_seen, true));
        if !is_stopping && !self.slots[at].asleep {
            self.note(format!("stop {at}"));
            self.with(at, |replica, around| replica.on(Input::Stop, around));
        }
    }

    /// The process does not run for longer than the group waits for it.
    pub(super) fn fall_asleep(&mut self, at: usize) {
        if self.slots[at].replica.is_some() && !self.slots[at].asleep {
            self.slots[at].asleep = true;
            self.note(format!("asleep {at}"));
            self.leave(at);
        }
    }

    /// It runs again, and notices only now that its partitions were given to others.
    pub(super) fn wake(&mut self, at: usize) {
        if !std::mem::take(&mut self.slots[at].asleep) {
            return;
        }
        self.note(format!("wake {at}"));
        let notified_at = self.clock.now() + HEARTBEAT;
        if let Some(replica) = &mut self.slots[at].replica {
            replica.client.lose_all(notified_at);
        }
        self.coordinator.join(at);
        self.rebalance();
    }

    fn rebalance(&mut self) {
        let partitions = i32::try_from(self.plan.partitions).expect("partitions are few");
        for (member, request) in self.coordinator.rebalance(partitions) {
            if let Some(replica) = &mut self.slots[member].replica {
                replica.client.request(request);
            }
        }
    }

    /// Removes processes that have ended; in a run without end, they may be started again.
    fn reap(&mut self) {
        for at in 0..self.slots.len() {
            let Some(ended) = self.slots[at].replica.as_mut().and_then(|replica| replica.ended.take()) else {
                continue;
            };
            let mut replica = self.slots[at].replica.take().expect("it has just ended");
            self.sent += replica.sent;
            self.violations.extend(replica.client.close().err());
            self.slots[at].asleep = false;
            self.note(format!("{at} ended: {ended:?}"));
            match ended {
                Ended::Well if !replica.stop_seen && !replica.is_undone() => self.check_run(&replica),
                Ended::Well => {}
                Ended::With(Error::KeyMoved { .. }) if !self.plan.keyed => {}
                Ended::With(Error::ClientLost { .. }) => {}
                Ended::With(Error::TopicRecreated { .. }) if self.plan.recreates => {}
                Ended::With(error) => self.violations.push(format!("a consumer ended with {error}")),
            }
            self.leave(at);
        }
    }

    /// A run until the end has ended on its own: all that existed at its start is stored and refreshed.
    fn check_run(&mut self, replica: &Replica) {
        let behind = self.server.database.borrow().behind(&replica.ends);
        self.violations.extend(behind.map(|behind| format!("a run ended, and {behind}")));
    }

    pub(super) fn with<T>(&mut self, at: usize, act: impl FnOnce(&mut Replica, &mut Around<'_>) -> T) -> Option<T> {
        let slot = &mut self.slots[at];
        let replica = slot.replica.as_mut().filter(|_| !slot.asleep)?;
        let mut released = Vec::new();
        let mut around = Around {
            logs: &self.logs,
            chance: &self.chance,
            clock: &self.clock,
            kafka_down: self.kafka_down,
            violations: &mut self.violations,
            released: &mut released,
        };
        let given = act(replica, &mut around);
        if !released.is_empty() && self.coordinator.has(at) {
            self.coordinator.released(at, &released.into_iter().collect());
            self.rebalance();
        }
        Some(given)
    }

    fn anyone(&self) -> usize {
        self.chance.below(self.slots.len())
    }

    fn step_any(&mut self) {
        let at = self.anyone();
        let works = self.slots[at].replica.as_ref().filter(|_| !self.slots[at].asleep).map(Replica::works);
        if let Some(work) = works.as_ref().and_then(|works| self.chance.pick(works)) {
            work.step();
        }
    }

    fn deliver_any(&mut self) {
        let at = self.anyone();
        if self.chance.once_in(2) {
            self.with(at, Replica::deliver_postgres);
        } else {
            self.with(at, Replica::deliver_kafka);
        }
    }

    fn poll_any(&mut self) {
        let at = self.anyone();
        self.with(at, |replica, around| {
            if !replica.poll(around) {
                replica.idle(around);
            }
        });
    }

    fn let_time_pass(&mut self) {
        let durations = [1, 10, 100, 300, 1_000, 3_000];
        self.clock.advance(Duration::from_millis(durations[self.chance.below(durations.len())]));
        self.tick_all();
    }

    fn tick_all(&mut self) {
        for at in 0..self.slots.len() {
            self.with(at, |replica, around| replica.on(Input::Tick, around));
        }
    }

    /// Faults end; everything goes on until nothing is left to do. Half of the schedules end without another record.
    pub(super) fn come_to_rest(&mut self) {
        self.server.faults.lost.set(0);
        self.server.faults.down.set(false);
        self.kafka_down = false;
        if !self.plan.quiet && self.chance.once_in(2) {
            self.produce();
        }
        (0..self.slots.len()).for_each(|at| self.wake(at));
        // At least one consumer reads what is left; where keys are spread over partitions, one alone.
        for at in 0..self.slots.len() {
            if at > 0 && !self.plan.keyed {
                self.kill(at);
            } else if self.slots[at].replica.is_none() && (at == 0 || self.chance.once_in(2)) {
                self.start(at);
            }
        }
        self.note("rest");
        let mut began = self.clock.now();
        for _ in 0..MOST_STEPS {
            if !self.holds() {
                return;
            }
            if self.is_at_rest() {
                self.check_at_rest();
                if self.plan.keyed || self.plan.settings.repartition || !self.holds() {
                    return;
                }
                self.repartition();
                began = self.clock.now();
            }
            if !self.go_on() {
                self.pass_to_next_deadline();
            }
            self.reap();
            if self.replicas().next().is_none() && !self.is_at_rest() {
                self.start(0);
            }
            if self.clock.now() - began > REST {
                self.report_stall("time is up");
                return;
            }
        }
        self.report_stall("it goes on and on");
    }

    /// One consumer alone gives all groups the owner partition that their records come from, on connections that may break.
    fn repartition(&mut self) {
        self.server.faults.lost.set(if self.chance.once_in(2) { 40 } else { 0 });
        (0..self.slots.len()).for_each(|at| self.kill(at));
        self.plan.settings = Settings { repartition: true, until_end: true, ..self.plan.settings.clone() };
        self.start(0);
    }

    fn report_stall(&mut self, why: &str) {
        let offsets: BTreeMap<i32, Option<i64>> = self
            .server
            .database
            .borrow()
            .tables
            .partitions
            .iter()
            .map(|(p, row)| (*p, row.stored.next_offset))
            .collect();
        let ends: Vec<i64> = self.logs.iter().map(|log| log.end).collect();
        let unready: Vec<Vec<String>> =
            self.slots.iter().flat_map(|slot| &slot.replica).map(|replica| replica.core.unready(Vec::new())).collect();
        let clients: Vec<_> =
            self.replicas().map(|replica| (replica.core.takes(), replica.core.describe(), &replica.client)).collect();
        let holders = &self.coordinator.holders;
        let open = self.server.database.borrow().open();
        let more = format!("partitions are held by {holders:?}; {clients:?}; open transactions: {open}");
        self.violations.push(format!("{why}: stored to {offsets:?} of {ends:?}; not ready: {unready:?}; {more}"));
    }

    /// Everybody does what can be done; whether anything could be.
    fn go_on(&mut self) -> bool {
        let before = self.server.statements.get();
        let mut went_on = self.server.database.borrow_mut().end_orphan(&self.chance);
        for at in 0..self.slots.len() {
            let works = self.slots[at].replica.as_ref().map(Replica::works).unwrap_or_default();
            for work in works {
                work.step();
                if self.plan.residency != Residency::Memory {
                    // The first step of a lookup is no statement.
                    work.step();
                }
            }
            went_on |= self.with(at, Replica::deliver_postgres).unwrap_or(false);
            went_on |= self.with(at, Replica::deliver_kafka).unwrap_or(false);
            for _ in 0..3 {
                went_on |= self.with(at, Replica::poll).unwrap_or(false);
            }
        }
        went_on || self.server.statements.get() > before
    }

    fn pass_to_next_deadline(&mut self) {
        for at in 0..self.slots.len() {
            self.with(at, Replica::idle);
        }
        let now = self.clock.now();
        let wakes = self.slots.iter().flat_map(|slot| &slot.replica).map(|replica| replica.core.wakes_at(now));
        let next = wakes.min().unwrap_or(now).saturating_duration_since(now);
        self.clock.advance(next.clamp(Duration::from_millis(1), Duration::from_secs(5)));
        self.tick_all();
    }

    /// Whether all is stored and refreshed, and every consumer reads.
    fn is_at_rest(&self) -> bool {
        if self.plan.settings.repartition && self.replicas().next().is_some() {
            return false;
        }
        let database = self.server.database.borrow();
        let is_refreshed = |(partition, log): (i32, &Log)| {
            database.tables.partitions.get(&partition).map_or(log.end == 0, |row| {
                row.stored.next_offset.unwrap_or(0) >= log.records.last().map_or(0, |record| record.offset + 1)
                    && row.stored.refreshed_through == row.stored.next_offset
                    && row.stored.refreshed_id == row.stored.last_id
            })
        };
        let idle = |replica: &Replica| {
            replica.core.is_idle() && !replica.client.has_request() && replica.core.unready(Vec::new()).is_empty()
        };
        (0..).zip(&self.logs).all(is_refreshed)
            && self.slots.iter().flat_map(|slot| &slot.replica).all(idle)
            && (self.plan.settings.until_end || self.coordinator.holders.len() == self.logs.len())
    }

    /// The replicas that run.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.slots.iter().flat_map(|slot| &slot.replica)
    }
}

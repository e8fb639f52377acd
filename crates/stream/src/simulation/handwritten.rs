//! Schedules that chance seldom finds.

use std::{rc::Rc, time::Duration};

use crate::{
    core::Input,
    simulation::{
        kafka::Log,
        replica::Replica,
        turns::Work,
        world::{HEARTBEAT, Slot, World},
    },
};

/// Longer than it is until the next refresh.
const REFRESHED: Duration = Duration::from_millis(60);

/// A consumer owes a refresh to a partition that is then given to another one, and refreshes what it keeps.
pub(super) fn owed() -> World {
    let mut world = prepared(2);
    world.server.database.borrow_mut().tables.spread = true;
    world.logs[0].append(1_001, "0 0 1".to_owned());
    world.logs[1].append(1_000, "0 1 2".to_owned());
    world.server.database.borrow_mut().ends = vec![1, 1];
    world.start(0);
    world.run_until_idle(0);
    // The group belongs to partition 1, and is refreshed.
    world.read_of(1);
    world.run_until_idle(0);
    world.clock.advance(REFRESHED);
    world.run_until_idle(0);
    // A fact of it comes from partition 0, and partition 1 goes to another consumer, which has not loaded it yet.
    world.read_of(0);
    world.run_until_idle(0);
    world.start(1);
    world.run_until_idle(0);
    world.clock.advance(REFRESHED);
    world.run_until_idle(0);
    world.holds();
    world
}

/// In one batch, a record of another partition is stored after the one that has overtaken it; then all is loaded.
pub(super) fn overtaken() -> World {
    let mut world = prepared(2);
    world.plan.least_batch = 3;
    world.server.database.borrow_mut().tables.spread = true;
    world.logs[0].append(1_000, "0 0 1".to_owned());
    world.logs[1].append(1_001, "0 0 2".to_owned());
    world.logs[0].append(1_002, "0 0 3".to_owned());
    world.start(0);
    world.run_until_idle(0);
    world.with(0, |replica, around| {
        for partition in [0, 1, 0] {
            replica.poll_of(partition, false, around);
        }
        replica.idle(around);
    });
    world.run_until_idle(0);
    world.kill(0);
    world.logs[0].append(1_003, "0 1 4".to_owned());
    world.start(0);
    world.run_until_idle(0);
    world.come_to_rest();
    world
}

/// The database is restored to a copy of the same offsets, but of before a refresh.
pub(super) fn restored() -> World {
    let mut world = prepared(1);
    world.logs[0].append(1_000, "0 0 1".to_owned());
    world.logs[0].append(1_001, "1 0 2".to_owned());
    world.start(0);
    world.run_until_idle(0);
    world.read_of(0);
    world.run_until_idle(0);
    let older = world.server.database.borrow().tables.clone();
    world.clock.advance(REFRESHED);
    world.run_until_idle(0);
    world.server.database.borrow_mut().tables = older;
    world.loses_commits();
    world.come_to_rest();
    world
}

/// A partition is lost, given back and loaded while a batch of it is in flight.
pub(super) fn claimed_again() -> World {
    let mut world = lost_and_given_back().0;
    world.come_to_rest();
    world
}

/// The same, and the fetch of before brings its end.
pub(super) fn old_end() -> World {
    let (mut world, fetch) = lost_and_given_back();
    world.with(0, |replica, around| replica.on(Input::EndOfPartition { fetch, partition: 0 }, around));
    world.come_to_rest();
    world
}

/// A partition was lost and given back, with the number of its fetch of before.
fn lost_and_given_back() -> (World, u64) {
    let mut world = prepared(1);
    world.logs[0].append(1_000, "0 0 1".to_owned());
    world.logs[0].append(1_001, "1 0 2".to_owned());
    world.server.database.borrow_mut().ends = vec![2];
    world.start(0);
    world.run_until_idle(0);
    world.read_of(0);
    let fetch = world.with(0, |replica, _| replica.client.fetch_of(0)).flatten().expect("it is fetched");
    world.fall_asleep(0);
    world.wake(0);
    world.clock.advance(HEARTBEAT);
    world.go_on_with(0, Replica::loading);
    // What is in flight is answered before any record is read again.
    world.run_until_idle(0);
    (world, fetch)
}

/// Two consumers that refresh often, of which none has started; no fault occurs unless a test makes it.
fn prepared(partitions: usize) -> World {
    let mut world = World::new(0);
    (world.plan.partitions, world.plan.keyed, world.plan.settings.until_end) = (partitions, true, false);
    world.plan.settings.refresh_every = Duration::from_millis(50);
    world.slots = (0..2).map(|_| Slot::default()).collect();
    world.logs = vec![Log::default(); partitions];
    world.server.database.borrow_mut().ends = vec![0; partitions];
    world
}

impl World {
    /// The first consumer reads a record of that partition, and sends it.
    fn read_of(&mut self, partition: i32) {
        self.with(0, |replica, around| {
            replica.poll_of(partition, false, around);
            replica.idle(around);
        });
    }

    /// One of them does all that it can, but for reading.
    fn run_until_idle(&mut self, at: usize) {
        self.go_on_with(at, Replica::works);
    }

    /// One of them does all that it can, but for reading, and has some of its sessions go on.
    fn go_on_with(&mut self, at: usize, works: fn(&Replica) -> Vec<Rc<Work>>) {
        for _ in 0..200 {
            let works = self.slots[at].replica.as_ref().map(works).unwrap_or_default();
            for work in works {
                work.step();
            }
            self.with(at, Replica::deliver_postgres);
            self.with(at, Replica::deliver_kafka);
            self.with(at, |replica, around| replica.on(Input::Tick, around));
        }
    }
}

//! Schedules that chance seldom finds.

use std::time::Duration;

use crate::{
    core::Input,
    simulation::{
        kafka::{Asked, Log},
        replica::Replica,
        world::{Slot, World},
    },
};

/// Longer than it is until the next refresh.
const REFRESHED: Duration = Duration::from_millis(60);
/// Longer than a fenced consumer waits until it claims again.
const CLAIMED_AGAIN: Duration = Duration::from_secs(5);

/// A consumer owes a refresh to a partition that is then given to another one, and refreshes what it keeps.
pub(super) fn owed() -> World {
    let mut world = prepared(2);
    world.logs[0].append(1_001, "0 0 1".to_owned());
    world.logs[1].append(1_000, "0 1 2".to_owned());
    world.server.database.borrow_mut().ends = vec![1, 1];
    world.start(0);
    world.settle(0);
    // The group belongs to partition 1, and is told.
    world.read_of(1);
    world.settle(0);
    world.clock.advance(REFRESHED);
    world.settle(0);
    // A fact of it comes from partition 0, and partition 1 goes to another consumer, which has not loaded it yet.
    world.read_of(0);
    world.settle(0);
    world.start(1);
    world.settle(0);
    world.clock.advance(REFRESHED);
    world.settle(0);
    world.holds();
    world
}

/// The database is restored to a copy of the same offsets, but of before a refresh.
pub(super) fn restored() -> World {
    let mut world = prepared(1);
    world.logs[0].append(1_000, "0 0 1".to_owned());
    world.logs[0].append(1_001, "1 0 2".to_owned());
    world.start(0);
    world.settle(0);
    world.read_of(0);
    world.settle(0);
    let older = world.server.database.borrow().tables.clone();
    world.clock.advance(REFRESHED);
    world.settle(0);
    world.server.database.borrow_mut().tables = older;
    world.loses_commits();
    world.come_to_rest();
    world
}

/// The group asks a partition back while another is loaded once more, and a batch of before is not answered yet: what Kafka says of
/// the topic comes in between.
pub(super) fn revoked_in_mid_load() -> World {
    let mut world = prepared(2);
    world.logs[0].append(1_000, "0 0 1".to_owned());
    world.logs[1].append(1_001, "2 0 2".to_owned());
    world.start(0);
    world.settle(0);
    // Two batches are sent; the first is refused, because partition 0 was claimed by hand.
    world.read_of(0);
    world.step_writer(1);
    world.read_of(1);
    world.server.database.borrow_mut().by_hand(|tables| {
        tables.partitions.values_mut().filter(|row| row.stored.partition == 0).for_each(|row| row.stored.epoch += 1);
    });
    while world.with(0, Replica::hear_answer) != Some(true) {
        world.step_writer(1);
    }
    world.clock.advance(CLAIMED_AGAIN);
    world.with(0, |replica, around| replica.on(Input::Tick, around));
    // The answer to the second batch is not heard yet.
    while world.with(0, Replica::hear_load) != Some(true) {
        let works = world.slots[0].replica.as_ref().map(Replica::works).unwrap_or_default();
        works.last().map(|load| load.step());
    }
    world.with(0, |replica, around| {
        replica.client.asks(Asked::Revoke(vec![1]));
        replica.hear_asked(around);
        replica.hear_look(around);
    });
    world.holds();
    world
}

/// Two consumers that refresh often, of which none has started; nothing goes wrong by itself.
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

    fn step_writer(&mut self, statements: usize) {
        let works = self.slots[0].replica.as_ref().map(Replica::works).unwrap_or_default();
        for _ in 0..statements {
            works[0].step();
        }
    }

    /// One of them does all that it can, but for reading.
    fn settle(&mut self, at: usize) {
        for _ in 0..200 {
            let works = self.slots[at].replica.as_ref().map(Replica::works).unwrap_or_default();
            for work in works {
                work.step();
            }
            self.with(at, Replica::hear);
            self.with(at, Replica::hear_kafka);
            self.with(at, |replica, around| replica.on(Input::Tick, around));
        }
    }
}

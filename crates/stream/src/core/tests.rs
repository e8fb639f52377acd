use std::collections::{BTreeMap, BTreeSet};

use service::settings::KafkaSettings;

use super::*;
use crate::{
    core::{
        groups::Groups,
        jobs::{Load, Loaded},
        offsets::Stored,
    },
    tests::{consumer::feed, tiny::Tiny},
};

/// A consumer, and what it has asked for.
struct Case {
    core: Consumer<Tiny>,
    now: Instant,
    out: Vec<Command<Tiny>>,
}

impl Case {
    fn new(until_end: bool, ends: impl IntoIterator<Item = (i32, i64)>) -> Self {
        let (now, feed) = (Instant::now(), Arc::new(feed()));
        let second = Duration::from_secs(1);
        let settings = Settings {
            until_end,
            refresh_every: second,
            batch_size: 100,
            reset_offsets: false,
            repartition: false,
            wait: 60 * second,
            away: 300 * second,
            compacted: false,
        };
        let kafka = KafkaSettings::plaintext("kafka:9092");
        let client = Client { settings: kafka, group: "group".to_owned(), topic: feed.topic.clone() };
        let core = Consumer::new(now, (Arc::new(Tiny), feed), settings, (client, ends.into_iter().collect()));
        Self { core, now, out: Vec::new() }
    }

    /// What follows.
    fn on(&mut self, input: Input<'_, Tiny>) -> Vec<Command<Tiny>> {
        self.core.on(self.now, input, &mut self.out).expect("nothing ends it");
        std::mem::take(&mut self.out)
    }

    fn after(&mut self, wait: Duration) -> Vec<Command<Tiny>> {
        self.now += wait;
        self.on(Input::Tick)
    }

    /// Partitions of which nothing is stored are assigned, claimed, loaded, and read to `end`, which is what Kafka has of each.
    fn read(&mut self, partitions: &[i32], end: i64) {
        let load = load(&self.on(Input::Assigned(partitions.to_vec()))).expect("they are to be loaded");
        let fetches = self.begin_reading(&load, end, BTreeMap::new());
        for Fetch { partition, number, .. } in fetches {
            for offset in 0..end {
                let message = Message { partition, offset, timestamp_ms: 1, key: None, value: Some(b"0 0 1") };
                self.on(Input::Record { fetch: number, message });
            }
        }
    }

    /// A load brings nothing, and Kafka answers; what is fetched then.
    fn begin_reading(&mut self, load: &Load, end: i64, ends: BTreeMap<i32, i64>) -> Vec<Fetch> {
        let partitions = load.claim.partitions.iter().copied();
        let stored = partitions.clone().map(|partition| Stored { partition, epoch: 1, ..Stored::default() }).collect();
        let loaded = Ok(Box::new(Loaded { stored, groups: Groups::default() }));
        let asked = self.on(Input::Loaded { load: load.number, loaded });
        let look = asked.iter().find_map(|command| match command {
            Command::Look(look) => Some(look.number),
            _ => None,
        });
        let offsets = partitions.map(|partition| (partition, (0, end))).collect();
        let answer = Ok(Some(Seen { offsets, ends }));
        let begun = self.on(Input::Topic { look: look.expect("Kafka is asked"), answer });
        begun
            .into_iter()
            .find_map(|command| match command {
                Command::Fetch(fetches) => Some(fetches),
                _ => None,
            })
            .expect("they are fetched")
    }
}

fn load(commands: &[Command<Tiny>]) -> Option<Load> {
    commands.iter().find_map(|command| match command {
        Command::Load(load) => Some(load.clone()),
        _ => None,
    })
}

fn released(commands: &[Command<Tiny>]) -> Option<&BTreeSet<i32>> {
    commands.iter().find_map(|command| match command {
        Command::Release(partitions) => Some(partitions),
        _ => None,
    })
}

/// The number of batches that are sent.
fn batches(commands: &[Command<Tiny>]) -> usize {
    commands.iter().filter(|command| matches!(command, Command::Job(Job { task: Task::Commit(_), .. }))).count()
}

#[test]
fn what_is_revoked_in_mid_load_is_given_back_at_once_and_the_rest_is_loaded_anew() {
    let mut case = Case::new(false, []);
    let first = load(&case.on(Input::Assigned(vec![0, 1]))).unwrap();
    let commands = case.on(Input::Revoked(vec![1]));
    assert!(commands.iter().any(|command| matches!(command, Command::CancelLoad)));
    assert_eq!(released(&commands), Some(&BTreeSet::from([1])));
    let second = load(&commands).unwrap();
    assert_eq!((second.claim.partitions, second.number > first.number), (vec![0], true));
    let stored = vec![Stored { partition: 1, epoch: 1, ..Stored::default() }];
    let late = case
        .on(Input::Loaded { load: first.number, loaded: Ok(Box::new(Loaded { stored, groups: Groups::default() })) });
    assert!(late.is_empty(), "what the first load brings is ignored");
}

#[test]
fn what_is_revoked_while_it_is_read_is_given_back_once_its_batches_are_answered_or_after_a_while() {
    for is_answered in [true, false] {
        let mut case = Case::new(false, []);
        case.read(&[0], 2);
        let commands = case.on(Input::Revoked(vec![0]));
        assert_eq!((batches(&commands), released(&commands)), (1, None));
        let commands = match is_answered {
            true => case.on(Input::Answer(Answer::Batches {
                shard: case.core.shard(),
                count: 1,
                outcome: Outcome::Stored(vec![(0, 2)]),
            })),
            false => case.after(REVOKE),
        };
        assert_eq!(released(&commands), Some(&BTreeSet::from([0])));
    }
}

#[test]
fn a_fenced_consumer_forgets_all_and_claims_again_after_a_while() {
    let mut case = Case::new(false, []);
    case.read(&[0, 1], 2);
    assert_eq!((batches(&case.on(Input::Idle)), case.core.facts()), (1, 1));
    let before = case.core.shard();
    let outcome = Outcome::Refused(Refusal::Fenced { partition: 0, epoch: 2 });
    let commands = case.on(Input::Answer(Answer::Batches { shard: before, count: 1, outcome }));
    assert!(case.core.facts() == 0 && load(&commands).is_none());
    assert_eq!(case.core.unready(Vec::new()), ["partitions 0, 1 wait to be claimed"]);
    assert!(load(&case.after(AFTER_A_FENCE / 2)).is_none());
    assert_eq!(load(&case.after(AFTER_A_FENCE / 2)).unwrap().claim.partitions, [0, 1]);
    // An answer to what was forgotten frees its place, and nothing else.
    let outcome = Outcome::Refused(Refusal::Fenced { partition: 1, epoch: 2 });
    case.core.unanswered.batches = 1;
    case.on(Input::Answer(Answer::Batches { shard: before, count: 1, outcome }));
    assert_eq!((case.core.unanswered.batches, case.core.shard.loading()), (0, &[0, 1][..]));
}

#[test]
fn a_topic_that_ends_before_the_end_seen_at_start_is_read_to_its_own() {
    let mut case = Case::new(true, [(0, 9)]);
    let load = load(&case.on(Input::Assigned(vec![0]))).unwrap();
    let fetch = case.begin_reading(&load, 2, BTreeMap::from([(0, 2)]))[0].number;
    let message = |offset| Message { partition: 0, offset, timestamp_ms: 1, key: None, value: Some(b"0 0 1") };
    assert_eq!(batches(&case.on(Input::Record { fetch, message: message(0) })), 0);
    assert_eq!(batches(&case.on(Input::Record { fetch, message: message(1) })), 1, "that was the last one");
}

#[test]
fn a_stop_stores_and_tells_what_was_read_and_ends() {
    let mut case = Case::new(false, []);
    case.read(&[0], 2);
    assert_eq!(batches(&case.on(Input::Stop)), 1);
    let shard = case.core.shard();
    let stored = Outcome::Stored(vec![(0, 2)]);
    let commands = case.on(Input::Answer(Answer::Batches { shard, count: 1, outcome: stored }));
    let refreshes = commands.iter().find_map(|command| match command {
        Command::Job(Job { task: Task::Refresh(refresh), .. }) => Some(refresh.to.clone()),
        _ => None,
    });
    let outcome = Outcome::Stored((refreshes.expect("it is told"), true));
    let commands = case.on(Input::Answer(Answer::Refresh { shard, outcome }));
    assert!(matches!(commands.last(), Some(Command::End)));
}

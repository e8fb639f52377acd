use std::collections::{BTreeMap, BTreeSet};

use service::settings::KafkaSettings;

use super::*;
use crate::{
    core::{
        check::{KeyMoved, Refusal},
        groups::Groups,
        interface::{Fetch, Message},
        jobs::{Answer, Job, JobOutcome, Load, Loaded, LoadedShard},
        kafka::TopicState,
        offsets::PartitionRow,
    },
    tests::{
        consumer::{feed, stored},
        tiny::Tiny,
    },
};

/// By then the progress of all partitions is read again.
const COMPARED: Duration = Duration::from_secs(6);

/// A consumer, and what it wants done.
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
            outage_timeout: 300 * second,
            compacted: false,
            facts_memory: 1 << 20,
            tail_facts: 1_000,
        };
        let kafka = KafkaSettings::plaintext("kafka:9092");
        let client = Client { settings: kafka, group: "group".to_owned(), topic: feed.topic.clone() };
        let core = Consumer::new(now, Arc::new(Tiny::default()), feed, settings, client, ends.into_iter().collect());
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

    /// A load brings nothing, and Kafka responds; returns what is fetched then.
    fn begin_reading(&mut self, load: &Load, end: i64, ends: BTreeMap<i32, i64>) -> Vec<Fetch> {
        let commands = self.on(Input::Loaded { load: load.number, loaded: Ok(Box::new(nothing(load))) });
        let query = topic_query(&commands);
        let offsets = load.claim.partitions.iter().map(|partition| (*partition, (0, end))).collect();
        let response = Ok(Some(TopicState { offsets, ends }));
        let begun = self.on(Input::Topic { query: query.expect("Kafka is queried"), response });
        fetches(&begun).expect("they are fetched")
    }

    /// The number of the shard of a partition.
    fn shard(&mut self, partition: i32) -> u64 {
        self.core.shards.of(partition).expect("it has one").number
    }

    fn refuse(&mut self, partition: i32, refusal: Refusal) -> Vec<Command<Tiny>> {
        let shards = vec![(self.shard(partition), JobOutcome::Refused(refusal))];
        self.on(Input::Answer(Answer::Batches { shards, count: 1 }))
    }
}

/// A load of partitions of which nothing is stored.
fn nothing(load: &Load) -> Loaded<Tiny> {
    let shard = |partitions: &Vec<i32>| LoadedShard {
        partitions: partitions.clone(),
        stored: partitions
            .iter()
            .map(|p| PartitionRow { partition: *p, epoch: 1, ..PartitionRow::default() })
            .collect(),
        groups: Groups::default(),
    };
    Loaded::Shards(load.shards.iter().map(shard).collect())
}

fn fetches(commands: &[Command<Tiny>]) -> Option<Vec<Fetch>> {
    commands.iter().find_map(|command| match command {
        Command::Fetch(fetches) => Some(fetches.clone()),
        _ => None,
    })
}

fn topic_query(commands: &[Command<Tiny>]) -> Option<u64> {
    commands.iter().find_map(|command| match command {
        Command::TopicQuery(query) => Some(query.number),
        _ => None,
    })
}

/// The number of a read of the progress, and the keys whose owners it reads.
fn progress(commands: &[Command<Tiny>]) -> Option<(u64, Vec<String>)> {
    commands.iter().find_map(|command| match command {
        Command::Job(Job::ReadProgress { number, keys }) => Some((*number, keys.clone())),
        _ => None,
    })
}

fn load(commands: &[Command<Tiny>]) -> Option<Load> {
    commands.iter().find_map(|command| match command {
        Command::Load(load) => Some(load.clone()),
        _ => None,
    })
}

fn released(commands: &[Command<Tiny>]) -> Option<&BTreeSet<i32>> {
    commands.iter().find_map(|command| match command {
        Command::CompleteRevocation(partitions) => Some(partitions),
        _ => None,
    })
}

/// The number of batches that are sent.
fn batches(commands: &[Command<Tiny>]) -> usize {
    commands.iter().filter(|command| matches!(command, Command::Job(Job::Commit(_)))).count()
}

fn set<const N: usize>(partitions: [i32; N]) -> BTreeSet<i32> {
    BTreeSet::from(partitions)
}

#[test]
fn an_assignment_is_accepted_at_once_and_others_are_read_meanwhile() {
    let mut case = Case::new(false, []);
    case.read(&[0], 2);
    let commands = case.on(Input::Assigned(vec![1, 2]));
    assert!(matches!(commands[0], Command::Accept));
    assert_eq!(load(&commands).unwrap().shards, [[1], [2]], "one load for all of them");
    assert!(matches!(case.core.takes(), Takes::Records(_)) && case.core.takes_records());
    assert_eq!(case.core.unready(Vec::new()), ["partitions 1, 2 are being claimed and loaded"]);
}

#[test]
fn what_is_revoked_in_mid_load_is_given_back_at_once_and_the_rest_goes_on() {
    let mut case = Case::new(false, []);
    let first = load(&case.on(Input::Assigned(vec![0, 1]))).unwrap();
    case.on(Input::Claimed(first.number));
    let commands = case.on(Input::Revoked(vec![1]));
    assert_eq!(released(&commands), Some(&set([1])));
    assert!(load(&commands).is_none());
    assert_eq!(case.begin_reading(&first, 2, BTreeMap::new()).len(), 1, "what the load brings of the other is ignored");
    let second = load(&case.on(Input::Assigned(vec![1]))).unwrap();
    let commands = case.on(Input::Revoked(vec![1]));
    assert!(commands.iter().any(|command| matches!(command, Command::CancelLoad(load) if *load == second.number)));
}

#[test]
fn what_is_revoked_while_it_is_read_is_sent_and_given_back_at_once() {
    let mut case = Case::new(false, []);
    case.read(&[0, 1], 2);
    let shard = case.shard(0);
    let commands = case.on(Input::Revoked(vec![0]));
    assert_eq!((batches(&commands), released(&commands)), (1, Some(&set([0]))));
    assert!(commands.iter().any(|command| matches!(command, Command::Free(_))));
    // An answer to what was forgotten frees its slot, and nothing else.
    let refused = JobOutcome::Refused(Refusal::Fenced { partition: 0, epoch: 2 });
    case.on(Input::Answer(Answer::Batches { shards: vec![(shard, refused)], count: 1 }));
    assert_eq!((case.core.unanswered.batches, case.core.shards.partitions(Shard::is_reading)), (0, vec![1]));
}

#[test]
fn a_fenced_shard_is_claimed_again_after_a_while_and_the_others_go_on() {
    let mut case = Case::new(false, []);
    case.read(&[0, 1], 2);
    assert_eq!((batches(&case.on(Input::Idle)), case.core.facts()), (1, 2));
    let commands = case.refuse(0, Refusal::Fenced { partition: 0, epoch: 2 });
    assert!(commands.iter().any(|command| matches!(command, Command::StopFetching(gone) if *gone == set([0]))));
    assert!(case.core.facts() == 1 && load(&commands).is_none() && case.core.takes_records());
    assert_eq!(case.core.unready(Vec::new()), ["partitions 0 wait to be claimed"]);
    assert!(load(&case.after(AFTER_A_FENCE / 2)).is_none());
    assert_eq!(load(&case.after(AFTER_A_FENCE / 2)).unwrap().claim.partitions, [0]);
}

#[test]
fn a_key_of_another_partition_of_ours_makes_one_shard_of_all() {
    let mut case = Case::new(false, []);
    case.read(&[0, 1], 2);
    case.on(Input::Idle);
    let by = KeyMoved { key: "r0".to_owned(), owner: 0, partition: 1 };
    let commands = case.refuse(1, Refusal::KeyMoved(by));
    let load = load(&commands).unwrap();
    assert_eq!((load.shards.clone(), load.claim.spread), (vec![vec![1]], true), "what is known of the other is kept");
    assert_eq!(case.begin_reading(&load, 2, BTreeMap::new()).len(), 2);
    assert_eq!(case.core.shards.partitions(Shard::is_reading), [0, 1]);
}

#[test]
fn a_key_of_a_partition_that_is_not_ours_blocks_its_shard_only() {
    let mut case = Case::new(false, []);
    case.read(&[0, 1], 2);
    case.on(Input::Idle);
    let by = KeyMoved { key: "r0".to_owned(), owner: 7, partition: 1 };
    let first = load(&case.refuse(1, Refusal::KeyMoved(by.clone()))).expect("it refreshes what it owes first");
    let commands = case.on(Input::Loaded { load: first.number, loaded: Ok(Box::new(nothing(&first))) });
    let query = topic_query(&commands);
    let seen = TopicState { offsets: [(1, (0, 2))].into(), ends: BTreeMap::new() };
    let commands = case.on(Input::Topic { query: query.unwrap(), response: Ok(Some(seen)) });
    assert!(fetches(&commands).is_none() && case.core.facts() == 1, "it holds no memory");
    assert_eq!(case.core.shards.partitions(Shard::is_reading), [0]);
    assert!(case.core.unready(Vec::new())[0].starts_with("blocked: "));
    // The owner comes to us: all is read as one.
    let load = load(&case.on(Input::Assigned(vec![7]))).unwrap();
    assert_eq!(load.shards, [[1, 7]]);
}

#[test]
fn a_load_that_may_still_claim_what_was_given_back_is_cancelled() {
    let is_cancelled = |commands: &[Command<Tiny>]| commands.iter().any(|c| matches!(c, Command::CancelLoad(_)));
    let mut case = Case::new(false, []);
    case.on(Input::Assigned(vec![0, 1]));
    let commands = case.on(Input::Revoked(vec![1]));
    assert!(is_cancelled(&commands), "its claim would fence the new owner");
    let rest = load(&commands).expect("the rest is claimed again");
    assert_eq!(rest.claim.partitions, [0]);
    // One that has claimed fences nobody any more, and goes on for the rest.
    let mut case = Case::new(false, []);
    let first = load(&case.on(Input::Assigned(vec![0, 1]))).unwrap();
    case.on(Input::Claimed(first.number));
    let commands = case.on(Input::Revoked(vec![1]));
    assert!(!is_cancelled(&commands) && load(&commands).is_none());
    let again = load(&case.on(Input::Assigned(vec![1]))).expect("it is claimed again");
    assert_eq!(again.claim.partitions, [1]);
}

#[test]
fn nothing_is_fetched_of_shards_that_are_about_to_become_one() {
    let mut case = Case::new(false, []);
    case.read(&[0], 1);
    assert_eq!(batches(&case.on(Input::Idle)), 1);
    case.read(&[1], 1);
    assert_eq!(batches(&case.on(Input::Idle)), 1);
    let third = load(&case.on(Input::Assigned(vec![2]))).unwrap();
    let by = KeyMoved { key: "r0".to_owned(), owner: 1, partition: 0 };
    case.refuse(0, Refusal::KeyMoved(by));
    let commands = case.on(Input::Loaded { load: third.number, loaded: Ok(Box::new(nothing(&third))) });
    let seen = TopicState { offsets: (0..3).map(|partition| (partition, (0, 9))).collect(), ends: BTreeMap::new() };
    let query = topic_query(&commands).expect("Kafka is queried");
    let begun = case.on(Input::Topic { query, response: Ok(Some(seen)) });
    assert!(fetches(&begun).is_none(), "a batch is still unanswered");
    let shard = case.shard(1);
    let shards = vec![(shard, stored(vec![(1, 1)]))];
    let all = load(&case.on(Input::Answer(Answer::Batches { shards, count: 1 }))).expect("they are one");
    assert_eq!(all.shards, [[0]], "the others keep what they hold");
}

#[test]
fn only_an_answer_to_its_own_key_unblocks_a_shard() {
    let mut case = Case::new(false, []);
    let commands = case.on(Input::Assigned(vec![0]));
    let fetch = case.begin_reading(&load(&commands).unwrap(), 1, BTreeMap::new())[0].number;
    let message = Message { partition: 0, offset: 0, timestamp_ms: 1, key: None, value: Some(b"0 0 1") };
    case.on(Input::Record { fetch, message });
    assert_eq!(batches(&case.on(Input::Idle)), 1);
    // That read was sent before the shard was blocked.
    let number = progress(&commands).expect("the progress is read").0;
    let by = KeyMoved { key: "r0".to_owned(), owner: 7, partition: 0 };
    let again = load(&case.refuse(0, Refusal::KeyMoved(by))).expect("it refreshes what it owes first");
    let commands = case.on(Input::Loaded { load: again.number, loaded: Ok(Box::new(nothing(&again))) });
    let seen = TopicState { offsets: [(0, (0, 1))].into(), ends: BTreeMap::new() };
    case.on(Input::Topic { query: topic_query(&commands).expect("Kafka is queried"), response: Ok(Some(seen)) });
    let answer = |number, owners| Input::Answer(Answer::Progress { number, stored: Vec::new(), owners });
    assert!(load(&case.on(answer(number, BTreeMap::new()))).is_none());
    let (number, keys) = progress(&case.after(COMPARED)).expect("the progress is read again");
    assert_eq!(keys, ["r0"]);
    assert!(load(&case.on(answer(number, [("r0".to_owned(), Some(7))].into()))).is_none());
    let (number, _) = progress(&case.after(COMPARED)).expect("the progress is read again");
    assert!(load(&case.on(answer(number, [("r0".to_owned(), None)].into()))).is_some());
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
fn a_stop_stores_and_refreshes_what_was_read_and_ends() {
    let mut case = Case::new(false, []);
    case.read(&[0], 2);
    assert_eq!(batches(&case.on(Input::Stop)), 1);
    let shard = case.shard(0);
    let shards = vec![(shard, stored(vec![(0, 2)]))];
    let commands = case.on(Input::Answer(Answer::Batches { shards, count: 1 }));
    let to = commands.iter().find_map(|command| match command {
        Command::Job(Job::Refresh(refresh)) => Some(refresh.parts[0].to.clone()),
        _ => None,
    });
    // Another replica refreshes: it is tried again.
    case.on(Input::Answer(Answer::Refresh { shards: vec![(shard, JobOutcome::Void)], complete: false }));
    let commands = case.after(Duration::from_millis(200));
    assert!(commands.iter().any(|command| matches!(command, Command::Job(Job::Refresh(_)))));
    let shards = vec![(shard, JobOutcome::Stored(to.expect("it is refreshed")))];
    let commands = case.on(Input::Answer(Answer::Refresh { shards, complete: true }));
    assert!(matches!(commands.last(), Some(Command::End)));
}

#[test]
fn an_answer_about_the_topic_is_taken_at_once() {
    let mut case = Case::new(false, [(0, 1)]);
    let load = load(&case.on(Input::Assigned(vec![0]))).expect("it is to be loaded");
    assert_eq!(case.core.takes(), Takes::Records(AWAITED));
    case.on(Input::Loaded { load: load.number, loaded: Ok(Box::new(nothing(&load))) });
    assert_eq!(case.core.takes(), Takes::Records(AWAITED), "Kafka is queried about the topic");
}

//! One consumer: the real core, the real writer and loader, and a driver that has no client of Kafka.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use crate::{
    Error,
    core::{
        Command, Consumer, Input, Settings, Takes,
        jobs::{Answer, Job, Load, Loaded, Outcome, Task},
        kafka::{Failure, Look, Offsets, Seen},
        watch::Client as Name,
    },
    kafka_errors::Decision,
    postgres::{loader::Loader, retry::Postgres, writer::Writer},
    simulation::{
        kafka::{Arrived, Asked, Client, Log},
        postgres::{PartitionRow, SimServer},
        turns::{Clock, Rng, Work},
    },
    tests::tiny::Tiny,
};

type Queue<T> = Rc<RefCell<VecDeque<T>>>;

/// What a load of that number brings.
type LoadAnswer = (u64, Result<Box<Loaded<Tiny>>, Error>);

/// How a consumer has ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Well,
    With(Error),
}

/// A consumer's process.
pub(crate) struct Replica {
    pub(crate) core: Consumer<Tiny>,
    pub(crate) client: Client,
    commands: Vec<Command<Tiny>>,
    jobs: tokio::sync::mpsc::Sender<Job<Tiny>>,
    answers: Queue<Answer>,
    loads: Queue<LoadAnswer>,
    /// What Kafka says of the topic, as it was when it was asked.
    looks: VecDeque<(u64, Result<Option<Seen>, Failure>)>,
    told: usize,
    writer: Rc<Work>,
    load: Option<(u64, Rc<Work>)>,
    /// What came while no records were taken.
    kept: VecDeque<Arrived>,
    postgres: Postgres<SimServer>,
    /// Batches that were sent, but for those of which it has heard that they were void.
    pub(crate) sent: usize,
    server: SimServer,
    name: String,
    /// The claims under which partitions are read.
    epochs: BTreeMap<i32, i64>,
    /// The number of what is in memory.
    shard: u64,
    /// Whether the answer that is being heard refuses batches: what they hold is in memory and not stored.
    refused: bool,
    /// Whether Kafka has given cause to drop memory since it was loaded.
    kafka_failed: bool,
    /// The ends that it saw at start.
    pub(crate) ends: Vec<i64>,
    pub(crate) ended: Option<Ended>,
    pub(crate) stop_told: bool,
    /// Whether what it has stored was undone by hand since it was loaded.
    pub(crate) undone: bool,
    /// Whether the topic was created again, and its client is about to tell.
    pub(crate) created_again: bool,
    /// Whether the topic was created again before it started.
    pub(crate) is_after_another: bool,
}

/// What a replica needs of the world for one step.
pub(crate) struct Around<'a> {
    pub(crate) logs: &'a [Log],
    pub(crate) chance: &'a Rng,
    pub(crate) clock: &'a Clock,
    /// Whether Kafka answers.
    pub(crate) kafka_down: bool,
    pub(crate) violations: &'a mut Vec<String>,
    /// Partitions that it gave back, for the coordinator.
    pub(crate) released: &'a mut Vec<i32>,
}

impl Replica {
    pub(crate) fn start(server: &SimServer, name: String, settings: Settings, (logs, clock): (&[Log], &Clock)) -> Self {
        let feed = Arc::new(crate::tests::consumer::feed());
        let ends: Vec<i64> = logs.iter().map(|log| log.end).collect();
        let server = SimServer { name: name.clone(), ends: ends.clone(), ..server.clone() };
        let postgres = Postgres::new(server.clone(), std::time::Duration::from_secs(86_400));
        let (jobs, queue) = tokio::sync::mpsc::channel(crate::core::JOBS);
        let answers: Queue<Answer> = Rc::default();
        let heard = Rc::clone(&answers);
        let writer = Writer::new(postgres.clone(), move |answer| {
            heard.borrow_mut().push_back(answer);
            true
        });
        let kafka = service::settings::KafkaSettings::plaintext("sim:9092");
        let client = Name { settings: kafka, group: "group".to_owned(), topic: feed.topic.clone() };
        let named = (0..).zip(ends.iter().copied()).collect();
        Self {
            core: Consumer::new(clock.now(), (Arc::new(Tiny), feed), settings, (client, named)),
            client: Client::default(),
            commands: Vec::new(),
            jobs,
            answers,
            loads: Rc::default(),
            looks: VecDeque::new(),
            told: 0,
            writer: Work::new(writer.run(queue)),
            load: None,
            kept: VecDeque::new(),
            postgres,
            sent: 0,
            name,
            server,
            epochs: BTreeMap::new(),
            shard: 1,
            refused: false,
            kafka_failed: false,
            ends,
            ended: None,
            stop_told: false,
            undone: false,
            created_again: false,
            is_after_another: false,
        }
    }

    /// Sessions that may go on.
    pub(crate) fn works(&self) -> Vec<Rc<Work>> {
        [Some(&self.writer), self.load.as_ref().map(|(_, work)| work)].into_iter().flatten().map(Rc::clone).collect()
    }

    /// Tells the core, and does what it says.
    pub(crate) fn on(&mut self, input: Input<'_, Tiny>, around: &mut Around<'_>) {
        if self.ended.is_some() {
            return;
        }
        if let Err(error) = self.core.on(around.clock.now(), input, &mut self.commands) {
            self.ended = Some(Ended::With(error));
            return;
        }
        for command in std::mem::take(&mut self.commands) {
            self.execute(command, around);
        }
        if std::mem::replace(&mut self.shard, self.core.shard()) != self.core.shard() {
            if !self.may_drop() {
                around.violations.push("memory was dropped for nothing".to_owned());
            }
            self.epochs.clear();
            self.undone = false;
        }
        let is_ready = self.core.unready(Vec::new()).is_empty();
        if is_ready && (self.client.waits() || !self.core.is_reading()) {
            around.violations.push("ready while partitions wait".to_owned());
        }
    }

    /// What is read was loaded under the last claim of ours.
    fn check_claim(&self, partition: i32, epoch: i64, around: &mut Around<'_>) {
        let database = self.server.database.borrow();
        let row = database.tables.partitions.get(&partition);
        if row.is_some_and(|row| row.owner == self.name && row.stored.epoch > epoch) {
            around.violations.push("what is read was loaded under a claim before the last".to_owned());
        }
    }

    /// Whether there is a cause to drop what was loaded.
    fn may_drop(&self) -> bool {
        let database = self.server.database.borrow();
        let rows = &database.tables.partitions;
        let epoch = |partition: &i32| rows.get(partition).map_or(0, |row| row.stored.epoch);
        let is_of_another = |row: &PartitionRow| row.topic == 0 && row.stored.next_offset.is_some();
        self.undone
            || (self.is_after_another && rows.values().any(is_of_another))
            || self.kafka_failed
            || self.refused
            || self.epochs.is_empty()
            || self.epochs.iter().any(|(partition, held)| epoch(partition) != *held)
    }

    fn execute(&mut self, command: Command<Tiny>, around: &mut Around<'_>) {
        let chance = around.chance;
        match command {
            Command::Load(load) => {
                let feed = crate::tests::consumer::feed();
                let loader = Loader::new(self.postgres.clone(), self.name.clone(), &feed, None);
                let loads = Rc::clone(&self.loads);
                let work = async move |load: Load| {
                    let loaded = loader.run(&load).await.map(Box::new);
                    loads.borrow_mut().push_back((load.number, loaded));
                };
                self.load = Some((load.number, Work::new(async move { work(load).await })));
            }
            Command::CancelLoad => self.load = None,
            Command::Job(job) => {
                self.sent += usize::from(matches!(job.task, Task::Commit(_)));
                if self.jobs.try_send(job).is_err() {
                    around.violations.push("there is no room for another job".to_owned());
                }
            }
            Command::Fetch(fetches) => {
                let broken = self.client.fetch(&fetches, around.logs, || chance.once_in(2));
                around.violations.extend(broken.err());
                for fetch in &fetches {
                    let epoch = self.core.epoch(fetch.partition);
                    self.kafka_failed &= self.epochs.insert(fetch.partition, epoch) == Some(epoch);
                    self.check_claim(fetch.partition, epoch, around);
                }
            }
            Command::Release(partitions) => {
                let waited_for = self.client.release(&partitions, around.logs, || chance.once_in(2));
                self.epochs.retain(|partition, _| !partitions.contains(partition));
                match waited_for {
                    Ok(true) => around.released.extend(partitions),
                    Ok(false) => {}
                    Err(broken) => around.violations.push(broken),
                }
            }
            Command::Pause => self.client.pause(),
            Command::Resume => self.client.resume(),
            Command::Look(look) => self.looks.push_back((look.number, seen(&look, around))),
            Command::TellOffsets(_) => self.told += 1,
            Command::End => self.ended = Some(Ended::Well),
        }
    }

    /// Hands over one thing that has come from PostgreSQL, of a source that chance picks; whether there was one.
    pub(crate) fn hear(&mut self, around: &mut Around<'_>) -> bool {
        self.hear_one_of([Self::hear_answer, Self::hear_load], around)
    }

    /// Hands over one thing of the first source that has one, from the one on that chance picks; whether there was one.
    fn hear_one_of<const N: usize>(
        &mut self,
        mut sources: [fn(&mut Self, &mut Around<'_>) -> bool; N],
        around: &mut Around<'_>,
    ) -> bool {
        sources.rotate_left(around.chance.below(N));
        sources.iter().any(|hear| hear(self, around))
    }

    pub(crate) fn hear_answer(&mut self, around: &mut Around<'_>) -> bool {
        let Some(answer) = self.answers.borrow_mut().pop_front() else { return false };
        if let Answer::Batches { shard, count, outcome } = &answer {
            self.refused = *shard == self.core.shard() && matches!(outcome, Outcome::Refused(_));
            self.sent -= if *outcome == Outcome::Void { *count } else { 0 };
        }
        self.on(Input::Answer(answer), around);
        self.refused = false;
        true
    }

    pub(crate) fn hear_load(&mut self, around: &mut Around<'_>) -> bool {
        let Some((load, loaded)) = self.loads.borrow_mut().pop_front() else { return false };
        self.load.take_if(|(number, _)| *number == load);
        self.on(Input::Loaded { load, loaded }, around);
        true
    }

    /// Hands over one thing that Kafka has to say beside records, of a source that chance picks; whether there was one.
    pub(crate) fn hear_kafka(&mut self, around: &mut Around<'_>) -> bool {
        self.hear_one_of([Self::hear_look, Self::hear_told, Self::hear_created_again, Self::hear_asked], around)
    }

    pub(crate) fn hear_look(&mut self, around: &mut Around<'_>) -> bool {
        let Some((look, answer)) = self.looks.pop_front() else { return false };
        self.on(Input::Topic { look, answer }, around);
        true
    }

    fn hear_told(&mut self, around: &mut Around<'_>) -> bool {
        let is_told = self.told > 0 && !around.kafka_down;
        if is_told {
            self.told -= 1;
            self.on(Input::OffsetsTold(Ok(())), around);
        }
        is_told
    }

    fn hear_created_again(&mut self, around: &mut Around<'_>) -> bool {
        let is_told = std::mem::take(&mut self.created_again);
        if is_told {
            self.on(Input::TopicCreatedAgain, around);
        }
        is_told
    }

    pub(crate) fn hear_asked(&mut self, around: &mut Around<'_>) -> bool {
        // The callback runs in a poll.
        if matches!(self.core.takes(), Takes::Answers(_)) || around.kafka_down {
            return false;
        }
        let Some(asked) = self.client.take_asked(around.clock.now()) else { return false };
        let input = match asked {
            Asked::Assign(partitions) => Input::Assigned(partitions),
            Asked::Revoke(partitions) | Asked::Lost(partitions) => Input::Revoked(partitions),
        };
        self.on(input, around);
        true
    }

    /// Polls once, as the driver would; whether anything came.
    pub(crate) fn poll(&mut self, around: &mut Around<'_>) -> bool {
        let takes = self.core.takes();
        // What its client tells of the topic comes before any record of it.
        if matches!(takes, Takes::Answers(_)) || around.kafka_down || self.created_again {
            return false;
        }
        if matches!(takes, Takes::Records(_))
            && let Some(kept) = self.kept.pop_front()
        {
            self.arrive(kept, around);
            return true;
        }
        let fetched: Vec<i32> = self.client.fetched().into_iter().collect();
        let partition = around.chance.pick(&fetched).copied().unwrap_or(-1);
        let late = around.chance.once_in(4);
        self.poll_of(partition, late, around)
    }

    /// Polls of one partition; whether anything came.
    pub(crate) fn poll_of(&mut self, partition: i32, late: bool, around: &mut Around<'_>) -> bool {
        let takes = self.core.takes();
        let Some(arrived) = self.client.poll(partition, around.logs, late) else { return false };
        if matches!(takes, Takes::Records(_)) || arrived == Arrived::OutOfRange {
            self.arrive(arrived, around);
            return true;
        }
        if let Arrived::Record(_, partition, _) = &arrived {
            self.client.pause_one(*partition);
        }
        self.kept.push_back(arrived);
        true
    }

    fn arrive(&mut self, arrived: Arrived, around: &mut Around<'_>) {
        match arrived {
            Arrived::Record(fetch, partition, record) => {
                let message = record.message(partition);
                self.on(Input::Record { fetch, message }, around);
            }
            Arrived::End(fetch, partition) => self.on(Input::EndOfPartition { fetch, partition }, around),
            Arrived::OutOfRange => self.kafka_fails(Decision::OffsetOutOfRange, around),
        }
    }

    /// Kafka gives cause to drop memory.
    pub(crate) fn kafka_fails(&mut self, decision: Decision, around: &mut Around<'_>) {
        self.kafka_failed = true;
        self.on(Input::KafkaFailed(failure(decision)), around);
    }

    /// Nothing came for as long as it was waited for.
    pub(crate) fn idle(&mut self, around: &mut Around<'_>) {
        if matches!(self.core.takes(), Takes::Records(_)) && self.kept.is_empty() {
            self.on(Input::Idle, around);
        }
    }
}

fn seen(look: &Look, around: &Around<'_>) -> Result<Option<Seen>, Failure> {
    if around.kafka_down {
        return Err(failure(Decision::Retry));
    }
    let partitions = (0..).zip(around.logs).filter(|(partition, _)| look.only.is_none_or(|only| only == *partition));
    let offsets: Offsets = partitions.map(|(partition, log)| (partition, (log.first, log.end))).collect();
    let end =
        |(partition, known): (&i32, &i64)| Some((*partition, offsets.get(partition)?.1)).filter(|seen| seen.1 < *known);
    let ends = look.ends.iter().filter_map(end).collect();
    Ok(Some(Seen { offsets, ends }))
}

pub(crate) fn failure(decision: Decision) -> Failure {
    Failure { decision, error: "simulated".to_owned(), reason: "simulated".to_owned(), refused: false }
}

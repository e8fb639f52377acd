//! One consumer: the real core, the real writer and loader, and a driver that has no client of Kafka.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
};

use crate::{
    Error,
    core::{
        Command, Consumer, Input, Settings, Takes,
        jobs::{Answer, Job, JobOutcome, Load, Loaded, LookedUp, Lookup, StoredParts},
        kafka::{Failure, Offsets, TopicQuery, TopicState},
        watch::Client as Name,
    },
    kafka_errors::Decision,
    pipeline::Residency,
    postgres::{loader::Loader, lookup, retry::Postgres, writer::Writer},
    simulation::{
        kafka::{Arrived, Client, Log, Request},
        postgres::{SimPartition, SimServer},
        turns::{Clock, Rng, Work},
    },
    tests::tiny::{SIZE_MS, Tiny, partition_key, slot},
};

type Queue<T> = Rc<RefCell<VecDeque<T>>>;

/// What a load of that number says.
enum LoadNews {
    Claimed(u64),
    Loaded(u64, Result<Box<Loaded<Tiny>>, Error>),
}

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
    loads: Queue<LoadNews>,
    /// Kafka's responses about the topic, as it was at the time of the request.
    topic_responses: VecDeque<(u64, Result<Option<TopicState>, Failure>)>,
    /// Commits of offsets to Kafka that have no response yet.
    offset_commits: usize,
    writer: Rc<Work>,
    lookups: tokio::sync::mpsc::Sender<Lookup>,
    looked_up: Queue<(u64, Result<LookedUp, Error>)>,
    looking_up: Rc<Work>,
    /// Which groups leave its memory.
    residency: Residency,
    load_works: BTreeMap<u64, Rc<Work>>,
    /// What came while no records were taken.
    kept: VecDeque<Arrived>,
    postgres: Postgres<SimServer>,
    /// Batches that were sent, except those that were reported void.
    pub(crate) sent: usize,
    server: SimServer,
    name: String,
    /// The shards that are loaded, with the claims under which they were.
    claims: BTreeMap<u64, Vec<(i32, i64)>>,
    /// The partitions that are blocked.
    blocked: BTreeSet<i32>,
    /// The ends that it saw at start.
    pub(crate) ends: Vec<i64>,
    pub(crate) ended: Option<Ended>,
    pub(crate) stop_seen: bool,
    /// The shards whose stored facts were undone by hand since they were loaded.
    undone: BTreeSet<u64>,
    /// Whether something was undone while it was being loaded.
    undone_in_load: bool,
    /// Whether anything was ever undone.
    was_undone: bool,
    /// Whether the topic was recreated, and its client is about to report it.
    pub(crate) recreated: bool,
    /// Whether the topic was recreated before it started.
    pub(crate) is_after_another: bool,
}

/// What a replica needs of the world for one step.
pub(crate) struct Around<'a> {
    pub(crate) logs: &'a [Log],
    pub(crate) chance: &'a Rng,
    pub(crate) clock: &'a Clock,
    /// Whether Kafka is unavailable.
    pub(crate) kafka_down: bool,
    pub(crate) violations: &'a mut Vec<String>,
    /// Partitions that it gave back, for the coordinator.
    pub(crate) released: &'a mut Vec<i32>,
}

impl Replica {
    pub(crate) fn start(
        server: &SimServer,
        name: String,
        settings: Settings,
        residency: Residency,
        logs: &[Log],
        clock: &Clock,
    ) -> Self {
        let feed = Arc::new(crate::tests::consumer::feed());
        let ends: Vec<i64> = logs.iter().map(|log| log.end).collect();
        let server = SimServer { name: name.clone(), ends: ends.clone(), ..server.clone() };
        let postgres = Postgres::new(server.clone(), std::time::Duration::from_secs(86_400));
        let (jobs, queue) = tokio::sync::mpsc::channel(crate::core::JOBS);
        let answers: Queue<Answer> = Rc::default();
        let received = Rc::clone(&answers);
        let (lookups, asked) = tokio::sync::mpsc::channel(1);
        let looked_up: Queue<(u64, Result<LookedUp, Error>)> = Rc::default();
        let found = Rc::clone(&looked_up);
        let looking_up = lookup::run::<Tiny, _>(postgres.clone(), asked, move |number, rows| {
            found.borrow_mut().push_back((number, rows));
            true
        });
        let writer = Writer::new(postgres.clone(), move |answer| {
            received.borrow_mut().push_back(answer);
            true
        });
        let kafka = service::settings::KafkaSettings::plaintext("sim:9092");
        let client = Name { settings: kafka, group: "group".to_owned(), topic: feed.topic.clone() };
        let named = (0..).zip(ends.iter().copied()).collect();
        Self {
            core: Consumer::new(clock.now(), Arc::new(Tiny { residency }), feed, settings, client, named),
            client: Client::default(),
            commands: Vec::new(),
            jobs,
            answers,
            loads: Rc::default(),
            topic_responses: VecDeque::new(),
            offset_commits: 0,
            writer: Work::new(writer.run(queue)),
            lookups,
            looked_up,
            looking_up: Work::new(looking_up),
            residency,
            load_works: BTreeMap::new(),
            kept: VecDeque::new(),
            postgres,
            sent: 0,
            name,
            server,
            claims: BTreeMap::new(),
            blocked: BTreeSet::new(),
            ends,
            ended: None,
            stop_seen: false,
            undone: BTreeSet::new(),
            undone_in_load: false,
            was_undone: false,
            recreated: false,
            is_after_another: false,
        }
    }

    /// What it has stored was undone by hand.
    pub(crate) fn undo(&mut self) {
        self.undone = self.core.claims().into_keys().collect();
        self.undone_in_load |= self.core.is_loading();
        self.was_undone = true;
    }

    /// Whether what it holds may have been undone.
    pub(crate) fn is_undone(&self) -> bool {
        self.undone_in_load || !self.undone.is_empty()
    }

    /// Sessions that may go on.
    pub(crate) fn works(&self) -> Vec<Rc<Work>> {
        let looking_up = Some(&self.looking_up).filter(|_| self.residency != Residency::Memory);
        [Some(&self.writer), looking_up].into_iter().flatten().map(Rc::clone).chain(self.loading()).collect()
    }

    /// Those of them that load.
    pub(crate) fn loading(&self) -> Vec<Rc<Work>> {
        self.load_works.values().map(Rc::clone).collect()
    }

    /// Hands an event to the core, and executes its commands.
    pub(crate) fn on(&mut self, input: Input<'_, Tiny>, around: &mut Around<'_>) {
        if self.ended.is_some() {
            return;
        }
        let cause = Cause::of(&input);
        let (was_spread, was_joining) = (self.core.is_spread(), self.core.is_joining());
        if let Err(error) = self.core.on(around.clock.now(), input, &mut self.commands) {
            self.ended = Some(Ended::With(error));
            return;
        }
        for command in std::mem::take(&mut self.commands) {
            self.execute(command, around);
        }
        self.check_dropped(&cause, was_joining || !was_spread, around);
        self.check_blocked(around);
        let is_ready = self.core.unready(Vec::new()).is_empty();
        if is_ready && (self.client.waits() || !self.core.is_reading()) {
            around.violations.push("ready while partitions wait".to_owned());
        }
    }

    /// A shard's memory is dropped only for its own cause, or because all shards become one: at once, or after an answer.
    fn check_dropped(&mut self, cause: &Cause, may_join: bool, around: &mut Around<'_>) {
        let before = std::mem::replace(&mut self.claims, self.core.claims());
        let kept: BTreeSet<(i32, i64)> = self.claims.values().flatten().copied().collect();
        let regrouped = self.core.is_spread() && (may_join || cause.of_group);
        let is_kept = |claims: &[(i32, i64)]| claims.iter().all(|claim| kept.contains(claim));
        for (shard, claims) in before.into_iter().filter(|(_, claims)| !is_kept(claims)) {
            let is_undone = self.undone.remove(&shard) || self.undone_in_load;
            let is_ours = cause.shards.contains(&shard)
                || claims.iter().any(|(partition, _)| cause.partitions.contains(partition))
                || self.core.blocked_shards().contains(&shard);
            if !(is_undone || is_ours || regrouped || cause.is_of_all || self.is_void(&claims)) {
                around.violations.push(format!("memory of {claims:?} was dropped for nothing"));
            }
        }
    }

    /// A load takes no group into memory of which all facts are in the cold store, and none behind the horizon.
    fn check_loaded(&self, loaded: &Loaded<Tiny>, around: &mut Around<'_>) {
        let Loaded::Shards(shards) = loaded else { return };
        let database = self.server.database.borrow();
        let tables = &database.tables;
        for shard in shards.iter().filter(|shard| shard.groups.leave()) {
            let epoch = |partition: i32| tables.partitions.get(&partition).map_or(0, |row| row.stored.epoch);
            if shard.stored.iter().any(|row| row.epoch != epoch(row.partition)) {
                continue;
            }
            for group in shard.groups.groups.keys() {
                let name = (partition_key(group.0), slot(group.0));
                let through = tables.cold.get(&name).map_or(0, |cold| cold.through);
                if !tables.stored().any(|(id, row)| row.group == group.0 && id > through) {
                    around
                        .violations
                        .push(format!("a load takes {group} into memory, of which all facts are in the cold store"));
                }
                let horizon = tables.times.get(&name.0).copied().unwrap_or_default();
                if horizon.is_behind_horizon(name.1 + SIZE_MS) {
                    around.violations.push(format!("a load takes {group} into memory, which is behind the horizon"));
                }
            }
        }
    }

    /// What is stored of a shard that was dropped since was stored before its partitions were claimed again, and loaded with them.
    fn check_stored(&mut self, shards: &[(u64, JobOutcome<StoredParts>)], around: &mut Around<'_>) {
        let dropped = shards.iter().filter(|(shard, _)| !self.claims.contains_key(shard));
        let stored = dropped
            .flat_map(|(_, outcome)| if let JobOutcome::Stored(stored) = outcome { &*stored.offsets } else { &[] });
        for (partition, end) in stored.filter(|_| !self.was_undone) {
            if self.core.committed(*partition).is_some_and(|loaded| loaded < *end) {
                around.violations.push(format!("what was stored of partition {partition} is not in its new memory"));
            }
        }
    }

    /// A shard that has just been blocked owes no refresh: no other consumer would do it in the meantime.
    fn check_blocked(&mut self, around: &mut Around<'_>) {
        let before = std::mem::replace(&mut self.blocked, self.core.blocked_partitions());
        let database = self.server.database.borrow();
        for partition in self.blocked.difference(&before) {
            let row = database.tables.partitions.get(partition).filter(|row| row.owner == self.name);
            if row.is_some_and(|row| row.stored.refreshed_id < row.stored.last_id) {
                around.violations.push(format!("partition {partition} is blocked and owes a refresh"));
            }
        }
    }

    /// Whether what is stored shows that a shard's memory is void.
    fn is_void(&self, claims: &[(i32, i64)]) -> bool {
        let database = self.server.database.borrow();
        let rows = &database.tables.partitions;
        let epoch = |partition: &i32| rows.get(partition).map_or(0, |row| row.stored.epoch);
        let is_of_another = |row: &SimPartition| row.topic == 0 && row.stored.next_offset.is_some();
        (self.is_after_another && rows.values().any(is_of_another))
            || claims.iter().any(|(partition, held)| epoch(partition) != *held)
    }

    /// What is read was loaded under the last claim of ours.
    fn check_claim(&self, partition: i32, around: &mut Around<'_>) {
        let claims = self.core.claims();
        let epoch = claims.values().flatten().find(|claim| claim.0 == partition).map_or(0, |claim| claim.1);
        // A cancelled load may have claimed it all the same; that is noticed with the next batch.
        let is_new = !self.claims.values().flatten().any(|claim| *claim == (partition, epoch));
        let database = self.server.database.borrow();
        let row = database.tables.partitions.get(&partition);
        if is_new && row.is_some_and(|row| row.owner == self.name && row.stored.epoch > epoch) {
            around.violations.push("what is read was loaded under a claim before the last".to_owned());
        }
    }

    fn execute(&mut self, command: Command<Tiny>, around: &mut Around<'_>) {
        let chance = around.chance;
        match command {
            Command::Load(load) => {
                let feed = crate::tests::consumer::feed();
                let loader = Loader::new(self.postgres.clone(), self.name.clone(), &feed, self.residency, vec![], None);
                let loads = Rc::clone(&self.loads);
                let work = async move |load: Load| {
                    let claimed = || loads.borrow_mut().push_back(LoadNews::Claimed(load.number));
                    let loaded = loader.run(&load, claimed).await.map(Box::new);
                    loads.borrow_mut().push_back(LoadNews::Loaded(load.number, loaded));
                };
                self.load_works.insert(load.number, Work::new(async move { work(load).await }));
            }
            Command::CancelLoad(load) => drop(self.load_works.remove(&load)),
            Command::LookUp(lookup) => {
                if self.lookups.try_send(lookup).is_err() {
                    around.violations.push("there is no room for another lookup".to_owned());
                }
            }
            Command::Accept => around.violations.extend(self.client.accept().err()),
            Command::Job(job) => {
                self.sent += usize::from(matches!(job, Job::Commit(_)));
                if self.jobs.try_send(job).is_err() {
                    around.violations.push("there is no room for another job".to_owned());
                }
            }
            Command::Fetch(fetches) => {
                let broken = self.client.fetch(&fetches, around.logs, || chance.once_in(2));
                around.violations.extend(broken.err());
                fetches.iter().for_each(|fetch| self.check_claim(fetch.partition, around));
            }
            Command::StopFetching(partitions) => {
                let broken = self.client.stop_fetching(&partitions, around.logs, || chance.once_in(2));
                around.violations.extend(broken.err());
            }
            Command::CompleteRevocation(partitions) => {
                match self.client.release(&partitions, around.logs, || chance.once_in(2)) {
                    Ok(true) => around.released.extend(partitions),
                    Ok(false) => {}
                    Err(broken) => around.violations.push(broken),
                }
            }
            Command::Free(_) | Command::MeasureLag(_) => {}
            Command::Pause => self.client.pause(),
            Command::Resume => self.client.resume(),
            Command::TopicQuery(query) => self.topic_responses.push_back((query.number, seen(&query, around))),
            Command::CommitOffsets(_) => self.offset_commits += 1,
            Command::End => self.ended = Some(Ended::Well),
        }
    }

    /// Hands over one thing that has come from PostgreSQL, of a source that chance picks; returns whether there was
    /// one.
    pub(crate) fn deliver_postgres(&mut self, around: &mut Around<'_>) -> bool {
        if self.residency == Residency::Memory {
            return self.deliver_one_of([Self::deliver_answer, Self::deliver_load], around);
        }
        self.deliver_one_of([Self::deliver_answer, Self::deliver_load, Self::deliver_lookup], around)
    }

    /// Hands over one thing of the first source that has one, from the one on that chance picks; whether there was one.
    fn deliver_one_of<const N: usize>(
        &mut self,
        mut sources: [fn(&mut Self, &mut Around<'_>) -> bool; N],
        around: &mut Around<'_>,
    ) -> bool {
        sources.rotate_left(around.chance.below(N));
        sources.iter().any(|deliver| deliver(self, around))
    }

    pub(crate) fn deliver_answer(&mut self, around: &mut Around<'_>) -> bool {
        let Some(answer) = self.answers.borrow_mut().pop_front() else { return false };
        if let Answer::Batches { shards, count } = &answer {
            let is_void = shards.iter().all(|(_, outcome)| *outcome == JobOutcome::Void);
            self.sent -= if is_void { *count } else { 0 };
            self.check_stored(shards, around);
        }
        self.on(Input::Answer(answer), around);
        true
    }

    pub(crate) fn deliver_load(&mut self, around: &mut Around<'_>) -> bool {
        let Some(news) = self.loads.borrow_mut().pop_front() else { return false };
        match news {
            LoadNews::Claimed(load) => self.on(Input::Claimed(load), around),
            LoadNews::Loaded(load, loaded) => {
                self.load_works.remove(&load);
                if let Ok(loaded) = &loaded {
                    self.check_loaded(loaded, around);
                }
                self.on(Input::Loaded { load, loaded }, around);
            }
        }
        true
    }

    fn deliver_lookup(&mut self, around: &mut Around<'_>) -> bool {
        let Some((lookup, rows)) = self.looked_up.borrow_mut().pop_front() else { return false };
        self.on(Input::LookedUp { lookup, rows }, around);
        true
    }

    /// Hands over one event of Kafka other than a record, of a source that chance picks; returns whether there was one.
    pub(crate) fn deliver_kafka(&mut self, around: &mut Around<'_>) -> bool {
        self.deliver_one_of(
            [
                Self::deliver_topic_state,
                Self::deliver_offsets_committed,
                Self::deliver_recreated,
                Self::deliver_rebalance,
            ],
            around,
        )
    }

    pub(crate) fn deliver_topic_state(&mut self, around: &mut Around<'_>) -> bool {
        let Some((query, response)) = self.topic_responses.pop_front() else { return false };
        self.on(Input::Topic { query, response }, around);
        true
    }

    fn deliver_offsets_committed(&mut self, around: &mut Around<'_>) -> bool {
        let is_committed = self.offset_commits > 0 && !around.kafka_down;
        if is_committed {
            self.offset_commits -= 1;
            self.on(Input::OffsetsCommitted(Ok(())), around);
        }
        is_committed
    }

    fn deliver_recreated(&mut self, around: &mut Around<'_>) -> bool {
        let is_recreated = std::mem::take(&mut self.recreated);
        if is_recreated {
            self.on(Input::TopicRecreated, around);
        }
        is_recreated
    }

    pub(crate) fn deliver_rebalance(&mut self, around: &mut Around<'_>) -> bool {
        // The callback runs in a poll.
        if matches!(self.core.takes(), Takes::Answers(_)) || around.kafka_down {
            return false;
        }
        let Some(request) = self.client.take_request(around.clock.now()) else { return false };
        let input = match request {
            Request::Assign(partitions) => Input::Assigned(partitions),
            Request::Revoke(partitions) | Request::Lost(partitions) => Input::Revoked(partitions),
        };
        self.on(input, around);
        true
    }

    /// Polls once, as the driver would; whether anything came.
    pub(crate) fn poll(&mut self, around: &mut Around<'_>) -> bool {
        let takes = self.core.takes();
        // What its client reports about the topic comes before any record of it.
        if matches!(takes, Takes::Answers(_)) || around.kafka_down || self.recreated {
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

    /// Kafka fails so that memory is dropped.
    pub(crate) fn kafka_fails(&mut self, decision: Decision, around: &mut Around<'_>) {
        self.on(Input::KafkaFailed(failure(decision)), around);
    }

    /// Nothing came for as long as it was waited for.
    pub(crate) fn idle(&mut self, around: &mut Around<'_>) {
        if matches!(self.core.takes(), Takes::Records(_)) && self.kept.is_empty() {
            self.on(Input::Idle, around);
        }
    }
}

fn seen(query: &TopicQuery, around: &Around<'_>) -> Result<Option<TopicState>, Failure> {
    if around.kafka_down {
        return Err(failure(Decision::Retry));
    }
    let partitions = (0..).zip(around.logs).filter(|(partition, _)| query.only.is_none_or(|only| only == *partition));
    let offsets: Offsets = partitions.map(|(partition, log)| (partition, (log.first, log.end))).collect();
    let end =
        |(partition, known): (&i32, &i64)| Some((*partition, offsets.get(partition)?.1)).filter(|seen| seen.1 < *known);
    let ends = query.ends.iter().filter_map(end).collect();
    Ok(Some(TopicState { offsets, ends }))
}

pub(crate) fn failure(decision: Decision) -> Failure {
    Failure { decision, error: "simulated".to_owned(), reason: "simulated".to_owned(), refused: false }
}

/// Why memory may be dropped when something happens.
struct Cause {
    /// Because something of these shards is refused.
    shards: BTreeSet<u64>,
    /// Because these partitions are given back.
    partitions: BTreeSet<i32>,
    /// Because other partitions come or go.
    of_group: bool,
    /// Because Kafka has failed, or the topic is another one.
    is_of_all: bool,
}

impl Cause {
    fn of(input: &Input<'_, Tiny>) -> Self {
        fn refused<T>(shards: &[(u64, JobOutcome<T>)]) -> BTreeSet<u64> {
            let is_refused = |of: &&(u64, JobOutcome<T>)| matches!(of.1, JobOutcome::Refused(_));
            shards.iter().filter(is_refused).map(|of| of.0).collect()
        }
        let shards = match input {
            Input::Answer(Answer::Batches { shards, .. }) => refused(shards),
            Input::Answer(Answer::Refresh { shards, .. }) => refused(shards),
            _ => BTreeSet::new(),
        };
        let partitions = match input {
            Input::Revoked(partitions) => partitions.iter().copied().collect(),
            _ => BTreeSet::new(),
        };
        let of_group = matches!(input, Input::Revoked(_) | Input::Assigned(_));
        Self { shards, partitions, of_group, is_of_all: matches!(input, Input::KafkaFailed(_)) }
    }
}

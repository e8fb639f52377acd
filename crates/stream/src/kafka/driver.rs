//! The thread that polls Kafka. It reports to [`crate::core`] what happens, and does what that says; it decides
//! nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::{KafkaError, KafkaResult},
    message::OwnedMessage,
};
use service::{Stop, health::Health, settings::KafkaSettings};
use tokio::sync::oneshot;

use crate::{
    Error, Pipeline,
    core::{
        Command, Consumer, Fetch, Input, Message, Takes,
        groups::{Groups, Met},
        jobs::{Answer, Job, Load, Loaded, LookedUp, Lookup},
        kafka::{Failure, TopicQuery, TopicState},
        offsets::Feed,
    },
    kafka::{
        group::{GroupConsumer, Rebalance},
        topic_state::query_topic,
    },
    kafka_errors::{Decision, decide},
    memory_limit, metrics,
    postgres::{loader::Loader, retry::Outages, session::PgServer},
};

/// No wait is shorter: a deadline that has just passed is no reason to spin.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// Records are read for so long at most before anything else is checked.
const BURST: Duration = Duration::from_millis(500);
/// So many facts are freed in less than a millisecond.
const SMALL: usize = 10_000;
/// How often it is said at most that groups were read back.
const MINUTE: Duration = Duration::from_secs(60);
/// Less groups in a minute are not worth a word.
const MANY_FETCHED: u64 = 600;
/// How many records are read before the time is checked.
const RECORDS_PER_CHECK: u32 = 256;

/// What other threads say.
pub(crate) enum News<P: Pipeline> {
    /// The writer has answered.
    Answer(Answer),
    /// The load of that number has claimed its partitions.
    Claimed(u64),
    /// The load of that number is done.
    Loaded(u64, Result<Box<Loaded<P>>, Error>),
    /// What the lookup of that number has found.
    LookedUp(u64, Result<LookedUp, Error>),
    /// Kafka has responded to the topic query of that number.
    Topic(u64, KafkaResult<Option<TopicState>>),
    /// A thread has ended before it could say anything: it has panicked.
    Gone,
}

/// Reports that its thread has ended, unless that thread has reported its result.
pub(crate) struct Guard<P: Pipeline>(Option<mpsc::Sender<News<P>>>);

impl<P: Pipeline> Guard<P> {
    pub(crate) fn new(news: &mpsc::Sender<News<P>>) -> Self {
        Self(Some(news.clone()))
    }

    /// Sends news; returns whether anybody receives it.
    pub(crate) fn say(&self, news: News<P>) -> bool {
        self.0.as_ref().is_some_and(|sender| sender.send(news).is_ok())
    }

    /// All is sent.
    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl<P: Pipeline> Drop for Guard<P> {
    fn drop(&mut self) {
        self.say(News::Gone);
    }
}

/// What came while no records were taken.
enum Kept {
    Record(OwnedMessage),
    /// The end of a partition, which is not to overtake its records.
    End(i32),
}

impl Kept {
    fn partition(&self) -> i32 {
        match self {
            Self::Record(message) => message.partition(),
            Self::End(partition) => *partition,
        }
    }
}

/// What the driver is given.
pub(crate) struct Parts<P: Pipeline> {
    /// Our membership of the group.
    pub(crate) consumer: Arc<GroupConsumer>,
    /// Where Kafka is.
    pub(crate) kafka: KafkaSettings,
    /// The topic, and the pipeline that reads it.
    pub(crate) feed: Arc<Feed>,
    /// Claims and loads.
    pub(crate) loader: Loader<PgServer<P>>,
    /// What of PostgreSQL's work is being retried.
    pub(crate) outages: Outages,
    /// Where loads run.
    pub(crate) runtime: tokio::runtime::Handle,
    /// To the writer.
    pub(crate) jobs: tokio::sync::mpsc::Sender<Job<P>>,
    /// To the thread that looks groups up.
    pub(crate) lookups: tokio::sync::mpsc::Sender<Lookup>,
    /// From all other threads, and what they send with.
    pub(crate) news: (mpsc::Sender<News<P>>, mpsc::Receiver<News<P>>),
    /// Readiness and liveness.
    pub(crate) health: Health,
    /// Whether to stop.
    pub(crate) stop: Stop,
    /// The most memory the process may use.
    pub(crate) memory_limit_mib: Option<u64>,
}

/// The driver of one client of Kafka.
pub(crate) struct Driver<P: Pipeline> {
    parts: Parts<P>,
    core: Consumer<P>,
    /// What is to be done, in order.
    commands: Vec<Command<P>>,
    now: Instant,
    /// The partitions that are fetched, each with the number of its fetch.
    fetched: BTreeMap<i32, u64>,
    /// What came while no records were taken, in order, with the number of the fetch that brought it.
    kept: VecDeque<(u64, Kept)>,
    /// The thread that queries Kafka about the topic, or has done so.
    topic_query: Option<JoinHandle<()>>,
    /// The loads under way, by number: dropped, one ends its load.
    loads: BTreeMap<u64, oneshot::Sender<()>>,
    stop_seen: bool,
    was_behind: bool,
    behind_since: Option<Instant>,
    /// What was read back from the cold store, and since when that is counted.
    fetched_back: Met,
    fetched_since: Instant,
    ended: bool,
}

impl<P: Pipeline> Driver<P> {
    /// Puts the parts together.
    pub(crate) fn new(parts: Parts<P>, core: Consumer<P>) -> Self {
        Self {
            parts,
            core,
            commands: Vec::new(),
            now: Instant::now(),
            fetched: BTreeMap::new(),
            kept: VecDeque::new(),
            topic_query: None,
            loads: BTreeMap::new(),
            stop_seen: false,
            was_behind: false,
            behind_since: None,
            fetched_back: Met::default(),
            fetched_since: Instant::now(),
            ended: false,
        }
    }

    /// Reads until all is done, or it is time to stop.
    ///
    /// # Errors
    /// The error that ends a consumer, see [`Error`].
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        let ended = self.turn_until_ended();
        if let Err(Error::ClientLost { .. }) = ended {
            // The next client begins with nothing in memory.
            ::metrics::gauge!(metrics::FACTS, "feed" => P::NAME).set(0);
            ::metrics::gauge!(metrics::UNREFRESHED_SINCE, "feed" => P::NAME).set(0);
        }
        ended
    }

    fn turn_until_ended(&mut self) -> Result<(), Error> {
        while !self.ended {
            self.parts.health.turn();
            self.now = Instant::now();
            // This comes first: all that removes partitions would complete a revocation that waits.
            self.take_notes()?;
            self.take_news()?;
            if self.parts.stop.is_stopping() && !std::mem::replace(&mut self.stop_seen, true) {
                self.on(Input::Stop)?;
            }
            self.on(Input::Tick)?;
            self.report();
            if !self.ended {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Reports to the core what has happened, and does what it says.
    fn on(&mut self, input: Input<'_, P>) -> Result<(), Error> {
        self.core.on(self.now, input, &mut self.commands)?;
        self.work_off()
    }

    fn work_off(&mut self) -> Result<(), Error> {
        while !self.commands.is_empty() {
            for command in std::mem::take(&mut self.commands) {
                let done = self.execute(command)?;
                // This call cannot fail on a working client: now it is not known what the client fetches.
                if let Err(error) = done {
                    self.core.on(self.now, Input::ClientLost(error.to_string()), &mut self.commands)?;
                }
            }
        }
        Ok(())
    }

    /// Updates readiness and metrics.
    fn report(&mut self) {
        self.parts.health.set_unready(self.core.unready(self.parts.outages.reasons()));
        let behind_since = self.core.behind_since();
        if std::mem::replace(&mut self.behind_since, behind_since) != behind_since {
            let since = behind_since.map(|since| metrics::unix_time() - since.elapsed().as_secs_f64());
            ::metrics::gauge!(metrics::UNREFRESHED_SINCE, "feed" => P::NAME).set(since.unwrap_or_default());
        }
    }

    /// Says once a minute, where many groups were read back, how much memory would have held them.
    fn note_fetched(&mut self, met: Met) {
        self.fetched_back = self.fetched_back.plus(met);
        if self.now.duration_since(self.fetched_since) < MINUTE {
            return;
        }
        let Met { fetched, fetched_bytes, .. } = std::mem::take(&mut self.fetched_back);
        self.fetched_since = self.now;
        if fetched >= MANY_FETCHED {
            let would_hold = (fetched_bytes + self.core.facts_bytes() as u64).div_ceil(1 << 20);
            tracing::info!(
                feed = P::NAME,
                groups = fetched,
                "groups were read back from the database, for late records or corrections; --facts-memory {would_hold} would hold them"
            );
        }
    }

    fn report_facts(&mut self) {
        let met = self.core.take_met();
        self.note_fetched(met);
        let Met { late, behind_horizon, fetched, fetched_bytes: _, flushed, evicted } = met;
        let counters = [
            (metrics::LATE, late),
            (metrics::BEHIND_HORIZON, behind_horizon),
            (metrics::FETCHED, fetched),
            (metrics::FLUSHED, flushed),
            (metrics::EVICTED, evicted),
        ];
        for (name, count) in counters.into_iter().filter(|(_, count)| *count > 0) {
            ::metrics::counter!(name, "feed" => P::NAME).increment(count);
        }
        let bytes = u32::try_from(self.core.facts_bytes()).unwrap_or(u32::MAX);
        ::metrics::gauge!(metrics::FACTS_BYTES, "feed" => P::NAME).set(bytes);
        ::metrics::gauge!(metrics::FACTS, "feed" => P::NAME).set(u32::try_from(self.core.facts()).unwrap_or(u32::MAX));
    }

    // ---- what happens

    /// Takes what other threads have said.
    fn take_news(&mut self) -> Result<(), Error> {
        while let Ok(news) = self.parts.news.1.try_recv() {
            self.news(news)?;
        }
        Ok(())
    }

    fn news(&mut self, news: News<P>) -> Result<(), Error> {
        match news {
            News::Answer(answer) => self.on(Input::Answer(answer)),
            News::Claimed(load) => self.on(Input::Claimed(load)),
            News::Loaded(load, loaded) => {
                self.loads.remove(&load);
                self.on(Input::Loaded { load, loaded })
            }
            News::LookedUp(lookup, rows) => self.on(Input::LookedUp { lookup, rows }),
            News::Topic(query, response) => {
                let response = self.response(response)?;
                self.on(Input::Topic { query, response })
            }
            News::Gone => Err(Error::WriterStopped),
        }
    }

    /// Takes what the client has noted while it was polled.
    fn take_notes(&mut self) -> Result<(), Error> {
        let consumer = Arc::clone(&self.parts.consumer);
        let context = consumer.client().context();
        if context.is_recreated() {
            self.on(Input::TopicRecreated)?;
        }
        for rebalance in context.take_rebalances() {
            match rebalance {
                Rebalance::Assign(partitions) => self.on(Input::Assigned(partitions))?,
                Rebalance::Revoke(partitions) => self.on(Input::Revoked(partitions))?,
            }
        }
        if context.has_forgotten_brokers() {
            self.on(Input::ClientLost("kafka named no broker, not even itself".to_owned()))?;
        }
        if context.take_group_denied() {
            self.on(Input::GroupDenied)?;
        }
        if let Some(result) = context.take_committed() {
            let result = self.response(result)?;
            self.on(Input::OffsetsCommitted(result))?;
        }
        let behind = context.behind();
        let is_behind = !behind.is_empty();
        if std::mem::replace(&mut self.was_behind, is_behind) || is_behind {
            self.on(Input::Behind(behind))?;
        }
        Ok(())
    }

    /// Waits for what the core takes.
    fn wait(&mut self) -> Result<(), Error> {
        let until = self.core.wakes_at(self.now).saturating_duration_since(self.now).max(MIN_WAIT);
        match self.core.takes() {
            Takes::Records(patience) => self.read(patience, until),
            Takes::Group(patience) => self.poll(patience.min(until)),
            Takes::Answers(patience) => match self.parts.news.1.recv_timeout(patience.min(until)) {
                Ok(news) => self.news(news),
                // The channel never closes, since we have a sender too: see [`Guard`].
                Err(_) => Ok(()),
            },
        }
    }

    /// Hands records over until something is to be done, nothing comes, or it takes long.
    fn read(&mut self, patience: Duration, until: Duration) -> Result<(), Error> {
        match self.kept.pop_front() {
            Some((fetch, Kept::Record(message))) => return self.record(fetch, &message),
            Some((fetch, Kept::End(partition))) => return self.on(Input::EndOfPartition { fetch, partition }),
            None => {}
        }
        let consumer = Arc::clone(&self.parts.consumer);
        let began = self.now;
        for polled in 1_u32.. {
            // The time is checked only where a poll has to wait.
            let arrived = consumer.poll(Duration::ZERO).or_else(|| {
                let arrived = consumer.poll(patience.min(until));
                self.now = Instant::now();
                arrived
            });
            if consumer.client().context().has_noted() {
                // The group's rebalance comes first: this record may be of a partition that it wants back.
                arrived.into_iter().try_for_each(|arrived| self.keep(arrived))?;
                return Ok(());
            }
            match arrived {
                None => {
                    return if until < patience { Ok(()) } else { self.on(Input::Idle) };
                }
                Some(Ok(message)) => {
                    let Some(fetch) = self.fetched.get(&message.partition()) else { continue };
                    self.record(*fetch, &message)?;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let Some(fetch) = self.fetched.get(&partition) else { continue };
                    return self.on(Input::EndOfPartition { fetch: *fetch, partition });
                }
                Some(Err(error)) => return self.kafka_failed(error),
            }
            if polled % RECORDS_PER_CHECK == 0 {
                self.now = Instant::now();
            }
            if self.ended || !self.core.takes_records() || self.now - began > BURST {
                return Ok(());
            }
        }
        Ok(())
    }

    fn record(&mut self, fetch: u64, message: &impl rdkafka::Message) -> Result<(), Error> {
        let message = Message {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key(),
            value: message.payload(),
        };
        self.core.on(self.now, Input::Record { fetch, message }, &mut self.commands)?;
        self.work_off()
    }

    /// Polls, for what is not a record; records that come nevertheless are kept for later.
    fn poll(&mut self, wait: Duration) -> Result<(), Error> {
        let consumer = Arc::clone(&self.parts.consumer);
        let Some(arrived) = consumer.poll(wait) else { return Ok(()) };
        let partition = arrived.as_ref().ok().map(|message| message.partition());
        let partition = partition.filter(|partition| self.fetched.contains_key(partition));
        self.keep(arrived)?;
        // Its fetch has begun though all are paused: it was added since. No more of it for now.
        let paused = partition.map_or(Ok(()), |partition| self.parts.consumer.pause(&self.list([&partition])));
        paused.or_else(|error| self.on(Input::ClientLost(error.to_string())))
    }

    fn keep(&mut self, arrived: Result<rdkafka::message::BorrowedMessage<'_>, KafkaError>) -> Result<(), Error> {
        match arrived {
            Ok(message) => {
                let Some(fetch) = self.fetched.get(&message.partition()) else { return Ok(()) };
                self.kept.push_back((*fetch, Kept::Record(message.detach())));
                Ok(())
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                let fetch = self.fetched.get(&partition);
                self.kept.extend(fetch.map(|fetch| (*fetch, Kept::End(partition))));
                Ok(())
            }
            Err(error) => self.kafka_failed(error),
        }
    }

    fn kafka_failed(&mut self, error: KafkaError) -> Result<(), Error> {
        // What follows from it may remove partitions, which would complete a revocation that waits.
        self.take_notes()?;
        let failure = self.failure(error)?;
        self.on(Input::KafkaFailed(failure))
    }

    /// Kafka's response, or what its error calls for.
    fn response<T>(&self, response: KafkaResult<T>) -> Result<Result<T, Failure>, Error> {
        response.map_or_else(|error| self.failure(error).map(Err), |response| Ok(Ok(response)))
    }

    /// What an error calls for, and what is known of its cause.
    ///
    /// # Errors
    /// When it is a mistake of ours.
    fn failure(&self, error: KafkaError) -> Result<Failure, Error> {
        let decision = decide(&error);
        if let Decision::Bug | Decision::TooLarge | Decision::RecordRefused = decision {
            return Err(Error::Kafka(error));
        }
        let connections = self.parts.consumer.client().context().connections();
        let (text, refusal) = (error.to_string(), connections.refusal());
        // Why connections fail says more than what a request met.
        let reason = refusal.clone().or_else(|| connections.last()).unwrap_or_else(|| text.clone());
        Ok(Failure { decision, refused: refusal.is_some(), reason, error: text })
    }

    /// The thread that queries Kafka about the topic, if one does: it uses the client.
    pub(crate) fn take_topic_query(&mut self) -> Option<JoinHandle<()>> {
        self.topic_query.take()
    }

    // ---- what is done

    /// Does one thing; the inner error is of a call to the client.
    fn execute(&mut self, command: Command<P>) -> Result<KafkaResult<()>, Error> {
        match command {
            Command::Load(load) => self.begin_load(load)?,
            Command::CancelLoad(load) => drop(self.loads.remove(&load)),
            Command::LookUp(lookup) => self.parts.lookups.try_send(lookup).map_err(|_| Error::WriterStopped)?,
            Command::Job(job) => {
                if matches!(job, Job::Commit(_)) {
                    memory_limit::check(self.parts.memory_limit_mib)?;
                    self.report_facts();
                }
                self.parts.jobs.try_send(job).map_err(|_| Error::WriterStopped)?;
            }
            // None of them is fetched yet: each is added when it is ready.
            Command::Accept => return Ok(self.parts.consumer.incremental_assign(&TopicPartitionList::new())),
            Command::Fetch(fetches) => return Ok(self.fetch(&fetches)),
            Command::StopFetching(partitions) => return Ok(self.stop_fetching(&partitions)),
            // Those that were never added must not be removed: librdkafka refuses that, and the group would wait for
            // ever.
            Command::CompleteRevocation(partitions) => return Ok(self.stop_fetching(&partitions)),
            Command::Free(groups) => return free(groups).map(Ok),
            Command::MeasureLag(lags) => self.parts.consumer.client().context().measure(&self.parts.feed.topic, &lags),
            Command::Pause => return Ok(self.parts.consumer.pause(&self.list(self.fetched.keys()))),
            Command::Resume => return Ok(self.parts.consumer.resume(&self.list(self.fetched.keys()))),
            Command::TopicQuery(query) => self.topic_query = Some(self.begin_topic_query(query)?),
            Command::CommitOffsets(offsets) => self.commit_offsets(&offsets),
            Command::End => self.ended = true,
        }
        Ok(Ok(()))
    }

    fn begin_load(&mut self, load: Load) -> Result<(), Error> {
        let (cancel, cancelled) = oneshot::channel::<()>();
        self.loads.insert(load.number, cancel);
        let (loader, news) = (self.parts.loader.clone(), self.parts.news.0.clone());
        let runtime = self.parts.runtime.clone();
        let work = move || {
            let mut guard = Guard::new(&news);
            runtime.block_on(async {
                let claimed = || drop(news.send(News::Claimed(load.number)));
                tokio::select! {
                    loaded = loader.run(&load, claimed) => {
                        // When nobody receives this any more, the consumer has ended.
                        guard.say(News::Loaded(load.number, loaded.map(Box::new)));
                    }
                    _ = cancelled => {}
                }
            });
            guard.disarm();
        };
        spawn("loader", work).map(drop)
    }

    fn begin_topic_query(&self, query: TopicQuery) -> Result<JoinHandle<()>, Error> {
        let (consumer, news) = (Arc::clone(&self.parts.consumer), self.parts.news.0.clone());
        let (kafka, feed) = (self.parts.kafka.clone(), Arc::clone(&self.parts.feed));
        spawn("topic-query", move || {
            let mut guard = Guard::new(&news);
            let response = query_topic(&consumer, &kafka, &feed.topic, &query);
            guard.say(News::Topic(query.number, response));
            guard.disarm();
        })
    }

    /// Has librdkafka fetch partitions from given offsets. Those it fetches already are removed and added again, since
    /// it refuses to seek where it no longer fetches, as after an offset that was out of range.
    fn fetch(&mut self, fetches: &[Fetch]) -> KafkaResult<()> {
        let known: Vec<i32> = fetches
            .iter()
            .map(|fetch| fetch.partition)
            .filter(|partition| self.fetched.contains_key(partition))
            .collect();
        if !known.is_empty() {
            // While they are still ours: a resume may overtake the start of fetching, and librdkafka drops what was overtaken.
            self.parts.consumer.resume(&self.list(&known))?;
            self.parts.consumer.incremental_unassign(&self.list(&known))?;
        }
        let list = self.list_at(fetches.iter().map(|fetch| (fetch.partition, fetch.offset)));
        self.parts.consumer.incremental_assign(&list)?;
        self.fetched.extend(fetches.iter().map(|fetch| (fetch.partition, fetch.number)));
        self.report_facts();
        Ok(())
    }

    /// Has librdkafka stop fetching partitions, those of them that it fetches. That completes a revocation, where one
    /// waits.
    fn stop_fetching(&mut self, partitions: &BTreeSet<i32>) -> KafkaResult<()> {
        let fetched: Vec<i32> =
            partitions.iter().copied().filter(|partition| self.fetched.remove(partition).is_some()).collect();
        self.kept.retain(|(_, kept)| !partitions.contains(&kept.partition()));
        if !fetched.is_empty() {
            // One would stay paused where it is given to us again.
            self.parts.consumer.resume(&self.list(&fetched))?;
        }
        self.parts.consumer.incremental_unassign(&self.list(&fetched))
    }

    /// Commits our offsets to Kafka; nothing of ours reads them.
    fn commit_offsets(&self, offsets: &BTreeMap<i32, i64>) {
        let list = self.list_at(offsets.iter().map(|(partition, offset)| (*partition, *offset)));
        if let Err(error) = self.parts.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "the commit of offsets to kafka failed");
        }
    }

    fn list_at(&self, offsets: impl Iterator<Item = (i32, i64)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            // Adding a partition with an offset fails only for offsets below −2000.
            let _ = list.add_partition_offset(&self.parts.feed.topic, partition, Offset::Offset(offset));
        }
        list
    }

    fn list<'a>(&self, partitions: impl IntoIterator<Item = &'a i32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.parts.feed.topic, *partition);
        }
        list
    }
}

fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map_err(|source| Error::Thread { name, source })
}

/// Frees memory on a separate thread: millions of facts take longer than a poll may.
fn free<P: Pipeline>(groups: Vec<Groups<P>>) -> Result<(), Error> {
    let is_small = groups.iter().map(Groups::facts).sum::<usize>() < SMALL;
    if is_small { Ok(()) } else { spawn("free", move || drop(groups)).map(drop) }
}

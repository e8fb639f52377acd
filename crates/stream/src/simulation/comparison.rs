//! The simulated PostgreSQL behaves as a real one: else the simulation proves only what it assumes itself.
//!
//! Three sessions of each get commands drawn at random. What they return, which of them wait for a lock, and what is
//! stored in the end must be the same.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{LocalSet, spawn_local},
};

use crate::{
    core::{
        batch::{Batch, Changes, Counts, KeyOwner, OffsetRange, Part, Reject},
        cold::{ColdGroup, ColdName, ColdRows},
        group_loader::GroupLoader,
        groups::Groups,
        keys::KeyRow,
        offsets::{Forget, LastRecord, Position, Stamp, Version},
        refresh::PartitionProgress,
        segments::ID_SHIFT,
        windows::{KeyTimes, NEVER},
    },
    pipeline::{Coverage, Decoded, Pipeline, Residency},
    postgres::statements::{Server, Statements},
    simulation::{
        postgres::{SimServer, SimSession, read_cold},
        turns::{Clock, Rng, Work},
    },
    tests::{
        consumer::Tables,
        tiny::{Row, Tiny},
    },
};

/// How many commands are tried on each database, and on how many.
const COMMANDS: usize = 120;
const DATABASES: u64 = 8;
const SESSIONS: usize = 3;

/// A row of the cold store: its name, what it goes through, and its facts, each with whether it came late.
type ColdGroupRow = (ColdName, i64, Vec<(i16, i64, bool)>);
/// A key, its owner, and its times.
type StoredKey = (String, i32, Option<i64>, Option<i64>, Option<i64>);

/// A statement with what it is about.
#[derive(Clone, Debug)]
enum Statement {
    Begin,
    BeginSnapshot,
    Commit,
    Rollback,
    AddPartitions(Vec<i32>),
    LockPartitions(Vec<i32>),
    ForgetOffsets(BTreeMap<i32, Forget>),
    RaiseEpochs(Vec<i32>),
    Partitions,
    Advance(Vec<OffsetRange>),
    RaiseLastIds(BTreeMap<i32, i64>),
    RaiseRefreshedIds(BTreeMap<i32, i64>),
    MarkRefreshed(Vec<PartitionProgress>),
    NoteGaps(Vec<OffsetRange>),
    Gaps,
    NoteCoverage(bool),
    RegisterKeys(Vec<KeyOwner>),
    Owners(Vec<KeyOwner>),
    IsSpread,
    SetSpread(bool),
    MoveKeys(Vec<KeyOwner>),
    Keys(Vec<i32>),
    DrawNumbers(usize),
    AppendFacts(i64, Vec<(i16, i16, i64, u16)>),
    AppendReject(i64),
    Account(i64, OffsetRange),
    Facts(Vec<(i32, i64)>),
    StoreTimes(Vec<(String, KeyTimes)>),
    ColdHeads(Vec<(i32, i64)>, Option<i64>),
    ColdRows(Vec<ColdName>),
    HasColdRows(Vec<(ColdName, i64)>),
    WriteColdRows(Vec<ColdGroupRow>),
    RemoveColdRows(Vec<String>, i64),
    SetRedoFrom(BTreeMap<i32, i64>),
    RemoveHistory(Vec<i32>, i64),
    TryLockRefreshes,
    Upsert(Vec<Row>),
    RefreshGlobal(bool),
}

impl Statement {
    /// Whether it may wait for a lock.
    fn may_wait(&self) -> bool {
        use Statement::{
            AddPartitions, Advance, ForgetOffsets, LockPartitions, MarkRefreshed, MoveKeys, RaiseEpochs, RaiseLastIds,
            RaiseRefreshedIds, RegisterKeys, SetRedoFrom, SetSpread, StoreTimes,
        };
        matches!(
            self,
            AddPartitions(_)
                | Advance(_)
                | ForgetOffsets(_)
                | LockPartitions(_)
                | MarkRefreshed(_)
                | MoveKeys(_)
                | RaiseEpochs(_)
                | RaiseLastIds(_)
                | RaiseRefreshedIds(_)
                | RegisterKeys(_)
                | SetRedoFrom(_)
                | SetSpread(_)
                | StoreTimes(_)
        )
    }
}

fn coverage(complete: bool) -> Coverage {
    Coverage { refreshed: Vec::new(), complete, missing: None }
}

/// Executes a statement, and returns its result in words.
async fn execute<S: Statements<Tiny>>(session: &mut S, statement: &Statement) -> String {
    fn said<T: std::fmt::Debug>(answer: Result<T, sqlx::Error>) -> String {
        answer.map_or_else(|error| format!("error {error}"), |answer| format!("{answer:?}"))
    }
    match statement {
        Statement::Begin => said(session.begin().await),
        Statement::BeginSnapshot => said(session.begin_snapshot().await),
        Statement::Commit => said(session.commit().await),
        Statement::Rollback => said(session.rollback().await),
        Statement::AddPartitions(partitions) => said(session.add_partitions(partitions).await),
        Statement::LockPartitions(partitions) => said(session.lock_partitions(partitions).await),
        Statement::ForgetOffsets(partitions) => said(session.forget_offsets(partitions).await),
        Statement::RaiseEpochs(partitions) => said(session.raise_epochs(partitions, "a test").await),
        Statement::Partitions => said(session.partitions().await),
        Statement::Advance(ranges) => said(session.advance(ranges).await),
        Statement::RaiseLastIds(ids) => said(session.raise_last_ids(ids).await),
        Statement::RaiseRefreshedIds(ids) => said(session.raise_refreshed_ids(ids).await),
        Statement::MarkRefreshed(to) => said(session.mark_refreshed(to).await),
        Statement::NoteGaps(ranges) => said(session.note_gaps(ranges).await),
        Statement::Gaps => said(session.gaps().await),
        Statement::NoteCoverage(complete) => said(session.note_coverage(&coverage(*complete)).await),
        Statement::RegisterKeys(keys) => said(session.register_keys(keys).await),
        Statement::Owners(keys) => said(session.owners(&keys.iter().map(|(key, _)| &**key).collect::<Vec<_>>()).await),
        Statement::IsSpread => said(session.is_spread().await),
        Statement::SetSpread(spread) => said(session.set_spread(*spread).await),
        Statement::MoveKeys(keys) => said(session.move_keys(keys).await),
        Statement::Keys(owners) => said(session.keys(owners).await.map(|mut keys| {
            keys.sort_unstable_by(|one, other| one.key.cmp(&other.key));
            keys
        })),
        Statement::DrawNumbers(count) => said(session.draw_numbers(*count).await),
        Statement::AppendFacts(number, facts) => {
            let mut changes = changes(facts);
            changes.number(*number, 0);
            said(session.append_facts(&[changes.rows()]).await)
        }
        Statement::AppendReject(number) => {
            let mut part = Part::new(1, &Tiny::CHANGELOG);
            let (key, value) = (None, Some(&b"poison"[..]));
            part.reject(Reject { topic: "t", partition: 0, offset: 1, timestamp_ms: 1, key, value, reason: "poison" });
            let mut batch = Batch { number: None, parts: vec![part] };
            batch.give_number(*number);
            said(session.append_rejects(&[batch.parts[0].rejects()]).await)
        }
        Statement::Account(number, range) => said(session.account(&[(*number, range)]).await),
        Statement::Facts(owners) => said(facts(session, owners).await),
        Statement::StoreTimes(times) => said(session.store_times(times).await),
        Statement::ColdHeads(owners, size_ms) => said(session.cold_heads(owners, *size_ms).await.map(|mut heads| {
            heads.sort_unstable_by(|one, other| (&one.key, one.slot).cmp(&(&other.key, other.slot)));
            heads
        })),
        Statement::ColdRows(groups) => said(session.cold_rows(groups).await.map(|rows| cold(&rows))),
        Statement::HasColdRows(groups) => said(session.has_cold_rows(groups).await),
        Statement::WriteColdRows(rows) => said(session.write_cold_rows(&cold_rows(rows)).await),
        Statement::RemoveColdRows(keys, size_ms) => {
            said(session.remove_cold_rows(&keys.iter().map(String::as_str).collect::<Vec<_>>(), *size_ms).await)
        }
        Statement::SetRedoFrom(ids) => said(session.set_redo_from(ids).await),
        Statement::RemoveHistory(owners, history_ms) => said(session.remove_history(owners, *history_ms).await),
        Statement::TryLockRefreshes => said(session.try_lock_refreshes().await),
        Statement::Upsert(rows) => said(session.upsert(rows).await.map(drop)),
        Statement::RefreshGlobal(complete) => session
            .refresh_global(0, &coverage(*complete))
            .await
            .map_or_else(|error| format!("error {error}"), |refreshed| format!("{refreshed:?}")),
    }
}

fn changes(facts: &[(i16, i16, i64, u16)]) -> Changes {
    let (mut groups, mut changes) = (Groups::<Tiny>::default(), Changes::new(&Tiny::CHANGELOG));
    for (offset, (group, key, value, partition)) in (0..).zip(facts) {
        let text = format!("{group} {key} {value}");
        let Decoded::Record(record) = Tiny::default().read(None, text.as_bytes()) else { panic!("{text}") };
        groups.apply(
            &Tiny::default(),
            &record,
            Position { version: Version::new(offset, *partition), offset },
            &mut changes,
        );
    }
    changes
}

/// What a load makes of the changelog: every group that belongs to those partitions.
async fn facts<S: Statements<Tiny>>(session: &mut S, owners: &[(i32, i64)]) -> Result<Vec<Row>, sqlx::Error> {
    let key = |key: i32, owner: i32| KeyRow { key: format!("r{key}"), owner, times: KeyTimes::default() };
    let partitions: Vec<i32> = owners.iter().map(|(owner, _)| *owner).collect();
    let keys: Vec<KeyRow> = (0..4).flat_map(|n| partitions.iter().map(move |owner| key(n, *owner))).collect();
    let mut loading = GroupLoader::<Tiny>::new(Residency::Memory, &[partitions], &[], &keys).unwrap();
    let mut take = |piece: &[u8]| Ok(loading.push(piece)?);
    session.facts(owners, &mut take).await.map_err(|error| error.downcast::<sqlx::Error>().unwrap())?;
    Ok(loading.finish()[0].rows(&Tiny::default()))
}

/// The rows of the cold store that a lookup has found.
fn cold(rows: &[u8]) -> BTreeMap<ColdName, String> {
    read_cold(rows).into_iter().map(|(name, cold)| (name, format!("{cold:?}"))).collect()
}

fn cold_rows(rows: &[ColdGroupRow]) -> ColdRows {
    let mut all = ColdRows::default();
    for (at, (name, _, facts)) in (0..).zip(rows) {
        let mut group = ColdGroup::new(Tiny::CHANGELOG.columns.len());
        for (key, value, late) in facts {
            let partition = u16::try_from(*value % 2).unwrap();
            let mut fact = group.fact(Stamp::new(Version::new(*value, partition), *late));
            fact.i16(0);
            fact.i16(*key);
            fact.i64(*value);
        }
        all.add(at, name.clone(), Tiny::CHANGELOG.columns, &group);
    }
    all.finish(|at| rows[usize::try_from(at).unwrap()].1);
    all
}

/// Draws commands that a session in or out of a transaction may be given.
struct Script {
    chance: Rng,
    /// Batch numbers that were used, since ids are given once.
    number: i64,
}

impl Script {
    fn partition(&self) -> i32 {
        i32::try_from(self.chance.below(3)).unwrap()
    }

    fn partitions(&self) -> Vec<i32> {
        (0..3)
            .filter(|_| self.chance.once_in(2))
            .chain((!self.chance.once_in(8)).then(|| self.partition()))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    fn small(&self) -> i64 {
        i64::try_from(self.chance.below(4)).unwrap()
    }

    fn ids(&self) -> BTreeMap<i32, i64> {
        self.partitions().into_iter().map(|partition| (partition, self.small())).collect()
    }

    fn keys(&self) -> Vec<KeyOwner> {
        let keys: BTreeMap<String, i32> =
            (0..=self.chance.below(2)).map(|_| (format!("r{}", self.chance.below(4)), self.partition())).collect();
        keys.into_iter().collect()
    }

    fn name(&self) -> ColdName {
        (format!("r{}", self.chance.below(4)), 10 * self.small())
    }

    fn owners(&self) -> Vec<(i32, i64)> {
        // A segment begins with the number of its batch.
        let id = |script: &Self| if script.chance.once_in(2) { 0 } else { script.number << (ID_SHIFT - 1) };
        self.partitions().into_iter().map(|partition| (partition, id(self))).collect()
    }

    fn times(&self) -> KeyTimes {
        let newest = self.chance.once_in(2).then(|| Version::new(self.small(), 1));
        let or_never = |time| if self.chance.once_in(4) { NEVER } else { time };
        let final_through_ms = or_never(10 * self.small());
        KeyTimes { clock_ms: or_never(self.small()), final_through_ms, horizon_ms: or_never(10 * self.small()), newest }
    }

    fn cold_rows(&self) -> Vec<ColdGroupRow> {
        let names: std::collections::BTreeSet<ColdName> = (0..=self.chance.below(2)).map(|_| self.name()).collect();
        let fact = |key| (key, 1 + self.small(), self.chance.once_in(3));
        let facts = |script: &Self| (0..=script.small().try_into().unwrap()).map(fact).collect();
        names.into_iter().map(|name| (name, self.small(), facts(self))).collect()
    }

    fn range(&self, partition: i32) -> OffsetRange {
        let (start, end) = (self.small(), 4 + self.small());
        let expected = Some(self.small()).filter(|_| self.chance.once_in(2));
        let last = Some(LastRecord { offset: end - 1, timestamp_ms: 7, crc32: u32::MAX });
        let counts = Counts { new: end - start, ..Counts::default() };
        OffsetRange { partition, epoch: self.small() / 2, expected, start, end, last, max_timestamp_ms: 7, counts }
    }

    /// Statements that two sessions never do at once are done only by the session that holds the lock of refreshes.
    fn next(&mut self, in_transaction: bool, refreshes: bool) -> Statement {
        if !in_transaction {
            return match self.chance.below(8) {
                0 => Statement::Partitions,
                1 => Statement::DrawNumbers(1 + self.chance.below(3)),
                2 => Statement::BeginSnapshot,
                _ => Statement::Begin,
            };
        }
        self.number += 1;
        if refreshes && self.chance.once_in(3) {
            let facts = if self.chance.once_in(3) { String::new() } else { format!("0={}", self.small()) };
            return match self.chance.below(9) {
                8 => Statement::RemoveHistory(self.partitions(), self.small()),
                4 => Statement::WriteColdRows(self.cold_rows()),
                5 => Statement::RemoveColdRows(vec![self.name().0], 10),
                6 => Statement::StoreTimes(vec![(self.name().0, self.times())]),
                7 => Statement::HasColdRows(vec![(self.name(), self.small())]),
                3 => Statement::NoteGaps(vec![self.range(self.partition())]),
                0 => Statement::NoteCoverage(self.chance.once_in(2)),
                1 => Statement::RefreshGlobal(self.chance.once_in(2)),
                _ => Statement::Upsert(vec![(format!("g{}", self.chance.below(3)), facts)]),
            };
        }
        match self.chance.below(44) {
            0..=3 => Statement::Commit,
            4 => Statement::Rollback,
            5 | 6 => Statement::AddPartitions(self.partitions()),
            7..=9 => Statement::LockPartitions(self.partitions()),
            10 => {
                let why = |script: &Self| if script.chance.once_in(2) { Forget::Gap } else { Forget::OtherTopic };
                Statement::ForgetOffsets(
                    self.partitions().into_iter().map(|partition| (partition, why(self))).collect(),
                )
            }
            11 => Statement::RaiseEpochs(self.partitions()),
            12 => Statement::Partitions,
            13..=16 => {
                Statement::Advance(self.partitions().into_iter().map(|partition| self.range(partition)).collect())
            }
            17 => Statement::RaiseLastIds(self.ids()),
            18 => Statement::RaiseRefreshedIds(self.ids()),
            19 => {
                let to = |partition| PartitionProgress {
                    partition,
                    epoch: 0,
                    next_offset: Some(self.small()),
                    refreshed: None,
                    catching_up: self.chance.once_in(4),
                };
                Statement::MarkRefreshed(self.partitions().into_iter().map(to).collect())
            }
            20 | 21 => Statement::Gaps,
            22..=24 => Statement::RegisterKeys(self.keys()),
            25 => Statement::Owners(self.keys()),
            26 => Statement::MoveKeys(self.keys()),
            27 => Statement::Keys(self.partitions()),
            28 => {
                let fact = |_| {
                    let small = |below| i16::try_from(self.chance.below(below)).unwrap();
                    (small(6), small(3), i64::from(small(9)) - 1, u16::try_from(self.chance.below(3)).unwrap())
                };
                Statement::AppendFacts(self.number, (0..3).map(fact).collect())
            }
            29 => Statement::AppendReject(self.number),
            30 => Statement::Account(self.number, self.range(self.partition())),
            31 => Statement::Facts(self.owners()),
            40 => {
                let (owners, size) = (self.partitions(), self.chance.once_in(2).then_some(10));
                Statement::ColdHeads(owners.into_iter().map(|owner| (owner, self.small())).collect(), size)
            }
            41 => Statement::ColdRows(vec![self.name(), self.name()]),
            // Ids of facts begin with the number of their batch.
            42 => {
                let id = |(partition, id): (i32, i64)| (partition, (id + self.number - 3) << ID_SHIFT);
                Statement::SetRedoFrom(self.ids().into_iter().map(id).collect())
            }
            32 => Statement::IsSpread,
            33 => Statement::SetSpread(self.chance.once_in(2)),
            _ => Statement::TryLockRefreshes,
        }
    }
}

/// A session of the simulated server: one statement at a time.
struct Simulated {
    session: Rc<RefCell<Option<SimSession>>>,
    work: Option<Rc<Work>>,
    answer: Rc<RefCell<Option<String>>>,
}

impl Simulated {
    async fn open(server: &SimServer) -> Self {
        let session = finish(server.connect()).await.unwrap();
        Self { session: Rc::new(RefCell::new(Some(session))), work: None, answer: Rc::default() }
    }

    fn begin(&mut self, statement: &Statement) {
        let (session, answer, statement) = (Rc::clone(&self.session), Rc::clone(&self.answer), statement.clone());
        self.work = Some(Work::new(async move {
            let mut open = session.take().unwrap();
            let said = execute(&mut open, &statement).await;
            *session.borrow_mut() = Some(open);
            *answer.borrow_mut() = Some(said);
        }));
    }

    /// The answer, unless it waits.
    fn answer(&self) -> Option<String> {
        let work = self.work.as_ref()?;
        (0..50).any(|_| work.step()).then(|| self.answer.take()).flatten()
    }
}

/// Work of the simulation makes progress whenever it is polled, and wakes no task.
async fn finish<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        work.as_mut().poll(context)
    })
    .await
}

/// A session of the real server, in its own task.
struct Real {
    statements: mpsc::UnboundedSender<Statement>,
    answers: mpsc::UnboundedReceiver<String>,
}

impl Real {
    async fn open(tables: &Tables) -> Self {
        let mut session = tables.server().connect().await.unwrap();
        let (statements, mut todo) = mpsc::unbounded_channel();
        let (said, answers) = mpsc::unbounded_channel();
        spawn_local(async move {
            while let Some(statement) = todo.recv().await {
                if said.send(execute(&mut session, &statement).await).is_err() {
                    return;
                }
            }
        });
        Self { statements, answers }
    }

    /// The answer, unless it waits for a lock, as so many others do.
    async fn answer(&mut self, tables: &Tables, others: usize) -> Option<String> {
        loop {
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(20), self.answers.recv()).await {
                return answer;
            }
            let waits =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            if tables.query::<(i64,)>(waits).await == [(i64::try_from(others + 1).unwrap(),)] {
                return None;
            }
        }
    }
}

/// Everything that is stored, in words.
async fn stored(tables: &Tables) -> String {
    let facts: Vec<(i64, i32, i32, i64, String)> = tables
        .query(
            r#"SELECT id, owner_partition, partition, "offset", concat_ws(' ', grp, key, value) FROM tiny_changelog ORDER BY id"#,
        )
        .await;
    let keys: Vec<StoredKey> = tables
        .query("SELECT key, partition, clock_ms, final_through_ms, horizon_ms FROM key_partitions ORDER BY key")
        .await;
    let cold: Vec<(String, i64, i64, i32)> =
        tables.query("SELECT partition_key, slot, through, facts FROM tiny_cold ORDER BY partition_key, slot").await;
    let counts: Vec<(i64, i64)> =
        tables.query("SELECT (SELECT count(*) FROM rejects), (SELECT count(*) FROM ingest_accounting)").await;
    let complete: Vec<(bool,)> = tables.query("SELECT complete FROM stream_completeness").await;
    format!("{facts:?} {keys:?} {cold:?} {counts:?} {:?} {complete:?}", tables.groups().await)
}

fn simulated(server: &SimServer) -> String {
    let tables = &server.database.borrow().tables;
    let fact = |(id, row): (i64, &crate::simulation::postgres::FactRow)| {
        (id, row.owner, row.partition, row.offset, format!("{} {} {}", row.group, row.key, row.value))
    };
    let facts: Vec<_> = tables.stored().map(fact).collect();
    let time = |time: i64| Some(time).filter(|time| *time != NEVER);
    let key = |(key, owner): (&String, &i32)| {
        let times = tables.times.get(key).copied().unwrap_or_default();
        (key.clone(), *owner, time(times.clock_ms), time(times.final_through_ms), time(times.horizon_ms))
    };
    let keys: Vec<_> = tables.keys.iter().map(key).collect();
    let cold: Vec<_> = tables
        .cold
        .iter()
        .map(|((key, slot), cold)| (key.clone(), *slot, cold.through, i32::try_from(cold.facts.len()).unwrap()))
        .collect();
    let counts = [(i64::try_from(tables.rejects).unwrap(), i64::try_from(tables.accounting.len()).unwrap())];
    let groups: Vec<_> = tables.groups.iter().map(|(group, facts)| (group.clone(), facts.clone())).collect();
    let complete: Vec<_> = tables.complete.iter().map(|complete| (*complete,)).collect();
    format!("{facts:?} {keys:?} {cold:?} {counts:?} {groups:?} {complete:?}")
}

async fn compare(seed: u64) {
    let tables = Tables::create().await;
    let server = SimServer::new(Rc::new(Rng::new(seed)), Rc::new(Clock::new()));
    let mut script = Script { chance: Rng::new(seed), number: 0 };
    let (mut real, mut simulation) = (Vec::new(), Vec::new());
    for _ in 0..SESSIONS {
        real.push(Real::open(&tables).await);
        simulation.push(Simulated::open(&server).await);
    }
    let mut in_transaction = [false; SESSIONS];
    let mut is_snapshot = [false; SESSIONS];
    let mut refreshes = [false; SESSIONS];
    let mut waits = None;
    let mut said: VecDeque<String> = VecDeque::new();
    for _ in 0..COMMANDS {
        let at = script.chance.below(SESSIONS);
        if waits == Some(at) {
            continue;
        }
        let statement = script.next(in_transaction[at], refreshes[at]);
        let ends = matches!(statement, Statement::Commit | Statement::Rollback);
        let reads = matches!(
            statement,
            Statement::Partitions
                | Statement::Gaps
                | Statement::Keys(_)
                | Statement::Facts(_)
                | Statement::IsSpread
                | Statement::ColdHeads(..)
                | Statement::ColdRows(_)
        );
        // One session waits at a time, so that none wait for each other; one that sees one state only reads.
        if (waits.is_some() && statement.may_wait()) || (is_snapshot[at] && !ends && !reads) {
            continue;
        }
        said.push_back(format!("{at}: {statement:?}"));
        real[at].statements.send(statement.clone()).unwrap();
        simulation[at].begin(&statement);
        let answers = (real[at].answer(&tables, usize::from(waits.is_some())).await, simulation[at].answer());
        assert_eq!(answers.0, answers.1, "seed {seed}, {said:#?}");
        let begins = matches!(statement, Statement::Begin | Statement::BeginSnapshot);
        in_transaction[at] = (in_transaction[at] || begins) && !ends;
        let has_locked = matches!(statement, Statement::TryLockRefreshes) && answers.0.as_deref() == Some("true");
        refreshes[at] = (refreshes[at] || has_locked) && !ends;
        is_snapshot[at] = (is_snapshot[at] || matches!(statement, Statement::BeginSnapshot)) && !ends;
        if answers.0.is_none() {
            waits = Some(at);
        }
        // A session that waited goes on when the other has ended.
        if ends && let Some(waiting) = waits {
            let answers = (real[waiting].answer(&tables, 0).await, simulation[waiting].answer());
            assert_eq!(answers.0, answers.1, "seed {seed}, {waiting} had waited: {said:#?}");
            if answers.0.is_some() {
                waits = None;
            }
        }
    }
    for at in (0..SESSIONS).filter(|at| in_transaction[*at] && waits != Some(*at)).collect::<Vec<_>>() {
        real[at].statements.send(Statement::Commit).unwrap();
        simulation[at].begin(&Statement::Commit);
        assert_eq!(
            real[at].answer(&tables, usize::from(waits.is_some())).await,
            simulation[at].answer(),
            "seed {seed}, {said:#?}"
        );
    }
    if let Some(at) = waits {
        assert_eq!(real[at].answer(&tables, 0).await, simulation[at].answer(), "seed {seed}, {said:#?}");
        real[at].statements.send(Statement::Commit).unwrap();
        simulation[at].begin(&Statement::Commit);
        assert_eq!(real[at].answer(&tables, 0).await, simulation[at].answer(), "seed {seed}, {said:#?}");
    }
    assert_eq!(stored(&tables).await, simulated(&server), "seed {seed}, {said:#?}");
}

#[tokio::test]
async fn the_simulated_postgresql_answers_as_a_real_one() {
    let first = std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in first..first + DATABASES {
        LocalSet::new().run_until(compare(seed)).await;
    }
}

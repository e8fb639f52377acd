//! The connection is cut at COMMIT, before or after Postgres has received it: whether a batch was stored is not known,
//! and each is stored once nevertheless.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use clap::Parser;
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

use crate::{
    ConsumeSettings,
    core::jobs::{Answer, Job, JobOutcome},
    database::Database,
    postgres::{retry::Postgres, session::PgServer, writer::Writer},
    tests::{
        consumer::{Consumer, SHARD, Tables},
        tiny::Tiny,
    },
};

/// Longer than the retries after all cuts take together; a writer that returns nothing for so long has failed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    /// COMMIT never reaches Postgres.
    Before,
    /// Postgres executes it, and its response is lost.
    After,
    Never,
}

/// Whether what a client sends holds `COMMIT` as a simple query: `Q`, a length, the text, a NUL.
fn commits(bytes: &[u8]) -> bool {
    bytes.windows(12).any(|window| window[0] == b'Q' && &window[5..] == b"COMMIT\0")
}

/// Forwards between a client and Postgres, and cuts at each COMMIT as `cuts` say, one after another.
pub(crate) struct Proxy {
    cuts: Mutex<std::vec::IntoIter<Cut>>,
    made: AtomicUsize,
    server: (String, u16),
}

impl Proxy {
    /// A proxy in front of the server that these options name, and the options that name the proxy.
    pub(crate) async fn in_front_of(options: PgConnectOptions, cuts: Vec<Cut>) -> (Arc<Self>, PgConnectOptions) {
        let server = (options.get_host().to_owned(), options.get_port());
        let proxy = Arc::new(Self { cuts: Mutex::new(cuts.into_iter()), made: AtomicUsize::new(0), server });
        let port = proxy.listen().await;
        (proxy, options.host("127.0.0.1").port(port))
    }

    /// How many cuts were made.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    async fn listen(self: &Arc<Self>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = Arc::clone(&proxy);
                tokio::spawn(async move { proxy.carry(client).await });
            }
        });
        port
    }

    async fn carry(&self, mut client: TcpStream) {
        let mut server = TcpStream::connect(&self.server).await.unwrap();
        let (mut request, mut response) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                read = client.read(&mut request) => {
                    let Ok(len @ 1..) = read else { return };
                    let cut = if commits(&request[..len]) { self.next_cut() } else { Cut::Never };
                    if cut == Cut::Before {
                        return;
                    }
                    server.write_all(&request[..len]).await.unwrap();
                    if cut == Cut::After {
                        // It has responded, so it has committed.
                        assert!(server.read(&mut response).await.unwrap() > 0);
                        return;
                    }
                }
                read = server.read(&mut response) => {
                    let Ok(len @ 1..) = read else { return };
                    if client.write_all(&response[..len]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn next_cut(&self) -> Cut {
        let cut = self.cuts.lock().unwrap().next().unwrap_or(Cut::Never);
        self.made.fetch_add(usize::from(cut != Cut::Never), Ordering::SeqCst);
        cut
    }
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    consume: ConsumeSettings,
}

/// The real writer, behind a proxy that cuts; and its answers.
async fn writer(
    tables: &Tables,
    cuts: Vec<Cut>,
) -> (Arc<Proxy>, tokio::sync::mpsc::Sender<Job<Tiny>>, mpsc::Receiver<Answer>) {
    let (proxy, options) = Proxy::in_front_of(tables.database.url().parse().unwrap(), cuts).await;
    let (jobs, queue) = tokio::sync::mpsc::channel(16);
    let (sender, events) = mpsc::channel();
    let server = PgServer { database: Database::new(options), ..tables.server() };
    let postgres = Postgres::new(server, Settings::parse_from(["test"]).consume.outage_timeout);
    let writer = Writer::new(postgres, move |answer| sender.send(answer).is_ok());
    let runtime = Handle::current();
    thread::spawn(move || runtime.block_on(writer.run(queue)));
    (proxy, jobs, events)
}

/// How batches are handed to the writer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hand {
    /// The next one when the last one is stored: a transaction each.
    OneByOne,
    /// All at once, so that those that wait are stored together.
    Together,
}

async fn receive(events: &Arc<Mutex<mpsc::Receiver<Answer>>>) -> Option<Answer> {
    let events = Arc::clone(events);
    tokio::task::spawn_blocking(move || events.lock().unwrap().recv_timeout(PATIENCE).ok()).await.unwrap()
}

fn are_stored<T>(shards: &[(u64, JobOutcome<T>)]) -> bool {
    matches!(shards, [(SHARD, JobOutcome::Stored(_))])
}

async fn check(hand: Hand, cuts: Vec<Cut>) {
    let tables = Tables::create().await;
    let made = cuts.iter().filter(|cut| **cut != Cut::Never).count();
    let (proxy, jobs, events) = writer(&tables, cuts.clone()).await;
    let events = Arc::new(Mutex::new(events));
    let mut stored = 0;
    let mut consumer = Consumer::start(&tables, &[0, 1]).await;
    let mut sent = Vec::new();
    for batch in 0..4_i64 {
        let (partition, offset) = (i32::try_from(batch % 2).unwrap(), batch / 2 * 3);
        let group = partition * 2;
        let values: Vec<String> = (0..3).map(|n| format!("{group} {} {batch}", n + 2 * (batch / 2))).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        sent.extend((offset..).zip(&values).map(|(at, value)| (partition, partition, at, (*value).to_owned())));
        let batch = consumer.batch(partition, offset, &values);
        jobs.send(Job::Commit(Box::new(batch))).await.unwrap();
        if hand == Hand::OneByOne {
            let event = receive(&events).await;
            let is_stored = matches!(&event, Some(Answer::Batches { count: 1, shards }) if are_stored(shards));
            assert!(is_stored, "{cuts:?}: {event:?}");
            stored += 1;
        }
    }
    let refresh = consumer.next_refresh();
    jobs.send(Job::Refresh(Box::new(refresh))).await.unwrap();
    loop {
        match receive(&events).await {
            Some(Answer::Batches { count, shards }) if are_stored(&shards) => stored += count,
            Some(Answer::Refresh { shards, .. }) if are_stored(&shards) => break,
            other => panic!("{cuts:?}: {other:?}"),
        }
    }
    assert_eq!(stored, 4, "{cuts:?}");
    assert_eq!(proxy.made(), made, "{cuts:?}");
    assert_eq!(tables.changelog().await, sent, "{cuts:?}");
    assert_eq!(tables.accounting().await, [(0, 6, 6), (1, 6, 6)], "{cuts:?}");
    let expected = [("g0", "0=0 1=0 2=2 3=2 4=2"), ("g2", "0=1 1=1 2=3 3=3 4=3")];
    assert_eq!(tables.groups().await, expected.map(|(group, facts)| (group.to_owned(), facts.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_batch_is_stored_once_whatever_is_lost_at_commit() {
    use Cut::{After, Before, Never};
    let schedules = [
        vec![After],
        vec![Before],
        vec![Never, After, After, Before, After],
        vec![Before, After, Never, Before, Before, After],
        // Also that of the refresh, which comes fifth.
        vec![Never, Never, Never, Never, After],
        vec![Never, Never, Never, Never, Before, After],
    ];
    for cuts in schedules {
        check(Hand::OneByOne, cuts).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_stored_together_are_stored_once_whatever_is_lost_at_commit() {
    use Cut::{After, Before};
    for cuts in [vec![After], vec![Before], vec![After, After], vec![Before, After]] {
        check(Hand::Together, cuts).await;
    }
}

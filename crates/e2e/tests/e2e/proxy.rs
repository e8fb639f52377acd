//! A network that can be disturbed: a TCP proxy on loopback.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{SockFilter, SockRef};

/// How often an idle thread checks what it should do.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    /// Everything arrives.
    Fair,
    /// Every piece that arrives, of up to 64 KiB, is delayed by this time, in both directions.
    Slow(Duration),
    /// Connections stay open, new ones too, and nothing arrives.
    Silent,
    /// There are no connections, and new ones are refused.
    Refused,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    weather: Mutex<Weather>,
    /// Connections of an older generation are cut.
    generation: AtomicU64,
    /// Connections of a generation before this one are not cut but lost.
    lost: AtomicU64,
    /// How many responses to COMMIT are still to be lost.
    responses_to_lose: AtomicU32,
    ended: AtomicBool,
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy that leads to one address, until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Leads from a free port of loopback to `to`.
    pub(crate) fn to(to: SocketAddr) -> Self {
        Self::listening(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), to)
    }

    /// Leads from a port that already has a listener.
    pub(crate) fn listening(listener: TcpListener, to: SocketAddr) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            to,
            weather: Mutex::new(Weather::Fair),
            generation: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            responses_to_lose: AtomicU32::new(0),
            ended: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let listening = Some(thread::spawn(move || listen(listener, address, &theirs)));
        Self { address, shared, listening }
    }

    /// Where clients go.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the network is like this.
    pub(crate) fn set(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
        if weather == Weather::Refused {
            self.cut();
        }
    }

    /// Cuts every open connection.
    pub(crate) fn cut(&self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Loses every open connection, as when a cable is pulled: neither end receives anything more, nor the end of it.
    pub(crate) fn lose(&self) {
        let next = self.shared.generation.load(Ordering::SeqCst) + 1;
        // First, or those who carry bytes would take it for a cut.
        self.shared.lost.store(next, Ordering::SeqCst);
        self.shared.generation.store(next, Ordering::SeqCst);
    }

    /// Loses the server's responses to so many COMMITs: each connection is cut when the server has responded.
    pub(crate) fn lose_commits(&self, number: u32) {
        self.shared.responses_to_lose.store(number, Ordering::SeqCst);
    }

    /// How many of these responses are still to be lost.
    pub(crate) fn commits_to_lose(&self) -> u32 {
        self.shared.responses_to_lose.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        if let Some(listening) = self.listening.take() {
            // It cannot panic but by a bug, which it has printed.
            drop(listening.join());
        }
    }
}

fn listen(listener: TcpListener, address: SocketAddr, shared: &Arc<Shared>) {
    let mut listener = Some(listener);
    while !shared.ended.load(Ordering::SeqCst) {
        match (&listener, shared.weather()) {
            (Some(_), Weather::Refused) => listener = None,
            (None, Weather::Refused) => {}
            // Somebody's outgoing connection may have the port for a moment.
            (None, _) => listener = TcpListener::bind(address).ok(),
            (Some(open), _) => {
                open.set_nonblocking(true).unwrap();
                while let Ok((client, _)) = open.accept() {
                    let shared = Arc::clone(shared);
                    thread::spawn(move || carry(&client, &shared));
                }
            }
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Carries a connection, in both directions, to its end.
fn carry(client: &TcpStream, shared: &Shared) {
    let generation = shared.generation.load(Ordering::SeqCst);
    // A server that does not run refuses, and so do we.
    let Ok(server) = TcpStream::connect(shared.to) else { return };
    for stream in [client, &server] {
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(POLL_INTERVAL)).unwrap();
    }
    let dropping = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| pump(client, &server, shared, generation, |bytes| note_commit(bytes, shared, &dropping)));
        scope.spawn(|| pump(&server, client, shared, generation, |_| !dropping.load(Ordering::SeqCst)));
    });
}

/// Drops the responses for the rest of a connection whose COMMIT passes by, if one is to be lost.
fn note_commit(bytes: &[u8], shared: &Shared, dropping: &AtomicBool) -> bool {
    let commits = bytes.windows(6).any(|word| word == b"COMMIT");
    let one_less = |left: u32| left.checked_sub(1);
    if commits && shared.responses_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
        dropping.store(true, Ordering::SeqCst);
    }
    true
}

/// Carries bytes in one direction, until one side ends, the connection is cut, or `pass` refuses what came.
fn pump(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared, generation: u64, pass: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while generation == shared.generation.load(Ordering::SeqCst) && shared.weather() != Weather::Refused {
        if shared.weather() == Weather::Silent {
            thread::sleep(POLL_INTERVAL);
            continue;
        }
        let bytes = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => &buffer[..length],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        if let Weather::Slow(delay) = shared.weather() {
            thread::sleep(delay);
        }
        if !pass(bytes) || to.write_all(bytes).is_err() {
            break;
        }
    }
    if generation < shared.lost.load(Ordering::SeqCst) {
        // A filter that takes no byte: the kernel drops what comes, and acknowledges nothing.
        SockRef::from(from).attach_filter(&[SockFilter::new(0x06, 0, 0, 0)]).unwrap();
        while !shared.ended.load(Ordering::SeqCst) {
            thread::sleep(POLL_INTERVAL);
        }
    }
    // Either may be closed already.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

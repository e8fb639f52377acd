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

/// How often a thread that has nothing to do looks at what it should be doing.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    /// Everything arrives.
    Fair,
    /// Every piece that arrives, of up to 64 KiB, is held back for this time, in both directions.
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
    /// How many answers to COMMIT are still to be lost.
    deaf: AtomicU32,
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

    /// Leads from a port that is listened on already.
    pub(crate) fn listening(listener: TcpListener, to: SocketAddr) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            to,
            weather: Mutex::new(Weather::Fair),
            generation: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            deaf: AtomicU32::new(0),
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

    /// Cuts every connection there is.
    pub(crate) fn cut(&self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Loses every connection there is, as when a cable is pulled: neither end hears anything more, nor that it is over.
    pub(crate) fn lose(&self) {
        let next = self.shared.generation.load(Ordering::SeqCst) + 1;
        // First, or those who carry bytes would take it for a cut.
        self.shared.lost.store(next, Ordering::SeqCst);
        self.shared.generation.store(next, Ordering::SeqCst);
    }

    /// Loses the server's answers to so many COMMITs: each connection is cut when the server has answered.
    pub(crate) fn lose_commits(&self, number: u32) {
        self.shared.deaf.store(number, Ordering::SeqCst);
    }

    /// How many of these answers are still to be lost.
    pub(crate) fn commits_to_lose(&self) -> u32 {
        self.shared.deaf.load(Ordering::SeqCst)
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
        thread::sleep(LOOK_EVERY);
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
        stream.set_read_timeout(Some(LOOK_EVERY)).unwrap();
    }
    let deaf = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| pump(client, &server, (shared, generation), |bytes| note_commit(bytes, shared, &deaf)));
        scope.spawn(|| pump(&server, client, (shared, generation), |_| !deaf.load(Ordering::SeqCst)));
    });
}

/// Goes deaf for the rest of a connection whose COMMIT passes by, if one is to be lost.
fn note_commit(bytes: &[u8], shared: &Shared, deaf: &AtomicBool) -> bool {
    let commits = bytes.windows(6).any(|word| word == b"COMMIT");
    let one_less = |left: u32| left.checked_sub(1);
    if commits && shared.deaf.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
        deaf.store(true, Ordering::SeqCst);
    }
    true
}

/// Carries bytes one way, until one side ends, the connection is cut, or `pass` refuses what came.
fn pump(mut from: &TcpStream, mut to: &TcpStream, (shared, generation): (&Shared, u64), pass: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while generation == shared.generation.load(Ordering::SeqCst) && shared.weather() != Weather::Refused {
        if shared.weather() == Weather::Silent {
            thread::sleep(LOOK_EVERY);
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
            thread::sleep(LOOK_EVERY);
        }
    }
    // Either may be closed already.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

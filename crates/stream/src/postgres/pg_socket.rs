//! A TCP connection to Postgres with the options sqlx does not set.
//!
//! sqlx leaves Nagle's algorithm on, and every COPY ends with a small message behind a large one:
//! the server's delayed acknowledgement then delays it by 40 ms, three times as long as the COPY
//! itself takes. Nor does sqlx notice a half-open connection. So TCP is ours, and sqlx talks to it
//! through a Unix socket that exists for the moment of connecting only.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpStream, UnixListener},
};

/// TCP probes an idle connection after this time, and then as often, to find out whether the server still responds.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// So many probes without a response end it: half-open connections are noticed within 15 s.
const KEEPALIVE_RETRIES: u32 = 2;
/// Sent bytes that nobody acknowledges for this long end it too.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
/// A batch is about a megabyte: with less than this it would take many turns to pass on.
const BUFFER: usize = 256 << 10;

/// Opens a connection that sends at once, and notices within 15 s when the server is gone.
///
/// # Errors
/// When the server cannot be reached, or refuses.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let host = options.get_host();
    if options.get_socket().is_some() || host.starts_with('/') {
        return options.connect().await;
    }
    let port = options.get_port();
    let host = host.trim_matches(['[', ']']);
    let tcp = TcpStream::connect((host, port)).await?;
    tune(&tcp)?;
    // Only this user can enter the folder; it is removed as soon as the connection is open.
    let folder = tempfile::Builder::new().prefix("tributary-").tempdir()?;
    let listener = UnixListener::bind(folder.path().join(format!(".s.PGSQL.{port}")))?;
    tokio::spawn(pass_on(listener, tcp));
    // The host is still named: with TLS it is what the server's certificate is compared with.
    options.clone().host(host).socket(folder.path()).connect().await
}

fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Passes bytes on, both ways, until either side ends; the other side then ends too.
async fn pass_on(listener: UnixListener, mut tcp: TcpStream) -> io::Result<()> {
    let (mut ours, _) = listener.accept().await?;
    drop(listener);
    copy_bidirectional_with_sizes(&mut ours, &mut tcp, BUFFER, BUFFER).await?;
    Ok(())
}

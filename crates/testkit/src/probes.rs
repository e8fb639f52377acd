//! The probes and metrics that a running consumer serves over HTTP.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::process::Running;

/// The address of a consumer that was started with `--listen 127.0.0.1:0`, and with `LOG_LEVEL` so that it logs it.
#[derive(Clone, Copy, Debug)]
pub struct Probes(SocketAddr);

/// The level that [`Probes::of`] needs.
pub const LOG_LEVEL: &str = "service=debug,info";

impl Probes {
    /// Waits until the consumer logs its address.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn of(consumer: &mut Running, limit: Duration) -> anyhow::Result<Self> {
        let line = consumer.wait_for_line("serving /startupz", limit)?;
        let address = line.split_once("address=").and_then(|(_, rest)| rest.split_whitespace().next());
        Ok(Self(address.context("no address is named")?.parse()?))
    }

    /// Requests a path: the response's body, `Err` where its status is not 200.
    ///
    /// # Panics
    /// When there is no response.
    pub fn get(&self, path: &str) -> Result<String, String> {
        let response = self.request(path).unwrap_or_else(|error| panic!("{path} has no response: {error:#}"));
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
        if head.starts_with("HTTP/1.1 200 ") { Ok(body.to_owned()) } else { Err(body.to_owned()) }
    }

    fn request(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.0)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    }

    /// Waits until a path returns 200.
    ///
    /// # Errors
    /// When it is not within `limit`; the error has the last body.
    pub fn wait_until_ok(&self, path: &str, limit: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Err(said) = self.get(path) {
            ensure!(began.elapsed() < limit, "{path} is not 200 within {limit:?}: {said}");
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Waits until a path does not return 200 and the body has all of `words`; returns the body.
    ///
    /// # Errors
    /// When it is not so within `limit`; the error has the last response.
    pub fn wait_until_not_ok(&self, path: &str, words: &[&str], limit: Duration) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let said = self.get(path);
            match said {
                Err(said) if words.iter().all(|word| said.contains(word)) => return Ok(said),
                said => {
                    ensure!(began.elapsed() < limit, "{path} has not failed with {words:?} within {limit:?}: {said:?}")
                }
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// How long to wait between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

//! What a running consumer answers over HTTP.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::process::Running;

/// Where a consumer answers that was started with `--listen 127.0.0.1:0`, and with `LOG_LEVEL` so that it says where.
#[derive(Clone, Copy, Debug)]
pub struct Probes(SocketAddr);

/// The level that [`Probes::of`] needs.
pub const LOG_LEVEL: &str = "service=debug,info";

impl Probes {
    /// Waits until the consumer says where it answers.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn of(consumer: &mut Running, limit: Duration) -> anyhow::Result<Self> {
        let line = consumer.wait_for_line("answering /startupz", limit)?;
        let address = line.split_once("address=").and_then(|(_, rest)| rest.split_whitespace().next());
        Ok(Self(address.context("no address is named")?.parse()?))
    }

    /// Asks for a path: the answer's body, `Err` where its status is not 200.
    ///
    /// # Panics
    /// When nobody answers.
    pub fn ask(&self, path: &str) -> Result<String, String> {
        let answer = self.answer(path).unwrap_or_else(|error| panic!("{path} is not answered: {error:#}"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if head.starts_with("HTTP/1.1 200 ") { Ok(body.to_owned()) } else { Err(body.to_owned()) }
    }

    fn answer(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.0)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Waits until a path is answered with 200.
    ///
    /// # Errors
    /// When it is not within `limit`; the error has the last body.
    pub fn wait_until_ok(&self, path: &str, limit: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Err(said) = self.ask(path) {
            ensure!(began.elapsed() < limit, "{path} is not 200 within {limit:?}: {said}");
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Waits until a path is not answered with 200 and the body has all of `words`; gives the body.
    ///
    /// # Errors
    /// When it is not so within `limit`; the error has the last answer.
    pub fn wait_until_not_ok(&self, path: &str, words: &[&str], limit: Duration) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let said = self.ask(path);
            match said {
                Err(said) if words.iter().all(|word| said.contains(word)) => return Ok(said),
                said => {
                    ensure!(began.elapsed() < limit, "{path} has not failed with {words:?} within {limit:?}: {said:?}")
                }
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// How long to wait between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

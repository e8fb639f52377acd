//! Requests an address until its server sends it, and reads the body.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use service::{Exit, Failure, Stop, backoff::Backoff, telemetry::millis};
use ureq::{
    Agent, Body, BodyReader,
    http::{Response, Uri, header::TRANSFER_ENCODING},
};

use super::{
    agent::{self, Remedy},
    response,
};
use crate::location::Location;

/// How often a wait checks whether it is time to stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// The input at an address, read as it comes: never more of it is in memory than a buffer.
///
/// An error of it is final, and carries the [`Failure`] it deserves.
pub(crate) struct HttpBody {
    location: Location,
    length: Option<u64>,
    body: BodyReader<'static>,
}

impl HttpBody {
    /// Requests the input, and waits up to `wait` while its server is unavailable.
    ///
    /// # Errors
    /// Exit 65 when the input is missing, 64 when it is refused or its server is not trusted, 69 when the server stays
    /// unavailable.
    pub(crate) fn open(uri: &Uri, wait: Duration, stop: &Stop) -> Result<Self, Failure> {
        let (agent, location) = (agent::new(uri)?, Location::Address(uri.clone()));
        let mut backoff = Backoff::new(wait);
        loop {
            let (why, after) = match request(&agent, uri) {
                Ok(response) => return Ok(Self::begin(response, location)),
                Err(Remedy::Again(why, after)) => (why, after.unwrap_or_default()),
                Err(Remedy::Never(exit, why)) => {
                    return Err(Failure::new(exit, format!("cannot get {location}: {why}")));
                }
            };
            let Some(pause) = backoff.wait() else {
                let waited = backoff.elapsed().as_secs();
                let message = format!("cannot get {location} for {waited} s now: {why}");
                return Err(Failure::new(Exit::Unavailable, message));
            };
            let pause = pause.max(after.min(wait));
            tracing::warn!(error = why, retry_in_ms = millis(pause), "getting {location} failed and will be retried");
            sleep(pause, stop)?;
        }
    }

    fn begin(response: Response<Body>, location: Location) -> Self {
        let length = response.body().content_length();
        tracing::info!(bytes = length, "getting {location}");
        if length.is_none() && !response.headers().contains_key(TRANSFER_ENCODING) {
            tracing::warn!("{location} comes without its length; only --sha256 can tell whether it is complete");
        }
        Self { location, length, body: response.into_body().into_reader() }
    }

    /// How long the input is, bytes, where the server has sent that.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Read for HttpBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A body that ends before its length or its last chunk is an error of the client.
        self.body.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => {
                let message = format!("getting {} broke off ({error}); send it again", self.location);
                io::Error::other(Failure::new(Exit::Unavailable, message))
            }
        })
    }
}

/// Requests the input once.
fn request(agent: &Agent, uri: &Uri) -> Result<Response<Body>, Remedy> {
    let response = agent.get(uri).call().map_err(agent::classify)?;
    response::check(response.status(), response.headers())?;
    Ok(response)
}

/// Waits, unless it is time to stop.
fn sleep(wait: Duration, stop: &Stop) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        if stop.is_stopping() {
            return Err(Failure::new(Exit::Unavailable, "stopped while waiting for the input; send it again"));
        }
        match wait.checked_sub(began.elapsed()) {
            None | Some(Duration::ZERO) => return Ok(()),
            Some(left) => std::thread::sleep(left.min(STOP_CHECK)),
        }
    }
}

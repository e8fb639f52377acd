//! Requests an address until its server sends it, and reads the body.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use service::{Exit, Failure, Stop, backoff::Backoff, telemetry::millis};
use stream::sender::OUTAGE_TIMEOUT;
use ureq::{
    Agent, BodyReader,
    http::{Uri, header},
};

use super::{
    agent::{self, Remedy},
    response::{Known, Response},
};
use crate::location::Location;

/// How often a wait checks whether it is time to stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// An address, and how long its server may be unavailable.
pub(crate) struct Fetch {
    agent: Agent,
    uri: Uri,
    /// At the start, before anything was read.
    wait: Duration,
    /// Later, without a single byte.
    outage_timeout: Duration,
    stop: Stop,
}

/// The input at an address, read as it comes: never more of it is in memory than a buffer.
///
/// An error of it is final, and carries the [`Failure`] it deserves.
pub(crate) struct HttpBody {
    fetch: Fetch,
    known: Known,
    body: BodyReader<'static>,
    /// The next byte to give out.
    at: u64,
    /// The retries since the last byte; `None` while bytes arrive.
    stall: Option<Backoff>,
}

impl Fetch {
    /// Prepares the requests.
    ///
    /// # Errors
    /// Exit 64 when there is no certificate authority to trust.
    pub(crate) fn new(uri: Uri, wait: Duration, stop: Stop) -> Result<Self, Failure> {
        Ok(Self { agent: agent::new(&uri)?, uri, wait, outage_timeout: OUTAGE_TIMEOUT, stop })
    }

    /// Requests all from byte `from` on, once.
    fn request(&self, known: &Known, from: u64) -> Result<(Known, BodyReader<'static>), Response> {
        let mut request = self.agent.get(&self.uri);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
            if let Some(validator) = &known.validator {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        let response = request.call().map_err(|error| match agent::classify(error) {
            Remedy::Again(why) => Response::Again(why, None),
            Remedy::Never(exit, why) => Response::Never(exit, why),
        })?;
        let skip = match known.classify(response.status(), response.headers(), from) {
            Response::Body { skip } => skip,
            other => return Err(other),
        };
        let now_known = if from == 0 { Known::of(response.headers()) } else { known.clone() };
        let mut body = response.into_body().into_reader();
        match io::copy(&mut body.by_ref().take(skip), &mut io::sink()) {
            Ok(skipped) if skipped == skip => Ok((now_known, body)),
            Ok(_) => Err(Response::Again("it ended too early".to_owned(), None)),
            Err(error) => Err(Response::Again(error.to_string(), None)),
        }
    }

    /// Repeats the request until there is a usable response or the time is over.
    fn insist(&self, backoff: &mut Backoff, known: &Known, from: u64) -> Result<(Known, BodyReader<'static>), Failure> {
        let location = Location::Address(self.uri.clone());
        loop {
            let (why, after) = match self.request(known, from) {
                Ok(given) => return Ok(given),
                Err(Response::Again(why, after)) => (why, after.unwrap_or_default()),
                Err(Response::Never(exit, why)) => {
                    return Err(Failure::new(exit, format!("cannot get {location}: {why}")));
                }
                Err(Response::Body { .. }) => unreachable!("a body is no error"),
            };
            let Some(wait) = backoff.wait() else {
                let waited = backoff.elapsed().as_secs();
                return Err(Failure::new(
                    Exit::Unavailable,
                    format!("cannot get {location} for {waited} s now: {why}"),
                ));
            };
            let wait = wait.max(after.min(self.wait));
            tracing::warn!(
                error = why,
                from_byte = from,
                retry_in_ms = millis(wait),
                "getting {location} failed and will be retried"
            );
            self.pause(wait)?;
        }
    }

    /// Waits, unless it is time to stop.
    fn pause(&self, wait: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            if self.stop.is_stopping() {
                return Err(Failure::new(Exit::Unavailable, "stopped while waiting for the input; send it again"));
            }
            match wait.checked_sub(began.elapsed()) {
                None | Some(Duration::ZERO) => return Ok(()),
                Some(left) => std::thread::sleep(left.min(STOP_CHECK)),
            }
        }
    }
}

impl HttpBody {
    /// Requests the input, and waits while its server is unavailable.
    ///
    /// # Errors
    /// Exit 65 when the input is missing, 64 when it is refused or its server is not trusted, 69 when the server stays
    /// unavailable.
    pub(crate) fn open(fetch: Fetch) -> Result<Self, Failure> {
        let mut backoff = Backoff::new(fetch.wait);
        let (known, body) = fetch.insist(&mut backoff, &Known::default(), 0)?;
        let location = Location::Address(fetch.uri.clone());
        let Known { length: bytes, validator: version } = &known;
        tracing::info!(bytes, version, "getting {location}");
        Ok(Self { fetch, known, body, at: 0, stall: None })
    }

    /// How long the input is, where the server has sent that.
    pub(crate) fn length(&self) -> Option<u64> {
        self.known.length
    }

    /// Requests the rest, after the connection broke.
    fn resume(&mut self, why: &str) -> Result<(), Failure> {
        let location = Location::Address(self.fetch.uri.clone());
        if self.at > 0 && self.known.validator.is_none() {
            let message = format!(
                "getting {location} broke off ({why}), and its server gives neither ETag nor Last-Modified, by which the \
                 rest could be known for the same input's; send it again"
            );
            return Err(Failure::new(Exit::Unavailable, message));
        }
        let first = self.stall.is_none();
        let backoff = self.stall.get_or_insert_with(|| Backoff::new(self.fetch.outage_timeout));
        tracing::warn!(error = why, from_byte = self.at, "getting {location} broke off and is taken up again");
        if !first {
            let over =
                || Failure::new(Exit::Unavailable, format!("getting {location} breaks off again and again: {why}"));
            let wait = backoff.wait().ok_or_else(over)?;
            self.fetch.pause(wait)?;
        }
        let (known, body) = self.fetch.insist(backoff, &self.known, self.at)?;
        (self.known, self.body) = (known, body);
        Ok(())
    }
}

impl Read for HttpBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let why = match self.body.read(buffer) {
                Ok(0) if self.known.length.is_none_or(|length| self.at >= length) => return Ok(0),
                Ok(0) => "it ended too early".to_owned(),
                Ok(read) => {
                    self.at += u64::try_from(read).unwrap_or_default();
                    self.stall = None;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error.to_string(),
            };
            self.resume(&why).map_err(io::Error::other)?;
        }
    }
}

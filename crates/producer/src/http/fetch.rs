//! Asking for an address until it is given, and the body that comes.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use service::{Exit, Failure, Stop, backoff::Backoff, telemetry::millis};
use stream::sender::AWAY_LIMIT;
use ureq::{
    Agent, BodyReader,
    http::{Uri, header},
};

use super::{
    agent::{self, Remedy},
    answer::{Answer, Known},
};
use crate::place::Place;

/// How often a wait looks whether it is time to stop.
const LOOK: Duration = Duration::from_millis(50);

/// An address, and how long its server may be away.
pub(crate) struct Fetch {
    agent: Agent,
    uri: Uri,
    /// At the start, before anything was read.
    wait: Duration,
    /// Later, without a single byte.
    away: Duration,
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
    /// Since when nothing came, and how often that was tried to change.
    standstill: Option<Backoff>,
}

impl Fetch {
    /// Prepares to ask.
    ///
    /// # Errors
    /// Exit 64 when there is no certificate authority to trust.
    pub(crate) fn new(uri: Uri, wait: Duration, stop: Stop) -> Result<Self, Failure> {
        Ok(Self { agent: agent::new(&uri)?, uri, wait, away: AWAY_LIMIT, stop })
    }

    /// Asks for all from byte `from` on, once.
    fn ask(&self, known: &Known, from: u64) -> Result<(Known, BodyReader<'static>), Answer> {
        let mut request = self.agent.get(&self.uri);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
            if let Some(validator) = &known.validator {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        let response = request.call().map_err(|error| match agent::judge(error) {
            Remedy::Again(why) => Answer::Again(why, None),
            Remedy::Never(exit, why) => Answer::Never(exit, why),
        })?;
        let skip = match known.judge(response.status(), response.headers(), from) {
            Answer::Body { skip } => skip,
            other => return Err(other),
        };
        let now_known = if from == 0 { Known::of(response.headers()) } else { known.clone() };
        let mut body = response.into_body().into_reader();
        match io::copy(&mut body.by_ref().take(skip), &mut io::sink()) {
            Ok(skipped) if skipped == skip => Ok((now_known, body)),
            Ok(_) => Err(Answer::Again("it ended too early".to_owned(), None)),
            Err(error) => Err(Answer::Again(error.to_string(), None)),
        }
    }

    /// Asks until there is an answer or the time is over.
    fn insist(
        &self,
        backoff: &mut Backoff,
        (known, from): (&Known, u64),
    ) -> Result<(Known, BodyReader<'static>), Failure> {
        let place = Place::Address(self.uri.clone());
        loop {
            let (why, after) = match self.ask(known, from) {
                Ok(given) => return Ok(given),
                Err(Answer::Again(why, after)) => (why, after.unwrap_or_default()),
                Err(Answer::Never(exit, why)) => return Err(Failure::new(exit, format!("cannot get {place}: {why}"))),
                Err(Answer::Body { .. }) => unreachable!("a body is no error"),
            };
            let Some(wait) = backoff.wait() else {
                let waited = backoff.elapsed().as_secs();
                return Err(Failure::new(Exit::Unavailable, format!("cannot get {place} for {waited} s now: {why}")));
            };
            let wait = wait.max(after.min(self.wait));
            tracing::warn!(
                error = why,
                from_byte = from,
                retry_in_ms = millis(wait),
                "getting {place} failed and will be retried"
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
                Some(left) => std::thread::sleep(left.min(LOOK)),
            }
        }
    }
}

impl HttpBody {
    /// Asks for the input, and waits while its server is away.
    ///
    /// # Errors
    /// Exit 65 when there is none, 64 when it is refused or its server is not trusted, 69 when the server stays away.
    pub(crate) fn open(fetch: Fetch) -> Result<Self, Failure> {
        let mut backoff = Backoff::new(fetch.wait);
        let (known, body) = fetch.insist(&mut backoff, (&Known::default(), 0))?;
        let place = Place::Address(fetch.uri.clone());
        let Known { length: bytes, validator: version } = &known;
        tracing::info!(bytes, version, "getting {place}");
        Ok(Self { fetch, known, body, at: 0, standstill: None })
    }

    /// How long the input is, where the server has told it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.known.length
    }

    /// Asks for the rest, after the connection broke.
    fn resume(&mut self, why: &str) -> Result<(), Failure> {
        let place = Place::Address(self.fetch.uri.clone());
        if self.at > 0 && self.known.validator.is_none() {
            let message = format!(
                "getting {place} broke off ({why}), and its server gives neither ETag nor Last-Modified, by which the \
                 rest could be known for the same input's; send it again"
            );
            return Err(Failure::new(Exit::Unavailable, message));
        }
        let first = self.standstill.is_none();
        let backoff = self.standstill.get_or_insert_with(|| Backoff::new(self.fetch.away));
        tracing::warn!(error = why, from_byte = self.at, "getting {place} broke off and is taken up again");
        if !first {
            let over = || Failure::new(Exit::Unavailable, format!("getting {place} breaks off again and again: {why}"));
            let wait = backoff.wait().ok_or_else(over)?;
            self.fetch.pause(wait)?;
        }
        let (known, body) = self.fetch.insist(backoff, (&self.known, self.at))?;
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
                    self.standstill = None;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error.to_string(),
            };
            self.resume(&why).map_err(io::Error::other)?;
        }
    }
}

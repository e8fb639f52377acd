//! `POST /readings`: answered with 200 once Kafka has every reading of the request.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use metrics::{Unit, counter, describe_counter};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use service::{Exit, Failure, ResultExt, Stop};
use sha2::{Digest, Sha256};
use stream::{Inlet, Outgoing, Taken, millis};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    batch::Batch,
    elements::{self, NotJson},
    queue::{Queue, Refused},
    settings::HttpSettings,
};

/// The longest body, bytes: some 15,000 readings. A larger bound would make one request's memory and latency large.
const LONGEST_BODY: usize = 1 << 20;
/// The bodies that are being read at a time, KiB: clients that announce much and send little hold no more memory than this.
const BODIES_KIB: usize = 64 << 10;
/// How long a client may take for its body; one that stops in the middle holds memory no longer.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How long Kafka may take before the client is told to send again; clients give up soon after.
const RESPONSE_WITHIN: Duration = Duration::from_secs(30);
/// What a client that is refused should wait, seconds: a full queue empties in less, a Kafka that is away takes longer.
const RETRY_WHEN_FULL: u16 = 1;
const RETRY_WHEN_AWAY: u16 = 5;
/// So many elements that are wrong are named; a body of rubbish does not make a large response.
const NAMED: usize = 10;

const REQUESTS: &str = "tributary_producer_http_requests_total";
const READINGS: &str = "tributary_producer_http_readings_total";

/// Describes the metrics, and has them exist from the start.
pub(super) fn describe_metrics() {
    describe_counter!(REQUESTS, Unit::Count, "requests to /readings by the status of their response");
    describe_counter!(READINGS, Unit::Count, "readings of requests by outcome: accepted, rejected");
    for status in [200, 400, 401, 413, 429, 503] {
        counter!(REQUESTS, "status" => status.to_string()).absolute(0);
    }
    for outcome in ["accepted", "rejected"] {
        counter!(READINGS, "outcome" => outcome).absolute(0);
    }
}

/// What all requests share.
pub(super) struct Intake {
    pub(super) queue: Arc<Queue>,
    pub(super) inlet: Box<dyn Inlet>,
    /// The digest of the header that a client has to send. Digests are compared, so that the time it takes says nothing of the
    /// token.
    authorization: Option<[u8; 32]>,
    accept_partial: bool,
    /// The largest key and value together that the topics take, bytes.
    largest: usize,
    bodies: Arc<Semaphore>,
}

impl Intake {
    pub(super) fn new(queue: Arc<Queue>, inlet: Box<dyn Inlet>, settings: &HttpSettings, largest: usize) -> Self {
        let header = |token: &SecretString| Sha256::digest(format!("Bearer {}", token.expose_secret())).into();
        Self {
            queue,
            inlet,
            authorization: settings.token.as_ref().map(header),
            accept_partial: settings.accept_partial,
            largest,
            bodies: Arc::new(Semaphore::new(BODIES_KIB)),
        }
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let given = || headers.get(AUTHORIZATION).map(|header| <[u8; 32]>::from(Sha256::digest(header.as_bytes())));
        self.authorization.is_none_or(|expected| given() == Some(expected))
    }
}

/// Serves the route until the stop; the server ends once all requests under way are answered.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) async fn serve(
    intake: Intake,
    settings: &HttpSettings,
    stop: Stop,
) -> anyhow::Result<JoinHandle<std::io::Result<()>>> {
    let address = settings.listen;
    let listener = TcpListener::bind(address)
        .await
        .or_exit(Exit::Usage, || format!("cannot listen on {address}; give another --http-listen"))?;
    if intake.authorization.is_none() && !address.ip().is_loopback() {
        tracing::warn!("anybody who reaches {address} may send readings; HTTP_TOKEN requires a token");
    }
    tracing::info!(address = %listener.local_addr()?, "taking readings at POST /readings");
    let routes = routes(intake);
    Ok(tokio::spawn(async move {
        axum::serve(listener, routes).with_graceful_shutdown(async move { stop.stopped().await }).await
    }))
}

/// The address for readings must not be that of the probes, which everybody may read.
///
/// # Errors
/// When it is.
pub(super) fn check_address(settings: &HttpSettings, probes: Option<std::net::SocketAddr>) -> Result<(), Failure> {
    match probes {
        Some(probes) if probes.port() == settings.listen.port() && probes.port() != 0 => Err(Failure::new(
            Exit::Usage,
            "--http-listen and --listen have the same port; readings and probes want one each",
        )),
        _ => Ok(()),
    }
}

fn routes(intake: Intake) -> Router {
    Router::new()
        .route("/readings", post(readings))
        .route("/", get(|| async { "POST /readings takes JSON: an object, an array, or an object a line\n" }))
        .with_state(Arc::new(intake))
}

async fn readings(State(intake): State<Arc<Intake>>, headers: HeaderMap, body: Body) -> Response {
    let response = match answer(&intake, &headers, body).await {
        Ok(accepted) => accepted,
        Err(refusal) => refusal,
    };
    counter!(REQUESTS, "status" => response.status().as_u16().to_string()).increment(1);
    response
}

/// The response to a request; the error is one too.
async fn answer(intake: &Intake, headers: &HeaderMap, body: Body) -> Result<Response, Response> {
    if !intake.is_authorized(headers) {
        return Err(unauthorized());
    }
    let is_plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get(CONTENT_ENCODING).is_none_or(is_plain) {
        let why = "a body with a Content-Encoding is not read; send it as it is";
        return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, why, None));
    }
    if let Some(refused) = intake.queue.refuses() {
        return Err(refused_by_queue(refused));
    }
    let (read, done, acknowledged) = {
        let (body, _held) = read_body(intake, headers, body).await?;
        let read = read_elements(intake, &body);
        let (done, acknowledged) = oneshot::channel();
        (read, done, acknowledged)
    };
    if let Some(not_json) = &read.not_json {
        return Err(bad_request(not_json.index, &not_json.reason));
    }
    if let (Some((index, reason)), false) = (read.wrong.first(), intake.accept_partial) {
        return Err(bad_request(*index, reason));
    }
    let Read { batch, accepted, filtered, rejected, wrong, .. } = read;
    // That nobody waits for it any more is no fault.
    let batch = batch.with_done(Box::new(move || _ = done.send(())));
    intake.queue.push(batch).map_err(|(refused, _)| refused_by_queue(refused))?;
    match timeout(RESPONSE_WITHIN, acknowledged).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(refused_by_queue(Refused::Closed)),
        Err(_) => return Err(refused_by_queue(Refused::Away)),
    }
    counter!(READINGS, "outcome" => "accepted").increment(accepted);
    counter!(READINGS, "outcome" => "rejected").increment(rejected);
    let mut said = json!({ "accepted": accepted });
    if filtered > 0 {
        said["filtered"] = filtered.into();
    }
    if rejected > 0 {
        said["rejected"] = rejected.into();
        said["errors"] = wrong.into_iter().map(|(index, reason)| json!({ "index": index, "reason": reason })).collect();
    }
    Ok(respond(StatusCode::OK, &said))
}

/// Reads a body whole; the permit bounds what all bodies that are being read take.
async fn read_body<'a>(
    intake: &'a Intake,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, tokio::sync::SemaphorePermit<'a>), Response> {
    let too_long = || refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 1 MiB; send it in parts", None);
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|announced| announced > LONGEST_BODY) {
        return Err(too_long());
    }
    let broken = |_| match announced {
        Some(_) => refusal(StatusCode::BAD_REQUEST, "the body broke off", None),
        None => too_long(),
    };
    let announced = announced.unwrap_or(LONGEST_BODY);
    let kib = u32::try_from(announced.div_ceil(1 << 10)).unwrap_or(u32::MAX);
    let reading = async {
        let held = intake.bodies.acquire_many(kib).await.map_err(|_| refused_by_queue(Refused::Closed))?;
        Ok((to_bytes(body, LONGEST_BODY).await.map_err(broken)?, held))
    };
    let late = |_| refusal(StatusCode::REQUEST_TIMEOUT, "the body did not come within 30 s", None);
    timeout(BODY_WITHIN, reading).await.map_err(late)?
}

/// What a body says.
#[derive(Default)]
struct Read {
    batch: Batch,
    accepted: u64,
    /// Those of the accepted ones that the pipeline does not want.
    filtered: u64,
    rejected: u64,
    /// The first of these: index from 0, and reason.
    wrong: Vec<(usize, String)>,
    not_json: Option<NotJson>,
}

fn read_elements(intake: &Intake, body: &[u8]) -> Read {
    let arrival_ms = now_ms();
    let (mut read, mut message, mut index) = (Read::default(), Outgoing::default(), 0);
    let ended = elements::each(body, |element| {
        let taken = intake.inlet.element(element, arrival_ms, &mut message).and_then(|taken| match taken {
            Taken::Filtered => Ok(taken),
            _ if message.key.len() + message.value.len() > intake.largest => {
                Err(format!("it makes a message longer than the {} bytes that the topic takes", intake.largest))
            }
            _ => Ok(taken),
        });
        match taken {
            Ok(Taken::Filtered) => read.filtered += 1,
            Ok(Taken::Dated | Taken::Undated) => read.batch.add(&message),
            Err(_) => read.rejected += 1,
        }
        match taken {
            Ok(_) => read.accepted += 1,
            Err(reason) if read.wrong.len() < NAMED => read.wrong.push((index, reason)),
            Err(_) => {}
        }
        index += 1;
    });
    read.not_json = ended.err();
    read
}

/// The time, milliseconds since 1970 UTC.
pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis)
}

fn respond(status: StatusCode, said: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{said}\n")).into_response()
}

fn refusal(status: StatusCode, why: &str, retry_after: Option<u16>) -> Response {
    let mut response = respond(status, &json!({ "error": why }));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn unauthorized() -> Response {
    let mut response = refusal(StatusCode::UNAUTHORIZED, "send the token as `Authorization: Bearer TOKEN`", None);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Nothing of the request was sent.
fn bad_request(index: usize, reason: &str) -> Response {
    let error = "nothing of this request was taken: an element cannot be used";
    respond(StatusCode::BAD_REQUEST, &json!({ "error": error, "index": index, "reason": reason }))
}

fn refused_by_queue(refused: Refused) -> Response {
    match refused {
        Refused::Full => {
            let why = "too much waits for kafka; nothing of this request was taken";
            refusal(StatusCode::TOO_MANY_REQUESTS, why, Some(RETRY_WHEN_FULL))
        }
        Refused::Away | Refused::Closed => {
            let why = if refused == Refused::Away { "kafka does not acknowledge" } else { "the producer stops" };
            let why = format!("{why}; send the request again: readings that have a time count once");
            refusal(StatusCode::SERVICE_UNAVAILABLE, &why, Some(RETRY_WHEN_AWAY))
        }
    }
}

#[cfg(test)]
mod tests;

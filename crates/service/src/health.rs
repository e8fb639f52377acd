//! `/startupz`, `/readyz`, `/livez` and `/metrics` over HTTP.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode, routing::get};
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{Exit, ResultExt};

/// Seconds that durations are counted by: a commit takes milliseconds, and a service may be unavailable for minutes.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];
const READY: &str = "tributary_ready";
const ALIVE: &str = "tributary_alive";
/// How often durations are put into their buckets when nobody scrapes: until then each uses memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the probes report; cheap to clone, shared by the whole program.
///
/// Three questions that differ: *started* (settings and schema are good), *ready* (connected and
/// a member of the group), *alive* (the loop has turned lately).
///
/// A program of several loops has a part for each: it is ready and alive when all of them are.
#[derive(Clone, Debug)]
pub struct Health {
    inner: Arc<Inner>,
    part: Arc<Part>,
}

#[derive(Debug)]
struct Inner {
    began: Instant,
    /// Whether settings and schema are good; once true it stays so.
    started: AtomicBool,
    parts: Mutex<Vec<Arc<Part>>>,
    /// A loop that has not turned for this long is dead.
    dead_after: Duration,
}

/// A loop of the program.
#[derive(Debug)]
struct Part {
    /// Its name, before its reasons; empty where there is one part.
    name: &'static str,
    /// What keeps it from being ready; empty when it is.
    unready: Mutex<Vec<String>>,
    /// When it last turned, in milliseconds since the program began.
    turned_ms: AtomicI64,
}

impl Part {
    fn new(name: &'static str, turned_ms: i64) -> Arc<Self> {
        let unready = Mutex::new(vec!["starting".to_owned()]);
        Arc::new(Self { name, unready, turned_ms: AtomicI64::new(turned_ms) })
    }

    fn unready(&self) -> MutexGuard<'_, Vec<String>> {
        self.unready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reasons(&self) -> Vec<String> {
        let named = |reason: &String| match self.name {
            "" => reason.clone(),
            name => format!("{name}: {reason}"),
        };
        self.unready().iter().map(named).collect()
    }
}

impl Health {
    /// Not ready yet; alive as long as [`Health::turn`] is called more often than `dead_after`.
    pub fn new(dead_after: Duration) -> Self {
        let part = Part::new("", 0);
        let (started, parts) = (AtomicBool::new(false), Mutex::new(vec![Arc::clone(&part)]));
        Self { inner: Arc::new(Inner { began: Instant::now(), started, parts, dead_after }), part }
    }

    /// A part for each of these loops, instead of the one that there was. One loop alone needs no name.
    pub fn divide(&self, names: &[&'static str]) -> Vec<Self> {
        let name = |name| if names.len() == 1 { "" } else { name };
        let parts: Vec<Arc<Part>> = names.iter().map(|one| Part::new(name(one), self.now_ms())).collect();
        self.parts().clone_from(&parts);
        parts.into_iter().map(|part| Self { inner: Arc::clone(&self.inner), part }).collect()
    }

    /// Notes that the loop has turned.
    pub fn turn(&self) {
        self.part.turned_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Reports that settings and schema are good: what is still missing comes and goes, and is no reason to restart.
    pub fn started(&self) {
        self.inner.started.store(true, Ordering::Relaxed);
    }

    /// Reports all that keeps the program from being ready now; an empty list makes it ready. Replaces earlier reasons,
    /// so that none is left over from a state that has passed.
    pub fn set_unready(&self, reasons: Vec<String>) {
        let parts = self.parts();
        let is_ready = || parts.iter().all(|part| part.unready().is_empty());
        let was_ready = is_ready();
        *self.part.unready() = reasons;
        if !was_ready && is_ready() {
            let since_start_ms = self.now_ms();
            tracing::info!(since_start_ms, "ready");
        }
    }

    /// Whether settings and schema were found good.
    pub fn is_started(&self) -> bool {
        self.inner.started.load(Ordering::Relaxed)
    }

    /// Why the program is not ready, or `None` when it is.
    pub fn why_unready(&self) -> Option<String> {
        let reasons: Vec<String> = self.parts().iter().flat_map(|part| part.reasons()).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Whether each loop has turned lately.
    pub fn is_alive(&self) -> bool {
        let now_ms = self.now_ms();
        self.parts().iter().all(|part| {
            let idle_ms = now_ms - part.turned_ms.load(Ordering::Relaxed);
            u128::try_from(idle_ms).is_ok_and(|idle| idle <= self.inner.dead_after.as_millis()) || idle_ms < 0
        })
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Arc<Part>>> {
        self.inner.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.inner.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Serves the probes and the metrics scrape at `address` for as long as the program runs.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(address: SocketAddr, health: Health) -> anyhow::Result<SocketAddr> {
    let metrics = recorder()?;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .or_exit(Exit::Usage, || format!("cannot listen on {address}; give another --listen"))?;
    let bound = listener.local_addr()?;
    let routes = routes(health, metrics.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            metrics.run_upkeep();
        }
    });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the health server ended");
        }
    });
    tracing::debug!(address = %bound, "serving /startupz, /readyz, /livez and /metrics");
    Ok(bound)
}

fn routes(health: Health, metrics: PrometheusHandle) -> Router {
    let (begun, live, measured) = (health.clone(), health.clone(), health.clone());
    let unchecked = || "settings and schema are not known to be good yet".to_owned();
    let stalled = || "the loop has stalled".to_owned();
    Router::new()
        .route("/startupz", get(async move || respond((!begun.is_started()).then(unchecked))))
        .route("/readyz", get(async move || respond(health.why_unready())))
        .route("/livez", get(async move || respond((!live.is_alive()).then(stalled))))
        .route("/metrics", get(async move || scrape(&measured, &metrics)))
}

fn scrape(health: &Health, metrics: &PrometheusHandle) -> String {
    gauge!(READY).set(u32::from(health.why_unready().is_none()));
    gauge!(ALIVE).set(u32::from(health.is_alive()));
    metrics.render()
}

fn respond(fault: Option<String>) -> (StatusCode, String) {
    match fault {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn recorder() -> anyhow::Result<PrometheusHandle> {
    let durations = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(durations, &BUCKETS)?;
    let handle = builder.install_recorder()?;
    metrics::describe_gauge!(READY, metrics::Unit::Count, "what /readyz says: 1 ready, 0 not");
    metrics::describe_gauge!(ALIVE, metrics::Unit::Count, "what /livez says: 1 alive, 0 not");
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn started_ready_and_alive_are_different_questions() {
        let health = Health::new(Duration::from_secs(3600));
        assert!(!health.is_started() && health.is_alive());
        assert_eq!(health.why_unready().as_deref(), Some("starting"));
        health.started();
        assert!(health.is_started());
        assert_eq!(health.why_unready().as_deref(), Some("starting"));
        health.set_unready(Vec::new());
        assert_eq!(health.why_unready(), None);
        health.set_unready(vec!["postgres is unavailable".to_owned(), "not a member of the group".to_owned()]);
        assert_eq!(health.why_unready().as_deref(), Some("postgres is unavailable; not a member of the group"));
        health.set_unready(vec!["kafka is unavailable".to_owned()]);
        assert_eq!(health.why_unready().as_deref(), Some("kafka is unavailable"), "the earlier reasons are over");
        assert!(health.is_started() && health.is_alive(), "what comes and goes is no reason to restart");
    }

    #[test]
    fn a_program_is_ready_and_alive_when_each_of_its_loops_is() {
        let health = Health::new(Duration::from_secs(3600));
        let parts = health.divide(&["readings", "events"]);
        parts[0].set_unready(Vec::new());
        assert_eq!(health.why_unready().as_deref(), Some("events: starting"));
        parts[1].set_unready(Vec::new());
        assert_eq!(health.why_unready(), None);
        parts[0].set_unready(vec!["kafka is unavailable".to_owned()]);
        assert_eq!(parts[1].why_unready().as_deref(), Some("readings: kafka is unavailable"));
        let alone = health.divide(&["readings"]);
        assert_eq!(alone[0].why_unready().as_deref(), Some("starting"), "one loop alone needs no name");
    }

    #[test]
    fn one_stalled_loop_is_enough_to_be_dead() {
        let health = Health::new(Duration::from_millis(40));
        let parts = health.divide(&["readings", "events"]);
        assert!(health.is_alive());
        std::thread::sleep(Duration::from_millis(60));
        parts[0].turn();
        assert!(!health.is_alive());
        parts[1].turn();
        assert!(health.is_alive());
    }

    /// The status line and the body of a response.
    async fn get(address: SocketAddr, path: &str) -> (String, String) {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn each_probe_has_its_own_response() {
        let health = Health::new(Duration::from_secs(3600));
        let address = serve("127.0.0.1:0".parse().unwrap(), health.clone()).await.unwrap();
        let check = async |probes: [&str; 3]| {
            for (path, expected) in ["/startupz", "/readyz", "/livez"].into_iter().zip(probes) {
                let (status, body) = get(address, path).await;
                assert_eq!(status, format!("HTTP/1.1 {expected}"), "{path}: {body}");
            }
        };
        check(["503 Service Unavailable", "503 Service Unavailable", "200 OK"]).await;
        health.started();
        check(["200 OK", "503 Service Unavailable", "200 OK"]).await;
        health.set_unready(Vec::new());
        check(["200 OK", "200 OK", "200 OK"]).await;
        health.set_unready(vec!["postgres is unavailable".to_owned()]);
        check(["200 OK", "503 Service Unavailable", "200 OK"]).await;
        assert_eq!(get(address, "/readyz").await.1, "postgres is unavailable\n");
        let scraped = get(address, "/metrics").await.1;
        assert!(scraped.contains("\ntributary_ready 0\n") && scraped.contains("\ntributary_alive 1\n"), "{scraped}");
    }

    #[test]
    fn a_loop_that_has_stalled_is_dead() {
        let health = Health::new(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(5));
        assert!(!health.is_alive());
        health.turn();
        assert!(health.is_alive());
    }
}

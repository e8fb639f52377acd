//! `/livez`, `/readyz` and `/metrics` over HTTP.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::{Exit, ResultExt};

/// The part that stands for everything needed at start.
const START: &str = "start";

/// What the probes answer; cheap to clone, shared by the whole program.
///
/// Three questions that differ: *started* (settings and schema are good), *ready* (connected and
/// a member of the group), *alive* (the loop has turned lately).
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    /// What keeps the program from being ready, by the part that says so; empty when it is.
    faults: Mutex<BTreeMap<&'static str, String>>,
    /// When the loop last turned, in milliseconds since `began`.
    turned_ms: AtomicI64,
    /// A loop that has not turned for this long is dead.
    dead_after: Duration,
}

impl Health {
    /// Not ready yet; alive as long as [`Health::turn`] is called more often than `dead_after`.
    pub fn new(dead_after: Duration) -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            faults: Mutex::new(BTreeMap::from([(START, "starting".to_owned())])),
            turned_ms: AtomicI64::new(0),
            dead_after,
        }))
    }

    /// Notes that the loop has turned.
    pub fn turn(&self) {
        self.0.turned_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Says that everything needed at start is there. Ready, unless a fault stands.
    pub fn started(&self) {
        self.clear(START);
    }

    /// Says what is wrong with a part, which makes the program unready; a newer word replaces it.
    pub fn fault(&self, part: &'static str, why: impl Into<String>) {
        self.faults().insert(part, why.into());
    }

    /// Says that nothing is wrong with a part any more.
    pub fn clear(&self, part: &'static str) {
        let mut faults = self.faults();
        if faults.remove(part).is_some() && faults.is_empty() {
            let since_start_ms = self.now_ms();
            tracing::info!(since_start_ms, "ready");
        }
    }

    /// Why the program is not ready, or `None` when it is.
    pub fn why_unready(&self) -> Option<String> {
        let faults = self.faults();
        let whys: Vec<&str> = faults.values().map(String::as_str).collect();
        (!whys.is_empty()).then(|| whys.join("; "))
    }

    /// Whether the loop has turned lately.
    pub fn is_alive(&self) -> bool {
        let idle_ms = self.now_ms() - self.0.turned_ms.load(Ordering::Relaxed);
        u128::try_from(idle_ms).is_ok_and(|idle| idle <= self.0.dead_after.as_millis()) || idle_ms < 0
    }

    fn faults(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Answers the probes and the metrics scrape at `address` for as long as the program runs.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(address: SocketAddr, health: Health) -> anyhow::Result<SocketAddr> {
    let metrics = recorder()?;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .or_exit(Exit::Usage, || format!("cannot listen on {address}; give another --listen"))?;
    let bound = listener.local_addr()?;
    let live = health.clone();
    let routes = Router::new()
        .route("/livez", get(async move || answer((!live.is_alive()).then(|| "the loop stands still".to_owned()))))
        .route("/readyz", get(async move || answer(health.why_unready())))
        .route("/metrics", get(async move || metrics.render()));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the health server ended");
        }
    });
    tracing::debug!(address = %bound, "answering /livez, /readyz and /metrics");
    Ok(bound)
}

fn answer(fault: Option<String>) -> (StatusCode, String) {
    match fault {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn recorder() -> anyhow::Result<PrometheusHandle> {
    Ok(PrometheusBuilder::new().install_recorder()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_and_alive_are_different_questions() {
        let health = Health::new(Duration::from_secs(3600));
        assert_eq!(health.why_unready().as_deref(), Some("starting"));
        assert!(health.is_alive());
        health.started();
        assert_eq!(health.why_unready(), None);
        health.fault("postgres", "postgres is away");
        health.fault("group", "not a member of the group");
        health.clear("group");
        assert_eq!(health.why_unready().as_deref(), Some("postgres is away"));
        health.clear("postgres");
        assert_eq!(health.why_unready(), None);
        assert!(health.is_alive());
    }

    #[test]
    fn a_loop_that_stands_still_is_dead() {
        let health = Health::new(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(5));
        assert!(!health.is_alive());
        health.turn();
        assert!(health.is_alive());
    }
}

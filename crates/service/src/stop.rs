//! One stop token for the whole program.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Signals every part of the program that it is time to stop.
///
/// Cheap to clone; once cancelled it stays so.
#[derive(Clone, Debug, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// A token that SIGTERM and SIGINT cancel. Works as PID 1, where no signal has a default.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        let token = stop.0.clone();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "stopping: finishing what is in hand");
            token.cancel();
        });
        Ok(stop)
    }

    /// Requests every part to stop.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether stopping was asked for.
    pub fn is_stopping(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until stopping is asked for.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }
}

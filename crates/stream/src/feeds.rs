//! Several feeds of a pipeline, side by side in one process.

use std::{fmt::Display, pin::Pin};

use futures::{StreamExt as _, stream::FuturesUnordered};
use service::Stop;

/// A consumer of a feed, until it ends.
pub type Running<E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send>>;

/// Runs the consumers of feeds until each has ended. The first error stops the others, each of which saves what it has.
///
/// # Errors
/// The first error of a consumer.
pub async fn side_by_side<E: Display>(stop: &Stop, feeds: impl IntoIterator<Item = Running<E>>) -> Result<(), E> {
    let (mut running, mut first) = (feeds.into_iter().collect::<FuturesUnordered<_>>(), Ok(()));
    while let Some(ended) = running.next().await {
        match (ended, &first) {
            (Ok(()), _) => {}
            (Err(error), Ok(())) => {
                stop.stop();
                first = Err(error);
            }
            (Err(error), Err(_)) => tracing::error!(%error, "another feed ended with an error too"),
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use super::*;

    /// Ends with that after so many milliseconds.
    fn ends(after_ms: u64, with: Result<(), &'static str>) -> Running<&'static str> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            with
        })
    }

    /// Follows its topic until it is stopped, and then notes that it has saved what it had.
    fn follows(stop: &Stop, saved: &Arc<AtomicBool>) -> Running<&'static str> {
        let (stop, saved) = (stop.clone(), Arc::clone(saved));
        Box::pin(async move {
            stop.stopped().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            saved.store(true, Ordering::SeqCst);
            Err("stopped, which is no error of its own")
        })
    }

    #[tokio::test]
    async fn all_end_before_the_process_does() {
        let stop = Stop::default();
        assert_eq!(side_by_side(&stop, [ends(1, Ok(())), ends(20, Ok(()))]).await, Ok(()));
        assert!(!stop.is_stopping());
    }

    #[tokio::test]
    async fn the_first_error_stops_the_others_and_is_the_result() {
        let (stop, saved) = (Stop::default(), Arc::new(AtomicBool::new(false)));
        let feeds = [ends(1, Ok(())), ends(2, Err("topic missing")), follows(&stop, &saved)];
        assert_eq!(side_by_side(&stop, feeds).await, Err("topic missing"));
        assert!(stop.is_stopping() && saved.load(Ordering::SeqCst));
    }
}

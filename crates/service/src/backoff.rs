//! How long to wait before the next try, and when to stop trying.

use std::time::{Duration, Instant};

/// The first wait: short, because most failures are over at once.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait: a service that is back is noticed within this time, and one that is unavailable is
/// not tried more often than this.
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that double from 100 ms to 5 s until a deadline, each shortened at random by up to a half: replicas that lost one
/// server at the same moment do not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    since: Instant,
    limit: Duration,
}

impl Backoff {
    /// Tries for `limit` from now on.
    pub fn new(limit: Duration) -> Self {
        Self { next: FIRST, since: Instant::now(), limit }
    }

    /// The time to wait before the next try, or `None` when the deadline would pass.
    pub fn wait(&mut self) -> Option<Duration> {
        let left = self.limit.checked_sub(self.since.elapsed())?;
        if left.is_zero() {
            return None;
        }
        let wait = self.next.mul_f64(rand::random_range(0.5..=1.0)).min(left);
        self.next = (self.next * 2).min(LONGEST);
        Some(wait)
    }

    /// The time since the first try.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_differ_by_up_to_a_half() {
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let mut backoff = Backoff::new(Duration::from_secs(600));
            let waits: Vec<Duration> = (0..8).filter_map(|_| backoff.wait()).collect();
            let longest = [100, 200, 400, 800, 1600, 3200, 5000, 5000].map(Duration::from_millis);
            let within = |(wait, longest): (&Duration, &Duration)| *wait >= *longest / 2 && wait <= longest;
            assert!(waits.len() == 8 && waits.iter().zip(&longest).all(within), "{waits:?}");
            firsts.insert(waits[0]);
        }
        assert!(firsts.len() > 1, "without jitter all replicas come back in step");
    }

    #[test]
    fn no_wait_passes_the_deadline() {
        assert_eq!(Backoff::new(Duration::ZERO).wait(), None);
        let limit = Duration::from_millis(20);
        assert!(Backoff::new(limit).wait().is_some_and(|wait| wait <= limit));
    }
}

//! What live inputs have taken and Kafka has not: bounded, and acknowledged in turn.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use service::Failure;
use tokio::sync::Notify;

use super::batch::{Batch, Done};

/// How long Kafka may keep what was taken waiting before more is refused.
const AWAY_AFTER: Duration = Duration::from_secs(10);

/// The most that is held at a time; a batch that is larger is taken when nothing else is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Messages.
    pub(crate) messages: usize,
    /// Bytes of their keys and values, and of what is kept beside them.
    pub(crate) bytes: usize,
}

/// Batches from live inputs to the source that sends them, and their acknowledgements back.
///
/// Messages are numbered 1, 2, 3, … in the order in which they are given to be sent.
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    room: Notify,
    bounds: Bounds,
}

#[derive(Default)]
struct State {
    /// Those that are not given yet, and since when.
    batches: VecDeque<(Batch, Instant)>,
    /// Those that are, by the number of their last message.
    given: VecDeque<Given>,
    messages: usize,
    bytes: usize,
    /// Kafka has all messages up to this number.
    through: u64,
    closed: bool,
    failed: Option<Failure>,
}

struct Given {
    last: u64,
    messages: usize,
    bytes: usize,
    since: Instant,
    done: Done,
}

/// Why a batch is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no room.
    Full,
    /// Kafka has not acknowledged for a while.
    Away,
    /// Nothing is taken any more.
    Closed,
}

/// What comes next.
pub(crate) enum Next {
    /// A batch, and since when it waits.
    Batch(Batch, Instant),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { state: Mutex::default(), filled: Condvar::new(), room: Notify::new(), bounds }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing would be taken now, whatever the room.
    pub(crate) fn refuses(&self) -> Option<Refused> {
        let state = self.state();
        let oldest = state.given.front().map(|given| given.since).or(state.batches.front().map(|(_, since)| *since));
        match oldest {
            _ if state.closed => Some(Refused::Closed),
            Some(since) if since.elapsed() > AWAY_AFTER => Some(Refused::Away),
            _ => None,
        }
    }

    /// Takes a batch whole, or gives it back.
    pub(crate) fn push(&self, batch: Batch) -> Result<(), (Refused, Batch)> {
        let mut state = self.state();
        if state.closed {
            return Err((Refused::Closed, batch));
        }
        let (messages, bytes) = (state.messages + batch.len(), state.bytes + batch.size());
        if state.messages > 0 && (messages > self.bounds.messages || bytes > self.bounds.bytes) {
            return Err((Refused::Full, batch));
        }
        (state.messages, state.bytes) = (messages, bytes);
        state.batches.push_back((batch, Instant::now()));
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes a batch as soon as there is room; not when nothing is taken any more.
    pub(crate) async fn push_when_room(&self, mut batch: Batch) {
        loop {
            let room = self.room.notified();
            match self.push(batch) {
                Err((Refused::Full, back)) => batch = back,
                _ => return,
            }
            room.await;
        }
    }

    /// The next batch, waited for at most so long.
    ///
    /// # Errors
    /// Why an input has ended.
    pub(crate) fn next(&self, wait: Duration) -> Result<Next, Failure> {
        let mut state = self.state();
        if state.batches.is_empty() && !state.closed {
            state = self.filled.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        match (state.failed.take(), state.batches.pop_front()) {
            (Some(failure), _) => Err(failure),
            (None, Some((batch, since))) => Ok(Next::Batch(batch, since)),
            (None, None) if state.closed => Ok(Next::End),
            (None, None) => Ok(Next::Nothing),
        }
    }

    /// Notes that a batch is being sent, and the number of its last message: before Kafka can acknowledge that one. One without
    /// messages is done when those before it are.
    pub(crate) fn given(&self, mut batch: Batch, since: Instant, last: u64) {
        let (messages, bytes, done) = (batch.len(), batch.size(), batch.take_done());
        let mut state = self.state();
        state.given.push_back(Given { last, messages, bytes, since, done });
        let through = state.through;
        drop(state);
        if last <= through {
            self.acknowledged(through);
        }
    }

    /// Notes that Kafka has all messages up to this number.
    pub(crate) fn acknowledged(&self, through: u64) {
        let mut done = Vec::new();
        let mut state = self.state();
        state.through = state.through.max(through);
        while state.given.front().is_some_and(|given| given.last <= state.through) {
            let Some(given) = state.given.pop_front() else { break };
            state.messages -= given.messages;
            state.bytes -= given.bytes;
            done.push(given.done);
        }
        drop(state);
        if done.is_empty() {
            return;
        }
        done.into_iter().for_each(|done| done());
        self.room.notify_waiters();
    }

    /// Messages that Kafka has not acknowledged.
    pub(crate) fn held(&self) -> usize {
        self.state().messages
    }

    /// Takes nothing more; what was taken is still given.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
        self.room.notify_waiters();
    }

    /// Ends it with an error.
    pub(crate) fn fail(&self, failure: Failure) {
        self.state().failed = Some(failure);
        self.close();
    }

    /// Forgets what Kafka has not acknowledged: it never will.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.closed = true;
        let forgotten = (std::mem::take(&mut state.batches), std::mem::take(&mut state.given));
        drop(state);
        drop(forgotten);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use stream::Outgoing;

    use super::*;

    fn batch(messages: usize, done: &Arc<AtomicUsize>) -> Batch {
        let mut batch = Batch::default();
        (0..messages).for_each(|_| batch.add(&Outgoing::default()));
        let done = Arc::clone(done);
        batch.with_done(Box::new(move || _ = done.fetch_add(1, Ordering::SeqCst)))
    }

    fn give(queue: &Queue, last: u64) {
        match queue.next(Duration::ZERO) {
            Ok(Next::Batch(batch, since)) => queue.given(batch, since, last),
            _ => panic!("there is a batch"),
        }
    }

    #[test]
    fn a_batch_is_done_when_its_last_message_is_acknowledged() {
        let (queue, done) = (Queue::new(Bounds { messages: 10, bytes: 10_000 }), Arc::default());
        assert!(queue.push(batch(3, &done)).is_ok() && queue.push(batch(0, &done)).is_ok());
        give(&queue, 3);
        give(&queue, 3);
        queue.acknowledged(2);
        assert_eq!((done.load(Ordering::SeqCst), queue.held()), (0, 3));
        queue.acknowledged(3);
        assert_eq!((done.load(Ordering::SeqCst), queue.held()), (2, 0));
        assert!(queue.push(batch(0, &done)).is_ok());
        give(&queue, 3);
        assert_eq!(done.load(Ordering::SeqCst), 3, "nothing was left to wait for");
    }

    #[test]
    fn what_is_not_acknowledged_is_bounded() {
        let (queue, done) = (Queue::new(Bounds { messages: 4, bytes: 10_000 }), Arc::default());
        assert!(queue.push(batch(3, &done)).is_ok());
        give(&queue, 3);
        assert_eq!(queue.push(batch(2, &done)).map_err(|(refused, _)| refused), Err(Refused::Full));
        assert!(queue.push(batch(1, &done)).is_ok());
        give(&queue, 4);
        queue.acknowledged(4);
        assert!(queue.push(batch(9, &done)).is_ok(), "larger than the bound, and alone");
    }

    #[test]
    fn once_closed_it_gives_what_it_has_and_takes_nothing() {
        let (queue, done) = (Queue::new(Bounds { messages: 4, bytes: 10_000 }), Arc::default());
        assert!(queue.push(batch(1, &done)).is_ok());
        queue.close();
        assert_eq!(queue.push(batch(1, &done)).map_err(|(refused, _)| refused), Err(Refused::Closed));
        give(&queue, 1);
        assert!(matches!(queue.next(Duration::from_secs(60)), Ok(Next::End)));
        queue.abandon();
        queue.acknowledged(1);
        assert_eq!(done.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn who_waits_for_room_goes_on_when_there_is_some() {
        let (queue, done) = (Arc::new(Queue::new(Bounds { messages: 1, bytes: 10_000 })), Arc::default());
        assert!(queue.push(batch(1, &done)).is_ok());
        give(&queue, 1);
        let waiting = tokio::spawn({
            let (queue, second) = (Arc::clone(&queue), batch(1, &done));
            async move { queue.push_when_room(second).await }
        });
        tokio::task::yield_now().await;
        queue.acknowledged(1);
        waiting.await.unwrap();
        give(&queue, 2);
        queue.close();
        queue.push_when_room(batch(1, &done)).await;
    }
}

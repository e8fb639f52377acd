//! The queue as a source of messages.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use stream::{Acknowledged, Outgoing, ReadError, RowOutcome, Source};

use super::{
    batch::Batch,
    queue::{Next, Queue},
};

/// How long one call waits for a batch; between two the sender looks whether it is to stop, and reports.
const WAIT: Duration = Duration::from_millis(50);

/// Gives what live inputs have taken, without end.
pub(crate) struct LiveSource {
    queue: Arc<Queue>,
    further_topics: Vec<String>,
    /// What is being given, since when it waits, and the message that is next.
    current: Option<(Batch, Instant, usize)>,
    /// The number of the message given last.
    number: u64,
    key: Vec<u8>,
}

impl LiveSource {
    pub(crate) fn new(queue: Arc<Queue>, further_topics: Vec<String>) -> Self {
        Self { queue, further_topics, current: None, number: 0, key: Vec::new() }
    }

    /// Whether there was one more message to give.
    fn give(&mut self, message: &mut Outgoing) -> bool {
        let Some((batch, since, next)) = self.current.take() else { return false };
        let gave = batch.copy(next, message).is_some();
        self.number += u64::from(gave);
        if next + 1 < batch.len() {
            self.current = Some((batch, since, next + 1));
        } else {
            self.queue.given(batch, since, self.number);
        }
        gave
    }
}

impl Source for LiveSource {
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError> {
        loop {
            if self.give(message) {
                self.key.clone_from(&message.key);
                return Ok(Some(RowOutcome::Send));
            }
            let next = self.queue.next(WAIT);
            match next.map_err(|failure| ReadError::Read { line: self.number, source: io::Error::other(failure) })? {
                Next::Batch(batch, since) => self.current = Some((batch, since, 0)),
                Next::Nothing => return Ok(Some(RowOutcome::Wait(Duration::ZERO))),
                Next::End => return Ok(None),
            }
        }
    }

    fn acknowledged(&self) -> Option<Acknowledged> {
        let queue = Arc::clone(&self.queue);
        Some(Arc::new(move |through| queue.acknowledged(through)))
    }

    fn further_topics(&self) -> Vec<String> {
        self.further_topics.clone()
    }

    fn is_endless(&self) -> bool {
        true
    }

    fn line(&self) -> u64 {
        self.number
    }

    fn label(&self) -> String {
        String::from_utf8_lossy(&self.key).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::live::queue::Bounds;

    proptest! {
        /// Batches are done in their order, each once Kafka has all messages up to its last one, however giving and acknowledging
        /// take turns.
        #[test]
        fn a_batch_is_done_once_kafka_has_all_of_it(
            sizes in prop::collection::vec(0_usize..4, 1..12), steps in prop::collection::vec((0_usize..5, 0_u64..5), 1..40),
        ) {
            let queue = Arc::new(Queue::new(Bounds { messages: 1_000, bytes: 1 << 20 }));
            let done = Arc::new(Mutex::new(vec![]));
            let (mut last, mut all) = (vec![], 0_u64);
            for (at, size) in sizes.iter().enumerate() {
                let mut batch = Batch::default();
                for _ in 0..*size {
                    all += 1;
                    batch.add(&Outgoing { key: all.to_string().into_bytes(), ..Outgoing::default() });
                }
                last.push(all);
                let done = Arc::clone(&done);
                let batch = batch.with_done(Box::new(move || done.lock().unwrap().push(at)));
                prop_assert!(queue.push(batch).is_ok());
            }
            queue.close();
            let mut source = LiveSource::new(Arc::clone(&queue), vec![]);
            let acknowledged = source.acknowledged().unwrap();
            let (mut given, mut through, mut message) = (0, 0, Outgoing::default());
            for (to_give, to_acknowledge) in steps.into_iter().chain([(1_000, 1_000)]) {
                for _ in 0..to_give {
                    if let Some(RowOutcome::Send) = source.next(&mut message).unwrap() {
                        given += 1;
                        prop_assert_eq!(source.line(), given);
                        prop_assert_eq!(message.key.clone(), given.to_string().into_bytes());
                    }
                }
                through = given.min(through + to_acknowledge);
                acknowledged(through);
                let expected: Vec<usize> = (0..last.len()).filter(|at| last[*at] <= through).collect();
                let done = done.lock().unwrap().clone();
                // One without messages is done when it is given, which may be later.
                prop_assert!(expected.starts_with(&done), "{:?} of {:?}", done, expected);
                let messages = |batches: &[usize]| batches.iter().map(|at| sizes[*at]).sum::<usize>();
                prop_assert_eq!(messages(&done), messages(&expected));
            }
            prop_assert_eq!(done.lock().unwrap().len(), sizes.len());
            prop_assert_eq!((given, queue.held()), (all, 0));
        }
    }
}

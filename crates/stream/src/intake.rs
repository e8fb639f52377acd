//! From a Kafka message to the batch in hand: the road every record takes.

use rdkafka::Message;

use crate::{
    batch::{Batch, Outcome, Reject},
    offsets::Feed,
    partitions::{Arrived, Partitions, Verdict},
    pipeline::{Pipeline, Reading},
    state::{Position, State},
};

/// What is in memory: facts, progress, and the batch in hand.
pub struct Intake<P: Pipeline> {
    /// All facts of the owned partitions.
    pub state: State<P>,
    /// How far each has been read.
    pub partitions: Partitions,
    /// What was read and not yet sent.
    pub batch: Batch,
    pipeline: std::sync::Arc<P>,
    feed: std::sync::Arc<Feed>,
}

impl<P: Pipeline> Intake<P> {
    /// Nothing in memory yet.
    pub fn new(pipeline: std::sync::Arc<P>, feed: std::sync::Arc<Feed>) -> Self {
        let batch = Batch::new(&feed.changelog);
        Self { state: State::default(), partitions: Partitions::default(), batch, pipeline, feed }
    }

    /// Takes a message in; anything but [`Verdict::Fold`] and [`Verdict::Skip`] wants to be acted upon.
    pub fn take(&mut self, message: &impl Message) -> Verdict {
        let Some(progress) = self.partitions.get_mut(message.partition()) else {
            // A partition that was just given back; its next owner reads this.
            return Verdict::Skip;
        };
        let arrived = Arrived {
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            crc32: crc32(message),
        };
        let verdict = progress.arrive(arrived);
        if let Verdict::Fold(at) = verdict {
            let outcome = fold(&*self.pipeline, (&mut self.state, &mut self.batch), message, (&self.feed.topic, at));
            progress.count(outcome);
            self.batch.count(1);
        }
        verdict
    }

    /// Takes the batch in hand; a new one begins.
    pub fn seal(&mut self) -> Batch {
        let mut batch = std::mem::replace(&mut self.batch, Batch::new(&self.feed.changelog));
        batch.spans = self.partitions.seal();
        batch.homes = batch.changes.homes().map(|home| (home, self.partitions.epoch(home))).collect();
        batch
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.state = State::default();
        self.partitions.clear();
        self.batch = Batch::new(&self.feed.changelog);
    }
}

fn fold<P: Pipeline>(
    pipeline: &P,
    (state, batch): (&mut State<P>, &mut Batch),
    message: &impl Message,
    (topic, at): (&str, Position),
) -> Outcome {
    let reading = match message.payload() {
        None => Reading::Rejected("the value is null".into()),
        Some(value) => pipeline.read(message.key(), value),
    };
    match reading {
        Reading::Record(record) => state.fold(&record, at, &mut batch.changes),
        Reading::Filtered => Outcome::Filtered,
        Reading::Rejected(reason) => {
            batch.reject(Reject {
                topic,
                partition: message.partition(),
                offset: at.offset,
                timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                key: message.key(),
                value: message.payload(),
                reason: &reason,
            });
            Outcome::Rejected
        }
    }
}

fn crc32(message: &impl Message) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(message.key().unwrap_or_default());
    hasher.update(message.payload().unwrap_or_default());
    hasher.finalize()
}

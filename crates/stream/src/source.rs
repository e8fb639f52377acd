//! What a producer sends: a pipeline's rows, one message after another.

use std::{sync::Arc, time::Duration};

use formats::ReadError;

/// Takes note that Kafka has the first so many messages of a source, which only grows. It is called by the thread that takes in
/// delivery reports, so it does not block; of two calls the later one may have the smaller number.
pub type Acknowledged = Arc<dyn Fn(u64) + Send + Sync>;

/// One Kafka message about to be sent. Its buffers are reused from row to row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The message key: the record's partition key, which decides its partition.
    pub key: Vec<u8>,
    /// The message value.
    pub value: Vec<u8>,
    /// Which topic it goes to: 0 is the first, 1 the first of [`Source::further_topics`].
    pub topic: usize,
    /// Its Kafka timestamp, milliseconds since 1970 UTC; `None` is the time of sending.
    pub timestamp_ms: Option<i64>,
}

/// What became of one row of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// The message is filled in and wants to be sent.
    Send,
    /// The row is valid and not wanted.
    Filtered,
    /// The row cannot be read; the reason is a sentence's worth, lowercase.
    Rejected(String),
    /// Nothing comes before so much time has passed.
    Wait(Duration),
}

/// An input, row by row.
pub trait Source: Send {
    /// Reads the next row into `message`; `None` at the end of the input.
    ///
    /// # Errors
    /// When nothing more can be read. A bad row is not an error, but [`RowOutcome::Rejected`].
    fn next(&mut self, message: &mut Outgoing) -> Result<Option<RowOutcome>, ReadError>;

    /// Why the consumer will reject the row last read, where that is known: it is sent all the same.
    fn unusable(&self) -> Option<&str> {
        None
    }

    /// Whether the consumer will store no fact of the row last read though nothing is wrong with it: it is sent all the same.
    fn is_without_fact(&self) -> bool {
        false
    }

    /// The topics it sends to besides the first.
    fn further_topics(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether messages may have timestamps so old that Kafka would soon remove them: topics that are made then keep all.
    fn is_of_the_past(&self) -> bool {
        false
    }

    /// Whether it goes on until it is stopped.
    fn is_endless(&self) -> bool {
        false
    }

    /// Who is to know how many messages Kafka has, of a source that acknowledges them in turn.
    ///
    /// Such a source numbers its messages by [`Source::line`]: that of the first one it gives is 1, of the next 2, and so on.
    fn acknowledged(&self) -> Option<Acknowledged> {
        None
    }

    /// The line the row last read began at, counted from 1, the header included.
    fn line(&self) -> u64;

    /// What a person would call the row last read, for a log line: `Brazil - 1987`.
    fn label(&self) -> String;
}

/// What became of an element that somebody posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The message is filled in, and says when it happened.
    Dated,
    /// The message is filled in, and its Kafka timestamp is the time of arrival: the element had no time.
    Undated,
    /// The element is valid and not wanted.
    Filtered,
}

/// What a pipeline takes of live inputs: one JSON object for each reading.
pub trait Inlet: Send + Sync {
    /// Writes the message of an element that arrived at `arrival_ms`, milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// Why the consumer would reject it; sent as it is, it is rejected indeed.
    fn element(&self, json: &[u8], arrival_ms: i64, message: &mut Outgoing) -> Result<Taken, String>;

    /// The topics it sends to besides the first.
    fn further_topics(&self) -> Vec<String> {
        Vec::new()
    }
}

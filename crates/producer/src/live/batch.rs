//! Messages that are acknowledged together, in one piece of memory.

use std::ops::Range;

use stream::Outgoing;

/// What is done once Kafka has them; dropped without being called where that will never be known.
pub(crate) type Done = Box<dyn FnOnce() + Send>;

/// What a message costs beside its key and value, bytes.
const ENTRY: usize = size_of::<Entry>();

/// The messages of one request, or of one MQTT message.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    done: Option<Done>,
}

/// Where a message lies among the bytes: its value ends where the next key begins.
struct Entry {
    key: Range<usize>,
    value_end: usize,
    topic: usize,
    timestamp_ms: Option<i64>,
}

impl Batch {
    /// Adds a copy of a message.
    pub(crate) fn add(&mut self, message: &Outgoing) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(&message.key);
        let key = begin..self.bytes.len();
        self.bytes.extend_from_slice(&message.value);
        let value_end = self.bytes.len();
        self.entries.push(Entry { key, value_end, topic: message.topic, timestamp_ms: message.timestamp_ms });
    }

    /// The same with what is done once Kafka has all of it.
    pub(crate) fn with_done(self, done: Done) -> Self {
        Self { done: Some(done), ..self }
    }

    /// Takes out what is done then.
    pub(crate) fn take_done(&mut self) -> Done {
        self.done.take().unwrap_or_else(|| Box::new(|| ()))
    }

    /// The number of messages.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What it takes of memory, bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * ENTRY
    }

    /// Copies a message out; `None` behind the last one.
    pub(crate) fn copy(&self, index: usize, message: &mut Outgoing) -> Option<()> {
        let Entry { key, value_end, topic, timestamp_ms } = self.entries.get(index)?;
        message.key.clear();
        message.key.extend_from_slice(&self.bytes[key.clone()]);
        message.value.clear();
        message.value.extend_from_slice(&self.bytes[key.end..*value_end]);
        (message.topic, message.timestamp_ms) = (*topic, *timestamp_ms);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_comes_out() {
        let message = |key: &str, topic, timestamp_ms| Outgoing {
            key: key.as_bytes().to_vec(),
            value: format!("{{\"{key}\":1}}").into_bytes(),
            topic,
            timestamp_ms,
        };
        let messages = [message("a", 0, None), message("", 1, Some(7)), message("long", 0, None)];
        let mut batch = Batch::default();
        messages.iter().for_each(|message| batch.add(message));
        let mut out = Outgoing::default();
        for (at, message) in messages.iter().enumerate() {
            batch.copy(at, &mut out).unwrap();
            assert_eq!(&out, message);
        }
        assert_eq!((batch.copy(3, &mut out), batch.len()), (None, 3));
    }
}

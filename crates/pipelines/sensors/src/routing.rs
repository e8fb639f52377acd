//! Where a measured value is sent: readings to one topic, events to the other.

use stream::{Outgoing, RowOutcome};

use crate::{
    event_message,
    range::{Range, Routed},
    reading_message::{self, Reading},
    settings::SharedSettings,
};

/// What decides it.
pub(crate) struct Routing {
    pub(crate) range: Range,
    /// The topic of events; `None` where none are sent.
    events_topic: Option<String>,
}

impl Routing {
    pub(crate) fn of(settings: &SharedSettings) -> Self {
        let events_topic = (!settings.no_events).then(|| settings.events_topic.clone());
        Self { range: settings.range, events_topic }
    }

    /// The topics besides that of readings.
    pub(crate) fn further_topics(&self) -> Vec<String> {
        self.events_topic.iter().cloned().collect()
    }

    /// Writes what a sensor measured, thousandths of a degree, as a message; `None` is that of a disconnected sensor. Without
    /// a time, that of the message's record counts.
    pub(crate) fn write(
        &self,
        sensor: i32,
        at_ms: Option<u64>,
        milli: Option<i32>,
        message: &mut Outgoing,
    ) -> RowOutcome {
        match self.range.route(milli) {
            Routed::Reading(milli) => {
                let at_ms = at_ms.and_then(|at_ms| i64::try_from(at_ms).ok());
                reading_message::encode(&Reading { sensor, at_ms, milli }, message);
                message.topic = 0;
            }
            Routed::Event(..) if self.events_topic.is_none() => return RowOutcome::Filtered,
            Routed::Event(level, text) => {
                event_message::encode(sensor, at_ms, level, &text, message);
                message.topic = 1;
            }
        }
        RowOutcome::Send
    }
}

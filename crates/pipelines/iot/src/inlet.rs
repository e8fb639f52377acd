//! Readings as people post them: `{"device_id":"TEMP-001","device_type":"temperature","value":22.31}`, with a time where they have one.

use stream::{Decoded, Inlet, Outgoing, Taken, impossible_on_arrival};

use crate::{message, simulator::SimulatorSettings};

/// Takes readings, and sends them as they came.
pub struct Readings;

impl Readings {
    /// With the options that the producer has of this pipeline: none matters here.
    pub fn new(_: &SimulatorSettings) -> Self {
        Self
    }
}

impl Inlet for Readings {
    fn element(&self, json: &[u8], arrival_ms: i64, message: &mut Outgoing) -> Result<Taken, String> {
        let reading = match message::decode(json) {
            Decoded::Record(reading) => reading,
            Decoded::Rejected(reason) => return Err(reason.into_owned()),
            Decoded::Filtered => return Ok(Taken::Filtered),
        };
        if let Some(reason) = reading.at_ms.and_then(|at_ms| impossible_on_arrival(at_ms, arrival_ms)) {
            return Err(reason);
        }
        message.key.clear();
        message.key.extend_from_slice(reading.device.as_bytes());
        message.value.clear();
        message.value.extend_from_slice(json);
        message.topic = 0;
        message.timestamp_ms = reading.at_ms.is_none().then_some(arrival_ms);
        Ok(if reading.at_ms.is_some() { Taken::Dated } else { Taken::Undated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-01 00:00 UTC.
    const NOW: i64 = 1_769_904_000_000;

    fn taken(json: &str) -> Result<(Taken, Outgoing), String> {
        let mut message = Outgoing::default();
        Readings.element(json.as_bytes(), NOW, &mut message).map(|taken| (taken, message))
    }

    #[test]
    fn an_element_is_sent_as_it_came() {
        let dated = r#"{"device_id":"a","device_type":"b","value":1,"time":"2026-01-31T12:00:00Z","site":"x"}"#;
        let (taken_as, message) = taken(dated).unwrap();
        assert_eq!((taken_as, &*message.key, &*message.value), (Taken::Dated, &b"a"[..], dated.as_bytes()));
        assert_eq!(message.timestamp_ms, None);
        let (taken_as, message) = taken(r#"{"device_id":"a","device_type":"b","value":true}"#).unwrap();
        assert_eq!((taken_as, message.timestamp_ms), (Taken::Undated, Some(NOW)));
    }

    #[test]
    fn what_the_consumer_would_reject_is_refused() {
        for (json, expected) in [
            (r#"{"device_id":"a","value":1}"#, "device_type is missing"),
            (r#"{"device_id":"a","device_type":"b","value":1,"time":"2026-02-01T02:00:00Z"}"#, "ahead"),
            (r#"{"device_id":"a","device_type":"b","value":1,"time":"2000-01-01T00:00:00Z"}"#, "2001"),
        ] {
            let refused = taken(json).unwrap_err();
            assert!(refused.contains(expected), "{json}: {refused}");
        }
    }
}

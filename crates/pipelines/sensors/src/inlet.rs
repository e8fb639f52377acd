//! Readings as people post them: `{"sensor_id":7,"temperature":21.53}`, with `timestamp` or `timestamp_ms` where they have a time.

use stream::{Inlet, Outgoing, RowOutcome, Taken, impossible_on_arrival};

use crate::{reading_message, routing::Routing, simulator::SimulatorSettings};

/// Takes readings; one out of range is an event, as in every source.
pub struct Readings(Routing);

impl Readings {
    /// With the options that the producer has of this pipeline.
    pub fn new(settings: &SimulatorSettings) -> Self {
        Self(Routing::of(&settings.shared))
    }
}

impl Inlet for Readings {
    fn element(&self, json: &[u8], arrival_ms: i64, message: &mut Outgoing) -> Result<Taken, String> {
        let reading = reading_message::read_element(json)?;
        if let Some(reason) = reading.at_ms.and_then(|at_ms| impossible_on_arrival(at_ms, arrival_ms)) {
            return Err(reason);
        }
        let at_ms = reading.at_ms.and_then(|at_ms| u64::try_from(at_ms).ok());
        message.timestamp_ms = at_ms.is_none().then_some(arrival_ms);
        Ok(match self.0.write(reading.sensor, at_ms, Some(reading.milli), message) {
            RowOutcome::Send if at_ms.is_some() => Taken::Dated,
            RowOutcome::Send => Taken::Undated,
            _ => Taken::Filtered,
        })
    }

    fn further_topics(&self) -> Vec<String> {
        self.0.further_topics()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;
    use stream::Decoded;

    use super::*;
    use crate::{event_message, range::USUAL};

    #[derive(Parser)]
    struct Parsed {
        #[command(flatten)]
        settings: SimulatorSettings,
    }

    /// 2026-02-01 00:00 UTC.
    const NOW: i64 = 1_769_904_000_000;

    fn readings(args: &[&str]) -> Readings {
        Readings::new(&Parsed::parse_from([&["test"], args].concat()).settings)
    }

    /// What becomes of an element: its message, topic and Kafka timestamp, or the reason.
    fn check(json: &str, expected: Result<(Taken, &str), &str>) {
        let mut message = Outgoing::default();
        match (readings(&[]).element(json.as_bytes(), NOW, &mut message), expected) {
            (Ok(taken), Ok((expected, value))) => {
                assert_eq!((taken, String::from_utf8_lossy(&message.value).as_ref()), (expected, value), "{json}");
                assert_eq!(message.key, b"7");
                assert_eq!(message.timestamp_ms, (taken == Taken::Undated).then_some(NOW), "{json}");
            }
            (Err(reason), Err(expected)) => assert!(reason.contains(expected), "{json}: {reason}"),
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn an_element_becomes_the_message_of_all_sources() {
        let dated = r#"{"sensor_id":7,"timestamp":1767225600,"timestamp_ms":1767225600000,"temperature":21.53}"#;
        for time in [
            r#""timestamp":1767225600"#,
            r#""timestamp_ms":1767225600000"#,
            r#""timestamp":"2026-01-01T01:00:00+01:00""#,
        ] {
            check(&format!(r#"{{"temperature":21.53,"sensor_id":7,{time}}}"#), Ok((Taken::Dated, dated)));
        }
        check(
            r#"{"sensor_id":7,"temperature":21.530}"#,
            Ok((Taken::Undated, r#"{"sensor_id":7,"temperature":21.53}"#)),
        );
    }

    #[test]
    fn a_temperature_out_of_range_is_an_event() {
        let event = r#"{"sensor_id":7,"level":"WARNING","message":"extreme temperature 55"}"#;
        check(r#"{"sensor_id":7,"temperature":55}"#, Ok((Taken::Undated, event)));
        let mut message = Outgoing::default();
        let json = br#"{"sensor_id":7,"temperature":55}"#;
        assert_eq!(readings(&["--no-events"]).element(json, NOW, &mut message), Ok(Taken::Filtered));
        assert_eq!(readings(&[]).element(json, NOW, &mut message).map(|_| message.topic), Ok(1));
    }

    #[test]
    fn what_is_wrong_is_said() {
        check(r#"{"sensor_id":7}"#, Err("temperature is missing"));
        check(r#"{"sensor_id":"seven","temperature":1}"#, Err("sensor_id is not a whole number"));
        check(r#"{"sensor_id":7,"temperature":1,"timestamp":"yesterday"}"#, Err("timestamp is not a number"));
        check(r#"{"sensor_id":7,"temperature":1,"timestamp":1767225600000}"#, Err("seconds are expected"));
        check(r#"{"sensor_id":7,"temperature":1,"timestamp":946684800}"#, Err("a clock that was never set"));
        check("7", Err("not JSON: expected an object"));
    }

    proptest! {
        /// What is refused here, the consumer would reject; what is taken, it reads.
        #[test]
        fn the_rule_is_the_consumers(
            sensor in "7|-7|0.5|\"7\"|null", temperature in "-?[0-9]{1,4}(\\.[0-9]{1,4})?|null|\"1\"|NaN",
            time in "|,\"timestamp\":(0|1767225600|1767225600000|\"2026-01-01T00:00:00Z\"|\"now\"|null)|,\"timestamp_ms\":(1767225600000|0.5)",
        ) {
            let json = format!("{{\"sensor_id\":{sensor},\"temperature\":{temperature}{time}}}");
            let mut message = Outgoing::default();
            match readings(&[]).element(json.as_bytes(), NOW, &mut message) {
                Err(reason) => match reading_message::decode(json.as_bytes(), USUAL) {
                    Decoded::Record(reading) => {
                        prop_assert!(impossible_on_arrival(reading.at_ms.unwrap_or(NOW), NOW).is_some(), "{json}: {reason}");
                    }
                    decoded => prop_assert!(matches!(decoded, Decoded::Rejected(_)), "{json}: {reason}"),
                },
                Ok(_) if message.topic == 1 => prop_assert!(matches!(event_message::decode(&message.value), Decoded::Record(_))),
                Ok(_) => prop_assert!(matches!(reading_message::decode(&message.value, USUAL), Decoded::Record(_))),
            }
        }
    }
}

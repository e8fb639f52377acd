//! What becomes of an MQTT message: the element that its topic and payload make, and whether it is wanted.

use std::{borrow::Cow, str::FromStr};

use serde_json::{Map, Value};
use stream::{Inlet, Outgoing, Taken};

/// What Home Assistant sends for a sensor that says nothing.
const SILENT: [&[u8]; 3] = [b"unavailable", b"unknown", b""];

/// A field of an element, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    name: String,
    from: From,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    /// A level of the topic, the first being 1. A number where it reads as one.
    Topic(usize),
    /// The same as a text, whatever it reads as.
    TopicText(usize),
    /// A part of the payload, by its JSON pointer.
    Json(String),
    /// A text.
    Text(String),
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "not such as sensor_id=topic:2, temperature=json:/value or unit=text:°C".to_owned();
        let (name, source) = text.split_once('=').ok_or_else(wrong)?;
        let (kind, what) = source.split_once(':').ok_or_else(wrong)?;
        let from = match kind {
            "topic" | "topic-text" => match what.parse() {
                Ok(level @ 1..) if kind == "topic" => From::Topic(level),
                Ok(level @ 1..) => From::TopicText(level),
                _ => return Err("a topic's first level is 1: sensor_id=topic:1".to_owned()),
            },
            "json" if what.is_empty() || what.starts_with('/') => From::Json(what.to_owned()),
            "json" => return Err("a JSON pointer begins with /: temperature=json:/value".to_owned()),
            "text" => From::Text(what.to_owned()),
            _ => return Err(wrong()),
        };
        if name.is_empty() { Err(wrong()) } else { Ok(Self { name: name.to_owned(), from }) }
    }
}

/// A message as a broker sends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published<'a> {
    pub(super) topic: &'a [u8],
    pub(super) payload: &'a [u8],
    /// Whether the broker kept it for those that subscribe later.
    pub(super) retained: bool,
    pub(super) arrival_ms: i64,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The message is filled in.
    Taken,
    /// It is valid and not wanted, or says that nothing was measured.
    Filtered,
    /// It was retained and has no time: each subscription would bring it as new.
    Retained,
    /// It cannot be used: the message is filled in so that the consumer keeps it as a reject.
    Rejected(String),
}

/// Makes the Kafka message of a published one.
pub(super) fn outcome(
    fields: &[Field],
    inlet: &dyn Inlet,
    published: Published<'_>,
    message: &mut Outgoing,
) -> Outcome {
    let Some(element) = element(fields, published) else { return Outcome::Filtered };
    match inlet.element(&element, published.arrival_ms, message) {
        Ok(Taken::Dated) => Outcome::Taken,
        Ok(Taken::Filtered) => Outcome::Filtered,
        Ok(Taken::Undated) | Err(_) if published.retained => Outcome::Retained,
        Ok(Taken::Undated) => Outcome::Taken,
        Err(reason) => {
            message.key.clear();
            message.key.extend_from_slice(published.topic);
            message.value.clear();
            message.value.extend_from_slice(&element);
            (message.topic, message.timestamp_ms) = (0, None);
            Outcome::Rejected(reason)
        }
    }
}

/// The element of a message; `None` where it says that nothing was measured.
fn element<'a>(fields: &[Field], published: Published<'a>) -> Option<Cow<'a, [u8]>> {
    let payload = published.payload.trim_ascii();
    if SILENT.contains(&payload) {
        return None;
    }
    if fields.is_empty() {
        return Some(payload.into());
    }
    let json: Option<Value> = serde_json::from_slice(payload).ok();
    let is_read = |field: &Field| matches!(field.from, From::Json(_));
    if json.is_none() && fields.iter().any(is_read) {
        return Some(payload.into());
    }
    let mut element = Map::new();
    for Field { name, from } in fields {
        let value = match from {
            From::Topic(level) => topic_level(published.topic, *level).map(number_or_text),
            From::TopicText(level) => topic_level(published.topic, *level).map(Value::from),
            From::Json(pointer) => json.as_ref().and_then(|json| json.pointer(pointer)).cloned(),
            From::Text(text) => Some(text.clone().into()),
        };
        match value {
            Some(Value::String(text)) if is_silent(from, &text) => return None,
            Some(value) => _ = element.insert(name.clone(), value),
            None => {}
        }
    }
    Some(serde_json::to_vec(&element).expect("a map of values is JSON").into())
}

/// Whether a part of the payload says that nothing was measured.
fn is_silent(from: &From, text: &str) -> bool {
    matches!(from, From::Json(_)) && SILENT.contains(&text.as_bytes())
}

fn topic_level(topic: &[u8], level: usize) -> Option<&str> {
    std::str::from_utf8(topic).ok()?.split('/').nth(level - 1)
}

fn number_or_text(text: &str) -> Value {
    let number = serde_json::from_str::<serde_json::Number>(text).ok();
    number.map_or_else(|| text.into(), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes elements with a value; those with a time are dated.
    struct Any;

    impl Inlet for Any {
        fn element(&self, json: &[u8], arrival_ms: i64, message: &mut Outgoing) -> Result<Taken, String> {
            let element: Value = serde_json::from_slice(json).map_err(|_| "not JSON".to_owned())?;
            if element.get("v").is_none_or(|v| !v.is_number()) {
                return Err("v is missing".to_owned());
            }
            (message.key, message.value) = (b"k".to_vec(), json.to_vec());
            message.timestamp_ms = element.get("t").is_none().then_some(arrival_ms);
            Ok(if element.get("t").is_some() { Taken::Dated } else { Taken::Undated })
        }
    }

    fn check(fields: &[&str], (topic, payload, retained): (&str, &str, bool), expected: (Outcome, &str)) {
        let fields: Vec<Field> = fields.iter().map(|field| field.parse().unwrap()).collect();
        let (topic, payload) = (topic.as_bytes(), payload.as_bytes());
        let mut message = Outgoing::default();
        let outcome = outcome(&fields, &Any, Published { topic, payload, retained, arrival_ms: 7 }, &mut message);
        let value = String::from_utf8_lossy(&message.value);
        assert_eq!((outcome, value.as_ref()), expected, "{fields:?}");
    }

    #[test]
    fn without_fields_the_payload_is_the_element() {
        check(&[], ("a", r#"{"v":1}"#, false), (Outcome::Taken, r#"{"v":1}"#));
        check(&[], ("a", "v=1", false), (Outcome::Rejected("not JSON".to_owned()), "v=1"));
    }

    #[test]
    fn fields_come_from_topic_payload_and_text() {
        let fields = ["s=topic:2", "v=json:/a/0", "u=text:°C", "t=json:/time"];
        check(&fields, ("home/7/x", r#"{"a":[1.5]}"#, false), (Outcome::Taken, r#"{"s":7,"u":"°C","v":1.5}"#));
        check(
            &fields,
            ("home/kitchen", r#"{"a":[1.5],"time":3}"#, true),
            (Outcome::Taken, r#"{"s":"kitchen","t":3,"u":"°C","v":1.5}"#),
        );
        check(&["v=json:"], ("a", "21.5", false), (Outcome::Taken, r#"{"v":21.5}"#));
    }

    #[test]
    fn what_says_nothing_is_filtered() {
        for payload in ["unavailable", "unknown", "", " \n"] {
            check(&["v=json:"], ("a", payload, false), (Outcome::Filtered, ""));
        }
        check(&["v=json:/state"], ("a", r#"{"state":"unavailable"}"#, false), (Outcome::Filtered, ""));
    }

    #[test]
    fn a_retained_message_needs_a_time() {
        check(&[], ("a", r#"{"v":1}"#, true), (Outcome::Retained, r#"{"v":1}"#));
        check(&[], ("a", r#"{"v":1,"t":2}"#, true), (Outcome::Taken, r#"{"v":1,"t":2}"#));
        check(&[], ("a", "rubbish", true), (Outcome::Retained, ""));
    }

    #[test]
    fn what_cannot_be_used_is_kept_as_it_is() {
        check(&["s=topic-text:2", "v=json:"], ("home/17", "1", false), (Outcome::Taken, r#"{"s":"17","v":1}"#));
        check(&["s=topic:1"], ("a", "1", false), (Outcome::Rejected("v is missing".to_owned()), r#"{"s":"a"}"#));
        check(&["v=json:/v"], ("a", "no json", false), (Outcome::Rejected("not JSON".to_owned()), "no json"));
    }

    #[test]
    fn a_field_is_read() {
        for text in ["sensor_id", "=topic:1", "s=topic:0", "s=topic:x", "v=json:value", "v=xml:/a", "v=/a"] {
            assert!(text.parse::<Field>().is_err(), "{text}");
        }
        assert_eq!("a=text:b=c:d".parse(), Ok(Field { name: "a".to_owned(), from: From::Text("b=c:d".to_owned()) }));
    }
}

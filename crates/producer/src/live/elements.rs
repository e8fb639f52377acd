//! The elements of a request's body: a JSON object, an array, or objects one after another, as NDJSON has them.

use std::fmt;

use serde_json::{Deserializer, value::RawValue};

/// Where a body is not JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotJson {
    /// How many elements come before.
    pub(super) index: usize,
    /// What is wrong, in words.
    pub(super) reason: String,
}

/// Calls `each` with every element of a body, in order.
///
/// # Errors
/// Where the body is not JSON; the elements before were given.
pub(super) fn each<'a>(body: &'a [u8], mut each: impl FnMut(&'a [u8])) -> Result<(), NotJson> {
    let mut index = 0;
    let mut counted = |element: &'a RawValue| {
        index += 1;
        each(element.get().as_bytes());
    };
    let text = std::str::from_utf8(body)
        .map_err(|error| NotJson { index: 0, reason: format!("not UTF-8 from byte {} on", error.valid_up_to()) })?;
    let read = match text.trim_ascii_start().as_bytes() {
        [] => return Err(NotJson { index: 0, reason: "the body is empty".to_owned() }),
        [b'[', ..] => array(text, &mut counted),
        _ => Deserializer::from_str(text).into_iter::<&RawValue>().try_for_each(|element| element.map(&mut counted)),
    };
    read.map_err(|error| NotJson { index, reason: format!("not JSON: {error}") })
}

fn array<'a>(text: &'a str, each: &mut dyn FnMut(&'a RawValue)) -> Result<(), serde_json::Error> {
    let mut json = Deserializer::from_str(text);
    serde::Deserializer::deserialize_seq(&mut json, Each(each))?;
    json.end()
}

struct Each<'f, 'a>(&'f mut dyn FnMut(&'a RawValue));

impl<'a> serde::de::Visitor<'a> for Each<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: serde::de::SeqAccess<'a>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&'a RawValue>()? {
            (self.0)(element);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(body: &str, expected: &[&str], wrong: Option<(usize, &str)>) {
        let mut found = vec![];
        let read = each(body.as_bytes(), |element| found.push(String::from_utf8_lossy(element).into_owned()));
        assert_eq!(found, expected, "{body}");
        match (read, wrong) {
            (Ok(()), None) => {}
            (Err(NotJson { index, reason }), Some((at, why))) => {
                assert!(index == at && reason.contains(why), "{body}: {index} {reason}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn a_body_is_read_by_its_content() {
        check(r#"{"a":1}"#, &[r#"{"a":1}"#], None);
        check("\n [ {\"a\":1} , {\"a\":[2]} ] \n", &[r#"{"a":1}"#, r#"{"a":[2]}"#], None);
        check("{\"a\":1}\n\n{\"a\":2}\r\n", &[r#"{"a":1}"#, r#"{"a":2}"#], None);
        check("{\n  \"a\": 1\n}", &["{\n  \"a\": 1\n}"], None);
        check("[]", &[], None);
        check("7", &["7"], None);
    }

    #[test]
    fn where_it_breaks_off_is_said() {
        check("", &[], Some((0, "the body is empty")));
        check(" \n", &[], Some((0, "the body is empty")));
        check(r#"[{"a":1},{"a":"#, &[r#"{"a":1}"#], Some((1, "EOF while parsing")));
        check(r#"[{"a":1}] x"#, &[r#"{"a":1}"#], Some((1, "trailing characters")));
        check("{\"a\":1}\n{\"a\"", &[r#"{"a":1}"#], Some((1, "EOF while parsing")));
        check("a=1", &[], Some((0, "not JSON")));
    }

    proptest! {
        #[test]
        fn array_and_lines_are_the_same(numbers in prop::collection::vec(any::<i32>(), 1..20)) {
            let elements: Vec<String> = numbers.iter().map(|number| format!("{{\"a\":{number}}}")).collect();
            for body in [format!("[{}]", elements.join(",")), elements.join("\n"), elements.concat()] {
                let mut found = vec![];
                prop_assert_eq!(each(body.as_bytes(), |element| found.push(String::from_utf8_lossy(element).into_owned())), Ok(()));
                prop_assert_eq!(&found, &elements);
            }
        }

        #[test]
        fn rubbish_harms_nothing(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = each(&body, |_| ());
        }
    }
}

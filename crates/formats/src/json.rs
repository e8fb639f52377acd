//! A JSON object, field by field, without allocating.
//!
//! It differs from a general parser in three things that this data needs: a number is read to the
//! nearest double, bit for bit; the bare tokens `NaN`, `Infinity` and `-Infinity`, which Python's
//! json writes, are distinguished from rubbish; and the values of unknown fields are passed over.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// No such field.
    Absent,
    /// `null`, or the bare token `NaN`.
    Missing,
    /// A number; infinite for `Infinity` and for a number beyond a double's range.
    Number(f64),
    /// A string, without its quotes and escapes.
    Text(Cow<'a, str>),
    /// `true`, `false`, an array or an object.
    Other(&'static str),
}

/// A text that is not one JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: expected {expected} at byte {at}")]
pub struct Malformed {
    expected: &'static str,
    at: usize,
}

/// What keeps a message from being read as an object with known fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It holds other bytes than text.
    #[error("not UTF-8 from byte {0} on")]
    Bytes(usize),
    /// It is not one object.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Which of two values is meant, nobody can say.
    #[error("{0} appears twice")]
    Twice(&'static str),
}

/// Reads a message as an object: the values of the named fields, in the order of the names; those of others are passed over.
///
/// A field that is not there is [`Value::Absent`].
///
/// # Errors
/// When it is no object, or when a named field appears twice.
pub fn fields<'a, const N: usize>(message: &'a [u8], names: &[&'static str; N]) -> Result<[Value<'a>; N], Unreadable> {
    let text = std::str::from_utf8(message).map_err(|error| Unreadable::Bytes(error.valid_up_to()))?;
    let mut object = Object::open(text)?;
    let mut values = [const { Value::Absent }; N];
    // Most messages have the fields in the order of the names: the next one is looked at first.
    let mut next = 0;
    while let Some((key, value)) = object.next_field()? {
        let is_next = names.get(next).is_some_and(|name| *name == key);
        let found = if is_next { Some(next) } else { names.iter().position(|name| *name == key) };
        let Some(at) = found else { continue };
        if values[at] != Value::Absent {
            return Err(Unreadable::Twice(names[at]));
        }
        values[at] = value;
        next = at + 1;
    }
    Ok(values)
}

/// An object that is being read.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    text: &'a str,
    at: usize,
    first: bool,
}

impl<'a> Object<'a> {
    /// Begins to read an object.
    ///
    /// # Errors
    /// When the text does not begin with one.
    pub fn open(text: &'a str) -> Result<Self, Malformed> {
        let mut object = Self { text, at: 0, first: true };
        object.expect(b'{', "an object")?;
        Ok(object)
    }

    /// Reads the next field; `None` after the last, when nothing follows the object.
    ///
    /// # Errors
    /// When the text is not JSON, the bare tokens aside.
    pub fn next_field(&mut self) -> Result<Option<(Cow<'a, str>, Value<'a>)>, Malformed> {
        if self.peek() == Some(b'}') {
            self.at += 1;
            return if self.peek().is_none() { Ok(None) } else { self.malformed("the end") };
        }
        if !self.first {
            self.expect(b',', "`,` or `}`")?;
        }
        self.first = false;
        self.skip_blanks();
        let key = self.string()?;
        self.expect(b':', "`:`")?;
        Ok(Some((key, self.value()?)))
    }

    fn value(&mut self) -> Result<Value<'a>, Malformed> {
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'-') if self.rest().starts_with("-I") => self.token("-Infinity", Value::Number(f64::NEG_INFINITY)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.token("null", Value::Missing),
            Some(b'N') => self.token("NaN", Value::Missing),
            Some(b'I') => self.token("Infinity", Value::Number(f64::INFINITY)),
            Some(b't') => self.token("true", Value::Other("a boolean")),
            Some(b'f') => self.token("false", Value::Other("a boolean")),
            Some(b'[') => self.nested("an array"),
            Some(b'{') => self.nested("an object"),
            _ => self.malformed("a value"),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        if self.text.as_bytes().get(self.at) != Some(&b'"') {
            return self.malformed("a string");
        }
        let inside = &self.text.as_bytes()[self.at + 1..];
        match inside.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
            Some(len) if inside[len] == b'"' => {
                let from = self.at + 1;
                self.at = from + len + 1;
                Ok(Cow::Borrowed(&self.text[from..from + len]))
            }
            Some(_) => self.escaped(),
            None => self.malformed("`\"`"),
        }
    }

    #[cold]
    fn escaped(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let Some(len) = string_len(self.rest()) else { return self.malformed("`\"`") };
        match serde_json::from_str::<String>(&self.rest()[..len]) {
            Ok(text) => {
                self.at += len;
                Ok(Cow::Owned(text))
            }
            Err(_) => self.malformed("a string"),
        }
    }

    fn number(&mut self) -> Result<Value<'a>, Malformed> {
        let digits = |from: &[u8]| from.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let bytes = self.rest().as_bytes();
        let mut len = usize::from(bytes[0] == b'-');
        let whole = digits(&bytes[len..]);
        if whole == 0 || (whole > 1 && bytes[len] == b'0') {
            return self.malformed("a number");
        }
        len += whole;
        if bytes.get(len) == Some(&b'.') {
            let fraction = digits(&bytes[len + 1..]);
            if fraction == 0 {
                return self.malformed("a number");
            }
            len += 1 + fraction;
        }
        if let Some(b'e' | b'E') = bytes.get(len) {
            let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
            let exponent = digits(&bytes[len + 1 + sign..]);
            if exponent == 0 {
                return self.malformed("a number");
            }
            len += 1 + sign + exponent;
        }
        match self.rest()[..len].parse() {
            Ok(number) => {
                self.at += len;
                Ok(Value::Number(number))
            }
            Err(_) => self.malformed("a number"),
        }
    }

    fn token(&mut self, token: &'static str, value: Value<'a>) -> Result<Value<'a>, Malformed> {
        if !self.rest().starts_with(token) {
            return self.malformed("a value");
        }
        self.at += token.len();
        Ok(value)
    }

    /// Passes over an array or an object, however deep, after seeing that it is one.
    fn nested(&mut self, what: &'static str) -> Result<Value<'a>, Malformed> {
        let Some(len) = nested_len(self.rest()) else { return self.malformed("a value") };
        let value = &self.rest()[..len];
        let valid = serde_json::from_str::<IgnoredAny>(value).is_ok()
            || serde_json::from_str::<IgnoredAny>(&without_bare_tokens(value)).is_ok();
        if !valid {
            return self.malformed("a value");
        }
        self.at += len;
        Ok(Value::Other(what))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return self.malformed(expected);
        }
        self.at += 1;
        Ok(())
    }

    #[cold]
    fn malformed<T>(&self, expected: &'static str) -> Result<T, Malformed> {
        Err(Malformed { expected, at: self.at })
    }
}

/// The length of the string a text begins with, quotes included.
fn string_len(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The length of the array or object a text begins with, going by its brackets alone.
fn nested_len(text: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => at += string_len(&text[at..])? - 1,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The same text with `null` for every bare `NaN`, `Infinity` and `-Infinity`.
#[cold]
fn without_bare_tokens(text: &str) -> String {
    let (mut out, mut at) = (String::with_capacity(text.len() + 16), 0);
    while at < text.len() {
        let rest = &text[at..];
        let bare = ["NaN", "Infinity", "-Infinity"].into_iter().find(|&token| rest.starts_with(token));
        let len = match bare {
            Some(token) => {
                out.push_str("null");
                at += token.len();
                continue;
            }
            None if rest.starts_with('"') => string_len(rest).unwrap_or(rest.len()),
            None => rest.chars().next().map_or(1, char::len_utf8),
        };
        out.push_str(&rest[..len]);
        at += len;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read = || -> Result<Vec<String>, Malformed> {
            let mut object = Object::open(text)?;
            let mut fields = vec![];
            while let Some((key, value)) = object.next_field()? {
                fields.push(format!("{key}={value:?}"));
            }
            Ok(fields)
        };
        let found = read().map_or_else(|error| error.to_string(), |fields| fields.join(" "));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn fields_come_in_their_order() {
        check("{}", "");
        check(" { } ", "");
        check(r#"{"a":1,"b":-0.5e-3}"#, "a=Number(1.0) b=Number(-0.0005)");
        check("{\n\t\"a\" : null ,\r\"a\" : \"x\" }", "a=Missing a=Text(\"x\")");
        check(r#"{"\u0061":"C\u00f4te \"d'Ivoire\"\u0000"}"#, r#"a=Text("Côte \"d'Ivoire\"\0")"#);
        check(
            r#"{"a":true,"b":[1,{"c":"]"}],"c":{}}"#,
            "a=Other(\"a boolean\") b=Other(\"an array\") c=Other(\"an object\")",
        );
    }

    #[test]
    fn the_bare_tokens_of_python_are_distinguished() {
        check(r#"{"a":NaN,"b":Infinity,"c":-Infinity}"#, "a=Missing b=Number(inf) c=Number(-inf)");
        check(r#"{"a":[NaN,"NaN",-Infinity]}"#, "a=Other(\"an array\")");
        check(r#"{"a":-NaN}"#, "not JSON: expected a number at byte 5");
        check(r#"{"a":nan}"#, "not JSON: expected a value at byte 5");
    }

    #[test]
    fn rubbish_is_refused_with_its_position() {
        check("", "not JSON: expected an object at byte 0");
        check("[1]", "not JSON: expected an object at byte 0");
        check("{", "not JSON: expected a string at byte 1");
        check(r#"{"a":1,}"#, "not JSON: expected a string at byte 7");
        check(r#"{"a":1 "b":2}"#, "not JSON: expected `,` or `}` at byte 7");
        check(r#"{"a":1}}"#, "not JSON: expected the end at byte 7");
        check(r#"{"a":01}"#, "not JSON: expected a number at byte 5");
        check(r#"{"a":1.}"#, "not JSON: expected a number at byte 5");
        check(r#"{"a":+1}"#, "not JSON: expected a value at byte 5");
        check(r#"{"a":"\ud800"}"#, "not JSON: expected a string at byte 5");
        check("{\"a\":\"\n\"}", "not JSON: expected a string at byte 5");
        check(r#"{"a":[1,,2]}"#, "not JSON: expected a value at byte 5");
        check(r#"{"a":[}}"#, "not JSON: expected a value at byte 5");
        check(r#"{a:1}"#, "not JSON: expected a string at byte 1");
    }

    #[test]
    fn numbers_are_read_to_the_nearest_double() {
        check(r#"{"a":0.30000000000000004,"b":5e-324}"#, "a=Number(0.30000000000000004) b=Number(5e-324)");
        check(r#"{"a":1e400}"#, "a=Number(inf)");
        check(&format!(r#"{{"a":{}}}"#, "1".repeat(100_000)), "a=Number(inf)");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        check(&deep(1_000_000), "a=Other(\"an array\")");
        check(&format!(r#"{{"a":{}"#, "[".repeat(10_000)), "not JSON: expected a value at byte 5");
    }
}

//! The fields of a JSON object, by name.
//!
//! serde_json reads, with borrowed fields, and numbers to the nearest double (`float_roundtrip`).
//! The bare tokens `NaN`, `Infinity` and `-Infinity`, which Python's json writes, are values too.

use std::{array, borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Why a message cannot be used: a sentence's worth, lowercase.
pub type Reason = Cow<'static, str>;

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`, or the bare token `NaN`.
    Missing,
    /// A number; the greatest double for `Infinity`, the least for `-Infinity`.
    Number(f64),
    /// A string, without its quotes and escapes.
    Text(Cow<'a, str>),
    /// `true` or `false`.
    Bool(bool),
    /// An array or an object.
    Other(&'static str),
}

/// Reads the fields of these names; `None` where the object lacks one. Other fields are passed over, however deep.
///
/// Allocates only where a text holds an escape, or the object a bare token.
///
/// # Errors
/// The reason, when the bytes are no JSON object, the bare tokens aside, or a field of these comes twice.
pub fn fields<'a, const N: usize>(json: &'a [u8], names: &[&str; N]) -> Result<[Option<Value<'a>>; N], Reason> {
    let text = std::str::from_utf8(json).map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to()))?;
    if let Some(values) = read_plain(text, names) {
        return Ok(values);
    }
    // The error of serde_json would quote what it is instead, at any length.
    if !text.trim_ascii_start().starts_with('{') {
        return Err("not JSON: expected an object".into());
    }
    let found = match read(text, names) {
        Ok(found) => found,
        Err(error) => read_tokens(text, names).ok_or_else(|| format!("not JSON: {error}"))?,
    };
    match found.twice {
        None => Ok(found.values),
        Some(at) => Err(format!("{} appears twice", names[at]).into()),
    }
}

/// Reads an object with just these fields, in this order, without blanks, escapes and nested values, as producers write them;
/// `None` of any other.
fn read_plain<'a, const N: usize>(text: &'a str, names: &[&str; N]) -> Option<[Option<Value<'a>>; N]> {
    let mut values = array::from_fn(|_| None);
    let mut rest = text;
    for (at, name) in names.iter().enumerate() {
        rest = rest.strip_prefix(if at == 0 { "{\"" } else { ",\"" })?.strip_prefix(name)?.strip_prefix("\":")?;
        let value;
        (value, rest) = plain_value(rest)?;
        values[at] = Some(value);
    }
    (rest == "}").then_some(values)
}

/// A value that is followed by a comma or the object's end, and what follows it.
fn plain_value(text: &str) -> Option<(Value<'_>, &str)> {
    match text.as_bytes() {
        [b'"', inside @ ..] => {
            let len = inside.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F))?;
            let (value, rest) = text[1..].split_at(len);
            Some((Value::Text(value.into()), rest.strip_prefix('"')?))
        }
        [b'n', ..] => Some((Value::Missing, text.strip_prefix("null")?)),
        bytes => {
            let (number, rest) = text.split_at(bytes.iter().position(|byte| matches!(byte, b',' | b'}'))?);
            let value = if is_number(number.as_bytes()) { number.parse().ok()? } else { return None };
            f64::is_finite(value).then_some((Value::Number(value), rest))
        }
    }
}

/// Whether JSON has such a number.
fn is_number(text: &[u8]) -> bool {
    let after_digits =
        |text: &[u8], from: usize| from + text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let begin = usize::from(text.first() == Some(&b'-'));
    let mut at = after_digits(text, begin);
    let mut is_valid = at > begin && (at == begin + 1 || text[begin] != b'0');
    if text.get(at) == Some(&b'.') {
        let end = after_digits(text, at + 1);
        is_valid &= end > at + 1;
        at = end;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let begin = at + 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = after_digits(text, begin.min(text.len()));
        is_valid &= at > begin;
    }
    is_valid && at == text.len()
}

/// Whether JSON has such a number, and a double holds it nearly.
fn is_finite(text: &[u8]) -> bool {
    let number = std::str::from_utf8(text).ok().filter(|_| is_number(text)).and_then(|text| text.parse().ok());
    number.is_some_and(f64::is_finite)
}

/// Writes the text of a field, such as one of a CSV file, as a value: a number or a boolean as such, unless it `is_text`; nothing as
/// `null`; anything else as a string, of which what is not UTF-8 is replaced.
///
/// # Panics
/// Never.
pub fn write_field(text: &[u8], is_text: bool, out: &mut Vec<u8>) {
    if text.is_empty() {
        out.extend_from_slice(b"null");
    } else if !is_text && (is_finite(text) || matches!(text, b"true" | b"false")) {
        out.extend_from_slice(text);
    } else {
        let text = String::from_utf8_lossy(text);
        serde_json::to_writer(out, &*text).expect("a Vec takes all that is written to it");
    }
}

fn read<'a, const N: usize>(text: &'a str, names: &[&str; N]) -> Result<Found<'a, N>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = json.deserialize_map(Names(names))?;
    json.end()?;
    Ok(found)
}

/// Reads a text with bare tokens; `None` where they are not all that is wrong.
#[cold]
fn read_tokens<'a, const N: usize>(text: &str, names: &[&str; N]) -> Option<Found<'a, N>> {
    let text = without_bare_tokens(text);
    let Found { values, twice } = read(&text, names).ok()?;
    Some(Found { values: values.map(|value| value.map(Value::into_owned)), twice })
}

impl Value<'_> {
    fn into_owned<'a>(self) -> Value<'a> {
        match self {
            Self::Missing => Value::Missing,
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::Text(text.into_owned().into()),
            Self::Bool(is) => Value::Bool(is),
            Self::Other(what) => Value::Other(what),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(AnyValue)
    }
}

struct AnyValue;

#[expect(clippy::cast_precision_loss, reason = "the nearest double is what a whole number means")]
impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Missing)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(is))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value<'de>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an object"))
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Names<'a, const N: usize>(&'a [&'a str; N]);

struct Found<'a, const N: usize> {
    values: [Option<Value<'a>>; N],
    /// The index of a name that comes twice.
    twice: Option<usize>,
}

impl<'de, const N: usize> Visitor<'de> for Names<'_, N> {
    type Value = Found<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Found { values: array::from_fn(|_| None), twice: None };
        // Most objects have the fields in the order of the names: the next one is looked at first.
        let mut next = 0;
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let is_next = self.0.get(next).is_some_and(|name| *name == key);
            let known = if is_next { Some(next) } else { self.0.iter().position(|name| *name == key) };
            next = known.map_or(next, |at| at + 1);
            match known {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(at) if found.values[at].replace(map.next_value()?).is_some() => found.twice = Some(at),
                Some(_) => {}
            }
        }
        Ok(found)
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

/// The same text with `null` for every bare `NaN`, and a double's ends for `Infinity`.
fn without_bare_tokens(text: &str) -> String {
    // The blanks keep a token from becoming part of another one.
    const TOKENS: [(&str, &str); 3] =
        [("NaN", " null "), ("Infinity", " 1.7976931348623157e308 "), ("-Infinity", " -1.7976931348623157e308 ")];
    let (mut out, mut at) = (String::with_capacity(text.len() + 16), 0);
    while at < text.len() {
        let rest = &text[at..];
        if let Some((token, json)) = TOKENS.into_iter().find(|(token, _)| rest.starts_with(token)) {
            out.push_str(json);
            at += token.len();
            continue;
        }
        let len = match rest.starts_with('"') {
            true => string_len(rest).unwrap_or(rest.len()),
            false => rest.chars().next().map_or(1, char::len_utf8),
        };
        out.push_str(&rest[..len]);
        at += len;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        /// What is read the short way is read the same by serde_json, and a message as producers write it is read so.
        #[test]
        fn the_short_way_reads_the_same(a in "[-+.eE019]{0,6}|null|\"[ -~é\n]{0,4}\"", b in "-?[0-9]{1,20}(\\.[0-9]{1,9})?") {
            let text = format!("{{\"a\":{a},\"b\":{b}}}");
            if let Some(values) = read_plain(&text, &["a", "b"]) {
                prop_assert_eq!(Some(values), read(&text, &["a", "b"]).ok().map(|found| found.values), "{}", text);
            }
        }

        #[test]
        fn what_serde_writes_is_read_the_short_way(number in any::<f64>(), name in "[a-zé ]{0,9}") {
            let text = serde_json::json!({ "a": name, "b": number }).to_string();
            prop_assert_eq!(read_plain(&text, &["a", "b"]).map(|[a, _]| a), Some(Some(Value::Text(name.into()))));
        }
    }

    /// Reads the fields `a` and `b`.
    fn check(text: &str, expected: &str) {
        let found = fields(text.as_bytes(), &["a", "b"]).map(|[a, b]| format!("{a:?} {b:?}").replace("None", "-"));
        assert_eq!(found.unwrap_or_else(Cow::into_owned).replace("Some", ""), expected, "{text}");
    }

    #[test]
    fn fields_are_known_by_name_in_any_order() {
        check("{}", "- -");
        check(" { } ", "- -");
        check(r#"{"b":-0.5e-3,"c":2,"a":1}"#, "(Number(1.0)) (Number(-0.0005))");
        check("{\n\t\"a\" : null ,\r\"b\" : \"x\" }", "(Missing) (Text(\"x\"))");
        check(r#"{"\u0061":"C\u00f4te \"d'Ivoire\"\u0000"}"#, r#"(Text("Côte \"d'Ivoire\"\0")) -"#);
        check(r#"{"a":true,"b":[1,{"c":"]"}],"c":{}}"#, "(Bool(true)) (Other(\"an array\"))");
        check(r#"{"a":{},"A":1}"#, "(Other(\"an object\")) -");
        check(r#"{"a":1,"c":1,"c":1,"a":1}"#, "a appears twice");
    }

    #[test]
    fn the_bare_tokens_of_python_are_values() {
        check(r#"{"a":NaN,"b":Infinity}"#, "(Missing) (Number(1.7976931348623157e308))");
        check(r#"{"a":-Infinity,"b":"NaN"}"#, "(Number(-1.7976931348623157e308)) (Text(\"NaN\"))");
        check(r#"{"a":[NaN,"NaN",-Infinity],"b":"\u0061"}"#, "(Other(\"an array\")) (Text(\"a\"))");
        check(r#"{"a":NaN,"a":1}"#, "a appears twice");
        for wrong in ["-NaN", "nan", "1NaN", "NaN1", "1Infinity", "Infinity1", "--Infinity", "NaNNaN", "[NaN"] {
            check(&format!(r#"{{"a":{wrong}}}"#), &refused(&format!(r#"{{"a":{wrong}}}"#)));
        }
        check(r#"{NaN:1}"#, "not JSON: key must be a string at line 1 column 2");
    }

    /// In the words of serde_json.
    fn refused(text: &str) -> String {
        format!("not JSON: {}", serde_json::from_str::<IgnoredAny>(text).unwrap_err())
    }

    #[test]
    fn rubbish_is_refused_with_its_position() {
        for text in ["", "[1]", "null", "\"x\"", "7"] {
            check(text, "not JSON: expected an object");
        }
        check("{", "not JSON: EOF while parsing an object at line 1 column 1");
        check(r#"{"a":1,}"#, "not JSON: trailing comma at line 1 column 8");
        check(r#"{"a":1}}"#, "not JSON: trailing characters at line 1 column 8");
        check("{\"a\":\n01}", "not JSON: invalid number at line 2 column 2");
        for text in [r#"{"a":1 "b":2}"#, r#"{"a":1.}"#, r#"{"a":+1}"#, r#"{"a":[1,,2]}"#, r#"{"a":[}}"#] {
            check(text, &refused(text));
        }
        for text in [r#"{"a":"\ud800"}"#, "{\"a\":\"\n\"}", r#"{a:1}"#] {
            assert!(fields(text.as_bytes(), &["a"]).is_err_and(|reason| reason.starts_with("not JSON: ")), "{text}");
        }
        assert_eq!(fields(b"{\"a\":\"\xFF\"}", &["a"]), Err("not UTF-8 from byte 6 on".into()));
    }

    #[test]
    fn numbers_are_read_to_the_nearest_double() {
        check(r#"{"a":0.30000000000000004,"b":5e-324}"#, "(Number(0.30000000000000004)) (Number(5e-324))");
        check(r#"{"a":-0,"b":1e-400}"#, "(Number(-0.0)) (Number(0.0))");
        check(r#"{"a":18446744073709551615,"b":-9}"#, "(Number(1.8446744073709552e19)) (Number(-9.0))");
        check(r#"{"a":1e400}"#, "not JSON: number out of range at line 1 column 10");
        check(
            &format!(r#"{{"c":1e400,"a":{}}}"#, "1".repeat(300)),
            &format!("(Number({:?})) -", "1".repeat(300).parse::<f64>().unwrap()),
        );
        assert!(fields(format!(r#"{{"a":{}}}"#, "1".repeat(100_000)).as_bytes(), &["a"]).is_err());
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        check(&deep(1_000_000), "(Other(\"an array\")) -");
        let open = format!(r#"{{"a":{}"#, "[".repeat(10_000));
        check(&open, "not JSON: EOF while parsing a list at line 1 column 10005");
    }
}

//! The Kafka message: the key, and the seven fields as JSON, encoded and decoded.

use formats::json::{self, Value};
use serde::{Serialize, Serializer};
use stream::{Decoded, Outgoing};

use crate::{
    iso_code::IsoCode,
    measure::Measure,
    record::{FIELDS, Fields, MEASURES, Number, Observation, Reason, Record, Text, says_missing},
};

/// Reads a message's value.
///
/// Unknown fields are passed over; `null`, `""`, `"NaN"` and the bare `NaN` are missing. A known
/// field that comes twice is rejected: which of the two is meant, nobody can say. Allocates only
/// where a text holds an escape.
pub fn decode(value: &[u8]) -> Decoded<Record<'_>> {
    match fields(value).and_then(Fields::check) {
        Ok(observation) => observation.into_record(),
        Err(reason) => Decoded::Rejected(reason),
    }
}

/// Writes an observation as a message: missing is `null`, a number its shortest text that reads
/// back to the same bits. The key is the code, or the name where there is none.
pub fn encode(observation: &Observation<'_>, message: &mut Outgoing) {
    message.key.clear();
    let code = observation.iso_code.as_ref().map(IsoCode::as_str);
    message.key.extend_from_slice(code.unwrap_or(&observation.country).as_bytes());
    message.value.clear();
    let values = observation.measures.map(Measure::get);
    let body =
        Body { country: &observation.country, year: observation.year, iso_code: code, measures: Measures(values) };
    serde_json::to_writer(&mut message.value, &body).expect("a Vec takes all that is written to it");
}

/// The value's shape.
#[derive(Serialize)]
struct Body<'a> {
    country: &'a str,
    year: u16,
    iso_code: Option<&'a str>,
    #[serde(flatten)]
    measures: Measures,
}

/// The values of [`MEASURES`], each under its name.
struct Measures([Option<f64>; MEASURES.len()]);

impl Serialize for Measures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(MEASURES.iter().zip(self.0))
    }
}

fn fields(value: &[u8]) -> Result<Fields<'_>, Reason> {
    let [country, year, iso_code, measures @ ..] = json::fields(value, &FIELDS)?;
    Ok(Fields {
        country: text_of(country),
        year: number_of(year),
        iso_code: text_of(iso_code),
        measures: measures.map(number_of),
    })
}

fn number_of(value: Option<Value<'_>>) -> Number {
    match value {
        None | Some(Value::Missing) => Number::Missing,
        Some(Value::Number(number)) => Number::Is(number),
        Some(Value::Text(text)) if says_missing(&text) => Number::Missing,
        Some(Value::Text(_) | Value::Bool(_) | Value::Other(_)) => Number::Wrong,
    }
}

fn text_of(value: Option<Value<'_>>) -> Text<'_> {
    match value {
        None | Some(Value::Missing) => Text::Missing,
        Some(Value::Text(text)) if says_missing(&text) => Text::Missing,
        Some(Value::Text(text)) => Text::Is(text),
        Some(Value::Number(_)) => Text::Wrong("a number, not a text"),
        Some(Value::Bool(_)) => Text::Wrong("a boolean"),
        Some(Value::Other(what)) => Text::Wrong(what),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{CO2, GDP};

    fn check(value: &str, expected: &str) {
        let found = match decode(value.as_bytes()) {
            Decoded::Record(r) => format!(
                "{} {} {} {}",
                r.country,
                r.year,
                r.iso_code,
                r.measures.map(|value| format!("{value:?}")).join(" ")
            ),
            Decoded::Filtered => "filtered".to_owned(),
            Decoded::Rejected(reason) => format!("! {reason}"),
        };
        assert_eq!(found, expected, "{value}");
    }

    /// Checks a valid message with this field besides the three required ones.
    fn check_with(field: &str, expected: &str) {
        check(&format!(r#"{{"country":"Brazil","year":1987,"iso_code":"BRA",{field}}}"#), expected);
    }

    #[test]
    fn values_of_any_client_are_read() {
        check_with(r#""population":139643584.0,"gdp":null"#, "Brazil 1987 BRA 139643584 missing missing missing");
        check_with(r#""co2":-0.0,"co2_per_capita":1.5E1"#, "Brazil 1987 BRA missing missing 0 15");
        check_with(r#""gdp":"NaN","co2":"","population":"\"NaN\"""#, "Brazil 1987 BRA missing missing missing missing");
        check_with(r#""gdp":NaN,"co2":2"#, "Brazil 1987 BRA missing missing 2 missing");
        check_with(r#""extra":{"gdp":[NaN,1]},"co2":2"#, "Brazil 1987 BRA missing missing 2 missing");
        check(
            r#"{"year":1990.0,"country":"C\u00f4te","iso_code":"CIV"}"#,
            "Côte 1990 CIV missing missing missing missing",
        );
    }

    #[test]
    fn aggregates_are_filtered() {
        for code in ["null", "\"\"", "\"NaN\"", "NaN", "\"OWID_WRL\""] {
            check(&format!(r#"{{"country":"World","year":1987,"iso_code":{code}}}"#), "filtered");
        }
        check(r#"{"country":"World","year":1987}"#, "filtered");
    }

    #[test]
    fn what_cannot_be_used_is_rejected_with_a_reason() {
        check("", "! not JSON: expected an object");
        check("null", "! not JSON: expected an object");
        check(r#"["Brazil",1987,"BRA",1,2,3,4]"#, "! not JSON: expected an object");
        check(r#"{"year":1987,"iso_code":"BRA"}"#, "! country is missing");
        check(r#"{"country":"Brazil","iso_code":"BRA"}"#, "! year is missing");
        check(r#"{"country":"Brazil","iso_code":"BRA","year":"1987"}"#, "! year is not an integer from 1 to 9999");
        check(r#"{"country":76,"year":1987,"iso_code":"BRA"}"#, "! country is a number, not a text");
        check(r#"{"country":"Brazil","year":1987,"iso_code":["BRA"]}"#, "! iso_code is an array");
        check_with(r#""gdp":"12.5""#, "! gdp is not a number");
        check_with(r#""gdp":true"#, "! gdp is not a number");
        check_with(r#""gdp":Infinity"#, "! gdp is not within 0e0 to 1e15");
        check_with(r#""co2":-Infinity"#, "! co2 is not within -1e10 to 1e10");
        check_with(r#""gdp":1e400"#, "! not JSON: number out of range at line 1 column 60");
        check_with(r#""gdp":-1"#, "! gdp is not within 0e0 to 1e15");
        check_with(r#""gdp":1,"gdp":1"#, "! gdp appears twice");
        check(r#"{"country":"Bra\u0000zil","year":1987,"iso_code":"BRA"}"#, "! country holds a control character");
    }

    #[test]
    fn bad_bytes_are_rejected() {
        let read = decode(b"{\"country\":\"Bra\xFFzil\"}");
        assert_eq!(read, Decoded::Rejected("not UTF-8 from byte 15 on".into()));
    }

    #[test]
    fn the_key_is_the_code_or_the_name() {
        let mut message = Outgoing::default();
        let mut world = observation("World", None, None);
        encode(&world, &mut message);
        assert_eq!(message.key, b"World");
        world.iso_code = Some("OWID_WRL".try_into().unwrap());
        world.measures[GDP] = Measure::new(0.1).unwrap();
        encode(&world, &mut message);
        assert_eq!(message.key, b"OWID_WRL");
        assert_eq!(
            String::from_utf8(message.value).unwrap(),
            r#"{"country":"World","year":1987,"iso_code":"OWID_WRL","population":null,"gdp":0.1,"co2":null,"co2_per_capita":null}"#
        );
    }

    fn observation<'a>(country: &'a str, code: Option<&str>, co2: Option<f64>) -> Observation<'a> {
        let mut measures = [Measure::MISSING; MEASURES.len()];
        measures[CO2] = co2.map_or(Measure::MISSING, |value| Measure::new(value).unwrap());
        let iso_code = code.map(|code| code.try_into().unwrap());
        Observation { country: country.into(), year: 1987, iso_code, measures }
    }

    fn amount() -> impl Strategy<Value = Measure> {
        prop_oneof![
            Just(Measure::MISSING),
            (0.0..=1e15).prop_map(|value| Measure::new(value).unwrap()),
            any::<f64>().prop_map(|value| Measure::new(value.abs() % 1e15).unwrap_or(Measure::MISSING)),
        ]
    }

    prop_compose! {
        fn any_observation()(
            country in "[^\\p{Cc}]{1,200}",
            year in 1..=9999_u16,
            code in "[A-Z]{1,32}",
            mut measures in [amount(), amount(), amount(), amount()],
            co2 in -1e10..=1e10,
        ) -> Observation<'static> {
            measures[CO2] = Measure::new(co2).unwrap();
            Observation { country: country.into(), year, iso_code: Some(code.as_str().try_into().unwrap()), measures }
        }
    }

    proptest! {
        #[test]
        fn encode_then_decode_is_the_identity(observation in any_observation()) {
            prop_assume!(!says_missing(&observation.country) && !observation.iso_code.unwrap().as_str().starts_with("OWID_"));
            let mut message = Outgoing::default();
            encode(&observation, &mut message);
            prop_assert_eq!(decode(&message.value), observation.into_record());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn no_mutation_makes_it_panic(
            observation in any_observation(),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}\":,\\\\NIe0.-]"), 1..6),
        ) {
            let mut message = Outgoing::default();
            encode(&observation, &mut message);
            for (position, byte) in edits {
                let at = position.index(message.value.len());
                message.value[at] = byte.as_bytes()[0];
            }
            let _ = decode(&message.value);
        }

        /// What a general parser refuses is refused here as well, the bare tokens aside.
        #[test]
        fn only_json_is_read(text in "[\\{\\}\\[\\]\":,\\\\au0-9.eE+\\- ntrfl]{0,24}") {
            let text = format!("{{\"a\":{text}}}");
            let general = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
            let out_of_range = general.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
            prop_assume!(!out_of_range);
            let ours = fields(text.as_bytes());
            prop_assert_eq!(ours.is_ok(), general.is_ok(), "{} {:?} {:?}", text, ours, general);
        }
    }
}

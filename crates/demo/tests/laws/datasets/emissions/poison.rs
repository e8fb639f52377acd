//! What a country's record must not be, and what it may.

use crate::datasets::{Expected, Poison};

use super::Emissions;

/// An object of these fields.
fn value(fields: &str) -> Vec<u8> {
    format!("{{{fields}}}").into_bytes()
}

const SOUND: &str = r#""country":"Poisoned","year":1900,"iso_code":"XZZ""#;

pub(crate) fn poison() -> Poison<Emissions> {
    Poison { values: values(), left: [(("XZZ".to_owned(), 1900), ("Poisoned".to_owned(), [None; 4]))].into() }
}

fn values() -> Vec<(Vec<u8>, Expected)> {
    let sound = |more: &str| value(&format!("{SOUND},{more}"));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        (b"{\"country\":".to_vec(), Some("not JSON")),
        (b"{\"country\":\"\xff\xfe\"}".to_vec(), Some("not UTF-8")),
        (sound(r#""gdp":Infinity"#), Some("gdp is infinite")),
        (sound(r#""gdp":-Infinity"#), Some("gdp is infinite")),
        (sound(r#""co2":1e999"#), Some("co2 is infinite")),
        (sound(r#""gdp":"many""#), Some("gdp is not a number")),
        (sound(r#""gdp":"1.5""#), Some("gdp is not a number")),
        (sound(r#""gdp":true"#), Some("gdp is not a number")),
        (sound(r#""population":-1"#), Some("population is not within")),
        (sound(r#""population":1e16"#), Some("population is not within")),
        (sound(r#""co2":-1e11"#), Some("co2 is not within")),
        (sound(&format!(r#""gdp":{}"#, nested(10_000))), Some("gdp is not a number")),
        (sound(&format!(r#""gdp":{}"#, "[".repeat(10_000))), Some("not JSON")),
        (sound(r#""gdp":1,"gdp":2"#), Some("gdp is there twice")),
        (value(r#""year":1900,"iso_code":"XZZ""#), Some("country is missing")),
        (value(r#""country":"Poisoned","iso_code":"XZZ""#), Some("year is missing")),
        (value(r#""country":7,"year":1900,"iso_code":"XZZ""#), Some("country is a number")),
        (value(r#""country":"Poi\u0000soned","year":1900,"iso_code":"XZZ""#), Some("control character")),
        (value(r#""country":"Poisoned","year":1900,"iso_code":"X\u0000Z""#), Some("iso_code is not")),
        (value(r#""country":"Poisoned","year":1900,"iso_code":["XZZ"]"#), Some("iso_code is an array")),
        (value(r#""country":"Poisoned","year":99999,"iso_code":"XZZ""#), Some("year is not an integer")),
        (value(r#""country":"Poisoned","year":1900.5,"iso_code":"XZZ""#), Some("year is not an integer")),
        (value(r#""country":"Poisoned","year":NaN,"iso_code":"XZZ""#), Some("year is missing")),
        (value(r#""country":"\ud83c\udf0d \\ \" \t"#), Some("not JSON")),
        // What only looks like poison.
        (sound(r#""gdp":NaN,"co2":"NaN","population":"","co2_per_capita":null"#), None),
        (sound(&format!(r#""nested":{},"unknown":{{"a":[NaN,-Infinity]}}"#, nested(10_000))), None),
        (sound(&format!(r#""long":"{}""#, "x".repeat(900_000))), None),
        (value(r#""country":"Poisoned","year":1900.0,"iso_code":"XZZ""#), None),
        (value(r#""country":"Made World","year":1900"#), None),
    ]
}

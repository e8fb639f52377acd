//! What a country's record must not be, and what it may.

use crate::datasets::{Expected, Poison};

use super::Emissions;

/// An object of these fields.
fn value(fields: &str) -> Vec<u8> {
    format!("{{{fields}}}").into_bytes()
}

const VALID: &str = r#""country":"Poisoned","year":1900,"iso_code":"XZZ""#;

pub(crate) fn poison() -> Poison<Emissions> {
    Poison { values: values(), left: [(("XZZ".to_owned(), 1900), ("Poisoned".to_owned(), [None; 4]))].into() }
}

fn values() -> Vec<(Vec<u8>, Expected)> {
    let valid = |more: &str| value(&format!("{VALID},{more}"));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        (b"{\"country\":".to_vec(), Some("not JSON")),
        (b"{\"country\":\"\xff\xfe\"}".to_vec(), Some("not UTF-8")),
        (valid(r#""gdp":Infinity"#), Some("gdp is not within")),
        (valid(r#""gdp":-Infinity"#), Some("gdp is not within")),
        (valid(r#""co2":1e999"#), Some("not JSON: number out of range")),
        (valid(r#""gdp":"many""#), Some("gdp is not a number")),
        (valid(r#""gdp":"1.5""#), Some("gdp is not a number")),
        (valid(r#""gdp":true"#), Some("gdp is not a number")),
        (valid(r#""population":-1"#), Some("population is not within")),
        (valid(r#""population":1e16"#), Some("population is not within")),
        (valid(r#""co2":-1e11"#), Some("co2 is not within")),
        (valid(&format!(r#""gdp":{}"#, nested(10_000))), Some("gdp is not a number")),
        (valid(&format!(r#""gdp":{}"#, "[".repeat(10_000))), Some("not JSON")),
        (valid(r#""gdp":1,"gdp":2"#), Some("gdp appears twice")),
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
        (valid(r#""gdp":NaN,"co2":"NaN","population":"","co2_per_capita":null"#), None),
        (valid(&format!(r#""nested":{},"unknown":{{"a":[NaN,-Infinity]}}"#, nested(10_000))), None),
        (valid(&format!(r#""long":"{}""#, "x".repeat(900_000))), None),
        (value(r#""country":"Poisoned","year":1900.0,"iso_code":"XZZ""#), None),
        (value(r#""country":"Made World","year":1900"#), None),
    ]
}

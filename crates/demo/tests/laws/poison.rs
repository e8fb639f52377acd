//! Whatever a client may send is carried, or kept with its reason, byte for byte; and the good rows beside it are unharmed.

use crate::{
    kafka::Outgoing,
    ledger::{self, Facts},
    road::Road,
    world::{self, Line},
};

/// What is to become of a record: a part of the reason, or nothing to be kept.
type Expected = Option<&'static str>;

/// An object of these fields.
fn value(fields: &str) -> Vec<u8> {
    format!("{{{fields}}}").into_bytes()
}

const SOUND: &str = r#""country":"Poisoned","year":1900,"iso_code":"XZZ""#;

fn values() -> Vec<(Vec<u8>, Expected)> {
    let sound = |more: &str| value(&format!("{SOUND},{more}"));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        (b"".to_vec(), Some("not JSON")),
        (b"not json".to_vec(), Some("not JSON")),
        (b"null".to_vec(), Some("not JSON")),
        (b"[1,2]".to_vec(), Some("not JSON")),
        (b"{\"country\":".to_vec(), Some("not JSON")),
        (b"{\"country\":\"\xff\xfe\"}".to_vec(), Some("not UTF-8")),
        ((0..=255).collect(), Some("not UTF-8")),
        ((0..128).collect(), Some("not JSON")),
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
        (vec![b'x'; 900_000], Some("not JSON")),
        // What only looks like poison.
        (sound(r#""gdp":NaN,"co2":"NaN","population":"","co2_per_capita":null"#), None),
        (sound(&format!(r#""nested":{},"unknown":{{"a":[NaN,-Infinity]}}"#, nested(10_000))), None),
        (sound(&format!(r#""long":"{}""#, "x".repeat(900_000))), None),
        (value(r#""country":"Poisoned","year":1900.0,"iso_code":"XZZ""#), None),
        (value(r#""country":"\ud83c\udf0d \\ \" \t"#), Some("not JSON")),
        (value(r#""country":"Made World","year":1900"#), None),
    ]
}

fn records(good: &[Line]) -> (Vec<Outgoing>, Vec<(i64, Option<&'static str>)>) {
    let mut poison: Vec<(Option<Vec<u8>>, Expected)> =
        values().into_iter().map(|(value, expected)| (Some(value), expected)).collect();
    poison.push((None, Some("the value is null")));
    let keys = [None, Some(b"XZZ".to_vec()), Some(vec![]), Some((0..=255).collect::<Vec<u8>>())];
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for (n, (value, reason)) in poison.into_iter().enumerate() {
        let beside = &good[n * 3 % good.len()];
        for (key, value) in [
            (Some(beside.key().as_bytes().to_vec()), Some(beside.json().into_bytes())),
            (keys[n % keys.len()].clone(), value),
        ] {
            sent.push(Outgoing { partition: Some(0), key, value, timestamp_ms: 1_700_000_000_000 });
        }
        expected.push((i64::try_from(sent.len()).unwrap() - 1, reason));
    }
    (sent, expected)
}

#[test]
fn poison_is_kept_with_its_reason_and_harms_nobody() {
    let road = Road::embedded(1);
    let good = world::world(3);
    let (sent, expected) = records(&good);
    road.send(&sent);
    road.consume(1);
    check_the_good(&road);
    type Row = (i64, String, Option<Vec<u8>>, Option<Vec<u8>>, i64);
    let rejects: Vec<Row> =
        road.query(r#"SELECT "offset", reason, key, value, timestamp_ms FROM rejects ORDER BY "offset""#);
    let wanted: Vec<_> = expected.iter().filter_map(|(offset, reason)| Some((*offset, (*reason)?))).collect();
    assert_eq!(rejects.iter().map(|row| row.0).collect::<Vec<_>>(), wanted.iter().map(|row| row.0).collect::<Vec<_>>());
    for ((offset, reason, key, value, timestamp_ms), (_, part)) in rejects.into_iter().zip(wanted) {
        let original = &sent[usize::try_from(offset).unwrap()];
        assert!(reason.contains(part) && reason.len() < 300, "{reason} should say: {part}");
        assert_eq!((&key, &value), (&original.key, &original.value), "{reason}");
        assert_eq!(timestamp_ms, original.timestamp_ms);
    }
    // Nothing of it jams the pipeline: what follows is carried, and a restart reads on.
    road.produce(&good);
    road.consume(1);
    assert_eq!(check_the_good(&road), world::FACTS);
    let poisoned: Vec<(String, i32, bool)> =
        road.query("SELECT country, year::integer, gdp IS NULL FROM emissions_facts WHERE iso_code = 'XZZ'");
    assert_eq!(poisoned, [("Poisoned".to_owned(), 1900, true)]);
}

/// Asserts that the books balance and the good rows are there; tells how many.
fn check_the_good(road: &Road) -> usize {
    let held = road.held();
    road.check_counts(&held);
    let good = |facts: Facts| facts.into_iter().filter(|((code, _), _)| code.starts_with("XA")).collect::<Facts>();
    let (stored, told) = (good(road.facts()), good(ledger::facts(&held)));
    assert_eq!(stored, told);
    stored.len()
}

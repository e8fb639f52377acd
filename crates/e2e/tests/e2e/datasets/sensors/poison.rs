//! What a reading's record must not be, and what it may.

use crate::datasets::{Expected, Poison};

use super::Sensors;

/// A sensor and a time that the made sensors do not have.
const VALID: &str = r#""sensor_id":99,"timestamp":1675209600"#;

fn value(fields: &str) -> Vec<u8> {
    format!("{{{fields}}}").into_bytes()
}

pub(crate) fn poison() -> Poison<Sensors> {
    Poison { values: values(), left: [((99, 1_675_209_600_000), 17_250)].into() }
}

fn values() -> Vec<(Vec<u8>, Expected)> {
    let valid = |more: &str| value(&format!("{VALID},{more}"));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        (b"{\"sensor_id\":".to_vec(), Some("not JSON")),
        (b"{\"sensor_id\":\"\xff\xfe\"}".to_vec(), Some("not UTF-8")),
        (value(r#""timestamp":1675209600,"temperature":20"#), Some("sensor_id is missing")),
        (value(r#""sensor_id":null,"temperature":20"#), Some("sensor_id is missing")),
        (value(r#""sensor_id":"99","temperature":20"#), Some("sensor_id is not a whole number")),
        (value(r#""sensor_id":-1,"temperature":20"#), Some("sensor_id is not a whole number")),
        (value(r#""sensor_id":1.5,"temperature":20"#), Some("sensor_id is not a whole number")),
        (value(r#""sensor_id":2147483648,"temperature":20"#), Some("sensor_id is not a whole number")),
        (value(r#""sensor_id":99,"timestamp":"now","temperature":20"#), Some("timestamp is not a number")),
        (value(r#""sensor_id":99,"timestamp":1e300,"temperature":20"#), Some("timestamp is not a number")),
        (value(r#""sensor_id":99,"timestamp":946684800,"temperature":20"#), Some("before 2001")),
        (value(r#""sensor_id":99,"timestamp":-1,"temperature":20"#), Some("before 1970")),
        (value(r#""sensor_id":99,"timestamp":4102444800,"temperature":20"#), Some("ahead of its record")),
        (value(r#""sensor_id":99,"timestamp":1675209600000,"temperature":20"#), Some("these look like milliseconds")),
        (value(&format!(r#"{VALID},"timestamp_ms":1675209700000,"temperature":20"#)), Some("more than a second apart")),
        (value(&format!(r#"{VALID},"timestamp_ms":0.5,"temperature":20"#)), Some("timestamp_ms is not whole")),
        (value(&format!("{VALID},{VALID}")), Some("appears twice")),
        (value(VALID), Some("temperature is missing")),
        (valid(r#""temperature":null"#), Some("temperature is missing")),
        (valid(r#""temperature":NaN"#), Some("temperature is missing")),
        (valid(r#""temperature":"20""#), Some("temperature is not a number")),
        (valid(r#""temperature":true"#), Some("temperature is not a number")),
        (valid(r#""temperature":Infinity"#), Some("temperature is not below a thousand")),
        (valid(r#""temperature":-1e9"#), Some("temperature is not below a thousand")),
        (valid(r#""temperature":50"#), Some("temperature 50 is not within -10..50")),
        (valid(r#""temperature":-10.0004"#), Some("temperature -10 is not within -10..50")),
        (valid(r#""temperature":1e999"#), Some("not JSON: number out of range")),
        (valid(&format!(r#""temperature":{}"#, nested(10_000))), Some("temperature is not a number")),
        (valid(r#""Temperature":20"#), Some("temperature is missing")),
        // What only looks like poison.
        (valid(&format!(r#""temperature":20,"nested":{}"#, nested(10_000))), None),
        (valid(&format!(r#""temperature":20,"long":"{}""#, "x".repeat(900_000))), None),
        (valid(r#""temperature":-9.9994"#), None),
        (valid(r#""temperature":17.2500000000000001"#), None),
    ]
}

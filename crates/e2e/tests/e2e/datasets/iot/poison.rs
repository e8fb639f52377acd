//! What a reading's record must not be, and what it may.

use crate::datasets::{Expected, Poison};

use super::{Iot, Known};

/// A device and a time that the made devices do not have.
const VALID: &str = r#""device_id":"x","device_type":"t","time":1675209600"#;

fn value(fields: &str) -> Vec<u8> {
    format!("{{{fields}}}").into_bytes()
}

pub(crate) fn poison() -> Poison<Iot> {
    let known = Known { milli: 17_250, unit: String::new(), quality: None, is_anomaly: false };
    Poison { values: values(), left: [(("x".to_owned(), "t".to_owned(), 1_675_209_600_000), known)].into() }
}

fn values() -> Vec<(Vec<u8>, Expected)> {
    let valid = |more: &str| value(&format!("{VALID},{more}"));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        (b"{\"device_id\":".to_vec(), Some("not JSON")),
        (b"{\"device_id\":\"\xff\xfe\"}".to_vec(), Some("not UTF-8")),
        (value(r#""device_type":"t","time":1675209600,"value":20"#), Some("device_id is missing")),
        (value(r#""device_id":7,"device_type":"t","value":20"#), Some("device_id is not a text")),
        (value(r#""device_id":"","device_type":"t","value":20"#), Some("device_id is not 1 to 50 bytes")),
        (value(&format!(r#""device_id":"{}","device_type":"t","value":20"#, "x".repeat(51))), Some("1 to 50 bytes")),
        (value(r#""device_id":"a\u0000","device_type":"t","value":20"#), Some("without control characters")),
        (value(r#""device_id":"x","value":20"#), Some("device_type is missing")),
        (value(r#""device_id":"x","device_type":"a/b","value":20"#), Some("device_type has a slash")),
        (value(r#""device_id":"x","device_type":"t","time":"now","value":20"#), Some("time is not such as")),
        (value(r#""device_id":"x","device_type":"t","time":1e300,"value":20"#), Some("is not a number")),
        (value(r#""device_id":"x","device_type":"t","time":946684800,"value":20"#), Some("before 2001")),
        (value(r#""device_id":"x","device_type":"t","time":-1,"value":20"#), Some("before 1970")),
        (
            value(r#""device_id":"x","device_type":"t","time":"2100-01-01T00:00:00Z","value":20"#),
            Some("ahead of its record"),
        ),
        (value(&format!("{VALID},{VALID}")), Some("appears twice")),
        (value(VALID), Some("value is missing")),
        (valid(r#""value":null"#), Some("value is missing")),
        (valid(r#""value":NaN"#), Some("value is missing")),
        (valid(r#""value":"20""#), Some("value is not a number")),
        (valid(r#""value":Infinity"#), Some("value is beyond")),
        (valid(r#""value":-1e10"#), Some("value is beyond")),
        (valid(r#""value":1,"quality_score":100.5"#), Some("quality_score is not a number from 0 to 100")),
        (valid(r#""value":1,"quality_score":"good""#), Some("quality_score is not a number from 0 to 100")),
        (valid(r#""value":1,"unit":"a unit that is too long""#), Some("unit is not a text")),
        (valid(r#""value":1,"is_anomaly":"no""#), Some("is_anomaly is neither")),
        (valid(&format!(r#""value":{}"#, nested(10_000))), Some("value is not a number")),
        // What only looks like poison.
        (valid(&format!(r#""value":20,"metadata":{}"#, nested(10_000))), None),
        (valid(&format!(r#""value":20,"long":"{}""#, "x".repeat(900_000))), None),
        (valid(r#""value":false"#), None),
        (valid(r#""value":17.2500000000000001"#), None),
    ]
}

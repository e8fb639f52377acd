//! What a minute's record must not be, and what it may.

use crate::datasets::{Expected, Poison};

use super::Energy;

/// An object of these fields.
fn value(fields: &str) -> Vec<u8> {
    format!("{{{fields}}}").into_bytes()
}

/// A minute of a day that the made household does not have.
const VALID: &str = r#""Datetime":"2009-06-06 06:06:00""#;

pub(crate) fn poison() -> Poison<Energy> {
    let left = [Some(1_500), None, Some(240_000), None, None, None, Some(17_000)];
    Poison { values: values(), left: [(("2009-06-06".to_owned(), 366), left)].into() }
}

fn values() -> Vec<(Vec<u8>, Expected)> {
    let valid = |more: &str| value(&format!("{VALID},{more}"));
    let at = |time: &str| value(&format!(r#""Datetime":"{time}","Global_active_power":1"#));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        (b"{\"Datetime\":".to_vec(), Some("not JSON")),
        (b"{\"Datetime\":\"\xff\xfe\"}".to_vec(), Some("not UTF-8")),
        (value(r#""Global_active_power":1"#), Some("Datetime is missing")),
        (value(r#""Datetime":null,"Global_active_power":1"#), Some("Datetime is missing")),
        (value(r#""Datetime":20090606,"Global_active_power":1"#), Some("Datetime is not a text")),
        (value(r#""Datetime":["2009-06-06 06:06:00"]"#), Some("Datetime is not a text")),
        (at("6/6/2009 06:06:00"), Some("Datetime is not `yyyy-MM-dd HH:mm:ss`")),
        (at("2009-06-06T06:06:00"), Some("Datetime is not `yyyy-MM-dd HH:mm:ss`")),
        (at("2009-06-06 06:06:00Z"), Some("Datetime is not `yyyy-MM-dd HH:mm:ss`")),
        (at("99999-06-06 06:06:00"), Some("Datetime is not `yyyy-MM-dd HH:mm:ss`")),
        (at("2009-02-29 06:06:00"), Some("Datetime is a day the calendar does not have")),
        (at("0000-06-06 06:06:00"), Some("Datetime is a day the calendar does not have")),
        (at("2009-06-06 24:00:00"), Some("Datetime is a time the clock does not have")),
        (at("2009-06-06 06:06:30"), Some("Datetime is not a whole minute")),
        (at(r"2009-06-06\u000006:06:00"), Some("Datetime is not `yyyy-MM-dd HH:mm:ss`")),
        (value(&format!("{VALID},{VALID}")), Some("Datetime appears twice")),
        (valid(r#""Voltage":1,"Voltage":2"#), Some("Voltage appears twice")),
        (valid(r#""Global_active_power":Infinity"#), Some("Global_active_power is not within")),
        (valid(r#""Global_active_power":-0.001"#), Some("Global_active_power is not within")),
        (valid(r#""Global_active_power":2000000"#), Some("Global_active_power is not within")),
        (valid(r#""Voltage":1e999"#), Some("not JSON: number out of range")),
        (valid(r#""Global_active_power":1.0005"#), Some("Global_active_power has more than three decimals")),
        (valid(r#""Global_active_power":"1.5""#), Some("Global_active_power is not a number")),
        (valid(r#""Global_active_power":"?""#), Some("Global_active_power is not a number")),
        (valid(r#""Sub_metering_1":true"#), Some("Sub_metering_1 is not a number")),
        (valid(&format!(r#""Voltage":{}"#, nested(10_000))), Some("Voltage is not a number")),
        (valid(&format!(r#""Voltage":{}"#, "[".repeat(10_000))), Some("not JSON")),
        (valid(r#""Voltage":240"#), Some("Global_active_power is missing")),
        (valid(r#""global_active_power":1.5"#), Some("Global_active_power is missing")),
        // What only looks like poison.
        (valid(r#""Global_active_power":NaN,"Voltage":-0"#), None),
        (valid(&format!(r#""Global_active_power":1,"nested":{}"#, nested(10_000))), None),
        (valid(&format!(r#""Global_active_power":2,"long":"{}""#, "x".repeat(900_000))), None),
        (valid(r#""Global_active_power":1999999.999"#), None),
        (valid(r#""Sub_metering_3":17.000,"Voltage":2.4e2,"Global_active_power":1.5,"Sub_metering_1":NaN"#), None),
    ]
}

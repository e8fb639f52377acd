//! What the tables must hold, told from the topic's records by the simplest program that can: a second opinion.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kafka::Held;

/// A changelog row: partition, offset, code, country, year, and the bits of its four figures.
pub(crate) type Change = (i32, i64, String, String, i32, [Option<u64>; 4]);
/// What is known under a key: country and the bits of the four figures.
pub(crate) type Known = (String, [Option<u64>; 4]);
/// All facts, by code and year.
pub(crate) type Facts = BTreeMap<(String, i32), Known>;

/// A record's place in the order of all: the greatest timestamp of its partition up to it, partition, offset.
type Place = (i64, i32, i64);

/// What a record says, if it is a country's.
fn said(record: &Held) -> Option<((String, i32), Known)> {
    let value: Value = serde_json::from_slice(record.value.as_deref()?).ok()?;
    let code = value["iso_code"].as_str().filter(|code| !code.starts_with("OWID_"))?;
    let year = i32::try_from(value["year"].as_i64()?).ok()?;
    // −0 is 0.
    let bits = |field: &str| value[field].as_f64().map(|value| (value + 0.0).to_bits());
    let figures = ["population", "gdp", "co2", "co2_per_capita"].map(bits);
    Some(((code.to_owned(), year), (value["country"].as_str()?.to_owned(), figures)))
}

/// Every new or corrected fact, where each key's records come from one partition.
pub(crate) fn changes(records: &[Held]) -> Vec<Change> {
    let mut facts = Facts::new();
    let mut changes = Vec::new();
    for record in records {
        let Some(((code, year), known)) = said(record) else { continue };
        if facts.insert((code.clone(), year), known.clone()).as_ref() != Some(&known) {
            changes.push((record.partition, record.offset, code, known.0, year, known.1));
        }
    }
    changes
}

/// All facts: the record with the greatest timestamp wins, which never goes back within a partition; then the greater
/// partition, then the greater offset.
pub(crate) fn facts(records: &[Held]) -> Facts {
    let mut winners: BTreeMap<(String, i32), (Place, Known)> = BTreeMap::new();
    let mut latest = BTreeMap::new();
    for record in records {
        let max = latest.entry(record.partition).or_insert(0);
        *max = record.timestamp_ms.max(*max);
        let Some((key, known)) = said(record) else { continue };
        let place = (*max, record.partition, record.offset);
        if winners.get(&key).is_none_or(|(winner, _)| *winner < place) {
            winners.insert(key, (place, known));
        }
    }
    winners.into_iter().map(|(key, (_, known))| (key, known)).collect()
}

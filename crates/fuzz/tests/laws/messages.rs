//! The decoders of messages: whatever the bytes, a record, a filtered one, or a reason.

use std::fmt::Debug;

use emissions::{pipeline::Emissions, record::Observation};
use energy::pipeline::Energy;
use fuzz::mutation::{Input, inputs};
use proptest::prelude::*;
use stream::{
    Outgoing, Pipeline, Reading, Tables,
    copy::{CopyBuffer, CopyReader},
};

use crate::{corpus, is_a_reason};

/// Holds a verdict, and that on the same bytes the second time, to what is true of every pipeline; tells the record.
fn judge<R: Debug + PartialEq>(first: Reading<R>, second: Reading<R>) -> Result<Option<R>, TestCaseError> {
    prop_assert_eq!(&first, &second, "the second time");
    match first {
        Reading::Rejected(reason) => is_a_reason(&reason).map(|()| None),
        Reading::Filtered => Ok(None),
        Reading::Record(record) => Ok(Some(record)),
    }
}

/// Stores the record's fact as the changelog does, reads it back, and tells both.
fn stored<P: Pipeline>(tables: &Tables, record: &P::Record<'_>) -> [(P::Group, P::Fact); 2] {
    let mut symbols = P::Symbols::default();
    let known = (P::group(record), P::fact(record, &mut symbols));
    let mut buffer = CopyBuffer::default();
    P::encode(&known.0, &known.1, &symbols, &mut buffer.row(tables.changelog.columns.len()));
    buffer.finish(|_| 7);
    let mut reader = CopyReader::default();
    reader.push(buffer.bytes());
    let mut row = reader.next_row().expect("the row that was written");
    assert_eq!(row.i64().expect("a row begins with its id"), 7);
    let group = P::decode_group(&mut row).expect("a row begins with its group");
    [known, (group, P::decode_fact(&mut row, &mut symbols).expect("a row is what was written"))]
}

fn emissions_laws(bytes: &[u8]) -> Result<(), TestCaseError> {
    let verdict = emissions::message::decode(bytes);
    let Some(record) = judge(verdict, emissions::message::decode(bytes))? else { return Ok(()) };
    let mut message = Outgoing::default();
    emissions::message::encode(&observation(&record), &mut message);
    prop_assert_eq!(String::from_utf8(message.key), Ok(Emissions::route(&record.iso_code)));
    let [known, read_back] = stored::<Emissions>(&emissions::pipeline::TABLES, &record);
    prop_assert_eq!(known, read_back, "stored and read back");
    prop_assert_eq!(emissions::message::decode(&message.value), Reading::Record(record), "encoded and decoded again");
    Ok(())
}

fn observation<'a>(record: &emissions::record::Record<'a>) -> Observation<'a> {
    Observation {
        country: record.country.clone(),
        year: record.year,
        iso_code: Some(record.iso_code),
        population: record.population,
        gdp: record.gdp,
        co2: record.co2,
        co2_per_capita: record.co2_per_capita,
    }
}

fn energy_laws(bytes: &[u8]) -> Result<(), TestCaseError> {
    let decode = energy::message::decode;
    let Some(record) = judge(decode(bytes), decode(bytes))? else { return Ok(()) };
    let mut message = Outgoing::default();
    energy::message::encode(&record, &mut message);
    prop_assert_eq!(String::from_utf8(message.key), Ok(Energy::route(&record.day)));
    let [known, read_back] = stored::<Energy>(&energy::pipeline::TABLES, &record);
    prop_assert_eq!(known, read_back, "stored and read back");
    prop_assert_eq!(decode(&message.value), Reading::Record(record), "encoded and decoded again");
    // A blank in front keeps it from the fast way of reading, which has to agree with the other.
    let blank = [b" ", bytes].concat();
    prop_assert_eq!(decode(&blank), Reading::Record(record), "with a blank in front");
    Ok(())
}

proptest! {
    #![proptest_config(fuzz::config())]

    #[test]
    fn emissions_of_any_bytes(Input(bytes) in inputs(&corpus("emissions-messages"))) {
        emissions_laws(&bytes)?;
    }

    #[test]
    fn energy_of_any_bytes(Input(bytes) in inputs(&corpus("energy-messages"))) {
        energy_laws(&bytes)?;
    }
}

#[test]
fn the_corpus_itself() {
    for bytes in corpus("emissions-messages").iter() {
        emissions_laws(bytes).unwrap();
    }
    for bytes in corpus("energy-messages").iter() {
        energy_laws(bytes).unwrap();
    }
}

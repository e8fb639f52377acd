//! The decoders of messages: whatever the bytes, a record, a filtered one, or a reason.

use std::fmt::Debug;

use emissions::{pipeline::Emissions, record::Observation};
use energy::pipeline::Energy;
use fuzz::mutation::{Input, inputs};
use proptest::prelude::*;
use sensors::{event_message, range::USUAL, reading_message};
use stream::{Decoded, Outgoing, Pipeline, groups::read_back};

use crate::{corpus, is_a_reason};

/// Checks a reading, and the second one of the same bytes, for what is true of every pipeline; returns the record.
fn check<R: Debug + PartialEq>(first: Decoded<R>, second: Decoded<R>) -> Result<Option<R>, TestCaseError> {
    prop_assert_eq!(&first, &second, "the second time");
    match first {
        Decoded::Rejected(reason) => is_a_reason(&reason).map(|()| None),
        Decoded::Filtered => Ok(None),
        Decoded::Record(record) => Ok(Some(record)),
    }
}

/// Stores the record's fact as the changelog does, reads it back, and returns both.
fn stored<P: Pipeline>(record: &P::Record<'_>) -> [(P::Group, P::Fact); 2] {
    let mut interner = P::Interner::default();
    let known = (P::group(record), P::fact(record, &mut interner));
    let read_back = read_back::<P>(&known.0, &known.1, &mut interner).expect("what was written");
    [known, read_back]
}

fn check_emissions(bytes: &[u8]) -> Result<(), TestCaseError> {
    let reading = emissions::message::decode(bytes);
    let Some(record) = check(reading, emissions::message::decode(bytes))? else { return Ok(()) };
    let mut message = Outgoing::default();
    emissions::message::encode(&observation(&record), &mut message);
    prop_assert_eq!(String::from_utf8(message.key), Ok(Emissions::partition_key(&record.iso_code)));
    let [known, read_back] = stored::<Emissions>(&record);
    prop_assert_eq!(known, read_back, "stored and read back");
    prop_assert_eq!(emissions::message::decode(&message.value), Decoded::Record(record), "encoded and decoded again");
    Ok(())
}

fn observation<'a>(record: &emissions::record::Record<'a>) -> Observation<'a> {
    Observation {
        country: record.country.clone(),
        year: record.year,
        iso_code: Some(record.iso_code),
        measures: record.measures,
    }
}

fn check_energy(bytes: &[u8]) -> Result<(), TestCaseError> {
    let decode = energy::message::decode;
    let Some(record) = check(decode(bytes), decode(bytes))? else { return Ok(()) };
    let mut message = Outgoing::default();
    energy::message::encode(&record, &mut message);
    prop_assert_eq!(String::from_utf8(message.key), Ok(Energy::partition_key(&record.day)));
    let [known, read_back] = stored::<Energy>(&record);
    prop_assert_eq!(known, read_back, "stored and read back");
    prop_assert_eq!(decode(&message.value), Decoded::Record(record), "encoded and decoded again");
    // A blank in front prevents the fast path of the reader, which has to agree with the other.
    let blank = [b" ", bytes].concat();
    prop_assert_eq!(decode(&blank), Decoded::Record(record), "with a blank in front");
    Ok(())
}

fn check_reading(bytes: &[u8]) -> Result<(), TestCaseError> {
    let decode = |bytes: &[u8]| reading_message::decode(bytes, USUAL);
    let Some(reading) = check(decode(bytes), decode(bytes))? else { return Ok(()) };
    prop_assert!(USUAL.has(reading.milli) && reading.sensor >= 0);
    // A blank in front prevents the fast path of the reader, which has to agree with the other.
    let blank = [b" ", bytes].concat();
    prop_assert_eq!(decode(&blank), Decoded::Record(reading), "with a blank in front");
    if reading.at_ms.is_some_and(|at_ms| (0..10_i64.pow(15)).contains(&at_ms)) {
        let mut message = Outgoing::default();
        reading_message::encode(&reading, &mut message);
        prop_assert_eq!(decode(&message.value), Decoded::Record(reading), "encoded and decoded again");
    }
    Ok(())
}

fn check_iot(bytes: &[u8]) -> Result<(), TestCaseError> {
    let decode = |bytes| iot::message::decode(bytes);
    let Some(reading) = check(decode(bytes), decode(bytes))? else { return Ok(()) };
    // A blank in front prevents the fast path of the reader, which has to agree with the other.
    let blank = [b" ", bytes].concat();
    prop_assert_eq!(decode(&blank), Decoded::Record(reading.clone()), "with a blank in front");
    let record = iot::pipeline::Record { reading: reading.clone(), size_ms: 60_000 };
    let [known, read_back] = stored::<iot::pipeline::Iot>(&record);
    prop_assert_eq!(known, read_back, "stored and read back");
    if reading.at_ms.is_some_and(|at_ms| at_ms < 253_402_300_800_000) {
        let mut message = Outgoing::default();
        iot::message::encode(&reading, &mut message);
        prop_assert_eq!(decode(&message.value), Decoded::Record(reading), "encoded and decoded again");
    }
    Ok(())
}

fn check_event(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (first, second) = (event_message::decode(bytes), event_message::decode(bytes));
    let Some(event) = check(first, second)? else { return Ok(()) };
    prop_assert!(!event.text.contains('\0') && event.sensor >= 0);
    let [known, read_back] = stored::<sensors::events::Events>(&event);
    prop_assert_eq!(known, read_back, "stored and read back");
    Ok(())
}

proptest! {
    #![proptest_config(fuzz::config())]

    #[test]
    fn readings_of_any_bytes(Input(bytes) in inputs(&corpus("sensors-messages"))) {
        check_reading(&bytes)?;
    }

    #[test]
    fn iot_of_any_bytes(Input(bytes) in inputs(&corpus("iot-messages"))) {
        check_iot(&bytes)?;
    }

    #[test]
    fn events_of_any_bytes(Input(bytes) in inputs(&corpus("sensors-events"))) {
        check_event(&bytes)?;
    }

    #[test]
    fn emissions_of_any_bytes(Input(bytes) in inputs(&corpus("emissions-messages"))) {
        check_emissions(&bytes)?;
    }

    #[test]
    fn energy_of_any_bytes(Input(bytes) in inputs(&corpus("energy-messages"))) {
        check_energy(&bytes)?;
    }
}

#[test]
fn the_corpus_itself() {
    for bytes in corpus("emissions-messages").iter() {
        check_emissions(bytes).unwrap();
    }
    for bytes in corpus("energy-messages").iter() {
        check_energy(bytes).unwrap();
    }
    for bytes in corpus("sensors-messages").iter() {
        check_reading(bytes).unwrap();
    }
    for bytes in corpus("iot-messages").iter() {
        check_iot(bytes).unwrap();
    }
    for bytes in corpus("sensors-events").iter() {
        check_event(bytes).unwrap();
    }
}

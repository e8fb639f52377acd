//! Each pipeline's source over a file that may hold anything: what it sends can be read, and the counts balance.

use emissions::{
    pipeline::Emissions,
    source::{CsvSettings, CsvSource},
};
use energy::{
    pipeline::Energy,
    source::{MeterSettings, MeterSource},
};
use fuzz::mutation::{Input, inputs};
use proptest::prelude::*;
use serde_json::Value;
use stream::{Outgoing, Pipeline, Reading, Row, Source, SourceError, table::Layout};

use crate::{corpus, is_a_reason};

const EMISSIONS: &str = "country,year,iso_code,population,gdp,co2,co2_per_capita\n";
const ENERGY: &str = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;Sub_metering_2;Sub_metering_3\n";
const FROM_YEAR: u16 = 1900;

/// What became of a file's rows.
#[derive(Default)]
struct Books {
    sent: usize,
    filtered: usize,
    rejected: usize,
}

/// The records there are in a file, the header aside, of whatever kind.
fn records<const N: usize>(bytes: &[u8], layout: &Layout<N>) -> usize {
    let (mut records, _) = layout.open(bytes).expect("it could be opened before");
    std::iter::from_fn(|| records.read().expect("what is in memory can be read")).count()
}

/// Reads to the end; what is sent is shown to `sent`.
fn run<S: Source>(
    opened: Result<S, SourceError>,
    sent: impl Fn(&Outgoing, Option<&str>) -> Result<(), TestCaseError>,
) -> Result<Option<Books>, TestCaseError> {
    let mut source = match opened {
        Ok(source) => source,
        Err(error) => return is_a_reason(&error.to_string()).map(|()| None),
    };
    let (mut books, mut message, mut before) = (Books::default(), Outgoing::default(), 0);
    loop {
        let row = match source.next(&mut message) {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(Some(books)),
            // What is in memory can be read, but may turn out to be no file of the pipeline's.
            Err(error) => {
                prop_assert!(error.to_string().contains("day and month swapped"), "{}", error);
                return is_a_reason(&error.to_string()).map(|()| None);
            }
        };
        prop_assert!(source.line() > before, "line {} after {}", source.line(), before);
        before = source.line();
        let _ = source.label();
        match row {
            Row::Send => {
                sent(&message, source.unusable())?;
                books.sent += 1;
            }
            Row::Filtered => books.filtered += 1,
            Row::Rejected(reason) => {
                is_a_reason(&reason)?;
                books.rejected += 1;
            }
        }
    }
}

fn balance<const N: usize>(books: Option<Books>, bytes: &[u8], layout: &Layout<N>) -> Result<(), TestCaseError> {
    if let Some(Books { sent, filtered, rejected }) = books {
        prop_assert_eq!(sent + filtered + rejected, records(bytes, layout));
    }
    Ok(())
}

/// What the emissions producer sends, its consumer keeps or filters.
fn emissions_sent(message: &Outgoing, unusable: Option<&str>) -> Result<(), TestCaseError> {
    prop_assert_eq!(unusable, None);
    match emissions::message::decode(&message.value) {
        Reading::Record(record) => {
            prop_assert!(record.year >= FROM_YEAR);
            prop_assert!(message.key == Emissions::route(&record.iso_code).as_bytes(), "{:?}", message);
        }
        Reading::Filtered => prop_assert!(!message.key.is_empty()),
        Reading::Rejected(reason) => prop_assert!(false, "{}: {:?}", reason, message),
    }
    Ok(())
}

/// What the energy producer sends is JSON, rejects included, and of the day that its key tells; it knows of each whether
/// the consumer will use it.
fn energy_sent(message: &Outgoing, unusable: Option<&str>) -> Result<(), TestCaseError> {
    unusable.map_or(Ok(()), is_a_reason)?;
    prop_assert!(serde_json::from_slice::<Value>(&message.value).is_ok(), "{:?}", message);
    match energy::message::decode(&message.value) {
        Reading::Record(record) => {
            prop_assert!(message.key == Energy::route(&record.day).as_bytes(), "{:?}", message);
            prop_assert_eq!(unusable, None);
        }
        Reading::Filtered => prop_assert!(false, "nothing is filtered"),
        Reading::Rejected(reason) => {
            is_a_reason(&reason)?;
            prop_assert!(unusable.is_some(), "{}: {:?}", reason, message);
            prop_assert!(!reason.starts_with("not "), "{}: {:?}", reason, message);
        }
    }
    Ok(())
}

fn emissions_laws(bytes: &[u8]) -> Result<(), TestCaseError> {
    let books = run(CsvSource::open(bytes, &CsvSettings { from_year: FROM_YEAR }), emissions_sent)?;
    balance(books, bytes, &emissions::csv_row::LAYOUT)
}

fn energy_laws(bytes: &[u8]) -> Result<(), TestCaseError> {
    let books = run(MeterSource::open(bytes, &MeterSettings {}), energy_sent)?;
    balance(books, bytes, &energy::csv_row::LAYOUT)
}

/// With a sound header in front as often as not: without one, nothing is read beyond the first line.
fn with_header(header: &str, is_there: bool, bytes: Vec<u8>) -> Vec<u8> {
    if is_there { [header.as_bytes(), &bytes].concat() } else { bytes }
}

proptest! {
    #![proptest_config(fuzz::config())]

    #[test]
    fn emissions_of_any_file(Input(bytes) in inputs(&corpus("emissions-files")), header in any::<bool>()) {
        emissions_laws(&with_header(EMISSIONS, header, bytes))?;
    }

    #[test]
    fn energy_of_any_file(Input(bytes) in inputs(&corpus("energy-files")), header in any::<bool>()) {
        energy_laws(&with_header(ENERGY, header, bytes))?;
    }
}

#[test]
fn the_corpus_itself() {
    for bytes in corpus("emissions-files").iter() {
        emissions_laws(bytes).unwrap();
    }
    for bytes in corpus("energy-files").iter() {
        energy_laws(bytes).unwrap();
    }
}

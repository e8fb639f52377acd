//! Each pipeline's source over a file that may hold anything: what it sends can be read, and the counts add up.

use clap::{Args as _, Command, FromArgMatches as _};
use emissions::{
    pipeline::Emissions,
    source::{CsvSettings, CsvSource},
};
use energy::{
    pipeline::Energy,
    source::{MeterSettings, MeterSource},
};
use formats::Layout;
use fuzz::mutation::{Input, inputs};
use proptest::prelude::*;
use sensors::{
    event_message,
    file::{self as readings, ReadingsFile},
    range::USUAL,
    reading_message,
    simulator::SimulatorSettings,
};
use serde_json::Value;
use stream::{Decoded, Outgoing, Pipeline, ReadError, RowOutcome, Source};

use crate::{corpus, is_a_reason};

const EMISSIONS: &str = "country,year,iso_code,population,gdp,co2,co2_per_capita\n";
const ENERGY: &str = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;Sub_metering_2;Sub_metering_3\n";
const FROM_YEAR: u16 = 1900;

/// What became of a file's rows.
#[derive(Default)]
struct Counts {
    sent: usize,
    filtered: usize,
    rejected: usize,
}

/// The number of records in a file, without the header, of any kind.
fn records<const N: usize>(bytes: &[u8], layout: &Layout<N>) -> usize {
    let (mut records, _) = layout.open(bytes).expect("it could be opened before");
    std::iter::from_fn(|| records.read().expect("what is in memory can be read")).count()
}

/// Reads to the end; `sent` gets what is sent.
fn run<S: Source>(
    opened: Result<S, ReadError>,
    sent: impl Fn(&Outgoing, Option<&str>) -> Result<(), TestCaseError>,
) -> Result<Option<Counts>, TestCaseError> {
    let mut source = match opened {
        Ok(source) => source,
        Err(error) => return is_a_reason(&error.to_string()).map(|()| None),
    };
    let (mut counts, mut message, mut before) = (Counts::default(), Outgoing::default(), 0);
    loop {
        let row = match source.next(&mut message) {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(Some(counts)),
            // What is in memory can be read, but may turn out not to be a file of the pipeline.
            Err(error) => {
                prop_assert!(error.to_string().contains("day and month swapped"), "{}", error);
                return is_a_reason(&error.to_string()).map(|()| None);
            }
        };
        prop_assert!(source.line() > before, "line {} after {}", source.line(), before);
        before = source.line();
        let _ = source.label();
        match row {
            RowOutcome::Send => {
                sent(&message, source.unusable())?;
                counts.sent += 1;
            }
            RowOutcome::Filtered => counts.filtered += 1,
            RowOutcome::Wait(_) => prop_assert!(false, "a file has all it has"),
            RowOutcome::Rejected(reason) => {
                is_a_reason(&reason)?;
                counts.rejected += 1;
            }
        }
    }
}

fn check_sum<const N: usize>(counts: Option<Counts>, bytes: &[u8], layout: &Layout<N>) -> Result<(), TestCaseError> {
    if let Some(Counts { sent, filtered, rejected }) = counts {
        prop_assert_eq!(sent + filtered + rejected, records(bytes, layout));
    }
    Ok(())
}

/// What the emissions producer sends, its consumer keeps or filters.
fn emissions_sent(message: &Outgoing, unusable: Option<&str>) -> Result<(), TestCaseError> {
    prop_assert_eq!(unusable, None);
    match emissions::message::decode(&message.value) {
        Decoded::Record(record) => {
            prop_assert!(record.year >= FROM_YEAR);
            prop_assert!(message.key == Emissions::partition_key(&record.iso_code).as_bytes(), "{:?}", message);
        }
        Decoded::Filtered => prop_assert!(!message.key.is_empty()),
        Decoded::Rejected(reason) => prop_assert!(false, "{}: {:?}", reason, message),
    }
    Ok(())
}

/// What the energy producer sends is JSON, rejects included, and of the day in its key; it knows of each whether the
/// consumer will use it.
fn energy_sent(message: &Outgoing, unusable: Option<&str>) -> Result<(), TestCaseError> {
    unusable.map_or(Ok(()), is_a_reason)?;
    prop_assert!(serde_json::from_slice::<Value>(&message.value).is_ok(), "{:?}", message);
    match energy::message::decode(&message.value) {
        Decoded::Record(record) => {
            prop_assert!(message.key == Energy::partition_key(&record.day).as_bytes(), "{:?}", message);
            prop_assert_eq!(unusable, None);
        }
        Decoded::Filtered => prop_assert!(false, "nothing is filtered"),
        Decoded::Rejected(reason) => {
            is_a_reason(&reason)?;
            prop_assert!(unusable.is_some(), "{}: {:?}", reason, message);
            prop_assert!(!reason.starts_with("not "), "{}: {:?}", reason, message);
        }
    }
    Ok(())
}

fn check_emissions(bytes: &[u8]) -> Result<(), TestCaseError> {
    let counts = run(CsvSource::open(bytes, &CsvSettings { from_year: FROM_YEAR }), emissions_sent)?;
    check_sum(counts, bytes, &emissions::csv_row::LAYOUT)
}

fn check_energy(bytes: &[u8]) -> Result<(), TestCaseError> {
    let counts = run(MeterSource::open(bytes, &MeterSettings {}), energy_sent)?;
    check_sum(counts, bytes, &energy::csv_row::LAYOUT)
}

/// What the sensors' producer sends is JSON, rejects included; it knows of each whether the consumer will use it.
fn sensors_sent(message: &Outgoing, unusable: Option<&str>) -> Result<(), TestCaseError> {
    unusable.map_or(Ok(()), is_a_reason)?;
    prop_assert!(serde_json::from_slice::<Value>(&message.value).is_ok(), "{:?}", message);
    let usable = match message.topic {
        0 => matches!(reading_message::decode(&message.value, USUAL), Decoded::Record(_)),
        _ => matches!(event_message::decode(&message.value), Decoded::Record(_)),
    };
    prop_assert_eq!(usable, unusable.is_none(), "{:?}", message);
    Ok(())
}

fn check_sensors(bytes: &[u8]) -> Result<(), TestCaseError> {
    let counts = run(ReadingsFile::open(bytes, &sensor_settings()), sensors_sent)?;
    check_sum(counts, bytes, &readings::LAYOUT)
}

/// What the iot producer sends is JSON, rejects included; it knows of each whether the consumer will use it.
fn iot_sent(message: &Outgoing, unusable: Option<&str>) -> Result<(), TestCaseError> {
    unusable.map_or(Ok(()), is_a_reason)?;
    prop_assert!(serde_json::from_slice::<Value>(&message.value).is_ok(), "{:?}", message);
    let usable = matches!(iot::message::decode(&message.value), Decoded::Record(_));
    prop_assert_eq!(usable, unusable.is_none(), "{:?}", message);
    Ok(())
}

fn check_iot(bytes: &[u8]) -> Result<(), TestCaseError> {
    let command = iot::simulator::SimulatorSettings::augment_args(Command::new("fuzz"));
    let settings = iot::simulator::SimulatorSettings::from_arg_matches(&command.get_matches_from(["fuzz"]));
    let settings = settings.expect("each has a default");
    let counts = run(iot::file::ReadingsFile::open(bytes, &settings), iot_sent)?;
    check_sum(counts, bytes, &iot::file::LAYOUT)
}

fn sensor_settings() -> SimulatorSettings {
    let command = SimulatorSettings::augment_args(Command::new("fuzz"));
    SimulatorSettings::from_arg_matches(&command.get_matches_from(["fuzz"])).expect("each has a default")
}

/// Else the properties below would try files that nothing is read from.
#[test]
fn of_a_valid_file_rows_are_sent() {
    let emissions = include_bytes!("../../corpus/emissions-files/valid.csv").as_slice();
    let opened = CsvSource::open(emissions, &CsvSettings { from_year: FROM_YEAR });
    assert!(run(opened, emissions_sent).unwrap().is_some_and(|counts| counts.sent > 0));
    let header = with_header(EMISSIONS, true, Vec::new());
    assert!(CsvSource::open(&*header, &CsvSettings { from_year: FROM_YEAR }).is_ok(), "{EMISSIONS}");
    let energy = include_bytes!("../../corpus/energy-files/valid.txt").as_slice();
    let opened = MeterSource::open(energy, &MeterSettings {});
    assert!(run(opened, energy_sent).unwrap().is_some_and(|counts| counts.sent > 0));
    let sensors = include_bytes!("../../corpus/sensors-files/valid.csv").as_slice();
    let opened = ReadingsFile::open(sensors, &sensor_settings());
    assert!(run(opened, sensors_sent).unwrap().is_some_and(|counts| counts.sent > 0));
}

/// With a valid header in front as often as not: without one, nothing is read beyond the first line.
fn with_header(header: &str, present: bool, bytes: Vec<u8>) -> Vec<u8> {
    if present { [header.as_bytes(), &bytes].concat() } else { bytes }
}

proptest! {
    #![proptest_config(fuzz::config())]

    #[test]
    fn emissions_of_any_file(Input(bytes) in inputs(&corpus("emissions-files")), header in any::<bool>()) {
        check_emissions(&with_header(EMISSIONS, header, bytes))?;
    }

    #[test]
    fn energy_of_any_file(Input(bytes) in inputs(&corpus("energy-files")), header in any::<bool>()) {
        check_energy(&with_header(ENERGY, header, bytes))?;
    }

    #[test]
    fn iot_of_any_file(Input(bytes) in inputs(&corpus("iot-files")), header in any::<bool>()) {
        check_iot(&with_header("time,device_id,device_type,value,unit,quality_score,is_anomaly\n", header, bytes))?;
    }

    #[test]
    fn sensors_of_any_file(Input(bytes) in inputs(&corpus("sensors-files")), header in any::<bool>()) {
        check_sensors(&with_header("sensor_id,timestamp,temperature\n", header, bytes))?;
    }
}

#[test]
fn the_corpus_itself() {
    for bytes in corpus("iot-files").iter() {
        check_iot(bytes).unwrap();
    }
    for bytes in corpus("emissions-files").iter() {
        check_emissions(bytes).unwrap();
    }
    for bytes in corpus("energy-files").iter() {
        check_energy(bytes).unwrap();
    }
    for bytes in corpus("sensors-files").iter() {
        check_sensors(bytes).unwrap();
    }
}

//! What becomes of each row of a file, as far as the consumer; the files are named for what is odd in them.

use std::fs::File;

use energy::{
    message,
    source::{MeterSettings, MeterSource},
};
use stream::{Decoded, Outgoing, RowOutcome, Source};

/// One line for each row: where it begins, what it is called, and what the consumer reads of the message made of it.
fn rows(file: &str) -> Vec<String> {
    let path = format!("{}/test_data/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut source = match MeterSource::open(File::open(path).expect("the fixture exists"), &MeterSettings {}) {
        Ok(source) => source,
        Err(error) => return vec![format!("! {error}")],
    };
    let (mut message, mut rows) = (Outgoing::default(), vec![]);
    while let Some(row) = source.next(&mut message).expect("the fixture can be read") {
        let what = match row {
            RowOutcome::Send => {
                let key = String::from_utf8_lossy(&message.key);
                format!("{}: {key} {}", source.label(), read(&message.value))
            }
            other @ (RowOutcome::Filtered | RowOutcome::Wait(_)) => format!("{other:?}").to_lowercase(),
            RowOutcome::Rejected(reason) => format!("! {reason}"),
        };
        rows.push(format!("{} {what}", source.line()));
    }
    rows
}

/// Day, minute and the seven values in thousandths, `-` where one is missing; or why the consumer rejects it.
fn read(value: &[u8]) -> String {
    match message::decode(value) {
        Decoded::Record(record) => {
            let values = record.values.map(|value| value.get().map_or("-".to_owned(), |value| value.to_string()));
            format!("{} {} {}", record.day, record.minute, values.join(" "))
        }
        Decoded::Filtered => "filtered".to_owned(),
        Decoded::Rejected(reason) => format!("rejected: {reason}"),
    }
}

fn check(file: &str, expected: &[&str]) {
    assert_eq!(rows(file), expected, "{file}");
}

#[test]
fn rows_become_minutes() {
    check(
        "as-published.csv",
        &[
            "2 16/12/2006 17:24:00: 2006-12-16 2006-12-16 1044 4216 418 234840 18400 0 1000 17000",
            "3 1/2/2007 00:05:00: 2007-02-01 2007-02-01 5 326 128 243150 1400 0 0 0",
        ],
    );
    check(
        "missing-values.csv",
        &[
            "2 28/4/2007 00:21:00: 2007-04-28 2007-04-28 21 - - - - - - -",
            "3 28/4/2007 00:22:00: 2007-04-28 2007-04-28 22 - - - - - - -",
        ],
    );
    check(
        "columns-in-another-order.csv",
        &["2 16/12/2006 17:24:00: 2006-12-16 2006-12-16 1044 4200 400 240000 18000 1000 2000 3000"],
    );
    check(
        "separated-by-commas.csv",
        &["2 16/12/2006 17:24:00: 2006-12-16 2006-12-16 1044 4216 418 234840 18400 0 1000 17000"],
    );
}

#[test]
fn a_date_that_cannot_be_read_is_sent_and_rejected_by_the_consumer_for_what_is_wrong_with_it() {
    let row = |sent, reason| format!("{sent} rejected: Datetime is {reason}");
    let (no_day, no_form) = ("a day the calendar does not have", "not `yyyy-MM-dd HH:mm:ss`");
    assert_eq!(
        rows("dates-that-cannot-be-read.csv"),
        [
            row("2 31/2/2007 00:05:00: 2007-02-31", no_day),
            row("3 13/13/2007 00:05:00: 2007-13-13", no_day),
            row("4 1/1/0000 00:05:00: 0000-01-01", no_day),
            row("5 1/2/2007 24:00:00: 2007-02-01", "a time the clock does not have"),
            row("6 1/2/2007 00:05:30: 2007-02-01", "not a whole minute"),
            row("7 1 Feb 2007 00:05:00: 1 Feb 2007", no_form),
            row("8 1/2/07 00:05:00: 1/2/07", no_form),
            row("9  : ", no_form),
            row("10 1/2/\u{fffd}7 00:05:00: 1/2/\u{fffd}7", no_form),
        ]
    );
}

#[test]
fn a_value_that_cannot_be_read_is_sent_and_rejected_by_the_consumer() {
    let row = |line, reason| format!("{line} 1/2/2007 00:05:00: 2007-02-01 rejected: Global_active_power {reason}");
    let not_a_number = "is not a number of at most three decimals";
    assert_eq!(
        rows("values-that-cannot-be-read.csv"),
        [
            row(2, not_a_number),
            row(3, "is not within 0 to 2000000"),
            row(4, "has more than three decimals"),
            row(5, "is not within 0 to 2000000"),
            row(6, not_a_number),
            row(7, not_a_number),
        ]
    );
}

#[test]
fn a_row_of_another_shape_costs_itself_alone() {
    check(
        "rows-that-cannot-be-read.csv",
        &[
            "2 ! 3 fields where the header has 9",
            "3 ! 10 fields where the header has 9",
            "4 ! a quote is opened and never closed",
            "5 1/2/2007 00:06:00: 2007-02-01 2007-02-01 6 1000 0 240000 0 0 0 0",
        ],
    );
}

#[test]
fn an_input_without_the_columns_is_unusable() {
    check("header-only.csv", &[]);
    check("empty.csv", &["! the input is empty"]);
    check("missing-voltage.csv", &["! column `Voltage` is missing from the header"]);
    check("time-twice.csv", &["! column `Time` is in the header twice"]);
}

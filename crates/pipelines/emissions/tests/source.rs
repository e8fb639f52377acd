//! What becomes of each row of a file; the files are named for what is odd in them.

use std::fs::File;

use emissions::source::{CsvSettings, CsvSource};
use stream::{Outgoing, RowOutcome, Source};

/// One line for each row: where it begins, what it is called, and the message made of it.
fn rows(file: &str) -> Vec<String> {
    let path = format!("{}/test_data/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut source =
        match CsvSource::open(File::open(path).expect("the fixture exists"), &CsvSettings { from_year: 1900 }) {
            Ok(source) => source,
            Err(error) => return vec![format!("! {error}")],
        };
    let (mut message, mut rows) = (Outgoing::default(), vec![]);
    while let Some(row) = source.next(&mut message).expect("the fixture can be read") {
        let what = match row {
            RowOutcome::Send => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                format!("{}: {} {}", source.label(), text(&message.key), text(&message.value))
            }
            other @ (RowOutcome::Filtered | RowOutcome::Wait(_)) => format!("{other:?}").to_lowercase(),
            RowOutcome::Rejected(reason) => format!("! {reason}"),
        };
        rows.push(format!("{} {what}", source.line()));
    }
    rows
}

fn check(file: &str, expected: &[&str]) {
    assert_eq!(rows(file), expected, "{file}");
}

#[test]
fn rows_become_messages() {
    check(
        "valid.csv",
        &[
            r#"2 Brazil - 1987: BRA {"country":"Brazil","year":1987,"iso_code":"BRA","population":139643584.0,"gdp":750000000000.0,"co2":210.5,"co2_per_capita":1.507}"#,
            r#"3 World - 1987: World {"country":"World","year":1987,"iso_code":null,"population":5000000000.0,"gdp":null,"co2":21000.0,"co2_per_capita":4.2}"#,
            r#"4 Kosovo - 2000: OWID_KOS {"country":"Kosovo","year":2000,"iso_code":"OWID_KOS","population":null,"gdp":null,"co2":null,"co2_per_capita":null}"#,
        ],
    );
    check(
        "bom-and-crlf.csv",
        &[
            r#"2 Brazil - 1987: BRA {"country":"Brazil","year":1987,"iso_code":"BRA","population":1.0,"gdp":2.0,"co2":3.0,"co2_per_capita":4.0}"#,
            r#"4 Côte d'Ivoire, the - 1988: CIV {"country":"Côte d'Ivoire, the","year":1988,"iso_code":"CIV","population":null,"gdp":null,"co2":null,"co2_per_capita":null}"#,
        ],
    );
    check(
        "columns-in-another-order.csv",
        &[
            r#"2 Brazil - 1987: BRA {"country":"Brazil","year":1987,"iso_code":"BRA","population":1.0,"gdp":2.0,"co2":3.0,"co2_per_capita":4.0}"#,
        ],
    );
}

#[test]
fn years_before_the_first_are_filtered() {
    let rows = rows("before-1900.csv");
    assert_eq!(rows[0], "2 filtered");
    assert!(rows[1].starts_with("3 Brazil - 1900: BRA"), "{}", rows[1]);
}

#[test]
fn a_bad_row_costs_itself_alone() {
    let mut rows = rows("rows-that-cannot-be-read.csv");
    let last = rows.pop().unwrap();
    assert_eq!(
        rows,
        [
            "2 ! 6 fields where the header has 7",
            "3 ! gdp is not a number",
            "4 ! country is not UTF-8; save the file as UTF-8",
            "5 ! co2_per_capita is not within 0e0 to 1e15",
            "6 ! a quote is opened and never closed",
        ]
    );
    assert!(last.starts_with("7 Brazil - 1991: BRA"), "{last}");
}

#[test]
fn an_input_without_the_columns_is_unusable() {
    check("header-only.csv", &[]);
    check("empty.csv", &["! the input is empty"]);
    check("missing-gdp.csv", &["! column `gdp` is missing from the header"]);
    check("gdp-twice.csv", &["! column `gdp` is in the header twice"]);
    check("utf-16.csv", &["! it is UTF-16; save it as UTF-8"]);
}

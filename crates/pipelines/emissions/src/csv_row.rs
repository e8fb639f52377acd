//! A row of the CSV: its columns are found by name, its fields are read as an observation.

use std::io::Read;

use formats::{ColumnIndexes, CsvRecords, Layout};

use crate::record::{FIELDS, Fields, MEASURES, Number, Observation, Reason, Text, says_missing};

/// The seven columns, and the file's usual delimiter.
pub const LAYOUT: Layout<{ FIELDS.len() }> = Layout { names: FIELDS, delimiter: b',' };

/// Where the seven columns are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(pub ColumnIndexes<{ FIELDS.len() }>);

impl Columns {
    /// Reads the record that `rows` is at.
    ///
    /// # Errors
    /// The reason, when it has too few or too many fields, or one that is not what it should be.
    pub fn read<'a, R: Read>(&self, rows: &'a CsvRecords<R>) -> Result<Observation<'a>, Reason> {
        rows.expect_len(self.0.width)?;
        let text = |index: usize| {
            let field = rows.field(self.0.at[index]).unwrap_or_default();
            std::str::from_utf8(field)
                .map(str::trim_ascii)
                .map_err(|_| Reason::from(format!("{} is not UTF-8; save the file as UTF-8", FIELDS[index])))
        };
        let (country, year, iso_code) = (text_of(text(0)?), number_of(text(1)?), text_of(text(2)?));
        let mut measures = [Number::Missing; MEASURES.len()];
        for (index, measure) in measures.iter_mut().enumerate() {
            *measure = number_of(text(3 + index)?);
        }
        Fields { country, year, iso_code, measures }.check()
    }

    /// What a person would call the record that `rows` is at: `Brazil - 1987`.
    pub fn label<R: Read>(&self, rows: &CsvRecords<R>) -> String {
        let text = |index: usize| String::from_utf8_lossy(rows.field(self.0.at[index]).unwrap_or_default());
        format!("{} - {}", text(0).trim_ascii(), text(1).trim_ascii())
    }
}

fn number_of(text: &str) -> Number {
    if says_missing(text) {
        return Number::Missing;
    }
    match text.parse::<f64>() {
        // Other spellings of NaN are no number, and are not taken for missing.
        Ok(number) if !number.is_nan() => Number::Is(number),
        _ => Number::Wrong,
    }
}

fn text_of(text: &str) -> Text<'_> {
    if says_missing(text) { Text::Missing } else { Text::Is(text.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(row: &[u8], expected: &str) {
        let columns = Columns(LAYOUT.find(&FIELDS.map(str::to_owned)).unwrap());
        let mut rows = CsvRecords::new(row);
        rows.read().unwrap();
        let found = match columns.read(&rows) {
            Ok(row) => format!(
                "{} {} {:?} {}",
                row.country,
                row.year,
                row.iso_code,
                row.measures.map(|value| format!("{value:?}")).join(" ")
            ),
            Err(reason) => format!("! {reason}"),
        };
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(row));
    }

    #[test]
    fn a_row_is_read() {
        check(b"Brazil,1987,BRA,139643584.0,,1e2,-0", "Brazil 1987 Some(BRA) 139643584 missing 100 0");
        check(b" World , 1987 ,,NaN,\"NaN\",\"\"\"NaN\"\"\", 7 ", "World 1987 None missing missing missing 7");
        check(b"\"Bonaire, Sint Eustatius\",1990.0,BES,1,2,3,4", "Bonaire, Sint Eustatius 1990 Some(BES) 1 2 3 4");
    }

    #[test]
    fn a_row_that_cannot_be_read_says_why() {
        check(b"Brazil,1987,BRA,1,2,3", "! 6 fields where the header has 7");
        check(b"Brazil,1987,BRA,1,2,3,4,5", "! 8 fields where the header has 7");
        check(b"Brazil,1987,BRA,1,many,3,4", "! gdp is not a number");
        check(b"Brazil,1987,BRA,1,nan,3,4", "! gdp is not a number");
        check(b"Brazil,1987,BRA,1,1_000,3,4", "! gdp is not a number");
        check(b"Brazil,1987,BRA,1,inf,3,4", "! gdp is infinite");
        check(b"Brazil,87AD,BRA,1,2,3,4", "! year is not an integer from 1 to 9999");
        check(b"Brazil,,BRA,1,2,3,4", "! year is missing");
        check(b",1987,BRA,1,2,3,4", "! country is missing");
        check(b"Bra\xFFzil,1987,BRA,1,2,3,4", "! country is not UTF-8; save the file as UTF-8");
        check(b"\"Bra\nzil\",1987,BRA,1,2,3,4", "! country holds a control character");
    }
}

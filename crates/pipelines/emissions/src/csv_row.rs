//! A row of the CSV: its columns are found by name, its fields are read as an observation.

use std::io::Read;

use stream::csv_records::CsvRecords;

use crate::record::{FIELDS, Fields, Number, Observation, Reason, Text, says_missing};

/// Where the seven columns are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The number of fields every row has.
    width: usize,
    /// The place of each of [`FIELDS`].
    places: [usize; FIELDS.len()],
}

impl Columns {
    /// Finds the columns by their names, in any order, among any others.
    ///
    /// # Errors
    /// A sentence that names the columns that are missing, or the one that is there twice.
    pub fn find(header: &[String]) -> Result<Self, String> {
        let mut places = [0; FIELDS.len()];
        let mut missing = vec![];
        for (place, name) in places.iter_mut().zip(FIELDS) {
            let mut found = header.iter().enumerate().filter(|(_, column)| column.trim() == name);
            match (found.next(), found.next()) {
                (Some((at, _)), None) => *place = at,
                (Some(_), Some(_)) => return Err(format!("column `{name}` is in the header twice")),
                (None, _) => missing.push(format!("`{name}`")),
            }
        }
        match missing.as_slice() {
            [] => Ok(Self { width: header.len(), places }),
            [one] => Err(format!("column {one} is missing from the header")),
            _ => Err(format!("columns {} are missing from the header", missing.join(", "))),
        }
    }

    /// Reads the record that `rows` is at.
    ///
    /// # Errors
    /// The reason, when it has too few or too many fields, or one that is not what it should be.
    pub fn read<'a, R: Read>(&self, rows: &'a CsvRecords<R>) -> Result<Observation<'a>, Reason> {
        if rows.len() != self.width {
            return Err(format!("{} fields where the header has {}", rows.len(), self.width).into());
        }
        let text = |index: usize| {
            let field = rows.field(self.places[index]).unwrap_or_default();
            std::str::from_utf8(field)
                .map(str::trim_ascii)
                .map_err(|_| Reason::from(format!("{} is not UTF-8", FIELDS[index])))
        };
        let fields = Fields {
            country: text_of(text(0)?),
            year: number_of(text(1)?),
            iso_code: text_of(text(2)?),
            population: number_of(text(3)?),
            gdp: number_of(text(4)?),
            co2: number_of(text(5)?),
            co2_per_capita: number_of(text(6)?),
        };
        fields.check()
    }

    /// What a person would call the record that `rows` is at: `Brazil - 1987`.
    pub fn label<R: Read>(&self, rows: &CsvRecords<R>) -> String {
        let text = |index: usize| String::from_utf8_lossy(rows.field(self.places[index]).unwrap_or_default());
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

    fn columns(header: &str) -> Result<Columns, String> {
        Columns::find(&header.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn columns_are_found_by_name() {
        let check = |header: &str, expected: Result<[usize; 7], &str>| {
            let found = columns(header).map(|columns| columns.places);
            assert_eq!(found, expected.map_err(str::to_owned), "{header}");
        };
        check("country,year,iso_code,population,gdp,co2,co2_per_capita", Ok([0, 1, 2, 3, 4, 5, 6]));
        check("co2_per_capita,co2, gdp ,x,population,iso_code,year,country,x", Ok([7, 6, 5, 4, 2, 1, 0]));
        check("country,year,iso_code,population,co2,co2_per_capita", Err("column `gdp` is missing from the header"));
        check(
            "Country,year,iso_code,population,gdp,co2,co2_per_capita",
            Err("column `country` is missing from the header"),
        );
        check(
            "country,year,iso_code,co2",
            Err("columns `population`, `gdp`, `co2_per_capita` are missing from the header"),
        );
        check(
            "year,country,year,iso_code,population,gdp,co2,co2_per_capita",
            Err("column `year` is in the header twice"),
        );
    }

    fn check(row: &[u8], expected: &str) {
        let columns = columns("country,year,iso_code,population,gdp,co2,co2_per_capita").unwrap();
        let mut rows = CsvRecords::new(row);
        rows.read().unwrap();
        let found = match columns.read(&rows) {
            Ok(row) => format!(
                "{} {} {:?} {:?} {:?} {:?} {:?}",
                row.country, row.year, row.iso_code, row.population, row.gdp, row.co2, row.co2_per_capita
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
        check(b"Bra\xFFzil,1987,BRA,1,2,3,4", "! country is not UTF-8");
        check(b"\"Bra\nzil\",1987,BRA,1,2,3,4", "! country holds a control character");
    }
}

//! A file of records under a header: where its columns are, and what separates them.

use std::io::Read;

use crate::{csv_records::CsvRecords, error::ReadError, file_kind};

/// What may separate fields.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

const CR_ALONE: &str =
    "its lines end with CR alone, as on old Macs; save it with LF or CRLF, or convert it with tr '\\r' '\\n'";
const QUOTED_LINES: &str = "each line is one quoted field; save it without quotes around its lines";

/// The columns that are read of a file, and what separates its fields.
#[derive(Clone, Copy, Debug)]
pub struct Layout<const N: usize> {
    /// The columns' names.
    pub names: [&'static str; N],
    /// What separates the fields, unless the header says otherwise.
    pub delimiter: u8,
}

/// The indexes of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnIndexes<const N: usize> {
    /// The number of fields every row has.
    pub width: usize,
    /// The index of each column, in the order of the names.
    pub at: [usize; N],
}

impl<const N: usize> Layout<N> {
    /// Begins to read a file: finds what separates its fields, and its columns.
    ///
    /// Where the header has all columns between other separators than the usual ones, those are taken.
    ///
    /// # Errors
    /// A sentence that says what the file is, or which columns are missing; and what reading gives.
    pub fn open<R: Read>(&self, input: R) -> Result<(CsvRecords<R>, ColumnIndexes<N>), ReadError> {
        let mut rows = CsvRecords::new(input);
        let head = rows.head()?;
        let kind = file_kind::of(head);
        if lines_end_with_cr(head) {
            return Err(ReadError::Unusable(kind.unwrap_or_else(|| CR_ALONE.to_owned())));
        }
        let delimiter = self.delimiter_of(head);
        rows.set_delimiter(delimiter);
        let indexes = rows.header().and_then(|header| self.find(&header).map_err(ReadError::Unusable));
        match (indexes, kind) {
            (Ok(indexes), _) => {
                if delimiter != self.delimiter {
                    tracing::info!("fields are separated by {:?}, as the header says", char::from(delimiter));
                }
                Ok((rows, indexes))
            }
            (Err(ReadError::Unusable(_)), Some(kind)) => Err(ReadError::Unusable(kind)),
            (Err(error), _) => Err(error),
        }
    }

    /// Finds the columns by their names, in any order, among any others.
    ///
    /// # Errors
    /// A sentence that names the columns that are missing, or the one that occurs twice.
    pub fn find(&self, header: &[String]) -> Result<ColumnIndexes<N>, String> {
        let mut at = [0; N];
        let mut missing = vec![];
        for (at, name) in at.iter_mut().zip(self.names) {
            match index_of(header, name)? {
                Some(index) => *at = index,
                None => missing.push(format!("`{name}`")),
            }
        }
        let columns = missing.join(", ");
        match missing.len() {
            0 => Ok(ColumnIndexes { width: header.len(), at }),
            count if count == N && self.is_quoted_whole(header) => Err(QUOTED_LINES.to_owned()),
            count if count == N => Err(format!(
                "its first line names none of the columns {columns}: it is another file, or its header is missing"
            )),
            1 => Err(format!("column {columns} is missing from the header")),
            _ => Err(format!("columns {columns} are missing from the header")),
        }
    }

    /// The usual separator, unless another one finds more of the columns.
    fn delimiter_of(&self, head: &[u8]) -> u8 {
        let found = |delimiter| {
            let header = CsvRecords::with_delimiter(head, delimiter).header().unwrap_or_default();
            self.names.iter().filter(|name| !matches!(index_of(&header, name), Ok(None))).count()
        };
        let usual = (self.delimiter, found(self.delimiter));
        let others = DELIMITERS.into_iter().map(|delimiter| (delimiter, found(delimiter)));
        others.fold(usual, |best, other| if other.1 > best.1 { other } else { best }).0
    }

    fn is_quoted_whole(&self, header: &[String]) -> bool {
        let [line] = header else { return false };
        let parts = line.split(|letter| DELIMITERS.iter().any(|&delimiter| char::from(delimiter) == letter));
        self.find_any(&parts.map(str::to_owned).collect::<Vec<_>>())
    }

    fn find_any(&self, header: &[String]) -> bool {
        self.names.iter().any(|name| !matches!(index_of(header, name), Ok(None)))
    }
}

/// The index of a column: blanks around the name do not count, nor does its case where no name is exact.
fn index_of(header: &[String], name: &str) -> Result<Option<usize>, String> {
    for same in [str::eq, str::eq_ignore_ascii_case] {
        let mut found = header.iter().enumerate().filter(|(_, column)| same(bare(column), name));
        match (found.next(), found.next()) {
            (Some((at, _)), None) => return Ok(Some(at)),
            (Some(_), Some(_)) => return Err(format!("column `{name}` is in the header twice")),
            (None, _) => {}
        }
    }
    Ok(None)
}

/// A name without what cannot be seen around it.
fn bare(column: &str) -> &str {
    column.trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, '\u{feff}' | '\u{200b}'))
}

/// Whether the first line, outside of quotes, ends with CRs that no LF follows.
fn lines_end_with_cr(head: &[u8]) -> bool {
    let mut quoted = false;
    let end = head.iter().position(|&byte| {
        quoted ^= byte == b'"';
        !quoted && matches!(byte, b'\r' | b'\n')
    });
    let behind = &head[end.unwrap_or(head.len())..];
    behind.iter().find(|&&byte| byte != b'\r').is_some_and(|&byte| byte != b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout<3> = Layout { names: ["a", "b", "c"], delimiter: b',' };

    #[test]
    fn columns_are_found_by_name() {
        let check = |header: &str, expected: Result<[usize; 3], &str>| {
            let found = LAYOUT.find(&header.split(',').map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found.map(|indexes| indexes.at), expected.map_err(str::to_owned), "{header}");
        };
        check("a,b,c", Ok([0, 1, 2]));
        check("x, c ,\u{feff}b,a\u{a0},x", Ok([3, 2, 1]));
        check("C,A,b", Ok([1, 2, 0]));
        check("A,a,b,c", Ok([1, 2, 3]));
        check("a,B", Err("column `c` is missing from the header"));
        check("x,B", Err("columns `a`, `c` are missing from the header"));
        check("b,a,c,b", Err("column `b` is in the header twice"));
        check("B,a,c,B", Err("column `b` is in the header twice"));
    }

    #[test]
    fn the_separator_is_the_usual_one_unless_another_finds_more_columns() {
        for (head, expected) in [
            ("a,b,c\n", b','),
            ("a;b;c\n", b';'),
            ("a\tb\tx\n", b'\t'),
            ("a|b|c|\"x,y;z\"\n", b'|'),
            ("a;b,a,b\n", b','),
            ("x;y;z\n", b','),
            ("", b','),
        ] {
            assert_eq!(LAYOUT.delimiter_of(head.as_bytes()), expected, "{head}");
        }
    }

    /// The result does not depend on the pieces in which the input comes.
    #[test]
    fn a_file_is_the_same_a_byte_at_a_time() {
        struct Trickle<'a>(&'a [u8]);
        impl Read for Trickle<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let n = self.0.len().min(1).min(buffer.len());
                buffer[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        fn say<R: Read>(opened: Result<(CsvRecords<R>, ColumnIndexes<3>), ReadError>) -> String {
            opened.map_or_else(|error| error.to_string(), |(_, indexes)| format!("{indexes:?}"))
        }
        for text in
            ["a,b,c\r\n1,2,3", "a;b;c\r1;2;3\r", "\n\u{feff}a|b|c\n", "[1]", "<html>\n", "\u{feff}\u{feff}", "a,b,c\r"]
        {
            let bytes = text.as_bytes();
            assert_eq!(say(LAYOUT.open(Trickle(bytes))), say(LAYOUT.open(bytes)), "{text:?}");
        }
    }
}

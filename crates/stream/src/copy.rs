//! PostgreSQL's binary COPY format, written and read.
//!
//! A row is a count of fields, then each field as a length and its bytes in network order; −1 is
//! NULL. Source: PostgreSQL documentation, COPY, "Binary Format".

/// What a COPY stream begins with: the signature, no flags, no header extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with: a field count of −1.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// A stored column that does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The stream ends within a row, or a field has another width than its type.
    #[error("field {field} is {len} bytes wide, not {expected}")]
    Width {
        /// The field's number in its row, from 1.
        field: usize,
        /// Its width, bytes.
        len: usize,
        /// The width its type has, bytes.
        expected: usize,
    },
    /// A column that is never NULL is.
    #[error("field {field} is null")]
    Null {
        /// The field's number in its row, from 1.
        field: usize,
    },
    /// A value that the pipeline would not have written.
    #[error("field {field} holds an impossible value: {why}")]
    Value {
        /// The field's number in its row, from 1.
        field: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// Rows that are sent to PostgreSQL, already in COPY's format.
#[derive(Clone, Debug)]
pub struct CopyBuffer {
    bytes: Vec<u8>,
    /// Where each row's first field is, which is written once the batch has a number.
    number_at: Vec<usize>,
    finished: bool,
}

impl Default for CopyBuffer {
    fn default() -> Self {
        Self { bytes: HEADER.to_vec(), number_at: Vec::new(), finished: false }
    }
}

impl CopyBuffer {
    /// Begins a row of `fields` fields, all of which the caller then writes. Before them goes a
    /// `bigint` that is filled in later by [`CopyBuffer::finish`].
    pub fn row(&mut self, fields: usize) -> CopyRow<'_> {
        let count = i16::try_from(fields + 1).expect("a table has at most 1,600 columns");
        self.bytes.extend_from_slice(&count.to_be_bytes());
        let mut row = CopyRow { bytes: &mut self.bytes };
        row.i64(0);
        self.number_at.push(row.bytes.len() - 8);
        CopyRow { bytes: &mut self.bytes }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.number_at.len()
    }

    /// The size so far, in bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes every row's first field: `number(row)`, rows counted from 0. Doing it again is fine.
    pub fn finish(&mut self, number: impl Fn(usize) -> i64) {
        for (row, &at) in self.number_at.iter().enumerate() {
            self.bytes[at..at + 8].copy_from_slice(&number(row).to_be_bytes());
        }
        if !std::mem::replace(&mut self.finished, true) {
            self.bytes.extend_from_slice(&TRAILER);
        }
    }

    /// What is sent to Postgres.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The rows alone: between [`HEADER`] and [`TRAILER`] those of several buffers are one stream. Needs a finished buffer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[HEADER.len()..self.bytes.len() - TRAILER.len()]
    }
}

/// One row being written.
#[derive(Debug)]
pub struct CopyRow<'a> {
    bytes: &'a mut Vec<u8>,
}

impl CopyRow<'_> {
    /// Writes NULL.
    pub fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    /// Writes a `bytea` or `text`.
    pub fn raw(&mut self, value: &[u8]) {
        let len = i32::try_from(value.len()).expect("a field is at most 1 GiB");
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// Writes a `text`; it must hold no NUL character.
    pub fn text(&mut self, value: &str) {
        self.raw(value.as_bytes());
    }

    /// Writes a `smallint`.
    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes an `integer`.
    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes a `bigint`.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes a `double precision`.
    pub fn f64(&mut self, value: f64) {
        self.raw(&value.to_be_bytes());
    }
}

/// One row being read, field by field.
#[derive(Debug)]
pub struct CopyFields<'a> {
    rest: &'a [u8],
    field: usize,
}

impl<'a> CopyFields<'a> {
    /// Reads the next field; `None` is NULL.
    ///
    /// # Errors
    /// When the row ends before it.
    pub fn raw(&mut self) -> Result<Option<&'a [u8]>, CopyError> {
        self.field += 1;
        let (len, rest) = split::<4>(self.rest).ok_or_else(|| self.width(self.rest.len(), 4))?;
        self.rest = rest;
        let Ok(len) = usize::try_from(i32::from_be_bytes(len)) else { return Ok(None) };
        let Some((value, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.width(self.rest.len(), len));
        };
        self.rest = rest;
        Ok(Some(value))
    }

    fn fixed<const N: usize>(&mut self) -> Result<Option<[u8; N]>, CopyError> {
        let Some(value) = self.raw()? else { return Ok(None) };
        value.try_into().map(Some).map_err(|_| self.width(value.len(), N))
    }

    /// Reads a `smallint`.
    ///
    /// # Errors
    /// When it is NULL or of another width.
    pub fn i16(&mut self) -> Result<i16, CopyError> {
        self.fixed()?.map(i16::from_be_bytes).ok_or(CopyError::Null { field: self.field })
    }

    /// Reads an `integer`.
    ///
    /// # Errors
    /// When it is NULL or of another width.
    pub fn i32(&mut self) -> Result<i32, CopyError> {
        self.fixed()?.map(i32::from_be_bytes).ok_or(CopyError::Null { field: self.field })
    }

    /// Reads an `integer`; `None` is NULL.
    ///
    /// # Errors
    /// When it is of another width.
    pub fn i32_or_null(&mut self) -> Result<Option<i32>, CopyError> {
        Ok(self.fixed()?.map(i32::from_be_bytes))
    }

    /// Reads a `bigint`.
    ///
    /// # Errors
    /// When it is NULL or of another width.
    pub fn i64(&mut self) -> Result<i64, CopyError> {
        self.fixed()?.map(i64::from_be_bytes).ok_or(CopyError::Null { field: self.field })
    }

    /// Reads a `double precision`; `None` is NULL.
    ///
    /// # Errors
    /// When it is of another width.
    pub fn f64(&mut self) -> Result<Option<f64>, CopyError> {
        Ok(self.fixed()?.map(f64::from_be_bytes))
    }

    /// Reads a `text`.
    ///
    /// # Errors
    /// When it is NULL or not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, CopyError> {
        let value = self.raw()?.ok_or(CopyError::Null { field: self.field })?;
        std::str::from_utf8(value).map_err(|error| self.impossible(error))
    }

    /// An error for the field last read.
    pub fn impossible(&self, why: impl ToString) -> CopyError {
        CopyError::Value { field: self.field, why: why.to_string() }
    }

    fn width(&self, len: usize, expected: usize) -> CopyError {
        CopyError::Width { field: self.field, len, expected }
    }
}

/// Splits a binary COPY stream into rows, no matter in which pieces it arrives.
#[derive(Debug, Default)]
pub struct CopyReader {
    bytes: Vec<u8>,
    at: usize,
    begun: bool,
}

impl CopyReader {
    /// Adds a piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(piece);
        if !self.begun && self.bytes.len() >= HEADER.len() {
            self.begun = true;
            self.at = HEADER.len();
        }
    }

    /// Hands out the next row that has arrived whole; `None` until more is pushed, or at the end.
    pub fn next_row(&mut self) -> Option<CopyFields<'_>> {
        if !self.begun {
            return None;
        }
        let row = &self.bytes[self.at..];
        let (count, mut rest) = split::<2>(row)?;
        // A negative count is the trailer.
        for _ in 0..u16::try_from(i16::from_be_bytes(count)).ok()? {
            let (len, after) = split::<4>(rest)?;
            let len = usize::try_from(i32::from_be_bytes(len)).unwrap_or(0);
            rest = after.get(len..)?;
        }
        let from = self.at + 2;
        let to = self.bytes.len() - rest.len();
        self.at = to;
        Some(CopyFields { rest: &self.bytes[from..to], field: 0 })
    }
}

fn split<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    Some((*head, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CopyBuffer {
        let mut buffer = CopyBuffer::default();
        for n in 0..3 {
            let mut row = buffer.row(4);
            row.i32(n);
            row.text("Åland");
            row.null();
            row.f64(0.5);
        }
        buffer.finish(|_| 7);
        buffer
    }

    type Fields = (i64, i32, String, Option<f64>, Option<f64>);

    fn read(reader: &mut CopyReader) -> Vec<Fields> {
        let mut rows = Vec::new();
        while let Some(mut row) = reader.next_row() {
            let fields = (row.i64(), row.i32(), row.text(), row.f64(), row.f64());
            rows.push((
                fields.0.unwrap(),
                fields.1.unwrap(),
                fields.2.unwrap().to_owned(),
                fields.3.unwrap(),
                fields.4.unwrap(),
            ));
        }
        rows
    }

    #[test]
    fn what_is_written_is_read_in_any_pieces() {
        let buffer = sample();
        for size in [1, 2, 3, 7, 1000] {
            let mut reader = CopyReader::default();
            let mut rows = Vec::new();
            for piece in buffer.bytes().chunks(size) {
                reader.push(piece);
                rows.extend(read(&mut reader));
            }
            let row = |n| (7, n, "Åland".to_owned(), None, Some(0.5));
            assert_eq!(rows, [row(0), row(1), row(2)], "pieces of {size} bytes");
        }
    }

    #[test]
    fn a_field_of_another_type_is_an_error() {
        let buffer = sample();
        let mut reader = CopyReader::default();
        reader.push(buffer.bytes());
        let mut row = reader.next_row().unwrap();
        assert_eq!(row.i32(), Err(CopyError::Width { field: 1, len: 8, expected: 4 }));
    }
}
